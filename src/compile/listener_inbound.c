// SPDX-License-Identifier: Apache-2.0
/* The inbound side of a sidecar: virtualInbound (15006) with filter chains for every port that a Service gives this pod,
 * chains for all other ports, and a cluster inbound|port|| for each.
 *
 * Which chains a port has is a table by mTLS mode and protocol (chain_rules). Istio's own clients are told by ALPN:
 *   PERMISSIVE  TLS with an Istio ALPN is mTLS; plaintext too; other TLS passes untouched unless HTTP is declared
 *   STRICT      TLS only
 *   DISABLE     plaintext only
 * On undeclared ports the ALPN also says whether the client's sidecar saw HTTP; plaintext is sniffed.
 */
#include "compile/scope.h"

#include "plan/defaults.h"
#include "plan/retry.h"

#define INBOUND_PORT 15006

enum declared { DECLARED_HTTP, DECLARED_TCP, UNDECLARED };
enum serve { SERVE_HTTP, SERVE_TCP };

static const struct chain_rule {
    enum mtls_mode mode;
    enum declared declared;
    enum transport_match transport;
    enum alpn_set alpn;
    enum serve serve;
    bool mtls;
} chain_rules[] = {
    {MTLS_PERMISSIVE, DECLARED_HTTP, TRANSPORT_TLS, ALPN_ISTIO, SERVE_HTTP, true},
    {MTLS_PERMISSIVE, DECLARED_HTTP, TRANSPORT_RAW, ALPN_ANY, SERVE_HTTP, false},
    {MTLS_PERMISSIVE, DECLARED_TCP, TRANSPORT_TLS, ALPN_ISTIO, SERVE_TCP, true},
    {MTLS_PERMISSIVE, DECLARED_TCP, TRANSPORT_TLS, ALPN_ANY, SERVE_TCP, false},
    {MTLS_PERMISSIVE, DECLARED_TCP, TRANSPORT_RAW, ALPN_ANY, SERVE_TCP, false},
    {MTLS_PERMISSIVE, UNDECLARED, TRANSPORT_TLS, ALPN_ISTIO_HTTP, SERVE_HTTP, true},
    {MTLS_PERMISSIVE, UNDECLARED, TRANSPORT_TLS, ALPN_ISTIO_TCP, SERVE_TCP, true},
    {MTLS_PERMISSIVE, UNDECLARED, TRANSPORT_RAW, ALPN_PLAIN_HTTP, SERVE_HTTP, false},
    {MTLS_PERMISSIVE, UNDECLARED, TRANSPORT_TLS, ALPN_ANY, SERVE_TCP, false},
    {MTLS_PERMISSIVE, UNDECLARED, TRANSPORT_RAW, ALPN_ANY, SERVE_TCP, false},
    {MTLS_STRICT, DECLARED_HTTP, TRANSPORT_TLS, ALPN_ANY, SERVE_HTTP, true},
    {MTLS_STRICT, DECLARED_TCP, TRANSPORT_TLS, ALPN_ANY, SERVE_TCP, true},
    {MTLS_STRICT, UNDECLARED, TRANSPORT_TLS, ALPN_ISTIO_HTTP, SERVE_HTTP, true},
    {MTLS_STRICT, UNDECLARED, TRANSPORT_TLS, ALPN_ANY, SERVE_TCP, true},
    {MTLS_DISABLE, DECLARED_HTTP, TRANSPORT_ANY, ALPN_ANY, SERVE_HTTP, false},
    {MTLS_DISABLE, DECLARED_TCP, TRANSPORT_ANY, ALPN_ANY, SERVE_TCP, false},
    {MTLS_DISABLE, UNDECLARED, TRANSPORT_RAW, ALPN_PLAIN_HTTP, SERVE_HTTP, false},
    {MTLS_DISABLE, UNDECLARED, TRANSPORT_TLS, ALPN_ANY, SERVE_TCP, false},
    {MTLS_DISABLE, UNDECLARED, TRANSPORT_RAW, ALPN_ANY, SERVE_TCP, false},
};

