// SPDX-License-Identifier: Apache-2.0
/* What a proxy is sent: differences, in push order, in pieces; see server_impl.h for the state.
 *
 * Nothing queues up: what is to be sent is found anew each time, so a slow proxy skips what it missed. A type waits until
 * the types before it have nothing left to send. Clusters are removed last of all, when every route that named them has
 * been replaced.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "http/grpc_call.h"
#include "net/loop.h"
#include "xds/codec.h"
#include "xds/discovery.h"
#include "xds/server_impl.h"

enum { GATHER = 16 * 1024 };

#define CONTROL_PLANE "{\"Component\":\"weft-control\",\"Version\":\"" WEFT_VERSION "\"}"

/* ---- states for people ---- */

void stream_set_nack(struct stream *s, enum resource_kind kind, struct view text)
{
    buf_clear(&s->nacks[kind]);
    buf_view(&s->nacks[kind], text);
    s->pub.types[kind].nack = buf_read(&s->nacks[kind]);
}

void stream_set_sync(struct stream *s, enum resource_kind kind)
{
    const struct stream_type *t = &s->types[kind];
    struct xds_type_state *p = &s->pub.types[kind];
    enum xds_sync now = XDS_SYNCED;

    if (!p->asked || !s->published)
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

void stream_list_add(struct buf *b, struct view v)
{
    buf_be32(b, (uint32_t)v.n);
    buf_view(b, v);
}

bool stream_list_next(struct view *rest, struct view *ret)
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

/* ---- what is wanted and what is there ---- */

struct resource *stream_planned(const struct stream *s, enum resource_kind kind, uint64_t name_hash)
{
    struct resource *r = plan_by_hash(s->plan[LAYER_OWN], kind, name_hash);

    return r ? r : plan_by_hash(s->plan[LAYER_SHARED], kind, name_hash);
}

bool stream_wants(const struct stream *s, enum resource_kind kind, uint64_t name_hash)
{
    return s->pub.types[kind].wildcard || names_has(s->types[kind].asked, name_hash);
}

void stream_begin(struct stream *s, enum resource_kind kind)
{
    struct stream_type *t = &s->types[kind];
    struct held *h = &t->held;

    for (int i = 0; i < LAYERS; i++) {
        if (!h->diff[i] && h->base[i] != s->plan[i])
            h->diff[i] = diff_get(&s->server->shelf, kind, h->base[i], s->plan[i]);
        if (h->diff[i] && diff_empty(h->diff[i]))
            held_arrive(&s->server->shelf, h, i, h->diff[i]->key.to);
        t->dirty = t->dirty || h->base[i] != s->plan[i];
    }
    t->dirty = t->dirty || map_size(&h->odd);
}

/* ---- responses ---- */

void response_clear(struct stream *s)
{
    for (uint32_t i = 0; i < s->out.n_parts; i++)
        xds_encoded_unref(s->out.parts[i]);
    free(s->out.parts);
    buf_done(&s->out.tail);
    s->out = (struct response){0};
}

static void *room_for_one(void *list, uint32_t n, size_t size) /* capacity doubles at powers of two */
{
    if ((n & (n - 1)) == 0) {
        list = realloc(list, size * (n ? n * 2 : 1));
        must(list != NULL);
    }
    return list;
}

/* False: not in this response. */
static bool add_resource(struct stream *s, struct resource *r, struct resource *before)
{
    struct stream_type *t = &s->types[r->kind];
    struct response *o = &s->out;
    bool alone = name_set_has(&t->suspect, r->name_hash);

    if (t->n_flight && (alone || t->closed || o->bytes > LIMIT_XDS_RESPONSE_BYTES))
        return false;
    t->closed = alone;
    o->parts = room_for_one(o->parts, o->n_parts, sizeof(struct xds_encoded *));
    o->parts[o->n_parts] = xds_encoded(&s->server->cache, r);
    o->bytes += o->parts[o->n_parts++]->n;
    t->flight = room_for_one(t->flight, t->n_flight, sizeof(*t->flight));
    t->flight[t->n_flight++] = (struct in_flight){resource_ref(r), before ? resource_ref(before) : NULL};
    s->pub.resources++;
    return true;
}

/* The difference from what the proxy has of one layer to the newest; what is gone becomes odd. */
static bool add_layer(struct stream *s, enum resource_kind kind, int layer)
{
    struct held *h = &s->types[kind].held;

    while (h->diff[layer] || h->base[layer] != s->plan[layer]) {
        struct diff *d = h->diff[layer];
        if (!d)
            d = h->diff[layer] = diff_get(&s->server->shelf, kind, h->base[layer], s->plan[layer]);
        for (; h->at[layer] < d->n_changed; h->at[layer]++) {
            struct resource *r = d->changed[h->at[layer]];
            if (stream_wants(s, kind, r->name_hash) && !held_odd(h, r->name_hash) &&
                !add_resource(s, r, plan_by_hash(d->key.from, kind, r->name_hash)))
                return false;
        }
        for (uint32_t i = 0; i < d->n_gone; i++)
            if (stream_wants(s, kind, d->gone[i]->name_hash) && !held_odd(h, d->gone[i]->name_hash))
                held_make_odd(h, d->gone[i]->name_hash, d->gone[i]);
        held_arrive(&s->server->shelf, h, layer, d->key.to);
    }
    return true;
}

static bool add_odd(struct stream *s, enum resource_kind kind)
{
    struct stream_type *t = &s->types[kind];

    MAP_EACH (&t->held.odd, it) {
        struct oddity *o = it->value;
        struct resource *r = stream_planned(s, kind, o->name_hash);
        if (!r || (o->has && o->has->hash == r->hash))
            continue;
        if (o->denied == r->hash) {
            t->n_denied++;
            continue;
        }
        if (!add_resource(s, r, o->has))
            return false;
        o->denied = 0;
        held_make_odd(&t->held, o->name_hash, r);
    }
    return true;
}

/* What is new or changed; false: there is more than fits into one response. */
static bool add_changes(struct stream *s, enum resource_kind kind)
{
    s->types[kind].n_denied = 0;
    s->types[kind].closed = false;
    return add_layer(s, kind, LAYER_SHARED) && add_layer(s, kind, LAYER_OWN) && add_odd(s, kind);
}

/* What is as planned is odd no more; of what is gone from the plan, if it may be said now, the names go into the response. */
static uint32_t settle_odd(struct stream *s, enum resource_kind kind, bool removals)
{
    struct held *h = &s->types[kind].held;
    uint32_t n = 0;

    for (uint32_t i = 0; i < h->odd.n_items; i++) {
        struct oddity *o = h->odd.items[i].value;
        struct resource *r = o ? stream_planned(s, kind, o->name_hash) : NULL;
        if (!o || (r && (!o->has || o->has->hash != r->hash)) || (!r && o->has && !removals))
            continue;
        if (!r && o->has) {
            discovery_write_name(&s->out.tail, RESPONSE_REMOVED, o->has->name);
            n++;
        }
        held_forget_odd(h, o->name_hash); /* the last one empties the list */
    }
    return n;
}

/* Names that were asked for and never were in the plan. */
static uint32_t add_missing(struct stream *s, enum resource_kind kind)
{
    struct stream_type *t = &s->types[kind];
    struct view rest = buf_read(&t->missing), name;
    uint32_t n = 0;

    while (stream_list_next(&rest, &name)) {
        if (stream_planned(s, kind, view_hash(name)))
            continue;
        discovery_write_name(&s->out.tail, RESPONSE_REMOVED, name);
        n++;
    }
    buf_done(&t->missing);
    return n;
}

static void finish_response(struct stream *s, const struct xds_type *x)
{
    struct stream_type *t = &s->types[x->kind];
    struct xds_type_state *p = &s->pub.types[x->kind];
    uint32_t n = t->asked ? t->asked->set.n : 0;

    for (int i = 0; p->wildcard && i < LAYERS; i++)
        n = (i ? n : 0) + (s->plan[i] ? plan_count(s->plan[i], x->kind) : 0);
    p->nonce_sent++;
    discovery_write_tail(&s->out.tail, s->pub.version, x->url, p->nonce_sent, VIEW(CONTROL_PLANE));
    shared_text_set(&s->sent[x->kind], &p->version_sent, s->version);
    p->n_sent = n - t->n_denied;
    t->outstanding = true;
    t->must_answer = false;
    s->pub.responses++;
    s->server->stats.pushes[x->kind]++;
    s->server->stats.sent_bytes += s->out.bytes + buf_len(&s->out.tail);
}

/* Builds the next response of this type into s->message; false: there is nothing to say. */
static bool build(struct stream *s, const struct xds_type *x, bool removals)
{
    struct stream_type *t = &s->types[x->kind];
    bool all = add_changes(s, x->kind);
    uint32_t n = t->n_flight;

    if (all)
        n += settle_odd(s, x->kind, removals);
    if (all && removals)
        n += add_missing(s, x->kind);
    t->dirty = !all;
    if (!n && !t->must_answer)
        return false;
    finish_response(s, x);
    return true;
}

/* The next bytes of the response in one piece: many small resources make few frames. */
static struct view gather(const struct response *o, char *room, size_t size)
{
    size_t n = 0, skip = o->at_byte;

    for (uint32_t i = o->at_part; i <= o->n_parts && n < size; i++) {
        struct view v = view_from(i < o->n_parts ? xds_encoded_bytes(o->parts[i]) : buf_read(&o->tail), skip);
        skip = 0;
        if (!n && v.n >= size)
            return v; /* large enough as it is */
        v = view_head(v, size - n);
        memcpy(room + n, v.p, v.n);
        n += v.n;
    }
    return view_make(room, n);
}

static void advance(struct response *o, size_t n)
{
    for (o->at_byte += n; o->at_part < o->n_parts; o->at_part++) {
        size_t all = o->parts[o->at_part]->n;
        if (o->at_byte < all)
            return;
        o->at_byte -= all;
    }
}

static int flush(struct stream *s)
{
    struct response *o = &s->out;
    char room[GATHER];

    if (!buf_len(&o->tail))
        return 0;
    if (!o->begun) {
        int r = grpc_call_begin(s->call, o->bytes + buf_len(&o->tail));
        if (r < 0)
            return r;
        o->begun = true;
        s->moved = loop_now(s->server->loop);
    }
    while (o->at_part < o->n_parts || o->at_byte < buf_len(&o->tail)) {
        struct view v = gather(o, room, sizeof(room));
        ssize_t n = grpc_call_write(s->call, v);
        if (n < 0)
            return (int)n;
        advance(o, (size_t)n);
        if (n)
            s->moved = loop_now(s->server->loop);
        if ((size_t)n < v.n)
            return -EAGAIN;
    }
    response_clear(s);
    return 0;
}

/* Everything of the published plan is acknowledged or refused: said once for each version. */
static void settle(struct stream *s)
{
    const struct xds_proxy *p = &s->pub;

    for (int i = 0; i < RESOURCE_KINDS; i++) {
        bool first = xds_type_of(i)->wildcard && !p->types[i].nonce_sent; /* always answered, even if nothing differs */
        if (s->types[i].outstanding || s->types[i].dirty || first)
            return;
    }
    if (s->unsettled)
        spread_add(&s->server->stats.settle, loop_now(s->server->loop) - s->unsettled);
    s->unsettled = 0;
    if (s->settled == s->version)
        return;
    shared_text_set(&s->settled, &s->pub.settled, s->version);
    server_tell_listener(s->server);
}

int stream_pump(struct stream *s)
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
        stream_set_sync(s, i);
    if (r == 0)
        settle(s);
    return r;
}
