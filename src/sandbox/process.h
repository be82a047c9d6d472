// SPDX-License-Identifier: Apache-2.0
/* A child process on a loop: its end is readiness of its pidfd, so no signal handler and no blocking wait.
 *
 *   process_init(&p, &task, MY_EXIT);
 *   pid = process_clone(&p, loop, flags);      // as fork; 0 in the child, which must end in exec or _exit
 *   … in run(): if (process_ended(&p)) use(p.exit_code);
 *   process_done(&p);                          // kills and reaps it when it still runs
 *
 * exit_code is 128 + signal for a process that was killed, as shells and kubelets count.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/must.h"
#include "base/view.h"
#include "net/fd_watch.h"

struct process {
    struct fd_watch watch;
    int pidfd; /* -1: none */
    pid_t pid;
    bool running;
    int exit_code;
};

void process_init(struct process *p, struct task *task, uint32_t bits);
pid_t process_clone(struct process *p, struct loop *l,
                    uint64_t clone_flags) must_check; /* pid, 0 in the child, -errno */
bool process_ended(struct process *p);                /* true once it ended or never ran; reaps */
void process_signal(struct process *p, int sig);
void process_done(struct process *p);

/* In the child before exec: nothing of the daemon's stays open or blocked. keep: 0..keep-1 stay open. */
void process_clean(int keep);
