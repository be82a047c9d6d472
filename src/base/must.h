// SPDX-License-Identifier: Apache-2.0
/* Assertions that stay on in release, and the attributes that let the compiler check our habits.
 *
 * must(cond)  an invariant: when it does not hold, the state is printed and the process aborts.
 * odd(cond)   something that should not be and can be survived: counted (odd_count), evaluates to cond.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define must_check __attribute__((warn_unused_result))
#define printf_like(fmt, args) __attribute__((format(printf, fmt, args)))
#define unused_arg __attribute__((unused))

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
#define CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#define must(cond) (__builtin_expect(!!(cond), 1) ? (void)0 : must_fail(#cond, __FILE__, __LINE__))
#define odd(cond) (__builtin_expect(!!(cond), 1) ? true : odd_seen(#cond, __FILE__, __LINE__))

void must_fail(const char *cond, const char *file, int line) __attribute__((noreturn));
bool odd_seen(const char *cond, const char *file, int line); /* always false */
uint64_t odd_count(void);

/* Never return NULL: out of memory aborts, which is why every size that a peer chooses has a limit (limits.def). */
void *mem_alloc(size_t n) __attribute__((malloc, returns_nonnull)); /* zeroed */
void *mem_grow(void *p, size_t n) __attribute__((returns_nonnull)); /* realloc: the new part is not zeroed */
void mem_free(void *p);
