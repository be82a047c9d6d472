// SPDX-License-Identifier: Apache-2.0
/* The simulated network: streams between hosts with the promises of TCP (order, flow control, half-close, reset) and
 * the faults that links are given (sim.h).
 *
 * A stream has two ends; each keeps what arrived for it. Everything sent is a segment in a queue of its direction; a
 * segment arrives at its time, but never before those ahead of it. A lost one is as late as a retransmission; a cut link
 * holds the queue until it heals or SIM_GIVE_UP has passed.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/must.h"
#include "net/sim_impl.h"

#define SIM_WINDOW (256 * 1024)
#define SIM_SEGMENT (16 * 1024)
#define SIM_RTO (200 * NS_PER_MS)
#define SIM_GIVE_UP (60 * NS_PER_S)

enum segment_kind {
    SEG_SYN,
    SEG_SYN_ACK,
    SEG_DATA,
    SEG_ACK, /* room in the receiver's window */
    SEG_FIN,
    SEG_RST,
};

struct segment {
    struct list link;
    enum segment_kind kind;
    uint64_t at;
    uint32_t n;
    char bytes[];
};

struct sim_stream;

struct sim_end {
    struct conn conn; /* while open */
    struct sim_stream *stream;
    struct sim_host *host;
    bool open, connecting, connected, readable, fin_in, shut, announce, blocked, delayed;
    struct buf in;
    uint64_t in_flight; /* sent by this end and not yet read by the other */
    struct list out;    /* segments on their way to the other end */
    uint64_t last_at;
    uint64_t held_since, retry_at; /* while the link is cut */
    struct addr local, remote, original;
    struct task task;
    struct timer timer; /* connect time-out */
    char text[80];
};

struct sim_stream {
    struct list link;
    struct sim *sim;
    uint32_t number;
    uint32_t events; /* in the heap with a pointer to this */
    struct sim_end ends[2];
};

struct sim_acceptor {
    struct acceptor acceptor;
    struct list link, waiting; /* waiting: sim_backlog */
    struct sim_host *host;
};

struct sim_backlog {
    struct list link;
    struct sim_end *end;
};

static const struct conn_ops sim_conn_ops;
static const struct acceptor_ops sim_acceptor_ops;

static struct sim_end *end_of(const struct conn *c)
{
    return CONTAINER_OF(c, struct sim_end, conn);
}

static struct sim_end *other(struct sim_end *e)
{
    return e == &e->stream->ends[0] ? &e->stream->ends[1] : &e->stream->ends[0];
}

static uint64_t end_id(struct sim_end *e)
{
    return (uint64_t)e->stream->number * 2 + (e == &e->stream->ends[1]);
}

static void clear_segments(struct sim_end *e)
{
    struct list *link;
    while ((link = list_pop(&e->out)))
        mem_free(LIST_ITEM(link, struct segment, link));
}

static void stream_free(struct sim_stream *st)
{
    for (int i = 0; i < 2; i++) {
        buf_done(&st->ends[i].in);
        clear_segments(&st->ends[i]);
    }
    list_del(&st->link);
    mem_free(st);
}

static void stream_release(struct sim_stream *st)
{
    if (!st->events && !st->ends[0].open && !st->ends[1].open)
        stream_free(st);
}

static struct sim_stream *stream_new(struct sim *s, struct sim_host *a, struct sim_host *b)
{
    struct sim_stream *st = mem_alloc(sizeof(*st));
    st->sim = s;
    st->number = s->n_streams++;
    list_push(&s->streams, &st->link);
    for (int i = 0; i < 2; i++) {
        struct sim_end *e = &st->ends[i];
        e->stream = st;
        e->host = i ? b : a;
        list_init(&e->out);
    }
    return st;
}

static void end_open(struct sim_end *e, struct loop *l)
{
    conn_init(&e->conn, &sim_conn_ops, l);
    e->open = true;
}

/* ---- segments ---- */

static void deliver(struct sim *s, void *arg);

