// SPDX-License-Identifier: Apache-2.0
/* Arenas (arena.h): bump allocation in chunks, a list of cleanups, and the malloc mode for sanitizers. */
#include "base/arena.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct arena_chunk {
    struct arena_chunk *next;
    size_t size;
    char data[] __attribute__((aligned(16)));
};

struct arena_cleanup {
    struct arena_cleanup *next;
    void (*fn)(void *);
    void *arg;
};

void arena_init(struct arena *a, size_t chunk_size)
{
    *a = (struct arena){.chunk_size = chunk_size ? chunk_size : 4096};
}

static void run_cleanups(struct arena *a)
{
    while (a->cleanups) {
        struct arena_cleanup *c = a->cleanups;
        a->cleanups = c->next;
        c->fn(c->arg);
    }
}

static struct arena_chunk *chunk_new(struct arena *a, size_t size)
{
    struct arena_chunk *c = malloc(sizeof(*c) + size);
    must(c != NULL);
    c->size = size;
    c->next = a->chunks;
    a->chunks = c;
    return c;
}

static void free_chunks(struct arena *a, struct arena_chunk *keep)
{
    struct arena_chunk *next;
    for (struct arena_chunk *c = a->chunks; c; c = next) {
        next = c->next;
        if (c != keep)
            free(c);
    }
    a->chunks = keep;
    if (keep)
        keep->next = NULL;
}

void arena_done(struct arena *a)
{
    run_cleanups(a);
    free_chunks(a, NULL);
    arena_init(a, a->chunk_size);
}

void arena_clear(struct arena *a)
{
    run_cleanups(a);
#ifdef WEFT_ARENA_MALLOC
    free_chunks(a, NULL);
#else
    struct arena_chunk *keep = a->chunks;
    while (keep && keep->size != a->chunk_size) /* an outsized one would be kept forever */
        keep = keep->next;
    free_chunks(a, keep);
    a->at = keep ? keep->data : NULL;
    a->end = keep ? keep->data + keep->size : NULL;
#endif
    a->used = 0;
}

void *arena_alloc_raw(struct arena *a, size_t n, size_t align)
{
    a->used += n;
#ifdef WEFT_ARENA_MALLOC
    (void)align;
    return chunk_new(a, n)->data;
#else
    uintptr_t at = ((uintptr_t)a->at + align - 1) & ~(uintptr_t)(align - 1);
    if (a->at && at <= (uintptr_t)a->end && n <= (uintptr_t)a->end - at) {
        a->at = (char *)at + n;
        return (void *)at;
    }
    if (n > a->chunk_size / 2)
        return chunk_new(a, n)->data; /* its own chunk: the current one stays open for small things */
    struct arena_chunk *c = chunk_new(a, a->chunk_size);
    a->at = c->data + n;
    a->end = c->data + c->size;
    return c->data;
#endif
}

void *arena_alloc(struct arena *a, size_t n)
{
    return memset(arena_alloc_raw(a, n, 16), 0, n);
}

void *arena_copy(struct arena *a, const void *p, size_t n)
{
    void *copy = arena_alloc_raw(a, n, 16);
    if (n)
        memcpy(copy, p, n);
    return copy;
}

char *arena_str(struct arena *a, struct view v)
{
    char *s = arena_alloc_raw(a, v.n + 1, 1);
    if (v.n)
        memcpy(s, v.p, v.n);
    s[v.n] = 0;
    return s;
}

struct view arena_view(struct arena *a, struct view v)
{
    return (struct view){arena_str(a, v), v.n};
}

struct view arena_vprintf(struct arena *a, const char *fmt, va_list args)
{
    va_list again;
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, again);
    va_end(again);
    must(n >= 0);
    char *s = arena_alloc_raw(a, (size_t)n + 1, 1);
    vsnprintf(s, (size_t)n + 1, fmt, args);
    return (struct view){s, (size_t)n};
}

struct view arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    struct view v = arena_vprintf(a, fmt, args);
    va_end(args);
    return v;
}

void arena_cleanup(struct arena *a, void (*fn)(void *), void *arg)
{
    struct arena_cleanup *c = ARENA_NEW(a, struct arena_cleanup);
    *c = (struct arena_cleanup){.next = a->cleanups, .fn = fn, .arg = arg};
    a->cleanups = c;
}

void *arena_grow(struct arena *a, void *array, size_t count, size_t size)
{
    bool full = count == 0 || (count & (count - 1)) == 0;
    if (!full) {
        memset((char *)array + count * size, 0, size);
        return array;
    }
    size_t capacity = count ? count * 2 : 1;
    char *bigger = arena_alloc_raw(a, capacity * size, 16);
    if (count)
        memcpy(bigger, array, count * size);
    memset(bigger + count * size, 0, size);
    return bigger;
}
