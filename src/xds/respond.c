// SPDX-License-Identifier: Apache-2.0
/* What a proxy is sent: differences, in push order, in pieces; see server_impl.h for the state.
 *
 * Nothing queues up: what is to be sent is found anew each time, so a slow proxy skips what it missed. A type waits until
 * the types before it have nothing left to send. Clusters are removed last of all, when every route that named them has
 * been replaced.
 */
#include <errno.h>

#include "base/limits.h"
#include "http/grpc_call.h"
#include "net/loop.h"
#include "xds/codec.h"
#include "xds/discovery.h"
#include "xds/server_impl.h"

#define CONTROL_PLANE "{\"Component\":\"weft-control\",\"Version\":\"" WEFT_VERSION "\"}"

/* ---- states for people ---- */

void stream_set_text(struct buf *b, struct view *ret, struct view text)
{
    buf_clear(b);
    buf_view(b, text);
    *ret = buf_read(b);
}

void stream_set_sync(struct stream *s, enum resource_kind kind)
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
struct resource *stream_planned(const struct plan *p, enum resource_kind kind, struct view name)
{
    struct name_ref ref = name_ref(name);

    return (struct resource *)(uintptr_t)plan_get(p, kind, &ref);
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

    while (stream_list_next(&rest, &name)) {
        if (stream_planned(s->plan, kind, name))
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
    stream_set_text(&s->texts[x->kind][0], &p->version_sent, buf_read(&s->version));
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

/* Everything of the published plan is acknowledged or refused: said once for each version. */
static void settle(struct stream *s)
{
    const struct xds_proxy *p = &s->pub;

    for (int i = 0; i < RESOURCE_KINDS; i++) {
        bool first = xds_type_of(i)->wildcard && !p->types[i].nonce_sent; /* always answered, even if nothing differs */
        if (s->types[i].outstanding || s->types[i].dirty || first)
            return;
    }
    if (view_eq(p->settled, buf_read(&s->version)))
        return;
    stream_set_text(&s->settled, &s->pub.settled, buf_read(&s->version));
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