static void arrive_at(struct sim_end *from, uint64_t at)
{
    from->stream->events++;
    sim_at(from->stream->sim, at, deliver, from);
}

static void transmit(struct sim_end *from, enum segment_kind kind, const struct iovec *iov, uint32_t n)
{
    struct sim *s = from->stream->sim;
    const struct sim_link *link = sim_link_of(s, from->host, other(from)->host);
    struct segment *seg = mem_alloc(sizeof(*seg) + (iov ? n : 0));
    seg->kind = kind;
    seg->n = n;
    size_t at = 0;
    for (; iov && at < n; iov++) {
        size_t part = iov->iov_len < n - at ? iov->iov_len : n - at;
        memcpy(seg->bytes + at, iov->iov_base, part);
        at += part;
    }
    seg->at = s->now + link->latency + (link->jitter ? rng_below(&s->rng, link->jitter + 1) : 0);
    while (link->loss > 0 && rng_unit(&s->rng) < link->loss)
        seg->at += SIM_RTO;
    if (seg->at < from->last_at)
        seg->at = from->last_at;
    from->last_at = seg->at;
    list_push(&from->out, &seg->link);
    arrive_at(from, seg->at);
}

static void end_failed(struct sim_end *e, int error)
{
    if (!e->open || e->conn.error)
        return;
    conn_fail(&e->conn, error);
    e->delayed = e->connecting;
    e->connecting = false;
    e->blocked = false;
    e->readable = true;
    timer_done(&e->timer);
    e->announce = e->conn.owner == NULL;
    conn_wake_in(&e->conn);
    conn_wake_out(&e->conn);
}

static struct sim_acceptor *acceptor_for(struct sim_host *h, const struct addr *at)
{
    uint32_t n = 0;
    struct sim_acceptor *found = NULL;
    LIST_EACH (&h->acceptors, struct sim_acceptor, link, a) {
        const struct addr *bound = &a->acceptor.addr;
        bool here = at->family == ADDR_UNIX ? addr_eq(bound, at)
                                            : bound->port == at->port && bound->family != ADDR_UNIX &&
                                                  (addr_is_any(bound) || addr_same_ip(bound, at));
        if (here && rng_below(&h->sim->rng, ++n) == 0) /* each of n with the same chance: SO_REUSEPORT */
            found = a;
    }
    return found;
}

static void syn_arrived(struct sim_end *e)
{
    struct sim_acceptor *a = e->host->dead ? NULL : acceptor_for(e->host, &e->local);
    if (!a) {
        transmit(e, SEG_RST, NULL, 0);
        return;
    }
    end_open(e, a->acceptor.loop);
    e->connected = true;
    struct sim_backlog *b = mem_alloc(sizeof(*b));
    b->end = e;
    list_push(&a->waiting, &b->link);
    transmit(e, SEG_SYN_ACK, NULL, 0);
    if (a->acceptor.owner)
        task_wake(a->acceptor.owner, a->acceptor.bits);
}

static void connected(struct sim_end *e)
{
    if (!e->open || !e->connecting)
        return;
    e->connecting = false;
    e->connected = true;
    e->blocked = false;
    timer_done(&e->timer);
    if (e->shut)
        transmit(e, SEG_FIN, NULL, 0);
    e->announce = e->conn.owner == NULL;
    conn_wake_in(&e->conn);
    conn_wake_out(&e->conn);
}

static void arrived(struct sim_end *to, struct segment *seg)
{
    struct sim_end *from = other(to);
    sim_note(to->stream->sim, seg->kind, end_id(to), seg->n);
    switch (seg->kind) {
    case SEG_SYN:
        syn_arrived(to);
        break;
    case SEG_SYN_ACK:
        connected(to);
        break;
    case SEG_DATA:
        if (!to->open) {
            if (from->open && !from->conn.error)
                transmit(to, SEG_RST, NULL, 0); /* written to what the peer has closed */
            break;
        }
        buf_view(&to->in, view_make(seg->bytes, seg->n));
        to->readable = true;
        conn_wake_in(&to->conn);
        break;
    case SEG_ACK:
        to->in_flight -= seg->n;
        if (to->open && to->blocked) {
            to->blocked = false;
            conn_wake_out(&to->conn);
        }
        break;
    case SEG_FIN:
        to->fin_in = true;
        to->readable = true;
        if (to->open)
            conn_wake_in(&to->conn);
        break;
    case SEG_RST:
        end_failed(to, to->connecting ? -ECONNREFUSED : -ECONNRESET);
        break;
    }
}

