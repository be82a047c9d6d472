// SPDX-License-Identifier: Apache-2.0
/* Service (service.h): the table, and Istio's rule for what a port speaks. */
#include "mesh/service.h"

#include <errno.h>

#include "mesh/messages.h"

static const struct {
    const char *name;
    enum port_protocol protocol;
} protocol_names[] = {
    {"http", PORT_HTTP},   {"http2", PORT_HTTP2}, {"grpc", PORT_GRPC}, {"grpc-web", PORT_GRPC_WEB},
    {"https", PORT_HTTPS}, {"tls", PORT_TLS},     {"tcp", PORT_TCP},   {"mongo", PORT_MONGO},
    {"mysql", PORT_MYSQL}, {"redis", PORT_REDIS}, {"udp", PORT_UDP},
};

static const struct {
    const char *name;
    enum port_protocol protocol;
} app_protocols[] = {
    {"kubernetes.io/h2c", PORT_HTTP2},
    {"kubernetes.io/ws", PORT_HTTP},
    {"kubernetes.io/wss", PORT_HTTPS},
};

/* Ports whose protocols let the server speak first: sniffing would wait in vain. */
static const uint32_t server_first_ports[] = {25, 53, 3306, 27017};

const char *port_protocol_name(enum port_protocol p)
{
    for (size_t i = 0; i < COUNT_OF(protocol_names); i++)
        if (protocol_names[i].protocol == p)
            return protocol_names[i].name;
    return "auto";
}

int port_protocol_parse(struct view text, enum port_protocol *ret_protocol)
{
    for (size_t i = 0; i < COUNT_OF(protocol_names); i++)
        if (view_ieq(text, view_of(protocol_names[i].name))) {
            *ret_protocol = protocol_names[i].protocol;
            return 0;
        }
    return -EINVAL;
}

enum port_protocol port_protocol_of(enum l4_protocol l4, uint32_t port, struct view name, struct view app_protocol)
{
    enum port_protocol p;
    if (l4 == L4_UDP)
        return PORT_UDP;
    if (app_protocol.n) {
        for (size_t i = 0; i < COUNT_OF(app_protocols); i++)
            if (view_is(app_protocol, app_protocols[i].name))
                return app_protocols[i].protocol;
        if (port_protocol_parse(app_protocol, &p) == 0)
            return p;
    } else if (name.n) {
        struct view web = VIEW("grpc-web");
        bool is_web = view_istarts(name, web) && (name.n == web.n || name.p[web.n] == '-');
        if (port_protocol_parse(is_web ? web : view_head(name, view_find(name, '-')), &p) == 0 && p != PORT_UDP)
            return p;
    }
    for (size_t i = 0; i < COUNT_OF(server_first_ports); i++)
        if (port == server_first_ports[i])
            return PORT_TCP;
    return PORT_AUTO;
}

const struct enum_word l4_words[] = {{"TCP", L4_TCP}, {"UDP", L4_UDP}, {"SCTP", L4_SCTP}, {NULL}};

static void check_port(struct decoder *d, void *msg, const struct node *n, const struct place *at)
{
    struct service_port *p = msg;
    p->protocol = port_protocol_of(p->l4, p->port, p->name, p->app_protocol);
}

static const struct field port_fields[] = {
    {"name", FIELD_STR, AT(struct service_port, name), .format = FORMAT_LABEL},
    {"port", FIELD_PORT, AT(struct service_port, port), .required = true},
    {"protocol", FIELD_ENUM, AT(struct service_port, l4), .words = l4_words},
    {"appProtocol", FIELD_STR, AT(struct service_port, app_protocol)},
    {"targetPort", FIELD_INT_OR_STR, AT(struct service_port, target_port)},
    {"nodePort", FIELD_U32, AT(struct service_port, node_port), .lo = 0, .hi = 65535},
};
static const struct message port_message = {MESSAGE_FIELDS("ServicePort", struct service_port, port_fields),
                                            .part = true, .check = check_port};

static const struct enum_word type_words[] = {
    {"ClusterIP", SERVICE_CLUSTER_IP},
    {"NodePort", SERVICE_NODE_PORT},
    {"LoadBalancer", SERVICE_LOAD_BALANCER},
    {"ExternalName", SERVICE_EXTERNAL_NAME},
    {NULL},
};

