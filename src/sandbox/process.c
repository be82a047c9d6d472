// SPDX-License-Identifier: Apache-2.0
/* Child processes by clone3 and pidfd (process.h). clone3 without a stack is fork, with namespaces and the pidfd in the
 * same call; the daemon is single-threaded, so the child may use libc before it execs.
 */
#include "sandbox/process.h"

#include <errno.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "net/signals.h"

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

void process_init(struct process *p, struct task *task, uint32_t bits)
{
    *p = (struct process){.pidfd = -1};
    fd_watch_init(&p->watch, task, bits);
}

pid_t process_clone(struct process *p, struct loop *l, uint64_t clone_flags)
{
    must(!p->running);
    process_done(p);
    struct clone_args args = {
        .flags = CLONE_PIDFD | clone_flags, .pidfd = (uintptr_t)&p->pidfd, .exit_signal = SIGCHLD};
    long pid = syscall(SYS_clone3, &args, sizeof(args));
    if (pid <= 0) {
        int err = -errno;
        p->pidfd = -1;
        return pid == 0 ? 0 : err;
    }
    p->pid = (pid_t)pid;
    p->running = true;
    p->exit_code = 0;
    int err = fd_watch_open(&p->watch, l, p->pidfd, FD_IN);
    if (err < 0) {
        process_done(p);
        return err;
    }
    return p->pid;
}

static bool reap(struct process *p, int flags)
{
    siginfo_t info = {0};
    int r;
    while ((r = waitid((idtype_t)P_PIDFD, (id_t)p->pidfd, &info, WEXITED | flags)) < 0 && errno == EINTR)
        ;
    if (r == 0 && info.si_pid == 0)
        return false;
    p->running = false;
    p->exit_code = r < 0 ? 255 : info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
    fd_watch_done(&p->watch);
    close(p->pidfd);
    p->pidfd = -1;
    return true;
}

bool process_ended(struct process *p)
{
    return !p->running || reap(p, WNOHANG);
}

void process_signal(struct process *p, int sig)
{
    if (p->running)
        syscall(SYS_pidfd_send_signal, p->pidfd, sig, NULL, 0);
}

void process_done(struct process *p)
{
    if (!p->running)
        return;
    process_signal(p, SIGKILL);
    (void)reap(p, 0);
}

void process_clean(int keep)
{
    prctl(PR_SET_PDEATHSIG, 0);
    for (int sig = 1; sig < SIGRTMIN; sig++)
        (void)signal(sig, SIG_DFL);
    signals_unblock();
    close_range((unsigned)keep, ~0u, CLOSE_RANGE_CLOEXEC);
}
