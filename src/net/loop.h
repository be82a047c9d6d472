// SPDX-License-Identifier: Apache-2.0
/* The event loop: one a worker thread. It waits for the kernel, wakes tasks, runs them, flushes, and waits again.
 *
 *   one turn:  wait → read the clock → fire timers → run tasks until none is queued → flushes
 *
 * Sockets are registered once, edge-triggered, for everything; nothing calls epoll_ctl in the steady state. The same
 * interface is implemented by a simulation (net/sim.h): other clock, other network, same code above, which therefore
 * never sees a file descriptor and never asks the libc for the time or for random numbers.
 *
 *   struct loop *l = loop_new(&(struct loop_options){.seed = seed});
 *   … acceptors, connections, timers …
 *   loop_run(l);                          // until loop_stop
 *   loop_free(l);                         // everything on it must be closed before
 *
 * Invariants: all functions but loop_stop and loop_poke belong to the loop's own thread. loop_now() moves only between
 * turns, so all tasks of one turn agree on the time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/pool.h"
#include "base/rng.h"
#include "net/task.h"

struct loop;

struct loop_options {
    uint64_t seed;    /* of loop_rng; 0: from the kernel */
    const char *name; /* of the worker, for traces; a literal */
    bool forks;       /* the program starts processes: a child may hold our sockets for a moment, so that closing ours
                         does not end what the kernel reports of them; each is unregistered by a call of its own */
};

struct loop *loop_new(const struct loop_options *options); /* options may be NULL */
struct loop *loop_free(struct loop *l);                    /* NULL */
void loop_run(struct loop *l);                             /* until loop_stop */
bool loop_turn(struct loop *l, bool wait);                 /* one turn; false: there was nothing to do. Tests, tools */
void loop_stop(struct loop *l);                            /* any thread */
void loop_poke(struct loop *l);                            /* any thread: ends its waiting (mailboxes use it) */

uint64_t loop_now(const struct loop *l);  /* monotonic nanoseconds, as of the start of this turn */
uint64_t loop_wall(const struct loop *l); /* nanoseconds since 1970, as of the start of this turn */
struct rng *loop_rng(struct loop *l);     /* seeded; never for secrets */
bool loop_simulated(const struct loop *l);

/* What is to happen once after the tasks of this turn ran and before the loop waits: one write for many small ones.
 * fn runs outside of tasks: it may send and wake tasks (they run before the loop waits), nothing else. */
struct flush {
    void (*fn)(struct flush *f);
    struct list link;
};
void flush_init(struct flush *f, void (*fn)(struct flush *f));
void flush_soon(struct flush *f, struct loop *l); /* idempotent; asked for again in each turn that needs it */
void flush_done(struct flush *f);

/* A free list of this loop for objects of exactly this size; look it up once and keep the pointer. */
struct pool *loop_pool(struct loop *l, size_t size);

/* One scratch area per loop for bytes between a recv and their consumer; valid until the task returns. */
#define LOOP_SCRATCH (64 * 1024)
char *loop_scratch(struct loop *l);

/* Counters for tests and for the admin page. */
struct loop_stats {
    uint64_t turns, tasks_run, timers_fired, events, system_calls;
};
const struct loop_stats *loop_stats(const struct loop *l);
