// SPDX-License-Identifier: Apache-2.0
/* The delta client's knowledge: see state.h. What is subscribed follows from what was accepted: clusters name endpoint
 * sets, listeners name route tables, TLS names secrets.
 */
#include "xds/state.h"

#include <errno.h>
#include <stdlib.h>

#include "base/limits.h"
#include "net/tls.h"
#include "wire/grpc.h"
#include "xds/discovery.h"
#include "xds/node_pb.h"
#include "xds/types.h"

#define SDS_PREFIX VIEW("kubernetes://")

struct xds_have {              /* a resource that is subscribed to, or that a wildcard brought */
    struct view name, version; /* one allocation with this struct */
    bool received;             /* it is in the plan */
    bool absent;               /* the control plane said that there is none */
    bool asked;                /* a subscription was sent */
    bool wanted;               /* while subscriptions are recomputed */
};

/* ---- outgoing messages ---- */

static size_t out_begin(struct xds_out *o)
{
    buf_be32(&o->bytes, 0);
    return buf_len(&o->bytes);
}

static void out_end(struct xds_out *o, size_t begin)
{
    size_t n = buf_len(&o->bytes) - begin;
    unsigned char *at = (unsigned char *)o->bytes.data + o->bytes.at + begin - 4;

    for (int i = 0; i < 4; i++)
        at[i] = (unsigned char)(n >> (24 - 8 * i));
}

