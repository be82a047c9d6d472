// SPDX-License-Identifier: Apache-2.0
/* Certificates and configuration of a running proxy: the CA is asked for a certificate (trust/rotation.h) while the xDS
 * stream is opened (xds/client.h); the first plan goes to the workers once both are there, so that no listener is open
 * before it can prove who it is. Later certificates and plans go to them as they come.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/log.h"
#include "net/loop.h"
#include "plan/plan.h"
#include "proxy/proxy_impl.h"
#include "trust/csr.h"
#include "trust/spiffe.h"

#define TOKEN_EVERY (30 * NS_PER_S)

static int read_all(const char *path, struct buf *out, size_t most)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    ssize_t n;
    do {
        size_t room;
        char *to = buf_room(out, 4096, &room);
        n = read(fd, to, room);
        if (n > 0)
            buf_added(out, (size_t)n);
    } while (n > 0 && buf_len(out) <= most);
    int r = n < 0 ? -errno : buf_len(out) > most ? -EFBIG : 0;
    close(fd);
    return r;
}

/* The projected token is replaced by the kubelet now and then. */
static void refresh_token(struct proxy *p)
{
    struct buf token = {0};
    if (p->options->token_path && read_all(p->options->token_path, &token, LIMIT_JWT_BYTES) == 0)
        xds_client_set_token(p->xds, view_trim(view_head(buf_read(&token), view_find(buf_read(&token), '\n'))));
    buf_wipe(&token);
    timer_in(&p->token_timer, TOKEN_EVERY);
}

static int read_root(struct proxy *p)
{
    struct buf pem = {0};
    const char *why = "cannot be read";
    int r = read_all(p->options->root_path, &pem, LIMIT_CERT_CHAIN_BYTES);
    struct view v = buf_read(&pem);
    if (r == 0)
        r = tls_trust_new(&v, 1, &p->root, &why);
    buf_done(&pem);
    if (r < 0)
        log_error("root certificate %s: %s", p->options->root_path, why);
    return r;
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

/* Roots: the mounted file, and what the CA returned with the certificate if that is another one (root rotation). */
static struct tls_trust *both_roots(struct proxy *p)
{
    struct tls_trust *theirs = rotation_trust(p->rotation), *both;
    const char *why;
    if (!theirs || view_eq(view_trim(tls_trust_pem(theirs)), view_trim(tls_trust_pem(p->root))))
        return tls_trust_ref(p->root);
    struct view pems[] = {tls_trust_pem(p->root), tls_trust_pem(theirs)};
    return tls_trust_new(pems, 2, &both, &why) == 0 ? both : tls_trust_ref(p->root);
}

static void take_certificate(struct proxy *p)
{
    struct tls_identity *now = p->rotation ? rotation_identity(p->rotation) : NULL;
    if (!now || now == p->identity)
        return;
    tls_identity_unref(p->identity);
    p->identity = tls_identity_ref(now);
    struct tls_trust *trust = both_roots(p);
    tls_trust_unref(p->trust);
    p->trust = trust;
    if (!p->first_cert)
        p->first_cert = loop_now(p->loop);
    struct view id = tls_identity_spiffe(now);
    log_info("certificate for %.*s, renewed in %llu s", VIEW_ARGS(id),
             (unsigned long long)((rotation_renews_at(p->rotation) - loop_wall(p->loop)) / NS_PER_S));
    proxy_post_all(p, &(struct worker_letter){.kind = WORKER_IDENTITY, .identity = p->identity, .trust = p->trust});
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
    take_plan(p);
    if ((events & PROXY_TOKEN) && p->xds)
        refresh_token(p);
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
    p->root = tls_trust_unref(p->root);
}