/* One port of the workload and the services that lead to it. */
struct inbound_port {
    uint32_t target;
    const struct reg_port *port; /* of the first service; NULL: no service, only a PeerAuthentication names it */
    const struct registered **services;
    uint32_t n_services;
};

struct inbound {
    struct scope *s;
    struct plan *p;
    const struct proxy_facts *proxy;
    struct arena scratch;
    struct inbound_port *ports;
    uint32_t n_ports;
    struct listener *l;
    struct arena *a; /* the listener's */
    const struct inbound_common *common;
    struct http_manager *http; /* of the port at hand, for all its chains; NULL: not made yet */
    struct tcp_manager *tcp;
    struct plan_origin origin;
};

/* --- which ports --- */

static void claim(struct inbound *in, const struct registered *r, const struct reg_port *p, uint32_t target)
{
    struct inbound_port *at = NULL;
    for (uint32_t i = 0; i < in->n_ports && !at; i++)
        if (in->ports[i].target == target)
            at = &in->ports[i];
    if (!at) {
        at = ARENA_PUSH(&in->scratch, in->ports, in->n_ports);
        at->target = target;
        at->port = p;
    }
    if (r)
        *ARENA_PUSH(&in->scratch, at->services, at->n_services) = r;
}

static uint32_t target_of(const struct reg_port *p, const struct pod *pod)
{
    if (p->entry)
        return p->entry->target_port ? p->entry->target_port : p->port;
    const struct int_or_str *t = &p->k8s->target_port;
    if (!t->set)
        return p->port;
    if (!t->text.n)
        return t->number > 0 ? (uint32_t)t->number : p->port;
    return pod ? pod_port(&pod->spec, t) : 0;
}

/* Without a selector someone else made the endpoints: those with our address count. */
static void claim_by_address(struct inbound *in, const struct registered *r, const struct reg_port *p)
{
    uint32_t n;
    const struct instance *list = registry_instances(in->s->c, r, p, &n);
    for (uint32_t i = 0; i < n; i++)
        if (view_eq(list[i].address, in->proxy->ip))
            claim(in, r, p, list[i].port);
}

static void find_ports(struct inbound *in)
{
    struct compiler *c = in->s->c;
    struct object *o = snapshot_get(c->snap, KIND_POD, in->proxy->ns, in->proxy->pod);
    const struct pod *pod = OBJECT_AS(o, POD, pod);
    for (uint32_t i = 0; i < c->n_services; i++) {
        const struct registered *r = c->services[i];
        if (!view_eq(r->ns, in->proxy->ns) || r->resolution == RESOLVE_ALIAS)
            continue;
        const struct labels *selector = r->service ? &r->service->selector : &r->entry->workload_selector;
        bool selects = selector->n > 0;
        if (selects && !labels_match(selector, &in->proxy->labels))
            continue;
        for (uint32_t j = 0; j < r->n_ports; j++) {
            uint32_t target = selects ? target_of(&r->ports[j], pod) : 0;
            if (target)
                claim(in, r, &r->ports[j], target);
            else if (!selects)
                claim_by_address(in, r, &r->ports[j]);
        }
    }
    SNAPSHOT_EACH(c->snap, PEER_AUTHENTICATION, peer_authentication, pa)
    if (pa->n_ports && view_eq(pa->o.meta.ns, in->proxy->ns) && labels_match(&pa->selector, &in->proxy->labels))
        for (uint32_t i = 0; i < pa->n_ports; i++)
            claim(in, NULL, NULL, pa->ports[i].port);
}

/* --- clusters --- */

static struct view cluster_name(struct inbound *in, const struct inbound_port *ip)
{
    return ip->port ? arena_printf(&in->scratch, "inbound|%u||", ip->target) : VIEW("InboundPassthroughCluster");
}

