// SPDX-License-Identifier: Apache-2.0
/* Clusters: outbound|port|subset|host for every port of every visible service and every subset of its DestinationRule,
 * with its endpoints, and the fixed ones (PassthroughCluster, BlackHoleCluster, InboundPassthroughCluster).
 *
 * TLS, in this order: what the DestinationRule says; else automatic mTLS, endpoint by endpoint, when the service is in
 * the mesh and its namespace does not refuse mTLS; else plaintext.
 */
#include "compile/scope.h"

#include "plan/defaults.h"

struct cluster *cluster_start(struct scope *s, struct view name, enum cluster_type type)
{
    struct cluster *cl = RESOURCE_NEW(struct cluster, RESOURCE_CLUSTER, name);
    cl->type = type;
    cl->connect_timeout =
        s->c->config->connect_timeout.set ? s->c->config->connect_timeout.ns : DEFAULT_CONNECT_TIMEOUT;
    cl->breaker = (struct breaker_limits){UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX};
    if (type == CLUSTER_EDS)
        cl->eds_name = name_ref(cl->res.name);
    if (type == CLUSTER_ORIGINAL_DST)
        cl->lb.policy = BALANCE_CLUSTER_PROVIDED;
    return cl;
}

/* --- DestinationRule blocks --- */

static uint32_t limit_of(int32_t value)
{
    return value > 0 ? (uint32_t)value : UINT32_MAX;
}

void cluster_apply_pool(struct scope *s, struct cluster *cl, const struct connection_pool *pool)
{
    const struct tcp_pool *tcp = pool ? pool->tcp : NULL;
    const struct http_pool *http = pool ? pool->http : NULL;
    if (tcp) {
        cl->breaker.connections = limit_of(tcp->max_connections);
        if (tcp->connect_timeout.set)
            cl->connect_timeout = tcp->connect_timeout.ns;
        if (tcp->max_connection_duration.set)
            cl->max_connection_duration = tcp->max_connection_duration.ns;
        if (tcp->keepalive) {
            cl->keepalive.on = true;
            cl->keepalive.probes = tcp->keepalive->probes.value;
            cl->keepalive.time = tcp->keepalive->time.ns;
            cl->keepalive.interval = tcp->keepalive->interval.ns;
        }
    }
    if (!http)
        return;
    cl->breaker.pending = limit_of(http->max_pending);
    cl->breaker.requests = limit_of(http->max_requests);
    cl->breaker.retries = limit_of(http->max_retries);
    cl->max_requests_per_connection =
        http->max_requests_per_connection > 0 ? (uint32_t)http->max_requests_per_connection : 0;
    cl->max_streams = http->max_concurrent_streams > 0 ? (uint32_t)http->max_concurrent_streams : 0;
    if (http->idle_timeout.set)
        cl->idle_timeout = http->idle_timeout.ns;
    if (http->h2_upgrade == H2_UPGRADE_ON)
        cl->protocol = PROTOCOL_HTTP2;
    else if (http->use_client_protocol)
        cl->protocol = PROTOCOL_DOWNSTREAM;
}

static void apply_outlier(struct cluster *cl, const struct outlier_detection *o)
{
    if (!o)
        return;
    cl->outlier = (struct outlier_config){
        .on = true,
        .consecutive_5xx =
            o->consecutive_5xx.set ? o->consecutive_5xx.value : (uint32_t)DEFAULT_OUTLIER_CONSECUTIVE_5XX,
        .consecutive_gateway = o->consecutive_gateway.value,
        .consecutive_local = o->split_external_local ? (o->consecutive_local.set ? o->consecutive_local.value : 5) : 0,
        .split_local = o->split_external_local,
        .interval = o->interval.set ? o->interval.ns : DEFAULT_OUTLIER_INTERVAL,
        .base_ejection = o->base_ejection.set ? o->base_ejection.ns : DEFAULT_OUTLIER_BASE_EJECTION,
        .max_ejection = DEFAULT_OUTLIER_MAX_EJECTION,
        .max_ejection_percent =
            o->max_ejection_percent > 0 ? (uint32_t)o->max_ejection_percent : (uint32_t)DEFAULT_OUTLIER_MAX_PERCENT,
    };
    cl->lb.panic_percent = o->min_health_percent > 0 ? (uint32_t)o->min_health_percent : 0;
}

static enum balance_policy simple_policy(enum lb_simple simple)
{
    switch (simple) {
    case LB_RANDOM:
        return BALANCE_RANDOM;
    case LB_ROUND_ROBIN:
        return BALANCE_ROUND_ROBIN;
    case LB_PASSTHROUGH:
        return BALANCE_CLUSTER_PROVIDED;
    case LB_UNSPECIFIED:
    case LB_LEAST_CONN:
    case LB_LEAST_REQUEST:
        break;
    }
    return BALANCE_LEAST_REQUEST;
}

