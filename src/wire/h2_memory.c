// SPDX-License-Identifier: Apache-2.0
/* Memory of nghttp2: free lists by size class behind its allocator hook. Sessions free and realloc, so an arena would not do;
 * a free list per class makes the steady state free of malloc. Each piece carries its class in front. Classes are powers of
 * two and what is halfway between (32, 48, 64, 96 …): a session of nghttp2 1.52 is 2,928 bytes.
 *
 * The buffer in which a session builds a frame (FRAME bytes: a frame of 16 KB and its head) has a class of its own, mapped on
 * page boundaries: of a buffer whose session sends small frames (h2_config.max_data) only the first page is ever real memory,
 * and pages of buffers beyond the first few that are free go back to the kernel.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "wire/h2_memory.h"

enum {
    FRAMES = 0, /* the class of frame buffers */
    SMALLEST = 1,
    SMALLEST_BITS = 5, /* 32 bytes */
    LARGEST = 21,      /* 32 KB */
    KEEP = 256,
    HEAD = 16,
    FRAME = 5 * 4096 - HEAD, /* nghttp2 1.52 asks for 16,394 */
    FRAME_LEAST = 12 * 1024, /* what is less is no frame buffer */
    SLAB = 32,               /* frame buffers mapped at once, untouched */
    KEEP_REAL = 16,          /* free frame buffers that keep their pages */
};

struct slab {
    struct slab *next;
    char *pieces;
};

struct h2_memory {
    void *free[LARGEST + 1];
    uint32_t n_free[LARGEST + 1];
    uint64_t heap_count;
    struct slab *slabs;
    char *fresh; /* of the newest slab: never used */
    uint32_t n_fresh;
    nghttp2_mem hooks;
};

/* Under the sanitizers every piece is a malloc of its own. */
#ifdef WEFT_ARENA_MALLOC
static const bool pooled = false;
#else
static const bool pooled = true;
#endif

static unsigned class_of(size_t n)
{
    if (pooled && n > FRAME_LEAST && n <= FRAME)
        return FRAMES;
    if (n <= (size_t)1 << SMALLEST_BITS)
        return SMALLEST;
    unsigned bits = 64u - (unsigned)__builtin_clzll(n - 1); /* of the power of two that holds it */
    return SMALLEST + 2 * (bits - SMALLEST_BITS) - (n <= (size_t)3 << (bits - 2));
}

static size_t size_of(unsigned class)
{
    unsigned step = class - SMALLEST;
    return class == FRAMES ? FRAME : (size_t)(step & 1 ? 3 : 2) << (SMALLEST_BITS - 1 + step / 2);
}

static void add_slab(struct h2_memory *m)
{
    struct slab *s = (struct slab *)mem_alloc(sizeof(*s));
    s->pieces = (char *)mmap(NULL, SLAB * (FRAME + HEAD), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    must(s->pieces != MAP_FAILED);
    s->next = m->slabs;
    m->slabs = s;
    m->fresh = s->pieces;
    m->n_fresh = SLAB;
}

/* Untouched ones last: what is real memory already is used first. */
static char *take_frame(struct h2_memory *m)
{
    if (!m->n_fresh) {
        m->heap_count++;
        add_slab(m);
    }
    m->n_fresh--;
    m->fresh += FRAME + HEAD;
    return m->fresh - (FRAME + HEAD);
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
    } else if (class == FRAMES) {
        piece = take_frame(m);
    } else {
        m->heap_count++;
        piece = (char *)malloc(size_of(class) + HEAD);
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
    if (class == FRAMES) {
        if (m->n_free[class] >= KEEP_REAL)
            madvise(piece + 4096, FRAME + HEAD - 4096, MADV_DONTNEED);
    } else if (!pooled || class > LARGEST || m->n_free[class] >= KEEP) {
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
    size_t had = size_of(*(uint32_t *)(void *)((char *)p - HEAD));
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
    for (struct slab *s = m->slabs, *next; s; s = next) {
        next = s->next;
        munmap(s->pieces, SLAB * (FRAME + HEAD));
        mem_free(s);
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