static bool port_is_h2(const struct reg_port *p)
{
    return p->protocol == PORT_HTTP2 || p->protocol == PORT_GRPC || p->protocol == PORT_GRPC_WEB;
}

static void add_cluster(struct inbound *in, const struct inbound_port *ip)
{
    struct cluster *cl = cluster_start(in->s, cluster_name(in, ip), CLUSTER_ORIGINAL_DST);
    struct arena *a = &cl->res.arena;
    must(plan_addr_parse_ip(VIEW("127.0.0.6"), 0, &cl->bind) == 0);
    for (uint32_t i = 0; i < ip->n_services; i++) {
        const struct registered *r = ip->services[i];
        bool twice = false;
        for (uint32_t j = 0; j < i; j++)
            twice |= ip->services[j] == r;
        if (!twice)
            *ARENA_PUSH(a, cl->services, cl->n_services) =
                (struct service_ref){arena_view(a, r->host), arena_view(a, r->name), arena_view(a, r->ns)};
    }
    const struct registered *first = ip->services[0];
    struct effective_policy e = policy_for(policy_rules(in->s, first), NULL, ip->port->port);
    cluster_apply_pool(in->s, cl, e.pool); /* the server keeps the limits that its clients were told */
    cl->protocol = port_is_h2(ip->port)        ? PROTOCOL_HTTP2
                   : port_is_sniffed(ip->port) ? PROTOCOL_DOWNSTREAM
                                               : PROTOCOL_HTTP1;
    cl->origin = plan_origin_of(a, &first->object->at, VIEW_NONE);
    scope_put(in->s->c, in->p, cl);
}

/* --- chains --- */

static void name_route(struct inbound *in, struct virtual_host *vh, const struct inbound_port *ip)
{
    struct route *route = &vh->routes[0];
    route->operation = arena_printf(in->a, "%.*s:%u/*", VIEW_ARGS(ip->services[0]->host), ip->port->port);
    route->origin = vh->origin = in->origin;
    if (ip->port->protocol == PORT_GRPC || ip->port->protocol == PORT_GRPC_WEB)
        return;
    struct retry_policy *retry = route->forward.retry = ARENA_NEW(in->a, struct retry_policy);
    retry->on = RETRY_RESET_BEFORE_REQUEST; /* a kept connection that the application closed just now */
    retry->attempts = (uint32_t)DEFAULT_RETRY_ATTEMPTS;
}

static struct http_manager *http_of(struct inbound *in, const struct inbound_port *ip)
{
    uint32_t port = ip->port ? ip->port->port : 0;
    struct http_manager *m = inbound_http(in->s, in->a, cluster_name(in, ip), ip->target, port);
    if (ip->port)
        name_route(in, &m->routes->hosts[0], ip);
    return m;
}

static void add_chain(struct inbound *in, const struct inbound_port *ip, const struct chain_rule *rule)
{
    const struct inbound_common *common = in->common;
    struct arena *a = in->a;
    struct filter_chain *c = ARENA_PUSH(&in->scratch, in->l->chains, in->l->n_chains);
    c->match.port = (uint16_t)ip->target;
    c->match.transport = rule->transport;
    c->match.alpn = common->alpn[rule->alpn].list;
    c->match.n_alpn = common->alpn[rule->alpn].n;
    if (rule->mtls) {
        c->tls = common->tls[rule->serve == SERVE_HTTP];
        c->peer_exchange = rule->serve == SERVE_TCP;
    }
    if (!ip->target)
        c->name = rule->serve == SERVE_HTTP ? VIEW("virtualInbound-catchall-http") : VIEW("virtualInbound");
    else
        c->name = arena_printf(a, "0.0.0.0_%u", ip->target);
    c->origin = in->origin;
    if (rule->serve == SERVE_HTTP) {
        c->http = in->http = in->http ? in->http : http_of(in, ip);
        return;
    }
    struct view cluster = cluster_name(in, ip);
    c->stats = true;
    c->tcp = in->tcp = in->tcp ? in->tcp : manager_tcp(in->s, a, cluster, cluster);
}