static void apply_balancer(struct cluster *cl, const struct load_balancer *lb)
{
    if (!lb || cl->type == CLUSTER_ORIGINAL_DST)
        return;
    cl->lb.policy = simple_policy(lb->simple);
    if (lb->warmup.set && !lb->consistent_hash) {
        cl->lb.warmup = lb->warmup.ns;
        cl->lb.warmup_min_percent = (uint32_t)lb->warmup_min_percent;
        cl->lb.warmup_aggression = lb->warmup_aggression;
    }
    const struct consistent_hash *h = lb->consistent_hash;
    if (!h)
        return;
    cl->lb.policy = h->maglev ? BALANCE_MAGLEV : BALANCE_RING_HASH;
    if (h->maglev)
        cl->lb.maglev_size = h->table_size ? h->table_size : DEFAULT_MAGLEV_SIZE;
    else
        cl->lb.ring_min = h->ring_size ? h->ring_size : DEFAULT_RING_MIN;
}

/* --- TLS --- */

static struct view *alpn_list(struct arena *a, const char *const *names, uint32_t n, uint32_t *ret_n)
{
    struct view *list = ARENA_ARRAY(a, struct view, n);
    for (uint32_t i = 0; i < n; i++)
        list[i] = view_of(names[i]);
    *ret_n = n;
    return list;
}

static void add_sans(struct arena *a, struct tls_common *c, const struct view *names, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        *ARENA_PUSH(a, c->sans, c->n_sans) = (struct text_match){.kind = TEXT_EXACT, .value = arena_view(a, names[i])};
}

struct target { /* what one cluster stands for */
    const struct registered *r;
    const struct reg_port *port;
    struct view subset;
};

static struct tls_client *istio_mutual(struct scope *s, struct cluster *cl, const struct target *t,
                                       const struct client_tls *dr)
{
    static const char *const h1[] = {"istio-peer-exchange", "istio"}, *const h2[] = {"istio-peer-exchange", "istio",
                                                                                     "h2"};
    struct arena *a = &cl->res.arena;
    struct tls_client *tls = ARENA_NEW(a, struct tls_client);
    *ARENA_PUSH(a, tls->common.identities, tls->common.n_identities) = name_ref(VIEW("default"));
    tls->common.trust = name_ref(VIEW("ROOTCA"));
    bool http2 = cl->protocol == PROTOCOL_HTTP2;
    tls->common.alpn = alpn_list(a, http2 ? h2 : h1, http2 ? 3 : 2, &tls->common.n_alpn);
    tls->common.min = TLS_PROTOCOL_1_2;
    tls->common.max = TLS_PROTOCOL_1_3;
    tls->sni = dr && dr->sni.n ? arena_view(a, dr->sni) : name_sni(a, t->port->port, t->subset, t->r->host);
    if (dr && dr->subject_alt_names.n) {
        add_sans(a, &tls->common, dr->subject_alt_names.list, dr->subject_alt_names.n);
    } else {
        uint32_t n;
        const struct view *ids = registry_identities(s->c, t->r, t->port, &n);
        add_sans(a, &tls->common, ids, n);
    }
    cl->allow_alpn_override = true;
    return tls;
}

static struct tls_client *plain_tls(struct cluster *cl, const struct client_tls *dr)
{
    static const char *const h2[] = {"h2"};
    struct arena *a = &cl->res.arena;
    struct tls_client *tls = ARENA_NEW(a, struct tls_client);
    struct tls_common *c = &tls->common;
    if (dr->mode == CLIENT_TLS_MUTUAL && dr->credential_name.n)
        *ARENA_PUSH(a, c->identities, c->n_identities) =
            name_ref(arena_printf(a, "kubernetes://%.*s", VIEW_ARGS(dr->credential_name)));
    else if (dr->mode == CLIENT_TLS_MUTUAL)
        *ARENA_PUSH(a, c->identities, c->n_identities) = name_ref(
            arena_printf(a, "file-cert:%.*s~%.*s", VIEW_ARGS(dr->client_certificate), VIEW_ARGS(dr->private_key)));
    bool skip = dr->insecure_skip_verify.set && dr->insecure_skip_verify.value;
    if (skip)
        tls->insecure = true;
    else if (dr->credential_name.n)
        c->trust = name_ref(arena_printf(a, "kubernetes://%.*s-cacert", VIEW_ARGS(dr->credential_name)));
    else if (dr->ca_certificates.n)
        c->trust = name_ref(arena_printf(a, "file-root:%.*s", VIEW_ARGS(dr->ca_certificates)));
    else
        c->trust = name_ref(VIEW("file-root:system"));
    add_sans(a, c, dr->subject_alt_names.list, dr->subject_alt_names.n);
    tls->sni = arena_view(a, dr->sni);
    tls->auto_sni = !dr->sni.n;
    tls->auto_san = !dr->sni.n && !dr->subject_alt_names.n && !skip;
    if (cl->protocol == PROTOCOL_HTTP2)
        c->alpn = alpn_list(a, h2, 1, &c->n_alpn);
    return tls;
}

