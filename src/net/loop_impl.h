// SPDX-License-Identifier: Apache-2.0
/* The inside of a loop, for the files of net/ only: what the kernel's loop (kernel.c) and the simulated one (sim.c)
 * share, and the operations in which they differ. Nobody outside of net/ includes this.
 */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

#include "net/acceptor.h"
#include "net/conn.h"
#include "net/fd_watch.h"
#include "net/loop.h"
#include "net/timer.h"

struct loop_ops {
    void (*poke)(struct loop *l); /* any thread */
    bool (*turn)(struct loop *l, bool wait);
    void (*free)(struct loop *l);
    int (*connect)(struct loop *l, const struct addr *to, const struct conn_options *options, struct conn **ret_conn);
    int (*listen)(struct loop *l, const struct addr *at, const struct acceptor_options *options,
                  struct acceptor **ret_acceptor);
    int (*pair)(struct loop *l, struct conn **ret_a, struct conn **ret_b);
};

#define LOOP_POOLS 32

/* What still lives after its owner closed it (a TLS box with bytes to send): the loop ends it when it ends itself. */
struct lingerer {
    struct list link;
    void (*end)(struct lingerer *g);
};

struct loop {
    const struct loop_ops *ops;
    const char *name;
    struct list runnable, flushes, mailboxes, lingerers;
    struct timer_heap timers;
    uint64_t now, wall;
    struct rng rng;
    struct loop_stats stats;
    struct pool pools[LOOP_POOLS];
    uint32_t n_pools;
    char *scratch;
    char *tls_in;       /* ciphertext between the socket and the record layer */
    struct buf tls_out; /* and the other way */
    struct tls_share *tls_share;
    _Atomic bool stop, poked;
    bool forks;
};

void loop_init(struct loop *l, const struct loop_ops *ops, uint64_t seed, const char *name);
void loop_end_lingerers(struct loop *l); /* before loop_done, while the loop still works */
void loop_done(struct loop *l);
/* The part of a turn after waiting: fires timers, runs tasks and flushes until quiet. False: it stopped early, to let
 * the kernel speak. */
bool loop_work(struct loop *l);
bool loop_has_work(const struct loop *l); /* something is queued now, timers aside */
void loop_take_mail(struct loop *l);      /* wakes the owners of mailboxes that have mail */

struct acceptor_ops {
    int (*accept)(struct acceptor *a, struct conn **ret_conn);
    void (*close)(struct acceptor *a);
};
struct acceptor {
    const struct acceptor_ops *ops;
    struct loop *loop;
    struct addr addr;
    struct task *owner;
    uint32_t bits;
};

static inline void conn_wake_in(struct conn *c)
{
    if (c->owner && c->in_bits)
        task_wake(c->owner, c->in_bits);
}

static inline void conn_wake_out(struct conn *c)
{
    if (c->owner && c->out_bits)
        task_wake(c->owner, c->out_bits);
}

void conn_init(struct conn *c, const struct conn_ops *ops, struct loop *l);
void conn_done(struct conn *c);           /* frees what conn_init and conn_unread made */
int conn_fail(struct conn *c, int error); /* remembers the first; returns it */

/* sock.c, for kernel.c */
int sock_connect(struct loop *l, const struct addr *to, const struct conn_options *options, struct conn **ret_conn);
int sock_listen(struct loop *l, const struct addr *at, const struct acceptor_options *options,
                struct acceptor **ret_acceptor);
int sock_pair(struct loop *l, struct conn **ret_a, struct conn **ret_b);
/* kernel.c, for sock.c: registers for good; the source must not move. */
int kernel_register(struct loop *l, int fd, uint32_t epoll_events, struct fd_source *source);
int kernel_modify(struct loop *l, int fd, uint32_t epoll_events, struct fd_source *source);
void kernel_forget(struct loop *l, int fd);

/* sim.c, for resolve.c and tls_sim.c */
struct sim;
struct sim *sim_of(struct loop *l);
/* The addresses of a name in the simulation; the count, 0 when unknown. */
uint32_t sim_lookup(struct loop *l, struct view name, struct addr *addrs, uint32_t most);