static enum declared declared_of(const struct inbound_port *ip)
{
    return !ip->port || port_is_sniffed(ip->port) ? UNDECLARED : port_is_http(ip->port) ? DECLARED_HTTP : DECLARED_TCP;
}

/* On declared ports nobody waits for bytes to tell HTTP apart, nor TLS where only plaintext is served. */
static void skip_inspectors(struct inbound *in, enum listener_filter what)
{
    for (uint32_t i = 0; i < in->n_ports; i++) {
        const struct inbound_port *ip = &in->ports[i];
        bool plain = policy_mtls(in->s->c, in->proxy->ns, &in->proxy->labels, ip->target) == MTLS_DISABLE;
        if (declared_of(ip) == UNDECLARED || (what == INSPECT_TLS && !plain))
            continue;
        *ARENA_PUSH(in->a, in->l->skips, in->l->n_skips) =
            (struct inspect_skip){what, (uint16_t)ip->target, (uint16_t)ip->target};
    }
}

static void add_port(struct inbound *in, const struct inbound_port *ip)
{
    enum mtls_mode mode = policy_mtls(in->s->c, in->proxy->ns, &in->proxy->labels, ip->target);
    enum declared declared = declared_of(ip);
    in->http = ip->target ? NULL : in->common->http;
    in->tcp = ip->target ? NULL : in->common->tcp;
    in->origin =
        ip->n_services ? plan_origin_of(in->a, &ip->services[0]->object->at, VIEW_NONE) : (struct plan_origin){0};
    for (size_t i = 0; i < COUNT_OF(chain_rules); i++)
        if (chain_rules[i].mode == mode && chain_rules[i].declared == declared)
            add_chain(in, ip, &chain_rules[i]);
}

static void start_listener(struct inbound *in)
{
    const struct opt_duration *timeout = &in->s->c->config->protocol_detection_timeout;
    struct listener *l = in->l = RESOURCE_NEW(struct listener, RESOURCE_LISTENER, VIEW("virtualInbound"));
    in->a = &l->res.arena;
    in->common = inbound_common(in->s);
    resource_part_keep(in->a, in->common->part);
    must(plan_addr_parse_ip(VIEW("0.0.0.0"), INBOUND_PORT, &l->address) == 0);
    l->direction = TRAFFIC_INBOUND;
    l->bind_to_port = true;
    l->inspect = INSPECT_ORIGINAL_DST | INSPECT_TLS | INSPECT_HTTP;
    l->inspect_timeout = timeout->set && timeout->ns ? timeout->ns : DEFAULT_INSPECT_TIMEOUT;
    l->continue_on_timeout = true;
    manager_logs(in->s, in->a, &l->logs, &l->n_logs, true);
    struct filter_chain *loop = ARENA_PUSH(&in->scratch, l->chains, l->n_chains);
    loop->name = VIEW("virtualInbound-blackhole"); /* to 15006 itself: would come back for ever */
    loop->match.port = INBOUND_PORT;
    loop->tcp = in->common->black_hole;
}

void compile_inbound(struct scope *s, struct plan *p, const struct proxy_facts *proxy)
{
    struct inbound in = {.s = s, .p = p, .proxy = proxy};
    arena_init(&in.scratch, 0);
    find_ports(&in);
    start_listener(&in);
    for (uint32_t i = 0; i < in.n_ports; i++) {
        if (in.ports[i].port)
            add_cluster(&in, &in.ports[i]);
        add_port(&in, &in.ports[i]);
    }
    add_port(&in, &(struct inbound_port){0}); /* every other port */
    skip_inspectors(&in, INSPECT_TLS);
    skip_inspectors(&in, INSPECT_HTTP);
    in.l->chains = arena_copy(in.a, in.l->chains, in.l->n_chains * sizeof(*in.l->chains));
    scope_put(s->c, p, in.l);
    arena_done(&in.scratch);
}
