// SPDX-License-Identifier: Apache-2.0
/* Tasks: the only place where code runs after the kernel, a timer or another thread said something.
 *
 * Readiness, timers and messages do one thing: they set bits in a task and queue it. Nobody's code runs inside a
 * callback, so nothing re-enters; the loop later calls run() once with all bits that came together.
 *
 *   struct connection { struct task task; struct conn *conn; … };
 *   task_init(&c->task, loop, connection_run, "connection");
 *   conn_own(c->conn, &c->task, CONNECTION_IN, CONNECTION_OUT);
 *   static void connection_run(struct task *t, uint32_t events) { … may free the object that contains t … }
 *
 * Invariants: a task belongs to one loop and is woken on that loop's thread only (other threads: net/mailbox.h).
 * run() may task_done() and free its own object; the loop touches the task no more after calling it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

struct loop;
struct task;

typedef void (*task_fn)(struct task *t, uint32_t events);

struct task {
    task_fn run;
    struct loop *loop;
    struct list link; /* in the loop's run queue while events != 0 */
    uint32_t events;  /* set and not yet delivered */
    const char *name; /* for traces; a literal */
};

void task_init(struct task *t, struct loop *loop, task_fn run, const char *name);
void task_wake(struct task *t, uint32_t bits); /* bits != 0; idempotent until run() is called */
void task_done(struct task *t);                /* takes it out of the queue; bits not delivered are lost */
