// SPDX-License-Identifier: Apache-2.0
/* Memory of nghttp2: free lists by power-of-two size class behind its allocator hook. Sessions free and realloc, so an
 * arena would not do; a free list per class makes the steady state free of malloc. Each piece carries its class in front.
 */
#include <stdlib.h>

#include "wire/h2_memory.h"

enum { SMALLEST = 5, LARGEST = 15, KEEP = 256, HEAD = 16 };

struct h2_memory {
    void *free[LARGEST + 1];
    uint32_t n_free[LARGEST + 1];
    uint64_t heap_count;
    nghttp2_mem hooks;
};

static unsigned class_of(size_t n)
{
    return n <= (size_t)1 << SMALLEST ? SMALLEST : 64u - (unsigned)__builtin_clzll(n - 1);
}

static void *take(size_t n, void *arg)
{
    struct h2_memory *m = (struct h2_memory *)arg;
    unsigned class = class_of(n);
    char *piece;
    if (n > SIZE_MAX / 2)
        return NULL;
    if (class <= LARGEST && m->free[class]) {
        piece = (char *)m->free[class];
        m->free[class] = *(void **)(void *)(piece + HEAD);
        m->n_free[class]--;
    } else {
        m->heap_count++;
        piece = (char *)malloc(((size_t)1 << class) + HEAD);
        must(piece != NULL);
    }
    *(uint32_t *)(void *)piece = class;
    return piece + HEAD;
}

static void give(void *p, void *arg)
{
    struct h2_memory *m = (struct h2_memory *)arg;
    if (!p)
        return;
    char *piece = (char *)p - HEAD;
    unsigned class = *(uint32_t *)(void *)piece;
#ifdef WEFT_ARENA_MALLOC
    const unsigned keep = 0;
#else
    const unsigned keep = KEEP;
#endif
    if (class > LARGEST || m->n_free[class] >= keep) {
        free(piece);
        return;
    }
    *(void **)p = m->free[class];
    m->free[class] = piece;
    m->n_free[class]++;
}

static void *take_zeroed(size_t n, size_t size, void *arg)
{
    if (size && n > SIZE_MAX / 2 / size)
        return NULL;
    void *p = take(n * size, arg);
    if (p)
        memset(p, 0, n * size);
    return p;
}

static void *resize(void *p, size_t n, void *arg)
{
    if (!p)
        return take(n, arg);
    size_t had = (size_t)1 << *(uint32_t *)(void *)((char *)p - HEAD);
    if (n <= had)
        return p;
    void *now = take(n, arg);
    if (now) {
        memcpy(now, p, had);
        give(p, arg);
    }
    return now;
}

struct h2_memory *h2_memory_new(void)
{
    struct h2_memory *m = (struct h2_memory *)mem_alloc(sizeof(*m));
    m->hooks = (nghttp2_mem){m, take, give, take_zeroed, resize};
    return m;
}

void h2_memory_free(struct h2_memory *m)
{
    if (!m)
        return;
    for (unsigned class = SMALLEST; class <= LARGEST; class ++)
        while (m->free[class]) {
            char *piece = (char *)m->free[class];
            m->free[class] = *(void **)(void *)(piece + HEAD);
            free(piece);
        }
    mem_free(m);
}

uint64_t h2_memory_heap_count(const struct h2_memory *m)
{
    return m->heap_count;
}

nghttp2_mem *h2_memory_hooks(struct h2_memory *m)
{
    return &m->hooks;
}
