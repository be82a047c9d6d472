// SPDX-License-Identifier: Apache-2.0
/* Signals from a signalfd (signals.h). */
#include "net/signals.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

int signals_open(struct signals *s, struct loop *l, const int *zero_ended, struct task *task, uint32_t bits)
{
    sigset_t set;
    sigemptyset(&set);
    for (const int *signo = zero_ended; *signo; signo++)
        sigaddset(&set, *signo);
    int r = pthread_sigmask(SIG_BLOCK, &set, NULL);
    if (r)
        return -r;
    fd_watch_init(&s->watch, task, bits);
    s->fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (s->fd < 0)
        return -errno;
    r = fd_watch_open(&s->watch, l, s->fd, FD_IN);
    if (r < 0) {
        close(s->fd);
        s->fd = -1;
    }
    return r;
}

int signals_take(struct signals *s)
{
    struct signalfd_siginfo info;
    if (s->fd < 0 || read(s->fd, &info, sizeof(info)) != sizeof(info))
        return 0;
    return (int)info.ssi_signo;
}

void signals_done(struct signals *s)
{
    if (s->fd < 0)
        return;
    fd_watch_done(&s->watch);
    close(s->fd);
    s->fd = -1;
}

void signals_unblock(void)
{
    sigset_t none;
    sigemptyset(&none);
    pthread_sigmask(SIG_SETMASK, &none, NULL);
}
