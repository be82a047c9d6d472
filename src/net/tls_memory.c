// SPDX-License-Identifier: Apache-2.0
/* Free lists for OpenSSL (tls_memory.h). Each block has a head of 16 bytes with its size class and size. */
#include "net/tls_memory.h"

#include <openssl/crypto.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"

#define CLASSES 11 /* 32 B, 64 B … 32 KiB */
#define CLASS_LEAST 5
#define TLS_MEMORY_KEEP (128 * 1024)
#define NO_CLASS CLASSES

#ifdef WEFT_ARENA_MALLOC
#define MALLOC_FOR_ALL true
#else
#define MALLOC_FOR_ALL false
#endif

struct head {
    size_t size; /* asked for */
    uint32_t class;
    uint32_t pad;
};
_Static_assert(sizeof(struct head) == 16, "blocks stay aligned");

struct lists {
    void *free[CLASSES];
    uint32_t n[CLASSES];
    uint64_t heap;
    bool registered;
};

/* OpenSSL's hooks have no context: the lists are the thread's, and a key gives them back at its end. */
static _Thread_local struct lists lists;
static pthread_key_t at_thread_end;

static uint32_t class_of(size_t n)
{
    if (n <= (size_t)1 << CLASS_LEAST)
        return 0;
    uint32_t class = 64 - (uint32_t)__builtin_clzl(n - 1) - CLASS_LEAST;
    return class < CLASSES ? class : NO_CLASS;
}

static void give_back(void *arg)
{
    struct lists *l = arg;
    for (uint32_t i = 0; i < CLASSES; i++)
        while (l->free[i]) {
            void *next = *(void **)l->free[i];
            free((struct head *)l->free[i] - 1);
            l->free[i] = next;
            l->n[i]--;
        }
    l->registered = false;
}

static void *take(size_t n, const char *file, int line)
{
    uint32_t class = class_of(n);
    struct head *h;
    if (n == 0)
        return NULL;
    if (class != NO_CLASS && lists.free[class]) {
        void *block = lists.free[class];
        lists.free[class] = *(void **)block;
        lists.n[class]--;
        h = (struct head *)block - 1;
    } else {
        size_t room = class == NO_CLASS ? n : (size_t)1 << (class + CLASS_LEAST);
        lists.heap++;
        h = malloc(sizeof(*h) + room);
        if (!h)
            return NULL;
        h->class = class;
    }
    h->size = n;
    return h + 1;
}

static void give(void *block, const char *file, int line)
{
    if (!block)
        return;
    struct head *h = (struct head *)block - 1;
    uint32_t class = h->class;
    if (class == NO_CLASS || ((size_t)lists.n[class] << (class + CLASS_LEAST)) >= TLS_MEMORY_KEEP) {
        free(h);
        return;
    }
    if (!lists.registered)
        lists.registered = pthread_setspecific(at_thread_end, &lists) == 0;
    *(void **)block = lists.free[class];
    lists.free[class] = block;
    lists.n[class]++;
}

static void *resize(void *old, size_t n, const char *file, int line)
{
    if (!old)
        return take(n, file, line);
    if (n == 0) {
        give(old, file, line);
        return NULL;
    }
    struct head *h = (struct head *)old - 1;
    if (h->class != NO_CLASS && n <= (size_t)1 << (h->class + CLASS_LEAST)) {
        h->size = n;
        return old;
    }
    void *block = take(n, file, line);
    if (!block)
        return NULL;
    memcpy(block, old, h->size < n ? h->size : n);
    give(old, file, line);
    return block;
}

bool tls_memory_init(void)
{
    if (MALLOC_FOR_ALL)
        return true;
    return pthread_key_create(&at_thread_end, give_back) == 0 && CRYPTO_set_mem_functions(take, resize, give) == 1;
}

uint64_t tls_memory_heap_count(void)
{
    return lists.heap;
}