static uint32_t out_length(const struct xds_out *o)
{
    const unsigned char *p = (const unsigned char *)o->bytes.data + o->bytes.at;

    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

bool xds_out_next(struct xds_out *o, struct view *ret_message)
{
    if (buf_len(&o->bytes) < 4)
        return false;
    *ret_message = view_make(o->bytes.data + o->bytes.at + 4, out_length(o));
    return true;
}

void xds_out_drop(struct xds_out *o)
{
    buf_drop(&o->bytes, 4 + (size_t)out_length(o));
}

/* ---- what we have ---- */

static struct xds_have *have_put(struct map *m, struct view name, struct view version)
{
    struct xds_have *old = map_get(m, name), *h = malloc(sizeof(*h) + name.n + version.n);
    char *text = (char *)(h + 1);

    must(h != NULL);
    memcpy(text, name.p, name.n);
    if (version.n)
        memcpy(text + name.n, version.p, version.n);
    *h = (struct xds_have){.name = {text, name.n}, .version = {text + name.n, version.n}, .asked = old && old->asked};
    map_put(m, h->name, h); /* replaces */
    free(old);
    return h;
}

static void have_del(struct map *m, struct xds_have *h)
{
    map_del(m, h->name);
    free(h);
}

void xds_state_init(struct xds_state *s, const struct xds_node *node)
{
    *s = (struct xds_state){.codec = xds_codec_new(), .got = plan_new()};
    for (int i = 0; i < RESOURCE_KINDS; i++)
        map_init(&s->have[i], NULL);
    xds_node_encode(&s->node, node);
}

void xds_state_done(struct xds_state *s)
{
    for (int i = 0; i < RESOURCE_KINDS; i++) {
        MAP_EACH (&s->have[i], it) {
            free(it->value);
        }
        map_done(&s->have[i]);
        buf_done(&s->version[i]);
    }
    plan_unref(s->got);
    plan_unref(s->plan);
    buf_done(&s->node);
    buf_done(&s->error);
    xds_codec_free(s->codec);
}

/* ---- requests ---- */

void xds_state_connected(struct xds_state *s, struct xds_out *out)
{
    bool first = true;

    for (int i = 0; i < RESOURCE_KINDS; i++) {
        const struct xds_type *t = &xds_types[i];
        struct map *have = &s->have[t->kind];
        size_t at;

        if (!t->wildcard && !map_size(have))
            continue;
        at = out_begin(out);
        if (first)
            discovery_write_node(&out->bytes, buf_read(&s->node));
        first = false;
        discovery_write_type(&out->bytes, t->url);
        MAP_EACH (have, it) {
            struct xds_have *h = it->value;
            h->asked = true;
            if (!t->wildcard)
                discovery_write_name(&out->bytes, REQUEST_SUBSCRIBE, h->name);
            if (h->received)
                discovery_write_initial(&out->bytes, h->name, h->version);
        }
        out_end(out, at);
    }
}

static void answer(struct xds_out *out, const struct discovery_response *r, struct view error)
{
    size_t at = out_begin(out);

    discovery_write_type(&out->bytes, r->type_url);
    discovery_write_nonce(&out->bytes, r->nonce);
    if (error.n)
        discovery_write_error(&out->bytes, GRPC_INVALID_ARGUMENT, error);
    out_end(out, at);
}

/* ---- subscriptions that follow from what was accepted ---- */

static void want(struct xds_state *s, enum resource_kind kind, struct view name)
{
    struct xds_have *h;

    if (!name.n)
        return;
    h = map_get(&s->have[kind], name);
    if (!h)
        h = have_put(&s->have[kind], name, VIEW_NONE);
    h->wanted = true;
}

static void want_secrets(struct xds_state *s, const struct tls_common *t)
{
    for (uint32_t i = 0; i < t->n_identities; i++)
        if (view_starts(t->identities[i].name, SDS_PREFIX))
            want(s, RESOURCE_SECRET, t->identities[i].name);
    if (view_starts(t->trust.name, SDS_PREFIX))
        want(s, RESOURCE_SECRET, t->trust.name);
}

static void want_of_chain(struct xds_state *s, const struct filter_chain *c)
{
    if (c->http)
        want(s, RESOURCE_ROUTES, c->http->rds.name);
    if (c->tls)
        want_secrets(s, &c->tls->common);
}

static void want_all(struct xds_state *s)
{
    want(s, RESOURCE_SECRET,
         VIEW("ROOTCA")); /* a control plane that has none of it says so, and nothing waits for it */
    PLAN_EACH(s->got, RESOURCE_CLUSTER, r)
    {
        const struct cluster *c = (const struct cluster *)r;
        if (c->type == CLUSTER_EDS)
            want(s, RESOURCE_ENDPOINTS, c->eds_name.name);
        for (uint32_t i = 0; i < c->n_transports; i++)
            if (c->transports[i].tls)
                want_secrets(s, &c->transports[i].tls->common);
    }
    PLAN_EACH(s->got, RESOURCE_LISTENER, r)
    {
        const struct listener *l = (const struct listener *)r;
        for (uint32_t i = 0; i < l->n_chains; i++)
            want_of_chain(s, &l->chains[i]);
        if (l->default_chain)
            want_of_chain(s, l->default_chain);
    }
}

static void unshare(struct xds_state *s)
{
    if (s->got_shared) {
        struct plan *copy = plan_copy(s->got);
        plan_unref(s->got);
        s->got = copy;
        s->got_shared = false;
    }
}

/* New names are subscribed to, names that nothing names any more are given up and leave the plan. */
static void subscribe(struct xds_state *s, struct xds_out *out)
{
    static const enum resource_kind kinds[] = {RESOURCE_ENDPOINTS, RESOURCE_ROUTES, RESOURCE_SECRET};

    for (size_t k = 0; k < 3; k++) {
        MAP_EACH (&s->have[kinds[k]], it) {
            ((struct xds_have *)it->value)->wanted = false;
        }
    }
    want_all(s);
    for (size_t k = 0; k < 3; k++) {
        struct map *have = &s->have[kinds[k]];
        struct buf request = {0};
        bool any = false;
        size_t at;

        discovery_write_type(&request, xds_type_of(kinds[k])->url);
        for (uint32_t i = 0; i < have->n_items; i++) {
            struct xds_have *h = have->items[i].value;
            if (!h)
                continue;
            if (!h->wanted) {
                any = true;
                discovery_write_name(&request, REQUEST_UNSUBSCRIBE, h->name);
                unshare(s);
                plan_del(s->got, kinds[k], h->name);
                have_del(have, h);
            } else if (!h->asked) {
                any = h->asked = true;
                discovery_write_name(&request, REQUEST_SUBSCRIBE, h->name);
            }
        }
        if (any) {
            at = out_begin(out);
            buf_view(&out->bytes, buf_read(&request));
            out_end(out, at);
        }
        buf_done(&request);
    }
}

/* ---- responses ---- */

static void complain(struct buf *error, struct view why)
{
    if (buf_len(error) > LIMIT_XDS_NACK_BYTES)
        return;
    if (buf_len(error))
        buf_str(error, "; ");
    buf_view(error, view_head(why, LIMIT_XDS_NACK_BYTES / 2));
}

/* A secret that TLS could not use is refused here, where the control plane hears of it and every worker keeps the old one. */
static int check_secret(const struct tls_secret *secret, struct view *ret_why)
{
    struct tls_identity *identity = NULL;
    struct tls_trust *trust = NULL;
    const char *why;
    int r = 0;

    if (secret->cert_chain.n)
        r = tls_identity_new(secret->cert_chain, secret->private_key, &identity, &why);
    if (r == 0 && secret->trusted_ca.n)
        r = tls_trust_new(&secret->trusted_ca, 1, &trust, &why);
    if (r < 0)
        *ret_why = view_of(why);
    tls_identity_unref(identity);
    tls_trust_unref(trust);
    return r;
}

static int prepare(struct resource *r, struct view *ret_why)
{
    int err = resource_prepare(r, ret_why);
    return err < 0 || r->kind != RESOURCE_SECRET ? err : check_secret((const struct tls_secret *)r, ret_why);
}

static struct resource *decode(struct xds_state *s, const struct xds_type *t, const struct discovery_resource *d,
                               struct buf *error)
{
    struct resource *r = NULL;
    struct view why = VIEW_NONE;

    if (!view_eq(d->type_url, t->url)) {
        complain(error, VIEW("a resource is of another type than its response"));
        return NULL;
    }
    if (xds_decode(s->codec, t->kind, d->value, &r, &why) < 0) {
        complain(error, why);
        return NULL;
    }
    if (d->name.n && !view_eq(d->name, r->name)) {
        complain(error, VIEW("a resource has another name than its envelope"));
    } else if (prepare(r, &why) < 0) {
        struct buf text = {0};
        buf_printf(&text, "%s %.*s: %.*s", resource_kind_name(t->kind), VIEW_ARGS(r->name), VIEW_ARGS(why));
        complain(error, buf_read(&text));
        buf_done(&text);
    } else {
        return r;
    }
    resource_unref(r);
    return NULL;
}

/* What was not usable (made[i] is NULL, a secret) stays as it was; if it never came, nobody waits for it. */
static void keep(struct xds_state *s, const struct xds_type *t, struct view name)
{
    struct xds_have *h = map_get(&s->have[t->kind], name);
    if (h && !h->received)
        h->absent = true;
}

static void apply(struct xds_state *s, const struct xds_type *t, const struct discovery_response *r,
                  struct resource **made, uint32_t n)
{
    struct discovery_walk walk = {.bytes = r->bytes};
    struct discovery_resource d;
    struct view name;

    if (n || r->n_removed)
        unshare(s);
    for (uint32_t i = 0; i < n && discovery_next_resource(&walk, &d); i++) {
        if (!made[i]) {
            keep(s, t, d.name);
            continue;
        }
        have_put(&s->have[t->kind], made[i]->name, d.version)->received = true;
        plan_put(s->got, made[i]);
    }
    walk = (struct discovery_walk){.bytes = r->bytes};
    while (discovery_next_name(&walk, RESPONSE_REMOVED, &name)) {
        struct xds_have *h = map_get(&s->have[t->kind], name);
        plan_del(s->got, t->kind, name);
        if (!h)
            continue;
        if (t->wildcard)
            have_del(&s->have[t->kind], h);
        else
            have_put(&s->have[t->kind], h->name, VIEW_NONE)->absent = true;
    }
    s->seen[t->kind] = true;
    s->resources += n;
    s->updates++;
    buf_clear(&s->version[t->kind]);
    buf_view(&s->version[t->kind], r->version);
}

static void nack(struct xds_state *s, const struct discovery_response *r, struct view why, struct xds_out *out)
{
    s->nacks++;
    answer(out, r, view_head(why, LIMIT_XDS_NACK_BYTES));
}

int xds_state_response(struct xds_state *s, struct view bytes, struct xds_out *out)
{
    struct discovery_walk walk = {.bytes = bytes};
    struct discovery_response r;
    struct discovery_resource d;
    const struct xds_type *t;
    struct resource **made;
    struct buf error = {0};
    uint32_t n = 0;

    if (discovery_read_response(bytes, &r) < 0)
        return -EINVAL;
    t = xds_type_by_url(r.type_url);
    if (!t) {
        nack(s, &r, VIEW("this type was not asked for"), out);
        return 0;
    }
    made = calloc(r.n_resources + 1, sizeof(struct resource *));
    must(made != NULL);
    while (discovery_next_resource(&walk, &d))
        made[n++] = decode(s, t, &d, &error);
    if (!buf_len(&error) || t->kind == RESOURCE_SECRET) /* secrets stand alone: a bad one does not hold up the others */
        apply(s, t, &r, made, n);
    if (buf_len(&error)) {
        buf_clear(&s->error);
        buf_view(&s->error, buf_read(&error));
        s->error_kind = t->kind;
        nack(s, &r, buf_read(&error), out);
    } else {
        if (s->error_kind == t->kind)
            buf_clear(&s->error);
        answer(out, &r, VIEW_NONE);
        if (t->kind == RESOURCE_CLUSTER || t->kind == RESOURCE_LISTENER)
            subscribe(s, out);
    }
    for (uint32_t i = 0; i < n; i++)
        resource_unref(made[i]);
    free(made);
    buf_done(&error);
    return 0;
}

/* ---- plans ---- */

bool xds_state_complete(const struct xds_state *s)
{
    if (!s->seen[RESOURCE_CLUSTER] || !s->seen[RESOURCE_LISTENER])
        return false;
    for (int i = 0; i < RESOURCE_KINDS; i++) {
        MAP_EACH (&s->have[i], it) {
            const struct xds_have *h = it->value;
            if (!h->received && !h->absent)
                return false;
        }
    }
    return true;
}

bool xds_state_pending(const struct xds_state *s)
{
    return !s->got_shared && s->updates > 0;
}

bool xds_state_publish(struct xds_state *s, bool force)
{
    if (!xds_state_pending(s) ||
        !(force ? s->seen[RESOURCE_CLUSTER] && s->seen[RESOURCE_LISTENER] : xds_state_complete(s)))
        return false;
    plan_unref(s->plan);
    s->plan = plan_ref(s->got);
    s->got_shared = true;
    return true;
}
