// SPDX-License-Identifier: Apache-2.0
/* Delta ADS streams: what each proxy asked for, has, and refused. See server.h.
 *
 * For each type a proxy has: the names that it asked for (hashes), the resources that it holds (a private plan, `sent`),
 * and those that it refused (`refused`). What is to be sent is the difference between the published plan and these, found
 * anew each time, so nothing queues up and a slow proxy skips what it missed.
 *
 * Order: a type waits until the types before it have nothing left to send. Clusters are removed last of all, when every
 * route that named them has been replaced.
 */
#include "xds/server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "http/grpc_call.h"
#include "net/loop.h"
#include "net/timer.h"
#include "xds/discovery.h"
#include "xds/encoded.h"
#include "xds/names.h"
#include "xds/node_pb.h"
#include "xds/types.h"

enum {
    EVENT_CALL = 1,
    EVENT_PUSH = 2,
    EVENT_LATE = 4,
};
enum { SWEEP = 1 };

#define HELLO (10 * NS_PER_S) /* until the first request with a node */
#define SWEEP_EACH (30 * NS_PER_S)
#define CONTROL_PLANE "{\"Component\":\"weft-control\",\"Version\":\"" WEFT_VERSION "\"}"

struct in_flight {                 /* one resource of the response that waits for its ACK */
    struct resource *now, *before; /* before NULL: it was new */
};

struct stream_type {
    struct name_set asked;
    struct name_set suspect; /* was part of a refused response: sent alone from now on */
    struct in_flight *flight;
    uint32_t n_flight;
    bool outstanding;   /* a response waits for its ACK */
    bool dirty;         /* there may be something to send */
    bool must_answer;   /* an answer is due even if it is empty: first request of a wildcard */
    uint32_t n_denied;  /* resources of the plan that it refused: they are as good as sent, but not in use */
    struct buf missing; /* names asked for that do not exist, each behind its length: to be said so once */
};

struct stream {
    struct xds_proxy pub; /* first */
    struct xds_server *server;
    struct task task;
    struct timer hello;
    struct grpc_call *call;
    struct arena arena; /* of the node */
    struct list ready;  /* in server->ready */
    struct list all;    /* in server->all */
    bool announced, refused_by_us, gone_told;
    const struct plan *plan;             /* published; NULL: not yet */
    struct plan *sent, *denied;          /* private: resources that it has, and that it refused */
    struct buf early;                    /* requests before the first publish, each behind its length */
    struct buf message;                  /* built and not yet taken by the call */
    struct buf texts[RESOURCE_KINDS][3]; /* behind the views of pub.types: version sent, version acked, nack */
    struct buf version;
    struct stream_type types[RESOURCE_KINDS];
};

struct xds_server {
    struct loop *loop;
    struct task *owner;
    uint32_t bits;
    struct task task;
    struct timer sweep;
    struct list all, ready, proxies;
    struct xds_cache cache;
    struct xds_codec *codec;
    struct xds_server_stats stats;
    uint32_t n_streams;
};

static const char *const sync_names[] = {"NOT SENT", "SENT", "SYNCED", "STALE", "ERROR"};

const char *xds_sync_name(enum xds_sync s)
{
    return sync_names[s];
}

static struct stream *stream_of(struct xds_proxy *p)
{
    return (struct stream *)p;
}

/* ---- states for people ---- */

static void set_text(struct buf *b, struct view *ret, struct view text)
{
    buf_clear(b);
    buf_view(b, text);
    *ret = buf_read(b);
}

static void set_sync(struct stream *s, enum resource_kind kind)
{
    const struct stream_type *t = &s->types[kind];
    struct xds_type_state *p = &s->pub.types[kind];
    enum xds_sync now = XDS_SYNCED;

    if (!p->asked || !s->plan)
        now = XDS_NOT_SENT;
    else if (t->outstanding)
        now = XDS_SENT;
    else if (t->dirty)
        now = XDS_STALE;
    else if (t->n_denied)
        now = XDS_REFUSED;
    if (now == XDS_SYNCED)
        p->nack = VIEW_NONE;
    if (now != p->sync || !p->since) {
        p->sync = now;
        p->since = loop_wall(s->server->loop);
    }
}

