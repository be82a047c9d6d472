// SPDX-License-Identifier: Apache-2.0
/* VirtualService (virtual_service.h): the object, its tcp and tls routes, and what all routes share. The http routes are
 * in virtual_service_http.c.
 */
#include "mesh/virtual_service.h"

#include "mesh/messages.h"
#include "mesh/virtual_service_parts.h"

static const struct field port_selector_fields[] = {
    {"number", FIELD_PORT, AT(struct destination, port), .required = true},
};
static const struct message port_selector_message = MESSAGE("PortSelector", struct destination, port_selector_fields);

static void check_destination(struct decoder *d, void *msg, const struct node *n, const struct place *at)
{
    struct destination *to = msg;
    struct place host = {.up = at, .key = VIEW("host")};
    to->host_at = decode_origin(d, node_get(n, VIEW("host")), &host);
}

static const struct field destination_fields[] = {
    {"host", FIELD_STR, AT(struct destination, host), .required = true, .format = FORMAT_HOST},
    {"subset", FIELD_STR, AT(struct destination, subset)},
    {"port", FIELD_INLINE, .msg = &port_selector_message},
};
const struct message vs_destination_message = {MESSAGE_FIELDS("Destination", struct destination, destination_fields),
                                               .part = true, .check = check_destination};

/* Weights are relative and need no sum of 100; only nothing at all and negative ones make no sense. */
void vs_check_weights(struct decoder *d, const struct node *routes, const struct place *at, int64_t sum, uint32_t n)
{
    struct place here = {.up = at, .key = VIEW("route")};
    if (n > 1 && sum == 0)
        decode_bad(d, routes, &here, "the weights of all destinations are 0")->label =
            VIEW("nothing could be sent anywhere");
}

static const struct field l4_destination_fields[] = {
    {"destination", FIELD_EMBED, AT(struct l4_destination, destination), .msg = &vs_destination_message,
     .required = true},
    {"weight", FIELD_I32, AT(struct l4_destination, weight), .lo = 0, .hi = INT32_MAX},
};
static const struct message l4_destination_message =
    PART("RouteDestination", struct l4_destination, l4_destination_fields);

#define L4_MATCH_FIELDS                                                                                                \
    {"destinationSubnets", FIELD_STRS, AT(struct l4_match, destination_subnets), .format = FORMAT_CIDR},               \
        {"port", FIELD_PORT, AT(struct l4_match, port)},                                                               \
        {"sourceLabels", FIELD_MAP, AT(struct l4_match, source_labels), .format = FORMAT_LABELS},                      \
        {"gateways", FIELD_STRS, AT(struct l4_match, gateways)},                                                       \
    {                                                                                                                  \
        "sourceNamespace", FIELD_STR, AT(struct l4_match, source_ns), .format = FORMAT_LABEL                           \
    }

static const struct field tcp_match_fields[] = {
    L4_MATCH_FIELDS,
    {"sourceSubnet", FIELD_REFUSED, .why = "use sourceLabels or sourceNamespace"},
};
static const struct message tcp_match_message = PART("L4MatchAttributes", struct l4_match, tcp_match_fields);

static const struct field tls_match_fields[] = {
    L4_MATCH_FIELDS,
    {"sniHosts", FIELD_STRS, AT(struct l4_match, sni_hosts), .required = true, .format = FORMAT_HOST},
};
static const struct message tls_match_message = PART("TLSMatchAttributes", struct l4_match, tls_match_fields);

static void check_l4_route(struct decoder *d, void *msg, const struct node *n, const struct place *at)
{
    const struct l4_route *r = msg;
    int64_t sum = 0;
    for (uint32_t i = 0; i < r->n_route; i++)
        sum += r->route[i].weight;
    vs_check_weights(d, node_get(n, VIEW("route")), at, sum, r->n_route);
}

static const struct field tcp_route_fields[] = {
    {"match", FIELD_LIST, AT_LIST(struct l4_route, match, n_match), .msg = &tcp_match_message},
    {"route", FIELD_LIST, AT_LIST(struct l4_route, route, n_route), .msg = &l4_destination_message, .required = true},
};
static const struct message tcp_route_message = {MESSAGE_FIELDS("TCPRoute", struct l4_route, tcp_route_fields),
                                                 .part = true, .check = check_l4_route};

