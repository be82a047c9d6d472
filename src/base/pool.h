// SPDX-License-Identifier: Apache-2.0
/* Free lists for hot objects of one size: what was freed is handed out again, so the steady state asks malloc for nothing.
 * A pool belongs to one worker (no locks). At most `keep` idle objects are kept, the rest goes back to the heap.
 *
 *   struct pool streams; pool_init(&streams, sizeof(struct stream), 256);
 *   struct stream *s = pool_take(&streams);     // not zeroed
 *   pool_give(&streams, s);
 *   pool_done(&streams);                        // objects still out are their owners' business
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/must.h"

struct pool {
    void *free; /* singly linked through the first word */
    size_t size;
    uint32_t n_free, keep;
    uint64_t n_heap; /* how often the heap was asked: tests assert that it stops growing */
};

void pool_init(struct pool *p, size_t size, uint32_t keep);
void pool_done(struct pool *p);
void *pool_take(struct pool *p) __attribute__((returns_nonnull));
void pool_give(struct pool *p, void *object);