/* ---- length-prefixed lists of bytes ---- */

static void list_add(struct buf *b, struct view v)
{
    buf_be32(b, (uint32_t)v.n);
    buf_view(b, v);
}

static bool list_next(struct view *rest, struct view *ret)
{
    const unsigned char *p = (const unsigned char *)rest->p;
    uint32_t n;

    if (rest->n < 4)
        return false;
    n = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
    *ret = view_make(p + 4, n);
    *rest = view_from(*rest, 4 + (size_t)n);
    return true;
}

/* ---- life ---- */

static void flight_clear(struct stream_type *t)
{
    for (uint32_t i = 0; i < t->n_flight; i++) {
        resource_unref(t->flight[i].now);
        resource_unref(t->flight[i].before);
    }
    free(t->flight);
    t->flight = NULL;
    t->n_flight = 0;
}

static void stream_free(struct stream *s)
{
    list_del(&s->pub.link);
    list_del(&s->ready);
    list_del(&s->all);
    s->server->n_streams--;
    grpc_call_free(s->call);
    timer_done(&s->hello);
    task_done(&s->task);
    for (int i = 0; i < RESOURCE_KINDS; i++) {
        name_set_done(&s->types[i].asked);
        name_set_done(&s->types[i].suspect);
        flight_clear(&s->types[i]);
        buf_done(&s->types[i].missing);
        for (int k = 0; k < 3; k++)
            buf_done(&s->texts[i][k]);
    }
    plan_unref(s->plan);
    plan_unref(s->sent);
    plan_unref(s->denied);
    buf_done(&s->early);
    buf_done(&s->message);
    buf_done(&s->version);
    arena_done(&s->arena);
    free(s);
}

static void tell_owner(struct stream *s)
{
    list_del(&s->ready);
    list_push(&s->server->ready, &s->ready);
    task_wake(s->server->owner, s->server->bits);
}

static void unlist(struct stream *s)
{
    if (!list_empty(&s->pub.link)) {
        list_del(&s->pub.link);
        s->server->stats.proxies--;
    }
}

/* The stream is over. The owner, if it knows of the proxy, frees it; else we do. */
static void stream_end(struct stream *s)
{
    s->call = grpc_call_free(s->call);
    task_done(&s->task);
    timer_clear(&s->hello);
    if (!s->announced) {
        stream_free(s);
        return;
    }
    if (!s->pub.gone) {
        s->pub.gone = true;
        unlist(s);
        tell_owner(s);
    }
}

static void stream_refuse(struct stream *s, enum grpc_status status, struct view why)
{
    s->refused_by_us = true;
    unlist(s);
    grpc_call_finish(s->call, status, why);
}

/* ---- requests ---- */

static struct resource *planned(const struct plan *p, enum resource_kind kind, struct view name)
{
    struct name_ref ref = name_ref(name);

    return (struct resource *)(uintptr_t)plan_get(p, kind, &ref);
}

/* What the proxy says that it has from an earlier stream: equal content counts as sent, the rest is sent or removed. */
static void take_initial(struct stream *s, enum resource_kind kind, const struct discovery_request *q)
{
    struct discovery_walk walk = {.bytes = q->bytes};
    struct view name, version;
    char text[XDS_VERSION_TEXT];

    while (discovery_next_initial(&walk, &name, &version)) {
        struct resource *r = planned(s->plan, kind, name);
        if (!r)
            list_add(&s->types[kind].missing, name);
        else if (view_eq(xds_version(r->hash, text), version))
            plan_put(s->sent, r);
    }
}

