// SPDX-License-Identifier: Apache-2.0
/* The inside of the simulation: sim.c has the world and its clock, sim_net.c the connections. Not for use outside.
 *
 * Whatever takes time is a sim_event in one heap, ordered by time and then by number, so that the order is total.
 */
#pragma once

#include "net/loop_impl.h"
#include "net/sim.h"

#define SIM_ADDRS 8
#define SIM_LOOPS 16

struct sim_event {
    uint64_t at, number;
    void (*fire)(struct sim *s, void *arg);
    void *arg;
};

struct sim_loop {
    struct loop loop;
    struct sim_host *host;
    enum sim_role role;
};

struct sim_host {
    struct sim *sim;
    const char *name;
    uint32_t index;
    bool dead;
    struct addr addrs[SIM_ADDRS];
    uint32_t n_addrs;
    struct sim_loop *loops[SIM_LOOPS];
    uint32_t n_loops;
    struct sim_capture capture;
    struct list acceptors;
    uint16_t next_port;
};

struct sim_cable { /* how two hosts are connected, where it is not the default */
    uint32_t a, b;
    struct sim_link link;
};

struct sim_alias {
    char *name;
    struct addr addr;
};

struct sim {
    uint64_t now, wall0, number, digest, seed;
    struct rng rng;
    struct sim_event *events; /* binary heap */
    uint32_t n_events, cap_events;
    struct sim_host **hosts;
    uint32_t n_hosts;
    struct sim_cable *cables;
    uint32_t n_cables;
    struct sim_alias *aliases;
    uint32_t n_aliases;
    struct list streams; /* all connections */
    uint32_t n_streams;
    uint32_t turn; /* loops take turns: where to look first */
};

void sim_at(struct sim *s, uint64_t at, void (*fire)(struct sim *s, void *arg), void *arg);
void sim_note(struct sim *s, uint64_t what, uint64_t who, uint64_t how_much); /* into the digest */
const struct sim_link *sim_link_of(struct sim *s, const struct sim_host *a, const struct sim_host *b);
struct sim_host *sim_host_of(struct sim *s, const struct addr *a); /* NULL: nobody has it */
struct sim_loop *sim_loop_of(struct loop *l);

/* sim_net.c */
int sim_connect(struct loop *l, const struct addr *to, const struct conn_options *options, struct conn **ret_conn);
int sim_listen(struct loop *l, const struct addr *at, const struct acceptor_options *options,
               struct acceptor **ret_acceptor);
int sim_pair(struct loop *l, struct conn **ret_a, struct conn **ret_b);
void sim_streams_reset(struct sim_host *h); /* as when the host lost its power */
void sim_streams_free(struct sim *s);
