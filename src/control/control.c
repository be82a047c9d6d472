// SPDX-License-Identifier: Apache-2.0
/* See control.h: puts the parts together, dispatches requests by path, and renews the server certificate. */
#include "control/control.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "control/identity/ca.h"
#include "control/identity/authority.h"
#include "control/debug.h"
#include "control/port.h"
#include "control/push.h"
#include "control/reply.h"
#include "control/identity/review.h"
#include "control/identity/root_cert.h"
#include "control/source.h"
#include "control/status/status.h"
#include "control/store.h"
#include "control/webhook/webhook.h"
#include "http/stream.h"
#include "kube/client.h"
#include "kube/lease.h"
#include "net/loop.h"
#include "net/timer.h"
#include "net/tls.h"
#include "trust/ca.h"
#include "xds/types.h"

enum { EVENT_STORE = 1, EVENT_PROXY = 2, EVENT_RENEW = 4, EVENT_AUTHORITY = 8 };

#define SERVER_CERT_TTL (24 * 3600 * NS_PER_S)
#define PORTS 4

struct control {
    struct control_config config;
    struct task task;
    struct timer renew;
    struct http_shared *http;
    struct store *store;
    struct push *push;
    struct xds_server *xds;
    struct reviewer *reviewer;
    struct authority *authority, *own_authority; /* own: of config.ca */
    struct authority_watch ca_changes;
    struct ca_service *ca;
    struct debug *debug;
    struct source_kube *kube;
    struct kube_lease *lease; /* of the one replica that writes; NULL: there is only one */
    struct root_cert *roots;
    struct status *status;
    struct source_file *files;
    struct webhook *webhook;
    struct tls_context *tls;
    struct port *ports[PORTS]; /* plain, TLS, debug, ready */
    struct list admissions;
};

/* ---- who may open an xDS stream: a review that ends in xds_server_accept or a refusal ---- */

struct admission {
    struct task task;
    struct timer late;
    struct list link;
    struct control *control;
    struct http_stream *stream;
    struct review *review;
};

enum { EVENT_STREAM = 1, EVENT_LATE = 2 }; /* and KUBE_WAKE */

static void admission_free(struct admission *a)
{
    list_del(&a->link);
    http_stream_free(a->stream);
    review_free(a->review);
    timer_done(&a->late);
    task_done(&a->task);
    free(a);
}

static void refuse(struct http_stream *s, const char *status, struct view why)
{
    struct headers h;

    headers_init(&h, NULL);
    if (headers_add(&h, HEADER_STATUS, VIEW("200")) < 0 ||
        headers_add_name(&h, HEADER_OTHER, VIEW("grpc-message"), why) < 0 ||
        headers_add(&h, HEADER_CONTENT_TYPE, VIEW("application/grpc")) < 0 ||
        headers_add_name(&h, HEADER_OTHER, VIEW("grpc-status"), view_of(status)) < 0 ||
        http_stream_headers(s, &h, true) < 0)
        log_debug("a refusal could not be sent");
}

static void admission_run(struct task *t, uint32_t events)
{
    struct admission *a = CONTAINER_OF(t, struct admission, task);
    struct xds_identity who;
    struct view why = VIEW_NONE;
    int r = review_result(a->review, &who, &why);

    if (a->stream->ready & HTTP_RESET) {
        admission_free(a);
    } else if (r == 0) {
        struct http_stream *s = a->stream;
        a->stream = NULL;
        xds_server_accept(a->control->xds, s, &who);
        admission_free(a);
    } else if (r != -EAGAIN || events & EVENT_LATE) {
        log_warn("an xDS stream was refused: %.*s", VIEW_ARGS(r == -EAGAIN ? VIEW("the review took too long") : why));
        refuse(a->stream, r == -EACCES ? "16" : "14", why.n ? why : VIEW("the token could not be reviewed"));
        admission_free(a);
    }
}