static int take_names(struct stream *s, const struct xds_type *x, const struct discovery_request *q)
{
    struct stream_type *t = &s->types[x->kind];
    struct xds_type_state *p = &s->pub.types[x->kind];
    struct discovery_walk walk = {.bytes = q->bytes};
    struct view name;

    while (discovery_next_name(&walk, REQUEST_UNSUBSCRIBE, &name)) {
        if (view_is(name, "*"))
            p->wildcard = false;
        name_set_del(&t->asked, view_hash(name));
        if (!p->wildcard)
            plan_del(s->sent, x->kind, name);
    }
    walk = (struct discovery_walk){.bytes = q->bytes};
    while (discovery_next_name(&walk, REQUEST_SUBSCRIBE, &name)) {
        if (view_is(name, "*")) {
            p->wildcard = t->must_answer = true;
            continue;
        }
        if (t->asked.n >= LIMIT_XDS_SUBSCRIPTIONS)
            return -E2BIG;
        if (!name_set_add(&t->asked, view_hash(name)))
            plan_del(s->sent, x->kind, name); /* asked again: sent again */
        if (!planned(s->plan, x->kind, name))
            list_add(&t->missing, name);
    }
    return 0;
}

static int take_request(struct stream *s, const struct xds_type *x, const struct discovery_request *q)
{
    struct stream_type *t = &s->types[x->kind];
    struct xds_type_state *p = &s->pub.types[x->kind];
    bool first = !p->asked;
    int r;

    p->asked = true;
    if (first && x->wildcard && !q->n_subscribe)
        p->wildcard = t->must_answer = true;
    r = take_names(s, x, q);
    if (first)
        take_initial(s, x->kind, q);
    if (first || q->n_subscribe || q->n_unsubscribe)
        t->dirty = true;
    return r;
}

static void take_ack(struct stream *s, enum resource_kind kind, const struct discovery_request *q)
{
    struct stream_type *t = &s->types[kind];
    struct xds_type_state *p = &s->pub.types[kind];
    uint64_t nonce;

    if (view_u64(q->nonce, &nonce) < 0 || !t->outstanding || nonce != p->nonce_sent)
        return; /* of a response that is no longer the last one */
    t->outstanding = false;
    if (!q->has_error) {
        p->nonce_acked = nonce;
        set_text(&s->texts[kind][1], &p->version_acked, p->version_sent);
        for (uint32_t i = 0; i < t->n_flight; i++)
            name_set_del(&t->suspect, t->flight[i].now->name_hash);
    } else {
        set_text(&s->texts[kind][2], &p->nack,
                 view_head(q->error.n ? q->error : VIEW("refused without a reason"), LIMIT_XDS_NACK_BYTES));
        p->nack_at = loop_wall(s->server->loop);
        s->server->stats.nacks[kind]++;
        for (uint32_t i = 0; i < t->n_flight; i++) { /* it still has what it had before */
            struct in_flight *f = &t->flight[i];
            if (f->before)
                plan_put(s->sent, f->before);
            else
                plan_del(s->sent, kind, f->now->name);
            if (t->n_flight > 1)
                name_set_add(&t->suspect, f->now->name_hash);
            else
                plan_put(s->denied, f->now);
        }
        tell_owner(s);
    }
    t->dirty = true;
    flight_clear(t);
}

static int take_hello(struct stream *s, const struct discovery_request *q, struct view *ret_why)
{
    struct buf id = {0};
    int r;

    if (!q->node.n) {
        *ret_why = VIEW("the first request has no node");
        return -EINVAL;
    }
    r = xds_node_decode(s->server->codec, q->node, &s->arena, &s->pub.node, ret_why);
    if (r < 0)
        return r;
    xds_node_print_id(&id, &s->pub.node);
    s->pub.id = arena_view(&s->arena, buf_read(&id));
    buf_done(&id);
    s->announced = true;
    timer_clear(&s->hello);
    s->server->stats.proxies++;
    list_push(&s->server->proxies, &s->pub.link);
    tell_owner(s);
    return 0;
}

