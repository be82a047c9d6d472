// SPDX-License-Identifier: Apache-2.0
/* Watching a descriptor that is not a connection: signalfd, inotify, pidfd, netlink, a resolver's socket. Kernel loops
 * only; code that shall run in a simulation does not use it.
 *
 *   fd_watch_init(&w, &task, MY_BIT);
 *   r = fd_watch_open(&w, loop, fd, FD_IN);      // the descriptor stays the caller's
 *   fd_watch_done(&w);                            // before close(fd)
 *
 * Invariants: level-triggered, so that a half-read source comes back; w->ready tells which of FD_IN and FD_OUT.
 */
#pragma once

#include <stdint.h>

#include "base/must.h"
#include "net/task.h"

struct loop;

enum fd_ready {
    FD_IN = 1,
    FD_OUT = 2,
};

/* What epoll hands back for a registered descriptor: the first member of everything that is registered. */
struct fd_source {
    void (*ready)(struct fd_source *s, uint32_t epoll_events);
};

struct fd_watch {
    struct fd_source source;
    struct loop *loop;
    int fd; /* -1: not open */
    uint32_t interest, ready;
    struct task *task;
    uint32_t bits;
};

void fd_watch_init(struct fd_watch *w, struct task *task, uint32_t bits);
int fd_watch_open(struct fd_watch *w, struct loop *l, int fd, uint32_t interest) must_check;
int fd_watch_change(struct fd_watch *w, uint32_t interest) must_check;
void fd_watch_done(struct fd_watch *w);