static const struct field tls_route_fields[] = {
    {"match", FIELD_LIST, AT_LIST(struct l4_route, match, n_match), .msg = &tls_match_message, .required = true},
    {"route", FIELD_LIST, AT_LIST(struct l4_route, route, n_route), .msg = &l4_destination_message, .required = true},
};
static const struct message tls_route_message = {MESSAGE_FIELDS("TLSRoute", struct l4_route, tls_route_fields),
                                                 .part = true, .check = check_l4_route};

void check_export_to(struct decoder *d, const struct strings *s, const struct node *n, const struct place *at)
{
    const struct node *list = node_get(n, VIEW("exportTo"));
    struct place here = {.up = at, .key = VIEW("exportTo")};
    for (uint32_t i = 0; i < s->n; i++) {
        struct place item = {.up = &here, .index = i};
        if (!view_is(s->list[i], ".") && !view_is(s->list[i], "*") && !is_dns_label(s->list[i]))
            decode_bad(d, list->items[i], &item, "`%.*s` is not a namespace", VIEW_ARGS(s->list[i]))->label =
                VIEW("must be `.`, `*` or a namespace");
    }
}

static void check_hosts(struct decoder *d, const struct virtual_service *vs, const struct node *n,
                        const struct place *at)
{
    const struct node *list = node_get(n, VIEW("hosts"));
    struct place here = {.up = at, .key = VIEW("hosts")};
    for (uint32_t i = 0; i < vs->hosts.n; i++) {
        struct place item = {.up = &here, .index = i};
        for (uint32_t j = 0; j < i; j++)
            if (view_eq(vs->hosts.list[i], vs->hosts.list[j]))
                decode_bad(d, list->items[i], &item, "host `%.*s` is listed twice", VIEW_ARGS(vs->hosts.list[i]));
        if (view_is(vs->hosts.list[i], "*") && virtual_service_in_mesh(vs))
            decode_bad(d, list->items[i], &item, "host `*` needs a gateway")->hint =
                VIEW("name the gateways that it is for: without them it would take every request of every sidecar");
    }
}

static void check_spec(struct decoder *d, void *msg, const struct node *n, const struct place *at)
{
    struct virtual_service *vs = msg;
    vs->spec.at = decode_origin(d, n, at);
    vs->spec.node = n;
    check_hosts(d, vs, n, at);
    check_export_to(d, &vs->export_to, n, at);
    if (!vs->n_http && !vs->n_tls && !vs->n_tcp)
        decode_bad(d, n, at, "needs `http`, `tls` or `tcp` routes");
}

static const struct field spec_fields[] = {
    {"hosts", FIELD_STRS, AT(struct virtual_service, hosts), .required = true, .format = FORMAT_HOST},
    {"gateways", FIELD_STRS, AT(struct virtual_service, gateways)},
    {"http", FIELD_LIST, AT_LIST(struct virtual_service, http, n_http), .msg = &vs_http_route_message},
    {"tls", FIELD_LIST, AT_LIST(struct virtual_service, tls, n_tls), .msg = &tls_route_message},
    {"tcp", FIELD_LIST, AT_LIST(struct virtual_service, tcp, n_tcp), .msg = &tcp_route_message},
    {"exportTo", FIELD_STRS, AT(struct virtual_service, export_to)},
};
static const struct message spec_message = {MESSAGE_FIELDS("VirtualService", struct virtual_service, spec_fields),
                                            .check = check_spec};

static const struct field virtual_service_fields[] = {
    OBJECT_FIELDS,
    {"spec", FIELD_INLINE, .msg = &spec_message, .required = true},
    {"status", FIELD_ANY},
};
const struct message virtual_service_message =
    MESSAGE("VirtualService", struct virtual_service, virtual_service_fields);

bool virtual_service_in_mesh(const struct virtual_service *vs)
{
    return vs->gateways.n == 0 || strings_has(&vs->gateways, VIEW("mesh"));
}