/* 0, or -errno and why the stream ends. */
static int take_message(struct stream *s, struct view bytes, struct view *ret_why)
{
    struct discovery_request q;
    const struct xds_type *x;

    if (bytes.n > LIMIT_XDS_REQUEST_BYTES || discovery_read_request(bytes, &q) < 0) {
        *ret_why = VIEW("not a DeltaDiscoveryRequest, or too large");
        return -EINVAL;
    }
    if (!s->announced) {
        int r = take_hello(s, &q, ret_why);
        if (r < 0)
            return r;
    }
    x = xds_type_by_url(q.type_url);
    if (!x)
        return 0; /* a type that we do not serve: as if it had no resources */
    if (q.nonce.n)
        take_ack(s, x->kind, &q);
    if (!s->plan) {
        list_add(&s->early, bytes);
        if (buf_len(&s->early) > LIMIT_XDS_REQUEST_BYTES) {
            *ret_why = VIEW("too many requests before the first response");
            return -E2BIG;
        }
        return 0;
    }
    if (take_request(s, x, &q) < 0) {
        *ret_why = VIEW("too many subscriptions");
        return -E2BIG;
    }
    return 0;
}

/* ---- responses ---- */

static bool wants(const struct stream *s, const struct resource *r)
{
    return s->pub.types[r->kind].wildcard || name_set_has(&s->types[r->kind].asked, r->name_hash);
}

static bool differs(const struct plan *have, const struct resource *r)
{
    struct name_ref ref = {r->name, r->name_hash};
    const struct resource *old = plan_get(have, r->kind, &ref);

    return !old || old->hash != r->hash;
}

static void add_resource(struct stream *s, struct resource *r)
{
    struct stream_type *t = &s->types[r->kind];
    struct name_ref ref = {r->name, r->name_hash};
    const struct resource *old = plan_get(s->sent, r->kind, &ref);
    char version[XDS_VERSION_TEXT];

    discovery_write_resource(&s->message, r->name, xds_version(r->hash, version), xds_type_of(r->kind)->url,
                             xds_encoded(&s->server->cache, r));
    if ((t->n_flight & (t->n_flight - 1)) == 0) { /* capacity doubles at powers of two */
        t->flight = realloc(t->flight, sizeof(*t->flight) * (t->n_flight ? t->n_flight * 2 : 1));
        must(t->flight != NULL);
    }
    t->flight[t->n_flight++] = (struct in_flight){resource_ref(r), old ? resource_ref(old) : NULL};
    plan_put(s->sent, r);
    s->pub.resources++;
}

/* What is new or changed; false: there is more than fits into one response. */
static bool add_changes(struct stream *s, enum resource_kind kind)
{
    struct stream_type *t = &s->types[kind];

    t->n_denied = 0;
    PLAN_EACH(s->plan, kind, r)
    {
        bool alone;

        if (!wants(s, r) || !differs(s->sent, r))
            continue;
        if (!differs(s->denied, r)) {
            t->n_denied++;
            continue;
        }
        alone = name_set_has(&t->suspect, r->name_hash);
        if (t->n_flight && (alone || buf_len(&s->message) > LIMIT_XDS_RESPONSE_BYTES))
            return false;
        add_resource(s, r);
        if (alone)
            return false;
    }
    return true;
}

/* What is gone from the plan, and names that never were in it. */
static uint32_t add_removals(struct stream *s, enum resource_kind kind)
{
    struct stream_type *t = &s->types[kind];
    struct view rest = buf_read(&t->missing), name;
    struct arena names;
    struct view *gone = NULL;
    uint32_t n_gone = 0, n = 0;

    while (list_next(&rest, &name)) {
        if (planned(s->plan, kind, name))
            continue;
        discovery_write_name(&s->message, RESPONSE_REMOVED, name);
        n++;
    }
    buf_clear(&t->missing);
    arena_init(&names, 0);
    PLAN_EACH(s->sent, kind, r)
    {
        struct name_ref ref = {r->name, r->name_hash};
        if (!plan_get(s->plan, kind, &ref))
            *ARENA_PUSH(&names, gone, n_gone) = arena_view(&names, r->name);
    }
    for (uint32_t i = 0; i < n_gone; i++) {
        discovery_write_name(&s->message, RESPONSE_REMOVED, gone[i]);
        plan_del(s->sent, kind, gone[i]);
    }
    arena_done(&names);
    return n + n_gone;
}