static void admit(struct control *c, const struct port_request *q)
{
    struct view authorization = headers_get(&q->stream->in, VIEW("authorization"));
    struct admission *a;

    if (q->peer.ns.n && view_eq(q->peer.trust_domain, c->config.trust_domain)) {
        xds_server_accept(c->xds, q->stream, &q->peer);
        return;
    }
    if (c->config.open || (!authorization.n && !q->tls)) { /* Istio's 15010: nobody in particular */
        xds_server_accept(c->xds, q->stream, NULL);
        return;
    }
    a = calloc(1, sizeof(*a));
    must(a != NULL);
    a->control = c;
    a->stream = q->stream;
    task_init(&a->task, c->config.loop, admission_run, "xds admission");
    timer_init(&a->late, &a->task, EVENT_LATE);
    timer_in(&a->late, 10 * NS_PER_S);
    list_push(&c->admissions, &a->link);
    http_stream_own(q->stream, &a->task, EVENT_STREAM);
    a->review = review_new(c->reviewer, authorization, false, &a->task);
    task_wake(&a->task, EVENT_STREAM);
}

static void serve_grpc(void *arg, const struct port_request *q)
{
    struct control *c = arg;

    if (view_is(q->path, XDS_DELTA_PATH))
        admit(c, q);
    else if (view_is(q->path, CA_CREATE_PATH) && c->ca)
        ca_service_accept(c->ca, q->stream, &q->peer, q->from);
    else {
        refuse(q->stream, "12", VIEW("unknown service or method; state-of-the-world xDS is not supported, use delta"));
        http_stream_free(q->stream);
    }
}

/* ---- our own certificate ---- */

static int issue(struct control *c, struct tls_identity **ret, const char **ret_why)
{
    struct view ns = c->config.home.n ? c->config.home : VIEW("istio-system"), names[SERVICE_NAMES + 1];
    struct ca_grant grant = {.dns = names, .ttl = SERVER_CERT_TTL};
    struct arena a;
    struct buf chain = {0}, key = {0};
    int r;

    arena_init(&a, 1024);
    grant.n_dns = webhook_service_names(&a, ns, c->config.revision.n ? c->config.revision : VIEW("default"), names);
    names[grant.n_dns++] = arena_printf(&a, "istio-pilot.%.*s.svc", VIEW_ARGS(ns));
    r = ca_issue(authority_ca(c->authority), &grant, loop_wall(c->config.loop), &chain, &key, ret_why);
    if (r == 0)
        r = tls_identity_new(buf_read(&chain), buf_read(&key), ret, ret_why);
    buf_done(&chain);
    buf_wipe(&key);
    arena_done(&a);
    return r;
}

static void renew(struct control *c)
{
    struct tls_identity *id = NULL;
    const char *why = "it could not be issued";

    if (issue(c, &id, &why) < 0 || tls_context_set_identity(c->tls, id) < 0)
        log_error("the server certificate was not renewed, the old one stays: %s", why);
    tls_identity_unref(id);
    timer_in(&c->renew, SERVER_CERT_TTL / 2);
}

/* Another signer, or other roots: our own certificate, whom we believe, and what everybody is told. */
static void take_authority(struct control *c)
{
    struct view roots = authority_roots(c->authority);
    struct tls_trust *trust = NULL;
    const char *why = "they are not taken by the TLS library";

    if (tls_trust_new(&roots, 1, &trust, &why) < 0 || tls_context_set_trust(c->tls, trust) < 0)
        log_error("the new roots are not used for clients: %s", why);
    tls_trust_unref(trust);
    renew(c);
    push_roots(c->push, roots);
    if (c->roots)
        root_cert_set(c->roots, roots);
}

static int open_tls(struct control *c, const char **ret_why)
{
    static const struct view alpn[] = {{"h2", 2}};
    struct tls_identity *id = NULL;
    struct tls_trust *trust = NULL;
    struct view root = authority_roots(c->authority);
    int r = issue(c, &id, ret_why);

    if (r == 0)
        r = tls_trust_new(&root, 1, &trust, ret_why);
    if (r == 0)
        r = tls_context_new(c->config.loop,
                            &(struct tls_config){.server = true,
                                                 .identity = id,
                                                 .trust = trust,
                                                 .client_cert = TLS_CLIENT_OPTIONAL,
                                                 .alpn = alpn,
                                                 .n_alpn = 1},
                            &c->tls, ret_why);
    tls_identity_unref(id);
    tls_trust_unref(trust);
    if (r == 0)
        timer_in(&c->renew, SERVER_CERT_TTL / 2);
    return r;
}

