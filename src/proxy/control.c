// SPDX-License-Identifier: Apache-2.0
/* Certificates and configuration of a running proxy: the CA is asked for a certificate (trust/rotation.h) while the xDS
 * stream is opened (xds/client.h); the first plan goes to the workers once both are there, so that no listener is open
 * before it can prove who it is. Later certificates and plans go to them as they come.
 *
 * Roots come three ways: a mounted file, read again as the kubelet changes it; the CA's answer; and, once the xDS stream is
 * there, the control plane's word (SDS resource ROOTCA), which replaces the other two for workloads, so that a root can also be
 * taken away. The control plane itself is believed under any of the three: who was away while the root changed must get back.
 */
#include <errno.h>
#include <unistd.h>

#include "base/file.h"
#include "base/limits.h"
#include "base/log.h"
#include "net/loop.h"
#include "plan/plan.h"
#include "proxy/proxy_impl.h"
#include "trust/roots.h"
#include "trust/spiffe.h"

#define TOKEN_EVERY (30 * NS_PER_S)

/* The projected token is replaced by the kubelet now and then. */
static void refresh_token(struct proxy *p)
{
    struct buf token = {0};
    if (p->options->token_path && file_read(view_of(p->options->token_path), LIMIT_JWT_BYTES, &token) == 0)
        xds_client_set_token(p->xds, view_trim(view_head(buf_read(&token), view_find(buf_read(&token), '\n'))));
    buf_wipe(&token);
    timer_in(&p->token_timer, TOKEN_EVERY);
}

/* 0 also when it is what we have. */
static int read_root(struct proxy *p)
{
    struct buf pem = {0};
    struct tls_trust *fresh = NULL;
    const char *why = "cannot be read";
    int r = file_read(view_of(p->options->root_path), LIMIT_CERT_CHAIN_BYTES, &pem);
    struct view v = buf_read(&pem);
    if (r == 0 && (!p->root || !view_eq(v, tls_trust_pem(p->root))))
        r = tls_trust_new(&v, 1, &fresh, &why);
    buf_done(&pem);
    if (r < 0)
        log_error("root certificate %s: %s%s", p->options->root_path, why, p->root ? "; the last one stays" : "");
    if (!fresh)
        return r;
    tls_trust_unref(p->root);
    p->root = fresh;
    return 0;
}

static int start_rotation(struct proxy *p)
{
    const struct proxy_options *o = p->options;
    struct rotation_config config = {
        .ca =
            {
                .loop = p->loop,
                .http = p->http,
                .resolver = p->resolver,
                .host = o->ca_host,
                .port = o->ca_port,
                .server_name = o->server_name,
                .trust = p->root,
                .token_path = o->token_path,
                .cluster_id = o->cluster_id,
                .ttl = o->cert_ttl,
            },
        .spiffe = spiffe_uri(
            &p->arena, &(struct spiffe){spiffe_trust_domain(&p->arena, o->trust_domain), o->ns, o->service_account}),
    };
    p->rotation = rotation_new(&config, &p->task, PROXY_CONTROL);
    if (p->rotation)
        rotation_set_ca_trust(p->rotation, p->root); /* which may be read again */
    return p->rotation ? 0 : -EINVAL;
}

static int start_xds(struct proxy *p)
{
    const struct proxy_options *o = p->options;
    const struct view alpn = VIEW("h2");
    const char *why = "";
    if (!o->discovery_plain) {
        struct tls_config tls = {.trust = p->root, .alpn = &alpn, .n_alpn = 1};
        int r = tls_context_new(p->loop, &tls, &p->xds_tls, &why);
        if (r < 0) {
            log_error("TLS for discovery: %s", why);
            return r;
        }
    }
    struct xds_client_config config = {
        .loop = p->loop,
        .http = p->http,
        .resolver = p->resolver,
        .host = o->discovery_host,
        .port = o->discovery_port,
        .tls = p->xds_tls,
        .server_name = o->server_name,
        .node = &p->node,
    };
    p->xds = xds_client_new(&config, &p->task, PROXY_CONTROL);
    timer_init(&p->token_timer, &p->task, PROXY_TOKEN);
    refresh_token(p);
    return 0;
}

int control_start(struct proxy *p)
{
    p->resolver = resolver_new(p->loop, NULL);
    bool root = access(p->options->root_path, R_OK) == 0 || !p->options->discovery_plain;
    int r = root ? read_root(p) : 0;
    if (r == 0 && p->root)
        r = start_rotation(p);
    return r == 0 ? start_xds(p) : r;
}

/* ---- roots ---- */

