// SPDX-License-Identifier: Apache-2.0
/* The simulation: a network of hosts and a clock inside one process and one thread, decided by a seed. Control plane,
 * proxies and applications run on it unchanged, because their loops are made here instead of by loop_new.
 *
 *   struct sim *s = sim_new(42);
 *   struct sim_host *pod = sim_host(s, "reviews-v1", "10.1.0.4");
 *   sim_capture(pod, &(struct sim_capture){.outbound = 15001, .inbound = 15006, .except = {15021, 15090}});
 *   struct loop *app = sim_loop(pod, SIM_APP), *proxy = sim_loop(pod, SIM_PROXY);     // a proxy's own connects pass
 *   sim_link(s, "a", "b", &(struct sim_link){.latency = NS_PER_MS, .loss = 0.01});
 *   sim_run(s, 10 * NS_PER_S);                           // simulated time; returns early when nothing can happen
 *   sim_free(s);                                         // after everything on its loops was closed
 *
 * The network keeps TCP's promises: order, flow control, half-close, reset. A lost segment arrives one retransmission
 * time later; a partition delays everything until it heals or the sockets give up. TLS is a box that carries identities
 * and no cryptography (net/tls.h); names resolve by sim_name.
 *
 * Invariants: the same seed and the same calls give the same order of events; nothing reads the real clock.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/view.h"
#include "net/addr.h"
#include "net/loop.h"

struct sim;
struct sim_host;

enum sim_role {
    SIM_APP,   /* its connections are captured, if the host captures */
    SIM_PROXY, /* as uid 1337: passes the capture */
};

struct sim_link {
    uint64_t latency; /* one way; default 100 µs, 5 µs inside a host */
    uint64_t jitter;  /* uniform 0..jitter on top; order is kept */
    double loss;      /* of a segment, 0..1 */
    bool cut;         /* partition */
};

struct sim_capture {
    uint16_t outbound;  /* port that gets what SIM_APP connects to other addresses; 0: none */
    uint16_t inbound;   /* port that gets what others connect to this host; 0: none */
    uint16_t except[8]; /* inbound ports that are left alone; 0 ends */
};

struct sim *sim_new(uint64_t seed);
struct sim *sim_free(struct sim *s);                                        /* NULL */
struct sim_host *sim_host(struct sim *s, const char *name, const char *ip); /* new, with 127.0.0.0/8 and ::1 */
void sim_host_addr(struct sim_host *h, const char *ip);                     /* one more address */
struct loop *sim_loop(struct sim_host *h, enum sim_role role);              /* one per worker; freed by sim_free */
void sim_capture(struct sim_host *h, const struct sim_capture *capture);    /* NULL: none */
void sim_link(struct sim *s, const char *a, const char *b, const struct sim_link *link); /* both directions */
void sim_host_kill(struct sim_host *h); /* connections to it are reset; its addresses answer no more */
void sim_name(struct sim *s, const char *name, const char *ip); /* for resolve; repeated: several; ip NULL: forget */
void sim_wall(struct sim *s, uint64_t wall_ns);                 /* wall clock at time 0; default 2026-01-01 */

uint64_t sim_now(const struct sim *s);
bool sim_step(struct sim *s);             /* one loop's turn, or the clock to the next event; false: nothing left */
void sim_run(struct sim *s, uint64_t ns); /* this much simulated time */
bool sim_run_until(struct sim *s, bool (*cond)(void *arg), void *arg, uint64_t most_ns); /* whether cond came true */
uint64_t sim_digest(const struct sim *s); /* a hash over all that happened: equal runs have equal digests */
