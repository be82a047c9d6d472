// SPDX-License-Identifier: Apache-2.0
/* Delta ADS streams: their life, their requests, and what control/ sees of them. See server.h; what is sent is decided in
 * respond.c.
 */
#include "xds/server.h"

#include <errno.h>
#include <stdlib.h>

#include "base/limits.h"
#include "http/grpc_call.h"
#include "net/loop.h"
#include "net/timer.h"
#include "xds/discovery.h"
#include "xds/node_pb.h"
#include "xds/server_impl.h"

enum {
    EVENT_CALL = 1,
    EVENT_PUSH = 2,
    EVENT_LATE = 4,
};
enum { SWEEP = 1 };

#define HELLO (10 * NS_PER_S)   /* until the first request with a node */
#define SLOWEST (60 * NS_PER_S) /* without taking a byte of a response: what waits for it keeps old resources alive */
#define SWEEP_EACH (10 * NS_PER_S)

static const char *const sync_names[] = {"NOT SENT", "SENT", "SYNCED", "STALE", "ERROR"};

const char *xds_sync_name(enum xds_sync s)
{
    return sync_names[s];
}

static struct stream *stream_of(struct xds_proxy *p)
{
    return (struct stream *)p;
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

static void forget_early(struct stream *s)
{
    s->server->early_bytes -= s->early_bytes;
    s->early_bytes = 0;
}

static void stream_free(struct stream *s)
{
    forget_early(s);
    list_del(&s->pub.link);
    list_del(&s->ready);
    list_del(&s->all);
    s->server->n_streams--;
    grpc_call_free(s->call);
    timer_done(&s->hello);
    task_done(&s->task);
    for (int i = 0; i < RESOURCE_KINDS; i++) {
        names_unref(&s->server->shelf, s->types[i].asked);
        held_clear(&s->server->shelf, &s->types[i].held);
        name_set_done(&s->types[i].suspect);
        flight_clear(&s->types[i]);
        buf_done(&s->types[i].missing);
        buf_done(&s->nacks[i]);
        shared_text_unref(s->sent[i]);
        shared_text_unref(s->acked[i]);
    }
    response_clear(s);
    for (int i = 0; i < LAYERS; i++)
        plan_unref(s->plan[i]);
    plan_unref(s->merged);
    buf_done(&s->early);
    shared_text_unref(s->version);
    shared_text_unref(s->settled);
    arena_done(&s->arena);
    free(s);
}

void server_tell_listener(struct xds_server *x)
{
    if (x->listener)
        task_wake(x->listener, x->listener_bits);
}

static void tell_owner(struct stream *s)
{
    list_del(&s->ready);
    list_push(&s->server->ready, &s->ready);
    task_wake(s->server->owner, s->server->bits);
    server_tell_listener(s->server);
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
    buf_done(&s->early);
    forget_early(s);
    unlist(s);
    grpc_call_finish(s->call, status, why);
}

/* ---- requests ---- */

/* What the proxy says that it has from an earlier stream: equal content counts as sent, the rest is sent or removed. It
 * then has all of the plan that it wants but for oddities, which are few if the plan has not changed much. */
static void take_initial(struct stream *s, enum resource_kind kind, const struct discovery_request *q)
{
    struct discovery_walk walk = {.bytes = q->bytes};
    struct held *h = &s->types[kind].held;
    struct name_set equal = {0};
    struct view name, version;
    char text[XDS_VERSION_TEXT];

    if (!q->n_initial)
        return;
    while (discovery_next_initial(&walk, &name, &version)) {
        struct resource *r = stream_planned(s, kind, view_hash(name));
        if (!r)
            stream_list_add(&s->types[kind].missing, name);
        else if (view_eq(xds_version(r->hash, text), version))
            name_set_add(&equal, r->name_hash);
    }
    for (int i = 0; i < LAYERS; i++) {
        held_arrive(&s->server->shelf, h, i, s->plan[i]);
        if (s->plan[i])
            PLAN_EACH(s->plan[i], kind, r)
            {
                if (stream_wants(s, kind, r->name_hash) && !name_set_has(&equal, r->name_hash))
                    held_make_odd(h, r->name_hash, NULL);
            }
    }
    name_set_done(&equal);
}

/* A name of which it has nothing, though it may have got all of the plan that it wanted until now. */
static void ask_for(struct stream *s, enum resource_kind kind, struct view name, uint64_t hash)
{
    struct held *h = &s->types[kind].held;

    if (!stream_planned(s, kind, hash))
        stream_list_add(&s->types[kind].missing, name);
    else if (h->base[LAYER_SHARED] || h->base[LAYER_OWN] || h->at[LAYER_SHARED] || h->at[LAYER_OWN])
        held_make_odd(h, hash, NULL);
}

static void ask_for_all(struct stream *s, enum resource_kind kind)
{
    struct xds_type_state *p = &s->pub.types[kind];

    if (!p->wildcard) /* until now it had what it named: all is sent anew */
        held_clear(&s->server->shelf, &s->types[kind].held);
    p->wildcard = s->types[kind].must_answer = true;
}

static int take_names(struct stream *s, const struct xds_type *x, const struct discovery_request *q)
{
    struct stream_type *t = &s->types[x->kind];
    struct xds_type_state *p = &s->pub.types[x->kind];
    struct discovery_walk walk = {.bytes = q->bytes};
    struct name_set names;
    struct view name;
    int r = 0;

    if (!q->n_subscribe && !q->n_unsubscribe)
        return 0;
    name_set_copy(&names, t->asked);
    while (discovery_next_name(&walk, REQUEST_UNSUBSCRIBE, &name)) {
        uint64_t hash = view_hash(name);
        if (view_is(name, "*"))
            p->wildcard = false;
        name_set_del(&names, hash);
        if (!p->wildcard)
            held_forget_odd(&t->held, hash);
    }
    walk = (struct discovery_walk){.bytes = q->bytes};
    while (r == 0 && discovery_next_name(&walk, REQUEST_SUBSCRIBE, &name)) {
        uint64_t hash = view_hash(name);
        if (view_is(name, "*")) {
            ask_for_all(s, x->kind);
            continue;
        }
        if (names.n >= LIMIT_XDS_SUBSCRIPTIONS)
            r = -E2BIG;
        else if (!name_set_add(&names, hash) || !p->wildcard) /* asked again: sent again */
            ask_for(s, x->kind, name, hash);
        else if (!stream_planned(s, x->kind, hash))
            stream_list_add(&t->missing, name);
    }
    names_unref(&s->server->shelf, t->asked);
    t->asked = names_share(&s->server->shelf, &names);
    return r;
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

    if (view_u64(q->nonce, &nonce) < 0 || !t->outstanding || nonce != p->nonce_sent) {
        s->server->stats.expired[kind]++; /* of a response that is no longer the last one */
        return;
    }
    t->outstanding = false;
    if (!q->has_error) {
        p->nonce_acked = nonce;
        shared_text_set(&s->acked[kind], &p->version_acked, s->sent[kind]);
        for (uint32_t i = 0; i < t->n_flight; i++)
            name_set_del(&t->suspect, t->flight[i].now->name_hash);
    } else {
        stream_set_nack(s, kind,
                        view_head(q->error.n ? q->error : VIEW("refused without a reason"), LIMIT_XDS_NACK_BYTES));
        p->nack_at = loop_wall(s->server->loop);
        s->server->stats.nacks[kind]++;
        for (uint32_t i = 0; i < t->n_flight; i++) { /* it still has what it had before */
            struct in_flight *f = &t->flight[i];
            struct oddity *o = held_make_odd(&t->held, f->now->name_hash, f->before);
            if (t->n_flight > 1)
                name_set_add(&t->suspect, f->now->name_hash);
            else
                o->denied = f->now->hash;
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
    if (!s->published) {
        if (s->server->early_bytes + bytes.n > LIMIT_XDS_EARLY_BYTES) { /* a thousand that come back at once */
            *ret_why = VIEW("the control plane is starting and many wait for it: try again");
            return -EAGAIN;
        }
        s->server->early_bytes += bytes.n;
        s->early_bytes += bytes.n;
        stream_list_add(&s->early, bytes);
        return 0;
    }
    if (take_request(s, x, &q) < 0) {
        *ret_why = VIEW("too many subscriptions");
        return -E2BIG;
    }
    return 0;
}

/* ---- the task of a stream ---- */

/* It never said who it is; or bytes of a response wait for it and it takes none. */
static bool is_late(struct stream *s)
{
    if (!s->announced)
        return true;
    if (!s->out.begun)
        return false;
    if (loop_now(s->server->loop) - s->moved >= SLOWEST) {
        s->server->stats.slow++;
        return true;
    }
    timer_set(&s->hello, s->moved + SLOWEST);
    return false;
}

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
    if (events & EVENT_LATE && is_late(s)) {
        s->pub.gone_why = s->announced ? "it has read nothing for a minute" : "it did not say who it is";
        stream_end(s);
        return;
    }
    while ((r = grpc_call_recv(s->call, &bytes)) == 0) {
        r = take_message(s, bytes, &why);
        if (r < 0) {
            stream_refuse(s, r == -EAGAIN ? GRPC_UNAVAILABLE : GRPC_INVALID_ARGUMENT, why);
            timer_in(&s->hello, HELLO);
            return;
        }
    }
    if (r == -EAGAIN && s->published)
        r = stream_pump(s);
    if (r < 0 && r != -EAGAIN)
        stream_end(s);
    else if (s->announced && s->out.begun && !timer_is_set(&s->hello))
        timer_in(&s->hello, SLOWEST);
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
    s->pub.connected_at = loop_wall(x->loop);
    s->pub.number = (uint32_t)++x->stats.streams;
    list_push(&x->all, &s->all);
    timer_in(&s->hello, HELLO);
    task_wake(&s->task, EVENT_CALL);
}

/* ---- for control/ ---- */

static bool same_plan(const struct plan *a, const struct plan *b)
{
    if (a == b || !a || !b)
        return a == b;
    for (int k = 0; k < RESOURCE_KINDS; k++) {
        if (plan_count(a, k) != plan_count(b, k))
            return false;
        PLAN_EACH(a, k, r)
        {
            const struct resource *other = plan_by_hash(b, k, r->name_hash);
            if (!other || other->hash != r->hash)
                return false;
        }
    }
    return true;
}

static void take_plan(struct stream *s, const struct plan *const plan[LAYERS], struct view version)
{
    struct xds_server *x = s->server;

    for (int i = 0; i < LAYERS; i++) {
        if (s->plan[i] == plan[i] || (i == LAYER_OWN && same_plan(s->plan[i], plan[i])))
            continue;
        if (plan[i])
            plan_ref(plan[i]);
        plan_unref(s->plan[i]);
        s->plan[i] = plan[i];
    }
    plan_unref(s->merged);
    s->merged = NULL;
    s->published = true;
    if (!x->version || !view_eq(view_make(x->version->text, x->version->n), version)) {
        shared_text_unref(x->version);
        x->version = shared_text_new(version);
    }
    shared_text_set(&s->version, &s->pub.version, x->version);
}

void xds_proxy_publish_layers(struct xds_proxy *p, const struct plan *shared, const struct plan *own,
                              struct view version)
{
    struct stream *s = stream_of(p);
    struct view rest, bytes;
    struct buf early = s->early;

    if (p->gone || s->refused_by_us)
        return;
    take_plan(s, (const struct plan *const[LAYERS]){shared, own}, version);
    if (!s->unsettled)
        s->unsettled = loop_now(s->server->loop);
    for (int i = 0; i < RESOURCE_KINDS; i++)
        if (p->types[i].asked)
            stream_begin(s, i);
    s->early = (struct buf){0};
    rest = buf_read(&early);
    while (stream_list_next(&rest, &bytes)) {
        struct discovery_request q;
        const struct xds_type *x = discovery_read_request(bytes, &q) == 0 ? xds_type_by_url(q.type_url) : NULL;
        if (x && take_request(s, x, &q) < 0)
            stream_refuse(s, GRPC_RESOURCE_EXHAUSTED, VIEW("too many subscriptions"));
    }
    buf_done(&early);
    forget_early(s);
    task_wake(&s->task, EVENT_PUSH);
}

void xds_proxy_publish(struct xds_proxy *p, const struct plan *plan, struct view version)
{
    xds_proxy_publish_layers(p, plan, NULL, version);
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

const struct xds_server_stats *xds_server_stats(struct xds_server *x)
{
    x->stats.encoded = x->cache.encoded;
    x->stats.encoded_bytes = x->cache.encoded_bytes;
    return &x->stats;
}

static void server_run(struct task *t, uint32_t events)
{
    struct xds_server *x = CONTAINER_OF(t, struct xds_server, task);

    xds_cache_sweep(&x->cache, loop_now(x->loop));
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
    shelf_init(&x->shelf);
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
    shelf_done(&x->shelf);
    shared_text_unref(x->version);
    xds_codec_free(x->codec);
    free(x);
    return NULL;
}

void xds_server_listen(struct xds_server *x, struct task *task, uint32_t bits)
{
    x->listener = task;
    x->listener_bits = bits;
}

bool xds_proxy_refuses(const struct xds_proxy *p, const struct resource *r)
{
    const struct oddity *o = held_odd(&((const struct stream *)p)->types[r->kind].held, r->name_hash);

    return o && o->denied == r->hash;
}

const struct plan *xds_proxy_layer(const struct xds_proxy *p, int layer)
{
    return ((const struct stream *)p)->plan[layer];
}

const struct plan *xds_proxy_plan(const struct xds_proxy *p)
{
    struct stream *s = (struct stream *)(uintptr_t)p;

    if (!s->published || !s->plan[LAYER_OWN])
        return s->plan[LAYER_SHARED];
    if (!s->merged) {
        s->merged = plan_copy(s->plan[LAYER_SHARED]);
        for (int k = 0; k < RESOURCE_KINDS; k++)
            PLAN_EACH(s->plan[LAYER_OWN], k, r)
            {
                plan_put(s->merged, r);
            }
    }
    return s->merged;
}
