// SPDX-License-Identifier: Apache-2.0
/* What happens when an invariant breaks, and heap memory that is never NULL (must.h). */
#include "base/must.h"

#include <execinfo.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

static _Atomic uint64_t odd_seen_count; /* a counter, not state: nothing decides by it */

void must_fail(const char *cond, const char *file, int line)
{
    fprintf(stderr, "weft: broken invariant: %s (%s:%d). Please report this line.\n", cond, file, line);
    void *frames[32]; /* addresses only: `addr2line -fe PROGRAM` turns them into lines */
    backtrace_symbols_fd(frames, backtrace(frames, COUNT_OF(frames)), 2);
    abort();
}

bool odd_seen(const char *cond, const char *file, int line)
{
    if (atomic_fetch_add(&odd_seen_count, 1) < 10)
        fprintf(stderr, "weft: odd: %s (%s:%d), continuing\n", cond, file, line);
    return false;
}

uint64_t odd_count(void)
{
    return atomic_load(&odd_seen_count);
}

void *mem_alloc(size_t n)
{
    void *p = calloc(1, n ? n : 1);
    must(p != NULL);
    return p;
}

void *mem_grow(void *old, size_t n)
{
    void *p = realloc(old, n ? n : 1);
    must(p != NULL);
    return p;
}

void mem_free(void *p)
{
    free(p);
}
