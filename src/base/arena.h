// SPDX-License-Identifier: Apache-2.0
/* Arenas: memory by lifetime. A snapshot, a connection, a stream or one call owns an arena; everything allocated in it
 * dies together, so almost nothing in weft is freed one by one. The arena is always passed explicitly.
 *
 *   struct arena a;
 *   arena_init(&a, 4096);
 *   struct route *r = ARENA_NEW(&a, struct route);     // zeroed
 *   struct view name = arena_view(&a, borrowed);       // copied
 *   arena_done(&a);                                    // cleanups in reverse order, then the memory
 *
 * Built with -DWEFT_ARENA_MALLOC (make ARENA=malloc; the sanitizer builds) each allocation is a malloc of its own, so
 * that ASan sees every overrun and use after free.
 */
#pragma once

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "base/must.h"
#include "base/view.h"

struct arena_chunk;
struct arena_cleanup;

struct arena {
    char *at, *end;                 /* free part of the newest chunk */
    struct arena_chunk *chunks;     /* newest first */
    struct arena_cleanup *cleanups; /* newest first */
    size_t chunk_size;
    size_t used; /* bytes handed out, for limits and tests */
};

void arena_init(struct arena *a, size_t chunk_size); /* 0: 4096. Allocates nothing yet */
void arena_done(struct arena *a);
void arena_clear(
    struct arena *a); /* runs cleanups; keeps one chunk, so a pooled arena allocates nothing in steady state */

void *arena_alloc(struct arena *a, size_t n) __attribute__((malloc, returns_nonnull)); /* zeroed, aligned to 16 */
void *arena_alloc_raw(struct arena *a, size_t n, size_t align)
    __attribute__((malloc, returns_nonnull)); /* not zeroed */
void *arena_copy(struct arena *a, const void *p, size_t n) __attribute__((returns_nonnull));
struct view arena_view(struct arena *a, struct view v); /* copied, and NUL-terminated behind its end */
char *arena_str(struct arena *a, struct view v) __attribute__((returns_nonnull));
struct view arena_printf(struct arena *a, const char *fmt, ...) printf_like(2, 3);
struct view arena_vprintf(struct arena *a, const char *fmt, va_list args) printf_like(2, 0);

/* Calls fn(arg) when the arena ends or is cleared. */
void arena_cleanup(struct arena *a, void (*fn)(void *), void *arg);

#define ARENA_NEW(a, type) ((type *)arena_alloc((a), sizeof(type)))
#define ARENA_ARRAY(a, type, count) ((type *)arena_alloc((a), sizeof(type) * (count)))

/* Appends one element to an array that lives in the arena and returns it, zeroed. Capacity doubles at powers of two,
 * so only pointer and count are kept. Earlier copies stay behind in the arena: fine for compile time, not per request.
 *
 *   struct route *r = ARENA_PUSH(&a, plan->routes, plan->n_routes);
 */
#define ARENA_PUSH(a, array, count)                                                                                    \
    (((array) = arena_grow((a), (array), (count), sizeof((array)[0]))), &(array)[(count)++])
void *arena_grow(struct arena *a, void *array, size_t count, size_t size) __attribute__((returns_nonnull));
