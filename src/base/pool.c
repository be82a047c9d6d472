// SPDX-License-Identifier: Apache-2.0
/* Free lists (pool.h). Under WEFT_ARENA_MALLOC nothing is kept, so that ASan sees a use after give. */
#include "base/pool.h"

#include <stdlib.h>

void pool_init(struct pool *p, size_t size, uint32_t keep)
{
    *p = (struct pool){.size = size < sizeof(void *) ? sizeof(void *) : size, .keep = keep};
#ifdef WEFT_ARENA_MALLOC
    p->keep = 0;
#endif
}

void pool_done(struct pool *p)
{
    while (p->free) {
        void *next = *(void **)p->free;
        free(p->free);
        p->free = next;
    }
    p->n_free = 0;
}

void *pool_take(struct pool *p)
{
    if (p->free) {
        void *object = p->free;
        p->free = *(void **)object;
        p->n_free--;
        return object;
    }
    p->n_heap++;
    void *object = malloc(p->size);
    must(object != NULL);
    return object;
}

void pool_give(struct pool *p, void *object)
{
    if (!object)
        return;
    if (p->n_free >= p->keep) {
        free(object);
        return;
    }
    *(void **)object = p->free;
    p->free = object;
    p->n_free++;
}