/* ---- life ---- */

static void tell_lead(struct control *c)
{
    struct view now = kube_lease_holder(c->lease);

    if (kube_lease_held(c->lease))
        log_info("this replica leads: it writes statuses and root certificates");
    else
        log_info("this replica does not lead any more; the Lease was last seen with %.*s",
                 VIEW_ARGS(now.n ? now : VIEW("nobody")));
}

static void control_run(struct task *t, uint32_t events)
{
    struct control *c = CONTAINER_OF(t, struct control, task);

    if (events & KUBE_WAKE) {
        tell_lead(c);
        if (c->roots)
            root_cert_lead(c->roots, kube_lease_held(c->lease));
        if (c->status)
            status_lease(c->status);
    }
    if (events & EVENT_STORE) {
        push_snapshot(c->push, store_take(c->store));
        if (c->roots && push_now(c->push))
            root_cert_check(c->roots, push_now(c->push)->mesh);
        if (c->status)
            status_snapshot(c->status);
        if (c->webhook && push_now(c->push))
            webhook_snapshot(c->webhook, push_now(c->push)->mesh);
    }
    if (events & EVENT_PROXY)
        push_proxies(c->push);
    if (events & EVENT_AUTHORITY)
        take_authority(c);
    else if (events & EVENT_RENEW)
        renew(c);
}

static int open_ports(struct control *c, const char **ret_why)
{
    const struct {
        const struct addr *at;
        struct tls_context *tls;
        enum http_version version;
        void (*serve)(void *arg, const struct port_request *q);
        void *arg;
        const char *why;
    } rows[PORTS] = {
        {&c->config.xds_plain, NULL, HTTP_2, serve_grpc, c, "cannot listen for xDS in plaintext"},
        {&c->config.xds_tls, c->tls, HTTP_2, serve_grpc, c, "cannot listen for xDS over TLS"},
        {&c->config.debug, NULL, HTTP_1, debug_serve, c->debug, "cannot listen for metrics and debugging"},
        {&c->config.ready, NULL, HTTP_1, debug_serve, c->debug, "cannot listen for readiness"},
    };

    for (int i = 0; i < PORTS; i++) {
        struct port_config p = {.loop = c->config.loop,
                                .http = c->http,
                                .at = *rows[i].at,
                                .tls = rows[i].tls,
                                .version = rows[i].version,
                                .serve = rows[i].serve,
                                .arg = rows[i].arg};
        int r;

        if (rows[i].at->family == ADDR_NONE || (i == 1 && !c->tls))
            continue;
        r = port_open(&p, &c->ports[i]);
        if (r < 0) {
            *ret_why = rows[i].why;
            return r;
        }
    }
    return 0;
}

static int open_webhook(struct control *c, const char **ret_why)
{
    const struct control_config *f = &c->config;

    if (f->webhook.family == ADDR_NONE || !c->authority || !f->kube)
        return 0;
    return webhook_new(&(struct webhook_config){.loop = f->loop,
                                                .http = c->http,
                                                .kube = f->kube,
                                                .authority = c->authority,
                                                .at = f->webhook,
                                                .revision = f->revision.n ? f->revision : VIEW("default"),
                                                .ns = f->home.n ? f->home : VIEW("istio-system"),
                                                .cluster_id = f->cluster_id},
                       &c->webhook, ret_why);
}