/* The link is cut: the queue waits for the next retransmission, or is lost with the connection. */
static void hold(struct sim_end *from)
{
    struct sim *s = from->stream->sim;
    if (!from->held_since)
        from->held_since = s->now;
    if (s->now - from->held_since >= SIM_GIVE_UP) {
        clear_segments(from);
        end_failed(from, -ETIMEDOUT);
    } else if (from->retry_at <= s->now) {
        from->retry_at = s->now + SIM_RTO;
        arrive_at(from, from->retry_at);
    }
}

/* All segments of `from` whose time has come, in order; none while the link is cut. */
static void deliver(struct sim *s, void *arg)
{
    struct sim_end *from = arg, *to = other(from);
    struct sim_stream *st = from->stream;
    st->events--;
    while (!list_empty(&from->out)) {
        struct segment *seg = LIST_ITEM(from->out.next, struct segment, link);
        if (seg->at > s->now)
            break;
        if (sim_link_of(s, from->host, to->host)->cut) {
            hold(from);
            break;
        }
        from->held_since = 0;
        list_del(&seg->link);
        arrived(to, seg);
        mem_free(seg);
    }
    stream_release(st);
}

/* ---- the connection's operations ---- */

static ssize_t sim_recv(struct conn *c, void *to, size_t room)
{
    struct sim_end *e = end_of(c);
    if (!e->readable)
        return -EAGAIN;
    size_t n = buf_len(&e->in);
    if (n == 0)
        return c->error ? c->error : e->fin_in ? 0 : (e->readable = false, -EAGAIN);
    if (c->error && c->error != -ETIMEDOUT)
        return c->error; /* a reset takes what was not read with it */
    if (n > room)
        n = room;
    memcpy(to, buf_read(&e->in).p, n);
    buf_drop(&e->in, n);
    if (buf_len(&e->in) == 0 && !e->fin_in && !c->error)
        e->readable = false;
    c->bytes_in += n;
    transmit(e, SEG_ACK, NULL, (uint32_t)n);
    return (ssize_t)n;
}

static ssize_t sim_send(struct conn *c, const struct iovec *iov, int n_iov)
{
    struct sim_end *e = end_of(c);
    if (c->error)
        return c->error;
    if (e->shut)
        return conn_fail(c, -EPIPE);
    size_t offered = 0;
    for (int i = 0; i < n_iov; i++)
        offered += iov[i].iov_len;
    if (e->connecting || e->in_flight >= SIM_WINDOW) {
        e->blocked = true;
        return -EAGAIN;
    }
    size_t n = offered < SIM_WINDOW - e->in_flight ? offered : SIM_WINDOW - e->in_flight;
    if (n > SIM_SEGMENT)
        n = SIM_SEGMENT;
    if (n == 0)
        return 0;
    transmit(e, SEG_DATA, iov, (uint32_t)n);
    e->in_flight += n;
    c->bytes_out += n;
    return (ssize_t)n;
}

static int sim_shutdown(struct conn *c)
{
    struct sim_end *e = end_of(c);
    if (!e->shut) {
        e->shut = true;
        if (e->connected && !c->error)
            transmit(e, SEG_FIN, NULL, 0);
    }
    return 0;
}

static void sim_close(struct conn *c, bool reset)
{
    struct sim_end *e = end_of(c);
    bool lost = buf_len(&e->in) > 0; /* closing with unread bytes is a reset, as on Linux */
    if (!c->error && (e->connected || e->connecting)) {
        if (reset || lost || e->connecting)
            transmit(e, SEG_RST, NULL, 0);
        else if (!e->shut)
            transmit(e, SEG_FIN, NULL, 0);
    }
    if (e->timer.task)
        timer_done(&e->timer);
    if (e->task.loop)
        task_done(&e->task);
    conn_done(c);
    e->open = false;
    stream_release(e->stream);
}