static struct cluster_transport *add_transport(struct cluster *cl, const char *name, struct tls_client *tls)
{
    struct cluster_transport *t = ARENA_PUSH(&cl->res.arena, cl->transports, cl->n_transports);
    t->name = view_of(name);
    t->tls = tls;
    return t;
}

/* Whether every instance has a sidecar: an ORIGINAL_DST cluster knows no endpoints, so it is all or nothing. */
static bool all_sidecars(struct scope *s, const struct target *t)
{
    uint32_t n;
    const struct instance *list = registry_instances(s->c, t->r, t->port, &n);
    for (uint32_t i = 0; i < n; i++)
        if (!list[i].sidecar)
            return false;
    return n > 0;
}

static void apply_auto_mtls(struct scope *s, struct cluster *cl, const struct target *t)
{
    const struct mesh_config *m = s->c->config;
    if (t->r->external || (m->auto_mtls.set && !m->auto_mtls.value))
        return;
    if (policy_mtls_namespace(s->c, t->r->ns) == MTLS_DISABLE)
        return;
    if (cl->type == CLUSTER_ORIGINAL_DST) {
        if (all_sidecars(s, t))
            add_transport(cl, "tls", istio_mutual(s, cl, t, NULL));
        return;
    }
    add_transport(cl, "tlsMode-istio", istio_mutual(s, cl, t, NULL))->tls_mode = VIEW("istio");
    add_transport(cl, "tlsMode-disabled", NULL);
}

static void apply_tls(struct scope *s, struct cluster *cl, const struct target *t, const struct client_tls *dr)
{
    if (!dr) {
        apply_auto_mtls(s, cl, t);
        return;
    }
    switch (dr->mode) {
    case CLIENT_TLS_DISABLE:
        break;
    case CLIENT_TLS_SIMPLE:
    case CLIENT_TLS_MUTUAL:
        add_transport(cl, "tls", plain_tls(cl, dr));
        break;
    case CLIENT_TLS_ISTIO_MUTUAL:
        add_transport(cl, "tls", istio_mutual(s, cl, t, dr));
        break;
    }
}

/* --- the clusters of a port --- */

static enum cluster_type type_of(const struct scope *s, const struct registered *r, const struct effective_policy *e)
{
    switch (r->resolution) {
    case RESOLVE_DNS:
        return CLUSTER_STRICT_DNS;
    case RESOLVE_DNS_RR:
        return CLUSTER_LOGICAL_DNS;
    case RESOLVE_PASSTHROUGH:
        return s->kind == PROXY_GATEWAY ? CLUSTER_EDS : CLUSTER_ORIGINAL_DST; /* a gateway's client named no address */
    case RESOLVE_EDS:
    case RESOLVE_ALIAS:
        break;
    }
    return e->lb && e->lb->simple == LB_PASSTHROUGH && s->kind == PROXY_SIDECAR ? CLUSTER_ORIGINAL_DST : CLUSTER_EDS;
}

static void set_origin(struct cluster *cl, const struct registered *r, const struct rule_set *rules,
                       const struct subset *subset, const struct destination_rule *subset_of)
{
    struct arena *a = &cl->res.arena;
    if (subset)
        cl->origin = plan_origin_of(a, &subset_of->o.at, subset->part.at.path);
    else if (rules)
        cl->origin = plan_origin_of(a, &(rules->policy_of ? rules->policy_of : rules->first)->o.at, VIEW_NONE);
    else
        cl->origin = plan_origin_of(a, &r->object->at, VIEW_NONE);
    if (subset && subset->part.at.line)
        cl->origin.line = subset->part.at.line;
}