static struct view told_roots(const struct proxy *p)
{
    const struct plan *plan = p->xds ? xds_client_plan(p->xds) : NULL;
    struct name_ref name = name_ref(VIEW("ROOTCA"));
    const struct tls_secret *s = plan ? plan_secret(plan, &name) : NULL;
    return s ? s->trusted_ca : VIEW_NONE;
}

static bool says(const struct tls_trust *t, struct view pem)
{
    return t && view_eq(view_trim(tls_trust_pem(t)), view_trim(pem));
}

/* A trust of the roots in `pem`, unless *now is just that. */
static bool turn_trust(struct tls_trust **now, struct view pem)
{
    struct tls_trust *fresh = NULL;
    const char *why = "";
    if (says(*now, pem))
        return false;
    if (tls_trust_new(&pem, 1, &fresh, &why) < 0) {
        log_error("new roots: %s; the last ones stay", why);
        return false;
    }
    tls_trust_unref(*now);
    *now = fresh;
    return true;
}

/* Whether any of the three is another than the last time. */
static bool roots_changed(struct proxy *p, struct view told)
{
    struct tls_trust *theirs = rotation_trust(p->rotation);
    uint64_t from[] = {tls_trust_generation(p->root), theirs ? tls_trust_generation(theirs) : 0, view_hash(told)};
    uint64_t hash = view_hash(view_make(from, sizeof(from)));
    bool changed = hash != p->roots_from;
    p->roots_from = hash;
    return changed;
}

/* Workloads' roots changed: true. */
static bool turn_roots(struct proxy *p)
{
    struct view told = told_roots(p);
    struct tls_trust *theirs = rotation_trust(p->rotation);
    struct buf all = {0};
    const char *why = "";
    bool workloads;
    if (!roots_changed(p, told))
        return false;
    if (roots_read(tls_trust_pem(p->root), &all, &why) < 0)
        buf_view(&all, tls_trust_pem(p->root)); /* read_root found them good */
    if (theirs)
        roots_add(&all, tls_trust_pem(theirs));
    workloads = turn_trust(&p->trust, told.n ? told : buf_read(&all));
    roots_add(&all, told);
    if (turn_trust(&p->above, buf_read(&all))) {
        rotation_set_ca_trust(p->rotation, p->above);
        if (p->xds_tls && tls_context_set_trust(p->xds_tls, p->above) < 0)
            log_error("the new roots are not used for discovery");
    }
    buf_done(&all);
    return workloads;
}

static void post_identity(struct proxy *p)
{
    proxy_post_all(p, &(struct worker_letter){.kind = WORKER_IDENTITY, .identity = p->identity, .trust = p->trust});
}

static void take_roots(struct proxy *p)
{
    if (p->rotation && p->identity && turn_roots(p)) {
        log_info("trusted roots changed");
        post_identity(p);
    }
}

static void take_certificate(struct proxy *p)
{
    struct tls_identity *now = p->rotation ? rotation_identity(p->rotation) : NULL;
    if (!now || now == p->identity)
        return;
    tls_identity_unref(p->identity);
    p->identity = tls_identity_ref(now);
    (void)turn_roots(p);
    if (!p->first_cert)
        p->first_cert = loop_now(p->loop);
    struct view id = tls_identity_spiffe(now);
    log_info("certificate for %.*s, renewed in %llu s", VIEW_ARGS(id),
             (unsigned long long)((rotation_renews_at(p->rotation) - loop_wall(p->loop)) / NS_PER_S));
    post_identity(p);
}

static void take_plan(struct proxy *p)
{
    const struct plan *now = p->xds ? xds_client_plan(p->xds) : NULL;
    if (!now || now == p->plan || (p->rotation && !p->identity))
        return;
    proxy_run_plan(p, now);
    log_debug("plan %llu: %u listeners, %u clusters, %u route tables", (unsigned long long)p->version,
              plan_count(now, RESOURCE_LISTENER), plan_count(now, RESOURCE_CLUSTER), plan_count(now, RESOURCE_ROUTES));
}

void control_run(struct proxy *p, uint32_t events)
{
    take_certificate(p);
    take_roots(p);
    take_plan(p);
    if ((events & PROXY_TOKEN) && p->xds) {
        refresh_token(p);
        if (p->root && read_root(p) == 0)
            take_roots(p);
    }
}

void control_stop(struct proxy *p)
{
    if (p->xds)
        timer_clear(&p->token_timer);
    p->xds = xds_client_free(p->xds);
    p->rotation = rotation_free(p->rotation);
    p->xds_tls = tls_context_free(p->xds_tls);
    p->resolver = resolver_free(p->resolver);
    p->identity = tls_identity_unref(p->identity);
    p->trust = tls_trust_unref(p->trust);
    p->above = tls_trust_unref(p->above);
    p->root = tls_trust_unref(p->root);
}