static int sim_ready(struct conn *c)
{
    return c->error ? c->error : end_of(c)->connecting ? -EAGAIN : 0;
}

static void sim_owned(struct conn *c)
{
    struct sim_end *e = end_of(c);
    if (e->readable || e->announce)
        conn_wake_in(c);
    if (e->announce)
        conn_wake_out(c);
    e->announce = false;
}

static struct view sim_error_text(const struct conn *c)
{
    struct sim_end *e = end_of(c);
    if (!c->error)
        return VIEW_NONE;
    char why[48];
    const char *what = c->error == -ETIMEDOUT ? "connection timeout" : strerror_r(-c->error, why, sizeof(why));
    snprintf(e->text, sizeof(e->text), "%s%s", e->delayed ? "delayed connect error: " : "", what);
    return view_of(e->text);
}

static const struct addr *sim_local(struct conn *c)
{
    return &end_of(c)->local;
}

static const struct addr *sim_remote(struct conn *c)
{
    return &end_of(c)->remote;
}

static int sim_original_dst(struct conn *c, struct addr *ret_addr)
{
    struct sim_end *e = end_of(c);
    if (e->original.family == ADDR_NONE)
        return -ENOENT;
    *ret_addr = e->original;
    return 0;
}

static const struct conn_ops sim_conn_ops = {
    .name = "sim",
    .recv = sim_recv,
    .send = sim_send,
    .shutdown = sim_shutdown,
    .close = sim_close,
    .ready = sim_ready,
    .owned = sim_owned,
    .error_text = sim_error_text,
    .local = sim_local,
    .remote = sim_remote,
    .original_dst = sim_original_dst,
};

/* ---- connecting ---- */

static void connect_late(struct task *t, uint32_t events)
{
    end_failed(CONTAINER_OF(t, struct sim_end, task), -ETIMEDOUT);
}

static bool port_excepted(const struct sim_capture *c, uint16_t port)
{
    for (size_t i = 0; i < COUNT_OF(c->except) && c->except[i]; i++)
        if (c->except[i] == port)
            return true;
    return port == c->inbound || port == c->outbound;
}

static void mesh_redirect(struct sim_loop *from, struct sim_host *target, struct sim_end *server)
{
    struct sim_host *h = from->host;
    struct addr to = server->local;
    if (target == h || to.family == ADDR_UNIX)
        return;
    if (target && target->capture.inbound && !port_excepted(&target->capture, to.port)) {
        server->original = to;
        server->local.port = target->capture.inbound;
    }
}

static struct sim_host *target_of(struct sim_loop *from, const struct addr *to)
{
    if (to->family == ADDR_UNIX || addr_is_loopback(to))
        return from->host;
    return sim_host_of(from->host->sim, to);
}

static struct addr source_addr(struct sim_host *h, const struct addr *to, const struct conn_options *options)
{
    struct addr a = options->bind                                     ? *options->bind
                    : to->family == ADDR_UNIX || addr_is_loopback(to) ? *to
                                                                      : h->addrs[0];
    if (a.family != ADDR_UNIX && a.port == 0)
        a.port = h->next_port++;
    else if (!options->bind && a.family != ADDR_UNIX)
        a.port = h->next_port++;
    if (h->next_port < 32768)
        h->next_port = 32768;
    return a;
}