static void add_cluster(struct scope *s, const struct registered *r, const struct reg_port *p,
                        const struct rule_set *rules, const struct subset *subset,
                        const struct destination_rule *subset_of)
{
    struct target t = {r, p, subset ? subset->name : VIEW_NONE};
    struct effective_policy e = policy_for(rules, subset, p->port);
    struct view name = name_cluster(&s->c->arena, p->port, t.subset, r->host);
    struct cluster *cl = cluster_start(s, name, type_of(s, r, &e));
    struct arena *a = &cl->res.arena;
    if (p->protocol == PORT_HTTP2 || p->protocol == PORT_GRPC || p->protocol == PORT_GRPC_WEB)
        cl->protocol = PROTOCOL_HTTP2;
    else if (port_is_sniffed(p) && s->kind == PROXY_SIDECAR)
        cl->protocol = PROTOCOL_DOWNSTREAM;
    cl->subset = arena_view(a, t.subset);
    cl->peer_exchange = !r->external;
    *ARENA_PUSH(a, cl->services, cl->n_services) =
        (struct service_ref){arena_view(a, r->host), arena_view(a, r->name), arena_view(a, r->ns)};
    set_origin(cl, r, rules, subset, subset_of);
    apply_balancer(cl, e.lb);
    cluster_apply_pool(s, cl, e.pool);
    apply_outlier(cl, e.outlier);
    apply_tls(s, cl, &t, e.tls);

    const struct labels *labels = subset ? &subset->labels : NULL;
    bool mtls = !r->external && !(e.tls && e.tls->mode == CLIENT_TLS_DISABLE);
    if (cl->type == CLUSTER_EDS) {
        struct endpoint_set *set = RESOURCE_NEW(struct endpoint_set, RESOURCE_ENDPOINTS, name);
        endpoints_fill(s, &set->res.arena, set, r, p, labels, mtls);
        scope_put(s->c, s->plan, set);
    } else if (cl->type == CLUSTER_STRICT_DNS || cl->type == CLUSTER_LOGICAL_DNS) {
        cl->endpoints = ARENA_NEW(a, struct endpoint_set);
        cl->endpoints->res.kind = RESOURCE_ENDPOINTS;
        cl->endpoints->res.name = cl->res.name;
        endpoints_fill(s, a, cl->endpoints, r, p, labels, mtls);
        cl->dns_v4_only = true;
    }
    scope_put(s->c, s->plan, cl);
}

static void add_fixed(struct scope *s, const char *name, enum cluster_type type, const char *bind)
{
    struct cluster *cl = cluster_start(s, view_of(name), type);
    if (type == CLUSTER_ORIGINAL_DST)
        cl->protocol = PROTOCOL_DOWNSTREAM;
    if (bind)
        must(plan_addr_parse_ip(view_of(bind), 0, &cl->bind) == 0);
    scope_put(s->c, s->plan, cl);
}

static void note_credential(struct scope *s, const struct client_tls *dr)
{
    if (dr && dr->credential_name.n)
        *ARENA_PUSH(&s->c->arena, s->credentials, s->n_credentials) = dr;
}

/* As with Istio, a DestinationRule's credentialName is for gateways, and for the workloads that the rule selects; elsewhere
 * the Secret stays unknown, and connections fail and say so. */
void find_credentials(struct scope *s)
{
    if (s->kind != PROXY_GATEWAY && !s->c->by_labels)
        return;
    for (uint32_t i = 0; i < s->n_services; i++) {
        const struct registered *r = s->services[i];
        const struct rule_set *rules = r->resolution == RESOLVE_ALIAS ? NULL : policy_rules(s, r);
        if (!rules || (s->kind != PROXY_GATEWAY && !rules->first->workload_selector.n))
            continue;
        for (uint32_t j = 0; j < r->n_ports; j++) {
            note_credential(s, policy_for(rules, NULL, r->ports[j].port).tls);
            for (uint32_t k = 0; k < rules->n_subsets; k++)
                note_credential(s, policy_for(rules, rules->subsets[k], r->ports[j].port).tls);
        }
    }
}

/* Into the proxy's own plan, not the scope's: not every proxy of a scope may have them (control/push.c). */
void compile_cluster_secrets(struct scope *s, struct plan *p)
{
    for (uint32_t i = 0; i < s->n_credentials; i++) {
        const struct client_tls *dr = s->credentials[i];
        if (dr->mode == CLIENT_TLS_MUTUAL)
            compile_identity(s, p, dr->credential_name);
        if (!(dr->insecure_skip_verify.set && dr->insecure_skip_verify.value))
            compile_authorities(s, p, dr->credential_name);
    }
}

void compile_clusters(struct scope *s)
{
    for (uint32_t i = 0; i < s->n_services; i++) {
        const struct registered *r = s->services[i];
        if (r->resolution == RESOLVE_ALIAS)
            continue;
        const struct rule_set *rules = policy_rules(s, r);
        if (reuse_service(s, r, rules))
            continue;
        for (uint32_t j = 0; j < r->n_ports; j++) {
            add_cluster(s, r, &r->ports[j], rules, NULL, NULL);
            for (uint32_t k = 0; rules && k < rules->n_subsets; k++)
                add_cluster(s, r, &r->ports[j], rules, rules->subsets[k], rules->subset_of[k]);
        }
        reuse_end(s->c);
    }
    add_fixed(s, "BlackHoleCluster", CLUSTER_STATIC, NULL);
    if (s->kind == PROXY_GATEWAY)
        return;
    add_fixed(s, "PassthroughCluster", CLUSTER_ORIGINAL_DST, NULL);
    add_fixed(s, "InboundPassthroughCluster", CLUSTER_ORIGINAL_DST, "127.0.0.6");
}
