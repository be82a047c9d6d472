// SPDX-License-Identifier: Apache-2.0
/* The log of a container: a pipe, as every container engine gives, emptied into a file of the tmpfs by splice.
 *
 *   container_log_init(&l, loop);
 *   container_log_open(&l, uid, gid, &fd);      // for each run; the run before becomes `previous`
 *   container_log_finish(&l);                    // the program ended: what is left in the pipe
 *
 * Batches are at least 10 ms apart, so that a chatty program costs little. The file is bounded by giving its oldest part
 * back to the kernel (a hole): offsets stay what they are, so a follower is not disturbed, and reading begins behind
 * the hole. (Not a file that the program itself appends to: `echo x > /dev/stderr` would truncate it.)
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "base/must.h"
#include "net/fd_watch.h"
#include "net/task.h"
#include "net/timer.h"

struct container_log {
    struct task task;
    struct timer pause;
    struct fd_watch watch;
    struct loop *loop;
    int pipe, fd, last_fd; /* -1: none */
    uint64_t size, start;  /* of the text; what lies before start was given back */
};

void container_log_init(struct container_log *l, struct loop *loop);
void container_log_done(struct container_log *l);
int container_log_open(struct container_log *l, uid_t uid, gid_t gid, int *ret_write_fd) must_check;
void container_log_finish(struct container_log *l);
