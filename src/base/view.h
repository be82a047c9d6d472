// SPDX-License-Identifier: Apache-2.0
/* A view borrows bytes: pointer and length, no NUL, no ownership.
 *
 * Bytes that came from a peer or a file are views from end to end; a C string appears only where libc asks for one.
 * A view is passed by value and is valid as long as what it borrows from (the comment at the producer says how long).
 *
 *   struct view host = VIEW("reviews");
 *   if (view_eq(host, VIEW("ratings"))) …
 *   printf("%.*s", VIEW_ARGS(host));
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct view {
    const char *p; /* may be NULL only when n is 0 */
    size_t n;
};

#define VIEW(literal) ((struct view){(literal), sizeof(literal) - 1})
#define VIEW_NONE ((struct view){NULL, 0})
#define VIEW_ARGS(v) (int)(v).n, (v).p ? (v).p : ""

static inline struct view view_of(const char *s) /* NULL gives the empty view */
{
    return (struct view){s, s ? strlen(s) : 0};
}

static inline struct view view_make(const void *p, size_t n)
{
    return (struct view){(const char *)p, n};
}

char *view_dup(struct view v); /* on the heap with a NUL behind it: mem_free() */

static inline bool view_eq(struct view a, struct view b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool view_is(struct view a, const char *s)
{
    return view_eq(a, view_of(s));
}

static inline bool view_empty(struct view a)
{
    return a.n == 0;
}

/* The part from `at` on; empty when `at` is past the end. */
static inline struct view view_from(struct view v, size_t at)
{
    return at >= v.n ? VIEW_NONE : (struct view){v.p + at, v.n - at};
}

/* At most the first n bytes. */
static inline struct view view_head(struct view v, size_t n)
{
    return (struct view){v.p, n < v.n ? n : v.n};
}

static inline bool view_starts(struct view v, struct view prefix)
{
    return v.n >= prefix.n && (prefix.n == 0 || memcmp(v.p, prefix.p, prefix.n) == 0);
}

static inline bool view_ends(struct view v, struct view suffix)
{
    return v.n >= suffix.n && (suffix.n == 0 || memcmp(v.p + v.n - suffix.n, suffix.p, suffix.n) == 0);
}

/* Position of c, or v.n when it is not there. */
static inline size_t view_find(struct view v, char c)
{
    const char *at = v.n ? (const char *)memchr(v.p, c, v.n) : NULL;
    return at ? (size_t)(at - v.p) : v.n;
}

/* ASCII only: what HTTP and DNS mean by case-insensitive. */
bool view_ieq(struct view a, struct view b);
bool view_istarts(struct view v, struct view prefix);
int view_cmp(struct view a, struct view b);

/* Position of the first occurrence of `needle`, or v.n. */
size_t view_find_view(struct view v, struct view needle);

/* Without spaces and tabs at either end. */
struct view view_trim(struct view v);

/* Cuts off and returns what stands before the next `sep`, moving *rest behind it; false when nothing is left.
 * An empty field between two separators is returned as an empty view. */
bool view_cut(struct view *rest, char sep, struct view *ret_field);

/* The whole view as a decimal number without sign: 0, -EINVAL or -ERANGE. */
int view_u64(struct view v, uint64_t *ret_value) __attribute__((warn_unused_result));

uint64_t view_hash(struct view v);  /* XXH3, stable within a process only */
uint64_t view_ihash(struct view v); /* the same for any ASCII case */
