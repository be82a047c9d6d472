// SPDX-License-Identifier: Apache-2.0
/* Timers: at a time of the loop's clock, set bits in a task.
 *
 * Most timers are moved to a later time again and again (idle time-outs) and never fire. A timer therefore keeps its
 * place in the loop's heap when it is set later, and is put right only when that place comes up: moving it costs one
 * store. timer_rest does the same for "not now": use it for timers that are set again soon (one a request).
 *
 *   timer_init(&c->idle, &c->task, CONNECTION_IDLE);
 *   timer_set(&c->idle, loop_now(loop) + 60 * NS_PER_S);
 *   timer_done(&c->idle);                 // before its memory goes away
 *
 * Invariants: one loop, one thread. After timer_done or timer_clear the heap knows nothing of the timer. A timer never
 * fires early; it may fire once after timer_rest or a later timer_set only if its bits were already queued.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "net/task.h"

#define TIMER_NEVER UINT64_MAX

struct timer {
    struct task *task;
    uint32_t bits;
    uint32_t place; /* 1 + index in the heap; 0: not in it */
    uint64_t due;   /* when it shall fire; TIMER_NEVER: resting */
};

void timer_init(struct timer *t, struct task *task, uint32_t bits);
void timer_set(struct timer *t, uint64_t at); /* absolute, as loop_now(); a time past fires in the next turn */
void timer_in(struct timer *t, uint64_t ns);  /* from now */
void timer_rest(struct timer *t);             /* off, but keeps its place: cheap; timer_clear before freeing */
void timer_clear(struct timer *t);            /* off and out of the heap */
static inline void timer_done(struct timer *t)
{
    timer_clear(t);
}
static inline bool timer_is_set(const struct timer *t)
{
    return t->place != 0 && t->due != TIMER_NEVER;
}

/* The heap that a loop owns: 4-ary, keyed by the time at which a timer's place comes up. */
struct timer_place {
    uint64_t key;
    struct timer *timer;
};
struct timer_heap {
    struct timer_place *places;
    uint32_t n, cap;
};
void timer_heap_done(struct timer_heap *h);
void timer_heap_fire(struct timer_heap *h, uint64_t now); /* wakes the tasks of all that are due */
uint64_t timer_heap_next(const struct timer_heap *h);     /* TIMER_NEVER when empty; may be too early, never late */
