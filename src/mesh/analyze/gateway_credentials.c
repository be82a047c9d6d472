// SPDX-License-Identifier: Apache-2.0
/* IST0101 and IST0161: a Gateway's credentialName without its Secret, or with one that TLS cannot use, as far as its text
 * shows. A Secret counts in the namespaces where the gateway's pods run; without pods nothing is known, and nothing said.
 * Whether certificate and key belong together, the proxy sees: it refuses the Secret and keeps the last good one.
 */
#include "mesh/analyze/common.h"
#include "mesh/decode.h"

struct credential { /* what is looked at */
    const struct mesh_snapshot *snap;
    struct diags *d;
    const struct gateway *gw;
    const struct gateway_server *server;
    struct view ns; /* where pods of the gateway run */
};

static const struct secret *secret_of(const struct credential *c, struct view ns, struct view name)
{
    return (const void *)snapshot_get(c->snap, KIND_SECRET, ns, name);
}

static struct view value_of(const struct secret *s, const char *name, const char *or_name)
{
    struct view v = s ? labels_get(&s->data, view_of(name)) : VIEW_NONE;
    return v.n || !s ? v : labels_get(&s->data, view_of(or_name));
}

static bool is_pem(struct view v)
{
    return view_find_view(v, VIEW("-----BEGIN ")) < v.n;
}

static struct diag *warn(const struct credential *c, const char *code)
{
    struct origin place = part_field(c->d->arena, &c->server->tls->part, "credentialName");
    return mesh_warn(c->d, DIAG_WARNING, code, &c->gw->o, &place);
}

static void missing(const struct credential *c)
{
    struct view name = c->server->tls->credential_name, *near = NULL;
    size_t n = 0;
    SNAPSHOT_EACH(c->snap, SECRET, secret, s)
    {
        if (view_eq(s->o.meta.ns, c->ns) &&
            view_eq(c->ns, c->gw->o.meta.ns)) /* other namespaces' names are not ours to tell */
            *ARENA_PUSH(c->d->arena, near, n) = s->o.meta.name;
    }
    struct view nearest = diag_nearest(name, near, n);
    struct diag *one = warn(c, "IST0101");
    one->title = diag_text(c->d, "Gateway `%.*s` names a Secret that does not exist", VIEW_ARGS(c->gw->o.meta.name));
    one->label = diag_text(c->d, "no Secret `%.*s` in namespace `%.*s`, where the gateway runs", VIEW_ARGS(name),
                           VIEW_ARGS(c->ns));
    if (secret_of(c, c->gw->o.meta.ns, name))
        one->hint = diag_text(c->d, "there is one in namespace `%.*s`: move it to `%.*s`", VIEW_ARGS(c->gw->o.meta.ns),
                              VIEW_ARGS(c->ns));
    else if (nearest.n)
        one->hint = diag_text(c->d, "did you mean `%.*s`?", VIEW_ARGS(nearest));
    one->effect = VIEW("TLS handshakes for these hosts fail until it is there");
}

static void unusable(const struct credential *c, const char *what, struct view secret, const char *effect)
{
    struct diag *one = warn(c, "IST0161");
    one->title = diag_text(c->d, "Gateway `%.*s` names a Secret that cannot be used", VIEW_ARGS(c->gw->o.meta.name));
    one->label = diag_text(c->d, "Secret `%.*s/%.*s` %s", VIEW_ARGS(c->ns), VIEW_ARGS(secret), what);
    one->effect = view_of(effect);
}

static void check_pair(const struct credential *c, const struct secret *s)
{
    static const char effect[] =
        "TLS handshakes for these hosts fail, or go on with the certificate that was there before";
    struct view chain = value_of(s, "tls.crt", "cert"), key = value_of(s, "tls.key", "key");
    const char *what = !chain.n         ? "has no tls.crt"
                       : !key.n         ? "has no tls.key"
                       : !is_pem(chain) ? "has a tls.crt that is not PEM"
                       : !is_pem(key)   ? "has a tls.key that is not PEM"
                                        : NULL;
    if (what)
        unusable(c, what, s->o.meta.name, effect);
}

static void check_authorities(const struct credential *c, const struct secret *s)
{
    struct view other = diag_text(c->d, "%.*s-cacert", VIEW_ARGS(s->o.meta.name)), from = s->o.meta.name;
    struct view ca = value_of(s, "ca.crt", "cacert");
    if (!ca.n) {
        ca = value_of(secret_of(c, c->ns, other), "ca.crt", "cacert");
        from = ca.n ? other : from;
    }
    if (!ca.n)
        unusable(c, "has no ca.crt, and there is no Secret of that name with -cacert", from, "no client is let in");
    else if (!is_pem(ca))
        unusable(c, "has a ca.crt that is not PEM", from, "no client is let in, or those of the authorities before");
}

static void check_where(struct credential *c)
{
    const struct server_tls *tls = c->server->tls;
    const struct secret *s = secret_of(c, c->ns, tls->credential_name);
    if (!s) {
        missing(c);
        return;
    }
    check_pair(c, s);
    if (tls->mode == SERVER_TLS_MUTUAL || tls->mode == SERVER_TLS_OPTIONAL_MUTUAL)
        check_authorities(c, s);
}

/* The namespaces where pods that the Gateway selects run, each once. */
static struct view *namespaces_of(const struct mesh_snapshot *snap, struct arena *a, const struct gateway *gw,
                                  uint32_t *ret_n)
{
    struct view *list = NULL;
    uint32_t n = 0;
    SNAPSHOT_EACH(snap, POD, pod, p)
    {
        bool known = !labels_match(&gw->selector, &p->o.meta.labels);
        for (uint32_t i = 0; i < n && !known; i++)
            known = view_eq(list[i], p->o.meta.ns);
        if (!known)
            *ARENA_PUSH(a, list, n) = p->o.meta.ns;
    }
    *ret_n = n;
    return list;
}

void check_gateway_credentials(const struct mesh_snapshot *snap, struct diags *d)
{
    SNAPSHOT_EACH(snap, GATEWAY, gateway, gw)
    {
        uint32_t n = 0;
        struct view *where = NULL;
        for (uint32_t i = 0; i < gw->n_servers && gw->selector.n; i++) {
            const struct server_tls *tls = gw->servers[i].tls;
            if (!tls || !tls->credential_name.n)
                continue;
            if (!where)
                where = namespaces_of(snap, d->arena, gw, &n);
            for (uint32_t j = 0; j < n; j++)
                check_where(&(struct credential){snap, d, gw, &gw->servers[i], where[j]});
        }
    }
}