static int start(struct control *c, const char **ret_why)
{
    struct loop *l = c->config.loop;
    int r = 0;

    if (c->config.ca && !c->config.authority)
        c->own_authority = authority_of(l, c->config.ca);
    c->authority = c->own_authority ? c->own_authority : c->config.authority;
    if (c->authority) {
        c->ca = ca_service_new(&(struct ca_service_config){l, c->authority, c->reviewer, c->config.trust_domain});
        r = open_tls(c, ret_why);
        authority_watch(c->authority, &c->ca_changes, &c->task, EVENT_AUTHORITY);
    }
    if (r == 0 && c->config.kube && c->config.pod.n && !kube_client_local(c->config.kube))
        c->lease = kube_lease_new(
            c->config.kube,
            &(struct kube_lease_config){.ns = c->config.home, .name = VIEW("weft-leader"), .holder = c->config.pod},
            &c->task);
    if (r == 0 && c->config.kube)
        c->kube = source_kube_new(l, c->config.kube, c->config.home, c->store);
    if (r == 0 && c->config.kube && c->authority)
        c->roots = root_cert_new(l, c->config.kube, authority_roots(c->authority));
    if (c->roots)
        root_cert_lead(c->roots, kube_lease_held(c->lease));
    if (r == 0 && c->config.kube)
        c->status = status_new(&(struct status_config){.loop = l,
                                                       .api = c->config.kube,
                                                       .store = c->store,
                                                       .xds = c->xds,
                                                       .push = c->push,
                                                       .instance = c->config.pod,
                                                       .lease = c->lease});
    if (r == 0 && c->config.config) {
        *ret_why = "the folder of configuration cannot be read";
        r = source_file_new(l, c->config.config, c->store, &c->files);
    }
    if (r == 0)
        r = open_webhook(c, ret_why);
    if (r < 0)
        return r;
    c->debug = debug_new(&(struct debug_config){.loop = l,
                                                .store = c->store,
                                                .push = c->push,
                                                .xds = c->xds,
                                                .authority = c->authority,
                                                .ca_service = c->ca,
                                                .reviewer = c->reviewer,
                                                .roots = c->roots,
                                                .kube = c->kube,
                                                .webhook = c->webhook,
                                                .status = c->status,
                                                .cluster_id = c->config.cluster_id});
    return open_ports(c, ret_why);
}

int control_new(const struct control_config *config, struct control **ret_control, const char **ret_why)
{
    struct control *c = calloc(1, sizeof(*c));
    int r;

    must(c != NULL);
    c->config = *config;
    list_init(&c->admissions);
    task_init(&c->task, config->loop, control_run, "control");
    timer_init(&c->renew, &c->task, EVENT_RENEW);
    c->http = http_shared_new(config->loop);
    http_shared_long_streams(c->http);
    c->store = store_new(config->loop, &c->task, EVENT_STORE);
    store_mesh_config(c->store, config->home, config->revision);
    c->xds = xds_server_new(config->loop, &c->task, EVENT_PROXY);
    c->push = push_new(&(struct push_config){config->loop, c->store, c->xds, config->open});
    c->reviewer = reviewer_new(&(struct reviewer_config){.loop = config->loop,
                                                         .kube = config->keys ? NULL : config->kube,
                                                         .keys = config->keys,
                                                         .issuer = config->issuer,
                                                         .audience = VIEW("istio-ca"),
                                                         .trust_domain = config->trust_domain});
    r = start(c, ret_why);
    if (r < 0) {
        control_free(c);
        return r;
    }
    *ret_control = c;
    return 0;
}

void control_trim(struct control *c)
{
    http_shared_trim(c->http);
    malloc_trim(0);
}

struct control *control_free(struct control *c)
{
    if (!c)
        return NULL;
    c->lease = kube_lease_free(c->lease); /* first: it may need the loop once more */
    c->status = status_free(c->status);
    LIST_EACH (&c->admissions, struct admission, link, a) {
        admission_free(a);
    }
    authority_unwatch(&c->ca_changes);
    ca_service_free(c->ca);
    xds_server_free(c->xds);
    for (int i = 0; i < PORTS; i++)
        port_free(c->ports[i]);
    debug_free(c->debug);
    webhook_free(c->webhook);
    root_cert_free(c->roots);
    source_kube_free(c->kube);
    source_file_free(c->files);
    push_free(c->push);
    store_free(c->store);
    reviewer_free(c->reviewer);
    tls_context_free(c->tls);
    authority_free(c->own_authority);
    http_shared_free(c->http);
    timer_done(&c->renew);
    task_done(&c->task);
    free(c);
    return NULL;
}

struct store *control_store(struct control *c)
{
    return c->store;
}

const struct addr *control_addr(const struct control *c, uint16_t standard_port)
{
    if (standard_port == 15017)
        return c->webhook ? webhook_addr(c->webhook) : NULL;
    static const uint16_t standard[PORTS] = {15010, 15012, 15014, 8080};

    for (int i = 0; i < PORTS; i++)
        if (standard[i] == standard_port && c->ports[i])
            return port_addr(c->ports[i]);
    return NULL;
}