static void check_ports(struct decoder *d, struct service *s, const struct node *n, const struct place *at)
{
    for (uint32_t i = 0; i < s->n_ports; i++) {
        const struct service_port *p = &s->ports[i];
        if (s->n_ports > 1 && !p->name.n)
            decode_bad(d, p->part.node, at, "ports need names when there is more than one")->label =
                VIEW("this port has no name");
        for (uint32_t j = 0; j < i; j++) {
            const struct service_port *q = &s->ports[j];
            if (p->name.n && view_eq(p->name, q->name))
                decode_bad(d, p->part.node, at, "two ports are named `%.*s`", VIEW_ARGS(p->name));
            else if (p->port == q->port && p->l4 == q->l4)
                decode_bad(d, p->part.node, at, "port %u appears twice", p->port);
        }
    }
}

static void check_spec(struct decoder *d, void *msg, const struct node *n, const struct place *at)
{
    struct service *s = msg;
    if (s->type == SERVICE_EXTERNAL_NAME && !s->external_name.n)
        decode_bad_field(d, n, at, "type", "type ExternalName needs `externalName`");
    if (s->type != SERVICE_EXTERNAL_NAME && !s->n_ports && !service_is_headless(s))
        decode_bad_field(d, n, at, "ports", "a Service needs at least one port");
    check_ports(d, s, n, at);
}

static const struct field spec_fields[] = {
    {"type", FIELD_ENUM, AT(struct service, type), .words = type_words},
    {"clusterIP", FIELD_STR, AT(struct service, cluster_ip)},
    {"clusterIPs", FIELD_STRS, AT(struct service, cluster_ips)},
    {"externalIPs", FIELD_STRS, AT(struct service, external_ips), .format = FORMAT_IP},
    {"selector", FIELD_MAP, AT(struct service, selector), .format = FORMAT_LABELS},
    {"ports", FIELD_LIST, AT_LIST(struct service, ports, n_ports), .msg = &port_message},
    {"externalName", FIELD_STR, AT(struct service, external_name), .format = FORMAT_HOST},
    {"sessionAffinity", FIELD_STR, AT(struct service, session_affinity)},
    {"publishNotReadyAddresses", FIELD_BOOL, AT(struct service, publish_not_ready)},
    {"sessionAffinityConfig", FIELD_ANY},
    {"ipFamilies", FIELD_ANY},
    {"ipFamilyPolicy", FIELD_ANY},
    {"internalTrafficPolicy", FIELD_ANY},
    {"externalTrafficPolicy", FIELD_ANY},
    {"healthCheckNodePort", FIELD_ANY},
    {"loadBalancerIP", FIELD_ANY},
    {"loadBalancerSourceRanges", FIELD_ANY},
    {"loadBalancerClass", FIELD_ANY},
    {"allocateLoadBalancerNodePorts", FIELD_ANY},
    {"trafficDistribution", FIELD_ANY},
};
static const struct message spec_message = {MESSAGE_FIELDS("ServiceSpec", struct service, spec_fields),
                                            .check = check_spec};

static void check_service(struct decoder *d, void *msg, const struct node *n, const struct place *at)
{
    struct service *s = msg;
    struct view list = labels_get(&s->o.meta.annotations, VIEW("networking.istio.io/exportTo")), one;
    while (view_cut(&list, ',', &one))
        *ARENA_PUSH(d->arena, s->export_to.list, s->export_to.n) = view_trim(one);
    if (s->o.meta.name.n && !is_dns_label(s->o.meta.name))
        decode_bad(d, node_at(n, "metadata.name"), at, "the name of a Service is a single DNS label");
}

static const struct field service_fields[] = {
    OBJECT_FIELDS,
    {"spec", FIELD_INLINE, .msg = &spec_message, .required = true},
    {"status", FIELD_ANY},
};
const struct message service_message = {MESSAGE_FIELDS("Service", struct service, service_fields),
                                        .check = check_service};

bool service_is_headless(const struct service *s)
{
    return view_is(s->cluster_ip, "None");
}

const struct service_port *service_port_by_number(const struct service *s, uint32_t port)
{
    for (uint32_t i = 0; i < s->n_ports; i++)
        if (s->ports[i].port == port)
            return &s->ports[i];
    return NULL;
}

struct view service_host(struct arena *a, const struct service *s, struct view domain)
{
    return arena_printf(a, "%.*s.%.*s.svc.%.*s", VIEW_ARGS(s->o.meta.name), VIEW_ARGS(s->o.meta.ns), VIEW_ARGS(domain));
}