static void finish_response(struct stream *s, const struct xds_type *x)
{
    struct stream_type *t = &s->types[x->kind];
    struct xds_type_state *p = &s->pub.types[x->kind];

    p->nonce_sent++;
    discovery_write_tail(&s->message, buf_read(&s->version), x->url, p->nonce_sent, VIEW(CONTROL_PLANE));
    set_text(&s->texts[x->kind][0], &p->version_sent, buf_read(&s->version));
    p->n_sent = plan_count(s->sent, x->kind);
    t->outstanding = true;
    t->must_answer = false;
    s->pub.responses++;
    s->server->stats.pushes[x->kind]++;
    s->server->stats.sent_bytes += buf_len(&s->message);
}

/* Builds the next response of this type into s->message; false: there is nothing to say. */
static bool build(struct stream *s, const struct xds_type *x, bool removals)
{
    struct stream_type *t = &s->types[x->kind];
    bool all = add_changes(s, x->kind);
    uint32_t n = t->n_flight;

    if (all && removals)
        n += add_removals(s, x->kind);
    t->dirty = !all;
    if (!n && !t->must_answer)
        return false;
    finish_response(s, x);
    return true;
}

static int flush(struct stream *s)
{
    int r;

    if (!buf_len(&s->message))
        return 0;
    r = grpc_call_send(s->call, buf_read(&s->message), false);
    if (r == 0)
        buf_done(&s->message);
    return r;
}

/* Sends what may be sent now, in push order. 0, -EAGAIN (the call takes no more), -errno. */
static int pump(struct stream *s)
{
    bool quiet = true;
    int r = flush(s);

    for (int i = 0; r == 0 && i < RESOURCE_KINDS; i++) {
        const struct xds_type *x = &xds_types[i];
        struct stream_type *t = &s->types[x->kind];

        if (!s->pub.types[x->kind].asked)
            continue;
        if (!t->outstanding && t->dirty && build(s, x, x->kind != RESOURCE_CLUSTER))
            r = flush(s);
        quiet = quiet && !t->outstanding && !t->dirty;
        if (t->dirty)
            break; /* the types behind it wait */
    }
    /* Every route that named a removed cluster is replaced and acknowledged: now it may go. */
    if (r == 0 && quiet && s->pub.types[RESOURCE_CLUSTER].asked && build(s, xds_type_of(RESOURCE_CLUSTER), true))
        r = flush(s);
    for (int i = 0; i < RESOURCE_KINDS; i++)
        set_sync(s, i);
    return r;
}

/* ---- the task of a stream ---- */

static void stream_run(struct task *task, uint32_t events)
{
    struct stream *s = CONTAINER_OF(task, struct stream, task);
    struct view bytes, why = VIEW_NONE;
    int r;

    if (s->refused_by_us) {
        r = grpc_call_recv(s->call, &bytes);
        if (grpc_call_done(s->call) || events & EVENT_LATE || r == -ENODATA)
            stream_end(s);
        return;
    }
    if (events & EVENT_LATE && !s->announced) {
        stream_end(s);
        return;
    }
    while ((r = grpc_call_recv(s->call, &bytes)) == 0) {
        if (take_message(s, bytes, &why) < 0) {
            stream_refuse(s, GRPC_INVALID_ARGUMENT, why);
            timer_in(&s->hello, HELLO);
            return;
        }
    }
    if (r == -EAGAIN && s->plan)
        r = pump(s);
    if (r < 0 && r != -EAGAIN)
        stream_end(s);
}

