// SPDX-License-Identifier: Apache-2.0
/* Signals as readiness: blocked in all threads and read from a signalfd on one loop, so that no code runs in a handler.
 *
 *   r = signals_open(&s, loop, (int[]){SIGTERM, SIGINT, SIGHUP, 0}, &task, MY_SIGNAL);   // before starting threads
 *   … in run():  while ((sig = signals_take(&s))) …
 *   signals_done(&s);
 *
 * Invariant: the signals stay blocked after signals_done, so none kills a process that is about to end in order. A child
 * inherits the mask: signals_unblock() between fork and exec.
 */
#pragma once

#include "base/must.h"
#include "net/fd_watch.h"

struct signals {
    struct fd_watch watch;
    int fd; /* -1: not open */
};

int signals_open(struct signals *s, struct loop *l, const int *zero_ended, struct task *task, uint32_t bits) must_check;
int signals_take(struct signals *s); /* the number, 0: none */
void signals_done(struct signals *s);
void signals_unblock(void); /* in a child before exec: an empty mask */
