// SPDX-License-Identifier: Apache-2.0
/* Secrets that Gateways and DestinationRules name by credentialName: kubernetes://<name> is certificate and key,
 * kubernetes://<name>-cacert the authorities that the other side must be of. Both come from one Secret in the proxy's own
 * namespace (tls.crt, tls.key, ca.crt, or cert, key, cacert), the authorities also from a Secret <name>-cacert.
 *
 * A Secret that is not there gives no resource: the proxy refuses handshakes until it comes. Who may have the resources
 * decides control/push.c.
 */
#include "compile/scope.h"

static const struct secret *secret_named(const struct scope *s, struct view name)
{
    struct object *o = snapshot_get(s->c->snap, KIND_SECRET, s->ns, name);
    return OBJECT_AS(o, SECRET, secret);
}

/* The first of two names that has a value. */
static struct view value_of(const struct secret *from, const char *name, const char *or_name)
{
    struct view v = from ? labels_get(&from->data, view_of(name)) : VIEW_NONE;
    return v.n || !from ? v : labels_get(&from->data, view_of(or_name));
}

void compile_identity(struct scope *s, struct plan *p, struct view credential)
{
    const struct secret *from = secret_named(s, credential);
    struct view chain = value_of(from, "tls.crt", "cert"), key = value_of(from, "tls.key", "key");
    if (chain.n && key.n)
        scope_put(s->c, p,
                  tls_secret_new(arena_printf(&s->c->arena, "kubernetes://%.*s", VIEW_ARGS(credential)), chain, key,
                                 VIEW_NONE));
}

void compile_authorities(struct scope *s, struct plan *p, struct view credential)
{
    struct view name = arena_printf(&s->c->arena, "%.*s-cacert", VIEW_ARGS(credential));
    struct view ca = value_of(secret_named(s, credential), "ca.crt", "cacert");
    if (!ca.n)
        ca = value_of(secret_named(s, name), "ca.crt", "cacert");
    if (ca.n)
        scope_put(
            s->c, p,
            tls_secret_new(arena_printf(&s->c->arena, "kubernetes://%.*s", VIEW_ARGS(name)), VIEW_NONE, VIEW_NONE, ca));
}
