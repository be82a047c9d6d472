// SPDX-License-Identifier: Apache-2.0
/* The kernel's loop: epoll, one eventfd for other threads, the real clocks. What it waits for is in loop.c. */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/must.h"
#include "net/loop_impl.h"

struct kernel_loop {
    struct loop loop;
    int epoll_fd, event_fd;
    struct fd_source event_source;
    struct epoll_event events[LIMIT_LOOP_EVENTS];
};

static struct kernel_loop *kernel_of(struct loop *l)
{
    return CONTAINER_OF(l, struct kernel_loop, loop);
}

static void kernel_poke(struct loop *l)
{
    if (!atomic_exchange(&l->poked, true)) {
        uint64_t one = 1;
        while (write(kernel_of(l)->event_fd, &one, sizeof(one)) < 0 && errno == EINTR)
            ;
    }
}

static void poked(struct fd_source *s, uint32_t epoll_events)
{
    struct kernel_loop *k = CONTAINER_OF(s, struct kernel_loop, event_source);
    uint64_t count;
    while (read(k->event_fd, &count, sizeof(count)) < 0 && errno == EINTR)
        ;
    atomic_store(&k->loop.poked, false); /* before looking: what is posted after this pokes again */
    loop_take_mail(&k->loop);
}

static int wait_ms(struct loop *l, bool wait)
{
    if (!wait || loop_has_work(l) || atomic_load_explicit(&l->stop, memory_order_relaxed))
        return 0;
    uint64_t next = timer_heap_next(&l->timers);
    if (next == TIMER_NEVER)
        return -1;
    uint64_t now = clock_mono();
    if (next <= now)
        return 0;
    uint64_t ms = (next - now + NS_PER_MS - 1) / NS_PER_MS;
    return ms > 3600 * 1000 ? 3600 * 1000 : (int)ms;
}

static bool kernel_turn(struct loop *l, bool wait)
{
    struct kernel_loop *k = kernel_of(l);
    uint64_t before = l->stats.tasks_run;
    int n = epoll_wait(k->epoll_fd, k->events, LIMIT_LOOP_EVENTS, wait_ms(l, wait));
    l->stats.system_calls++;
    l->now = clock_mono();
    l->wall = clock_wall();
    for (int i = 0; i < n; i++) {
        struct fd_source *s = k->events[i].data.ptr;
        s->ready(s, k->events[i].events);
    }
    l->stats.events += n > 0 ? (uint64_t)n : 0;
    loop_work(l);
    return n > 0 || l->stats.tasks_run != before;
}

static void kernel_free(struct loop *l)
{
    struct kernel_loop *k = kernel_of(l);
    loop_end_lingerers(l);
    loop_done(l);
    close(k->epoll_fd);
    close(k->event_fd);
    mem_free(k);
}

static const struct loop_ops kernel_ops = {
    .poke = kernel_poke,
    .turn = kernel_turn,
    .free = kernel_free,
    .connect = sock_connect,
    .listen = sock_listen,
    .pair = sock_pair,
};

int kernel_register(struct loop *l, int fd, uint32_t epoll_events, struct fd_source *source)
{
    struct epoll_event e = {.events = epoll_events, .data.ptr = source};
    l->stats.system_calls++;
    return epoll_ctl(kernel_of(l)->epoll_fd, EPOLL_CTL_ADD, fd, &e) < 0 ? -errno : 0;
}

int kernel_modify(struct loop *l, int fd, uint32_t epoll_events, struct fd_source *source)
{
    struct epoll_event e = {.events = epoll_events, .data.ptr = source};
    l->stats.system_calls++;
    return epoll_ctl(kernel_of(l)->epoll_fd, EPOLL_CTL_MOD, fd, &e) < 0 ? -errno : 0;
}

void kernel_forget(struct loop *l, int fd)
{
    l->stats.system_calls++;
    epoll_ctl(kernel_of(l)->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
}

struct loop *loop_new(const struct loop_options *options)
{
    struct kernel_loop *k = mem_alloc(sizeof(*k));
    uint64_t seed = options ? options->seed : 0;
    if (!seed && getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
        seed = clock_mono();
    loop_init(&k->loop, &kernel_ops, seed, options ? options->name : NULL);
    k->loop.forks = options && options->forks;
    k->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    k->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    must(k->epoll_fd >= 0 && k->event_fd >= 0); /* a program without a loop can do nothing */
    k->event_source.ready = poked;
    must(kernel_register(&k->loop, k->event_fd, EPOLLIN | EPOLLET, &k->event_source) == 0);
    k->loop.now = clock_mono();
    k->loop.wall = clock_wall();
    return &k->loop;
}

bool loop_simulated(const struct loop *l)
{
    return l->ops != &kernel_ops;
}

/* ---- descriptors that are not connections ---- */

static void watch_ready(struct fd_source *s, uint32_t epoll_events)
{
    struct fd_watch *w = CONTAINER_OF(s, struct fd_watch, source);
    if (epoll_events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI))
        w->ready |= FD_IN;
    if (epoll_events & (EPOLLOUT | EPOLLERR | EPOLLHUP))
        w->ready |= FD_OUT;
    task_wake(w->task, w->bits);
}

static uint32_t epoll_interest(uint32_t interest)
{
    return (interest & FD_IN ? EPOLLIN : 0) | (interest & FD_OUT ? EPOLLOUT : 0);
}

void fd_watch_init(struct fd_watch *w, struct task *task, uint32_t bits)
{
    *w = (struct fd_watch){.source.ready = watch_ready, .fd = -1, .task = task, .bits = bits};
}

int fd_watch_open(struct fd_watch *w, struct loop *l, int fd, uint32_t interest)
{
    if (loop_simulated(l))
        return -ENOTSUP;
    int r = kernel_register(l, fd, epoll_interest(interest), &w->source);
    if (r < 0)
        return r;
    w->loop = l;
    w->fd = fd;
    w->interest = interest;
    return 0;
}

int fd_watch_change(struct fd_watch *w, uint32_t interest)
{
    if (interest == w->interest)
        return 0;
    w->interest = interest;
    return kernel_modify(w->loop, w->fd, epoll_interest(interest), &w->source);
}

void fd_watch_done(struct fd_watch *w)
{
    if (w->fd >= 0)
        kernel_forget(w->loop, w->fd);
    w->fd = -1;
}