void xds_server_accept(struct xds_server *x, struct http_stream *h, const struct xds_identity *identity)
{
    struct stream *s = calloc(1, sizeof(*s));

    must(s != NULL);
    s->server = x;
    list_init(&s->pub.link);
    list_init(&s->ready);
    list_init(&s->all);
    task_init(&s->task, x->loop, stream_run, "xds stream");
    timer_init(&s->hello, &s->task, EVENT_LATE);
    arena_init(&s->arena, 1024);
    x->n_streams++;
    s->call = grpc_call_accept(h, &s->task, EVENT_CALL);
    if (!s->call) {
        stream_free(s);
        return;
    }
    if (identity)
        s->pub.identity =
            (struct xds_identity){arena_view(&s->arena, identity->trust_domain), arena_view(&s->arena, identity->ns),
                                  arena_view(&s->arena, identity->service_account)};
    s->sent = plan_new();
    s->denied = plan_new();
    s->pub.connected_at = loop_wall(x->loop);
    s->pub.number = (uint32_t)++x->stats.streams;
    list_push(&x->all, &s->all);
    timer_in(&s->hello, HELLO);
    task_wake(&s->task, EVENT_CALL);
}

/* ---- for control/ ---- */

void xds_proxy_publish(struct xds_proxy *p, const struct plan *plan, struct view version)
{
    struct stream *s = stream_of(p);
    struct view rest, bytes;
    struct buf early = s->early;

    if (p->gone || s->refused_by_us)
        return;
    plan_ref(plan);
    plan_unref(s->plan);
    s->plan = plan;
    set_text(&s->version, &p->version, version);
    for (int i = 0; i < RESOURCE_KINDS; i++)
        s->types[i].dirty = p->types[i].asked;
    s->early = (struct buf){0};
    rest = buf_read(&early);
    while (list_next(&rest, &bytes)) {
        struct discovery_request q;
        const struct xds_type *x = discovery_read_request(bytes, &q) == 0 ? xds_type_by_url(q.type_url) : NULL;
        if (x && take_request(s, x, &q) < 0)
            stream_refuse(s, GRPC_RESOURCE_EXHAUSTED, VIEW("too many subscriptions"));
    }
    buf_done(&early);
    task_wake(&s->task, EVENT_PUSH);
}

void xds_proxy_refuse(struct xds_proxy *p, enum grpc_status status, struct view why)
{
    struct stream *s = stream_of(p);

    if (p->gone || s->refused_by_us)
        return;
    stream_refuse(s, status, why);
    timer_in(&s->hello, HELLO);
}

void xds_proxy_free(struct xds_proxy *p)
{
    must(p->gone);
    stream_free(stream_of(p));
}

struct xds_proxy *xds_server_next(struct xds_server *x)
{
    struct list *l = list_pop(&x->ready);

    return l ? &LIST_ITEM(l, struct stream, ready)->pub : NULL;
}

struct list *xds_server_proxies(struct xds_server *x)
{
    return &x->proxies;
}

const struct xds_server_stats *xds_server_stats(const struct xds_server *x)
{
    return &x->stats;
}

static void server_run(struct task *t, uint32_t events)
{
    struct xds_server *x = CONTAINER_OF(t, struct xds_server, task);

    xds_cache_sweep(&x->cache, loop_now(x->loop));
    x->stats.encoded = x->cache.encoded;
    x->stats.encoded_bytes = x->cache.encoded_bytes;
    timer_in(&x->sweep, SWEEP_EACH);
}

struct xds_server *xds_server_new(struct loop *loop, struct task *owner, uint32_t bits)
{
    struct xds_server *x = calloc(1, sizeof(*x));

    must(x != NULL);
    x->loop = loop;
    x->owner = owner;
    x->bits = bits;
    list_init(&x->all);
    list_init(&x->ready);
    list_init(&x->proxies);
    xds_cache_init(&x->cache);
    x->codec = xds_codec_new();
    task_init(&x->task, loop, server_run, "xds server");
    timer_init(&x->sweep, &x->task, SWEEP);
    timer_in(&x->sweep, SWEEP_EACH);
    return x;
}

struct xds_server *xds_server_free(struct xds_server *x)
{
    if (!x)
        return NULL;
    LIST_EACH (&x->all, struct stream, all, s) {
        stream_free(s);
    }
    timer_done(&x->sweep);
    task_done(&x->task);
    xds_cache_done(&x->cache);
    xds_codec_free(x->codec);
    free(x);
    return NULL;
}

const struct plan *xds_proxy_plan(const struct xds_proxy *p)
{
    return ((const struct stream *)p)->plan;
}
