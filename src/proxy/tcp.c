// SPDX-License-Identifier: Apache-2.0
/* The relay (tcp.h). Both directions are one struct pipe each, moved by the same function. */
#include "proxy/tcp.h"

#include <errno.h>
#include <string.h>

#include "base/limits.h"
#include "base/must.h"
#include "net/loop.h"
#include "net/tls.h"
#include "plan/listener.h"
#include "proxy/connection.h"
#include "proxy/log.h"
#include "proxy/pool.h"
#include "proxy/relay.h"
#include "proxy/upstream.h"
#include "proxy/worker.h"
#include "telemetry/peer_metadata.h"

enum { PUMP_ROUNDS = 16 }; /* reads of one run: then others get their turn */
#define REPORT_EVERY (5 * NS_PER_S)

static void relay_end(struct relay *r, enum end_reason why)
{
    r->over = true;
    r->reason = why;
}

static bool relay_dial(struct relay *r)
{
    struct connection *c = r->connection;
    struct worker *w = c->worker;
    const struct tcp_manager *m = c->chain->tcp;
    const struct weighted_cluster *to = tcp_manager_pick_cluster(m, rng_next(loop_rng(w->loop)));
    struct upstream *u = to ? worker_upstream(w, &to->cluster) : NULL;
    r->cluster = to ? to->cluster.name : VIEW_NONE;
    if (!u) {
        relay_end(r, END_NO_CLUSTER);
        return false;
    }
    r->upstream = upstream_ref(u);
    if (upstream_resolving(u, &r->names))
        return true;
    struct pick pick = {.now = loop_now(w->loop)};
    if (m->hash) {
        pick.has_hash = true;
        pick.hash = view_hash(connection_remote_ip(c));
    }
    struct host *h = upstream_pick(u, &pick, &c->destination);
    if (!h) {
        relay_end(r, view_is(r->cluster, "BlackHoleCluster") ? END_BLACKHOLE
                     : u->dns_failed                         ? END_DNS_FAILED
                                                             : END_NO_HEALTHY_UPSTREAM);
        return false;
    }
    r->endpoint = host_ref(h);
    h->active++;
    if (!breaker_take(&u->breaker, BREAKER_CONNECTIONS)) {
        relay_end(r, END_OVERFLOW);
        return false;
    }
    r->counted = true;
    struct view why = VIEW_NONE;
    worker_count(&w->counters.upstream_connects, 1);
    int e = addr_of_plan(&h->endpoint->address, &r->upstream_addr);
    if (e == 0)
        e = pool_dial(u, h, NULL, 0, &r->up, &why);
    if (e < 0) {
        worker_count(&w->counters.upstream_connect_failures, 1);
        r->text = arena_view(&c->arena, why);
        relay_end(r, END_CONNECT_FAILED);
        return false;
    }
    conn_own(r->up, &c->task, CONNECTION_RELAY, CONNECTION_RELAY);
    return true;
}

static bool negotiated_exchange(const struct conn *conn)
{
    const struct tls_info *t = tls_info(conn);
    return t && view_is(t->alpn, PEER_ALPN);
}

static void preface_out(struct connection *c, struct pipe *p)
{
    const struct peer_self *self = c->worker->self;
    if (self)
        buf_view(&p->rest, self->preface);
}

struct relay *relay_new(struct connection *c)
{
    struct relay *r = mem_alloc(sizeof(*r));
    r->connection = c;
    r->down = c->conn;
    c->conn = NULL;
    r->names.task = &c->task;
    r->names.bits = CONNECTION_RELAY;
    list_init(&r->names.link);
    timer_init(&r->idle, &c->task, CONNECTION_LATE);
    timer_init(&r->report, &c->task, CONNECTION_REPORT);
    r->opened = loop_now(c->worker->loop);
    conn_own(r->down, &c->task, CONNECTION_IN, CONNECTION_OUT);
    if (c->chain->peer_exchange && negotiated_exchange(r->down)) {
        r->to_up.expect = true;
        preface_out(c, &r->to_down);
    }
    return r;
}

/* ---- moving bytes ---- */

enum pumped {
    PUMP_WAIT,   /* nothing more to do now */
    PUMP_MORE,   /* the turn is over, there may be more */
    PUMP_FAILED, /* p->failed says which side */
};

static enum pumped pump_failed(struct pipe *p, struct conn *side)
{
    p->failed = side;
    return PUMP_FAILED;
}

/* The metadata preface at the head of a direction, taken off before anything is passed on. */
static enum pumped pump_preface(struct relay *r, struct pipe *p, struct conn *from)
{
    struct connection *c = r->connection;
    ssize_t n = conn_recv_buf(from, &p->first, 4096);
    if (n < 0 && n != -EAGAIN)
        return pump_failed(p, from);
    struct view any;
    size_t taken;
    int e = peer_preface_read(buf_read(&p->first), &any, &taken);
    if (e == -EAGAIN && n > 0)
        return PUMP_MORE;
    if (e == -EAGAIN && n != 0)
        return PUMP_WAIT;
    if (e == 0) {
        const struct peer **who = p == &r->to_up ? &c->peer : &r->peer;
        if (!*who && c->worker->peers)
            *who = peer_ref(peer_cache_payload(c->worker->peers, any));
        buf_drop(&p->first, taken);
    }
    buf_view(&p->rest, buf_read(&p->first)); /* payload behind the preface, or all of it */
    p->moved += buf_len(&p->first);
    buf_done(&p->first);
    p->expect = false;
    p->ended = n == 0;
    return PUMP_MORE;
}