int sim_connect(struct loop *l, const struct addr *to, const struct conn_options *options, struct conn **ret_conn)
{
    struct sim_loop *from = sim_loop_of(l);
    struct sim_host *h = from->host;
    struct sim *s = h->sim;
    if (to->family == ADDR_NONE)
        return -EAFNOSUPPORT;
    struct sim_host *target = target_of(from, to);
    bool captured = from->role == SIM_APP && h->capture.outbound && target != h;
    if (captured)
        target = h;
    struct sim_stream *st = stream_new(s, h, target ? target : h);
    struct sim_end *client = &st->ends[0], *server = &st->ends[1];
    end_open(client, l);
    client->connecting = true;
    client->remote = *to;
    client->local = source_addr(h, to, options);
    server->local = *to;
    server->remote = client->local;
    if (captured) {
        server->original = *to;
        server->local = addr_v4(0x7f000001, h->capture.outbound);
    } else {
        mesh_redirect(from, target, server);
    }
    task_init(&client->task, l, connect_late, "sim dial");
    timer_init(&client->timer, &client->task, 1);
    timer_in(&client->timer, options->timeout ? options->timeout : 127 * NS_PER_S);
    sim_note(s, 'C', end_id(client), to->port);
    if (target)
        transmit(client, SEG_SYN, NULL, 0); /* else nobody ever answers */
    *ret_conn = &client->conn;
    return 0;
}

int sim_pair(struct loop *l, struct conn **ret_a, struct conn **ret_b)
{
    struct sim_host *h = sim_loop_of(l)->host;
    struct sim_stream *st = stream_new(h->sim, h, h);
    for (int i = 0; i < 2; i++) {
        end_open(&st->ends[i], l);
        st->ends[i].connected = true;
        st->ends[i].local.family = st->ends[i].remote.family = ADDR_UNIX;
        st->ends[i].local.path = st->ends[i].remote.path = "";
    }
    *ret_a = &st->ends[0].conn;
    *ret_b = &st->ends[1].conn;
    return 0;
}

/* ---- listening ---- */

int sim_listen(struct loop *l, const struct addr *at, const struct acceptor_options *options,
               struct acceptor **ret_acceptor)
{
    struct sim_host *h = sim_loop_of(l)->host;
    LIST_EACH (&h->acceptors, struct sim_acceptor, link, other_acceptor)
        if (!options->reuse_port && addr_eq(&other_acceptor->acceptor.addr, at) && at->port)
            return -EADDRINUSE;
    struct sim_acceptor *a = mem_alloc(sizeof(*a));
    a->acceptor = (struct acceptor){.ops = &sim_acceptor_ops, .loop = l, .addr = *at};
    if (at->family != ADDR_UNIX && at->port == 0)
        a->acceptor.addr.port = h->next_port++;
    a->host = h;
    list_init(&a->waiting);
    list_push(&h->acceptors, &a->link);
    *ret_acceptor = &a->acceptor;
    return 0;
}

static int sim_accept(struct acceptor *acceptor, struct conn **ret_conn)
{
    struct sim_acceptor *a = CONTAINER_OF(acceptor, struct sim_acceptor, acceptor);
    struct list *link = list_pop(&a->waiting);
    if (!link)
        return -EAGAIN;
    struct sim_backlog *b = LIST_ITEM(link, struct sim_backlog, link);
    *ret_conn = &b->end->conn;
    mem_free(b);
    return 0;
}

static void sim_acceptor_close(struct acceptor *acceptor)
{
    struct sim_acceptor *a = CONTAINER_OF(acceptor, struct sim_acceptor, acceptor);
    struct conn *c;
    while (sim_accept(acceptor, &c) == 0)
        conn_abort(c);
    list_del(&a->link);
    mem_free(a);
}

static const struct acceptor_ops sim_acceptor_ops = {
    .accept = sim_accept,
    .close = sim_acceptor_close,
};

/* ---- the end of hosts and worlds ---- */

void sim_streams_reset(struct sim_host *h)
{
    LIST_EACH (&h->sim->streams, struct sim_stream, link, st)
        for (int i = 0; i < 2; i++)
            if (st->ends[i].host == h && st->ends[!i].host != h)
                end_failed(&st->ends[!i], -ECONNRESET);
}

void sim_streams_free(struct sim *s)
{
    LIST_EACH (&s->streams, struct sim_stream, link, st) {
        odd(!st->ends[0].open && !st->ends[1].open); /* someone forgot to close */
        stream_free(st);
    }
}