static enum pumped pump(struct relay *r, struct pipe *p, struct conn *from, struct conn *to)
{
    struct loop *loop = r->connection->worker->loop;
    char *scratch = loop_scratch(loop);
    for (int round = 0; round < PUMP_ROUNDS; round++) {
        if (buf_len(&p->rest)) {
            int e = conn_send_buf(to, &p->rest);
            if (e == -EAGAIN)
                return PUMP_WAIT;
            if (e < 0)
                return pump_failed(p, to);
            buf_done(&p->rest);
        }
        if (p->ended) {
            if (!p->shut && conn_shutdown(to) < 0)
                return pump_failed(p, to);
            p->shut = true;
            return PUMP_WAIT;
        }
        if (p->expect) {
            enum pumped e = pump_preface(r, p, from);
            if (e != PUMP_MORE)
                return e;
            continue;
        }
        ssize_t n = conn_recv(from, scratch, LOOP_SCRATCH);
        if (n == -EAGAIN)
            return PUMP_WAIT;
        if (n < 0)
            return pump_failed(p, from);
        p->ended = n == 0;
        p->moved += (uint64_t)n;
        r->moved = true;
        if (n == 0)
            continue;
        struct iovec iov = {scratch, (size_t)n};
        ssize_t sent = conn_send(to, &iov, 1);
        if (sent < 0 && sent != -EAGAIN)
            return pump_failed(p, to);
        if (sent < n)
            buf_view(&p->rest, (struct view){scratch + (sent > 0 ? sent : 0), (size_t)(n - (sent > 0 ? sent : 0))});
    }
    return PUMP_MORE;
}

static void relay_failed(struct relay *r, struct pipe *p)
{
    bool up = p->failed == r->up;
    r->reset = true; /* the other side is told by a reset, as it would be without us */
    relay_end(r, up ? END_UPSTREAM_CLOSED_LATE : END_DOWNSTREAM_CLOSED);
}

static void relay_move(struct relay *r)
{
    struct connection *c = r->connection;
    struct loop *loop = c->worker->loop;
    r->moved = false;
    enum pumped a = pump(r, &r->to_up, r->down, r->up);
    enum pumped b = a == PUMP_FAILED ? PUMP_FAILED : pump(r, &r->to_down, r->up, r->down);
    if (a == PUMP_FAILED || b == PUMP_FAILED) {
        relay_failed(r, a == PUMP_FAILED ? &r->to_up : &r->to_down);
        return;
    }
    if (r->to_up.shut && r->to_down.shut) {
        relay_end(r, END_OK);
        return;
    }
    if (a == PUMP_MORE || b == PUMP_MORE)
        task_wake(&c->task, CONNECTION_RELAY);
    if (!r->moved)
        return;
    if (c->chain->tcp->idle_timeout)
        timer_set(&r->idle, loop_now(loop) + c->chain->tcp->idle_timeout);
    if (!timer_is_set(&r->report))
        timer_set(&r->report, loop_now(loop) + REPORT_EVERY);
}

static bool relay_connected(struct relay *r)
{
    struct connection *c = r->connection;
    int e = conn_ready(r->up);
    if (e == -EAGAIN)
        return false;
    if (e < 0) {
        r->text = arena_view(&c->arena, conn_error_text(r->up));
        upstream_record(r->upstream, r->endpoint, OUTLIER_LOCAL);
        worker_count(&c->worker->counters.upstream_connect_failures, 1);
        relay_end(r, conn_error(r->up) == -ETIMEDOUT ? END_CONNECT_TIMEOUT : END_CONNECT_FAILED);
        return false;
    }
    upstream_record(r->upstream, r->endpoint, OUTLIER_OK);
    r->connected = true;
    r->upstream_local = *conn_local(r->up);
    if (r->upstream->cluster->peer_exchange && negotiated_exchange(r->up)) {
        r->to_down.expect = true;
        preface_out(c, &r->to_up);
    }
    if (c->chain->tcp->idle_timeout)
        timer_set(&r->idle, loop_now(c->worker->loop) + c->chain->tcp->idle_timeout);
    return true;
}

bool relay_run(struct relay *r, unsigned events)
{
    if (!r->over && !r->up && list_empty(&r->names.link) && !relay_dial(r))
        return false;
    if (!r->over && r->up && !r->connected && !relay_connected(r))
        return !r->over;
    if (!r->over && r->connected)
        relay_move(r);
    if ((events & CONNECTION_REPORT) && r->connected)
        log_relay(r, false);
    if (!r->over && (events & CONNECTION_LATE) && !timer_is_set(&r->idle))
        relay_end(r, END_CONNECTION_IDLE);
    return !r->over;
}

struct relay *relay_free(struct relay *r)
{
    if (!r)
        return NULL;
    if (!r->over)
        relay_end(r, END_DOWNSTREAM_LOCAL_CLOSE);
    r->connection->reason = r->reason;
    log_relay(r, true);
    void (*close_conn)(struct conn *) = r->reset ? conn_abort : conn_close;
    close_conn(r->down);
    close_conn(r->up);
    upstream_wait_done(&r->names);
    if (r->counted)
        breaker_give(&r->upstream->breaker, BREAKER_CONNECTIONS);
    if (r->endpoint) {
        r->endpoint->active--;
        host_unref(r->endpoint);
    }
    upstream_unref(r->upstream);
    peer_unref(r->peer);
    timer_done(&r->idle);
    timer_done(&r->report);
    buf_done(&r->to_up.rest);
    buf_done(&r->to_down.rest);
    buf_done(&r->to_up.first);
    buf_done(&r->to_down.first);
    mem_free(r);
    return NULL;
}
