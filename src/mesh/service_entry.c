// SPDX-License-Identifier: Apache-2.0
/* ServiceEntry (service_entry.h): the table, and which resolution goes with which endpoints and addresses. */
#include "mesh/service_entry.h"

#include "mesh/messages.h"
#include "mesh/virtual_service_parts.h"

static const struct enum_word protocol_words[] = {
    {"HTTP", PORT_HTTP},
    {"HTTPS", PORT_HTTPS},
    {"HTTP2", PORT_HTTP2},
    {"GRPC", PORT_GRPC},
    {"GRPC-WEB", PORT_GRPC_WEB},
    {"TCP", PORT_TCP},
    {"TLS", PORT_TLS},
    {"MONGO", PORT_MONGO},
    {"MYSQL", PORT_MYSQL},
    {"REDIS", PORT_REDIS},
    {NULL},
};

static void check_port(struct decoder *d, void *msg, const struct node *n, const struct place *at)
{
    struct se_port *p = msg;
    if (!node_get(n, VIEW("protocol")))
        p->protocol = port_protocol_of(L4_TCP, p->port, p->name, VIEW_NONE);
}
static const struct field port_fields[] = {
    {"number", FIELD_PORT, AT(struct se_port, port), .required = true},
    {"name", FIELD_STR, AT(struct se_port, name), .required = true},
    {"protocol", FIELD_ENUM, AT(struct se_port, protocol), .words = protocol_words},
    {"targetPort", FIELD_PORT, AT(struct se_port, target_port)},
};
static const struct message port_message = {MESSAGE_FIELDS("ServicePort", struct se_port, port_fields), .part = true,
                                            .check = check_port};

static void decode_ports(struct decoder *d, void *base, const struct node *n, const struct place *at)
{
    struct se_endpoint *e = base;
    static const struct field port = {"ports", FIELD_PORT};
    if (n->type != NODE_MAP) {
        value_wrong_type(d, n, at, "a map of port names to numbers");
        return;
    }
    for (uint32_t i = 0; i < n->n; i++) {
        struct place here = {.up = at, .key = n->fields[i].key, .quoted = true};
        struct se_endpoint_port *p = ARENA_PUSH(d->arena, e->ports, e->n_ports);
        p->name = n->fields[i].key;
        value_decode(d, &port, &p->port, NULL, n->fields[i].value, &here);
    }
}

static const struct field endpoint_fields[] = {
    {"address", FIELD_STR, AT(struct se_endpoint, address), .required = true},
    {"ports", FIELD_CUSTOM, .custom = decode_ports},
    {"labels", FIELD_MAP, AT(struct se_endpoint, labels), .format = FORMAT_LABELS},
    {"locality", FIELD_STR, AT(struct se_endpoint, locality)},
    {"weight", FIELD_U32, AT(struct se_endpoint, weight)},
    {"serviceAccount", FIELD_STR, AT(struct se_endpoint, service_account)},
    {"network", FIELD_REFUSED, .why = "meshes over several networks are not available yet"},
};
static const struct message endpoint_message = PART("WorkloadEntry", struct se_endpoint, endpoint_fields);

static const struct enum_word location_words[] = {
    {"MESH_EXTERNAL", SE_EXTERNAL}, {"MESH_INTERNAL", SE_INTERNAL}, {NULL}};
static const struct enum_word resolution_words[] = {
    {"NONE", SE_NONE},
    {"STATIC", SE_STATIC},
    {"DNS", SE_DNS},
    {"DNS_ROUND_ROBIN", SE_DNS_ROUND_ROBIN},
    {"DYNAMIC_DNS", SE_DYNAMIC_DNS, "name the hosts one by one and use DNS"},
    {NULL},
};

static void check_endpoints(struct decoder *d, const struct service_entry *e, const struct node *n,
                            const struct place *at)
{
    struct place endpoints = {.up = at, .key = VIEW("endpoints")};
    bool dns = e->resolution == SE_DNS || e->resolution == SE_DNS_ROUND_ROBIN;
    for (uint32_t i = 0; i < e->n_endpoints; i++) {
        struct place here = {.up = &endpoints, .index = i};
        const struct se_endpoint *one = &e->endpoints[i];
        if (e->resolution == SE_STATIC && !is_ip(one->address))
            decode_bad_field(d, one->part.node, &here, "address", "`%.*s` is not an IP address",
                             VIEW_ARGS(one->address))
                ->hint = VIEW("with names use `resolution: DNS`");
        if (dns && !is_ip(one->address) && !is_host(one->address))
            decode_bad_field(d, one->part.node, &here, "address", "`%.*s` is not a host name", VIEW_ARGS(one->address));
        for (uint32_t p = 0; p < one->n_ports; p++) {
            uint32_t q = 0;
            while (q < e->n_ports && !view_eq(e->ports[q].name, one->ports[p].name))
                q++;
            if (q == e->n_ports)
                decode_bad_field(d, one->part.node, &here, "ports", "the ServiceEntry has no port named `%.*s`",
                                 VIEW_ARGS(one->ports[p].name));
        }
    }
    if (e->resolution == SE_NONE && e->n_endpoints)
        decode_bad_field(d, n, at, "endpoints", "`resolution: NONE` cannot have endpoints");
    if (e->resolution == SE_STATIC && !e->n_endpoints && !e->has_workload_selector)
        decode_bad_field(d, n, at, "resolution", "`resolution: STATIC` needs `endpoints` or `workloadSelector`");
    if (e->n_endpoints && e->has_workload_selector)
        decode_bad_field(d, n, at, "workloadSelector", "`endpoints` and `workloadSelector` exclude each other");
    if (e->resolution == SE_DNS_ROUND_ROBIN && e->n_endpoints > 1)
        decode_bad_field(d, n, at, "endpoints", "`resolution: DNS_ROUND_ROBIN` can have only one endpoint");
}

static void check_spec(struct decoder *d, void *msg, const struct node *n, const struct place *at)
{
    struct service_entry *e = msg;
    bool dns = e->resolution == SE_DNS || e->resolution == SE_DNS_ROUND_ROBIN;
    e->spec.at = decode_origin(d, n, at);
    e->spec.node = n;
    e->has_workload_selector = node_get(n, VIEW("workloadSelector")) != NULL;
    check_export_to(d, &e->export_to, n, at);
    for (uint32_t i = 0; i < e->hosts.n; i++) {
        struct view host = e->hosts.list[i];
        if (view_is(host, "*") || view_find(host, '.') == host.n)
            decode_bad_field(d, n, at, "hosts", "`%.*s` is not a full host name", VIEW_ARGS(host))->hint =
                VIEW("write a name with its domain, such as api.example.com or *.example.com");
        if (dns && view_starts(host, VIEW("*")) && !e->n_endpoints)
            decode_bad_field(d, n, at, "resolution", "a wildcard host cannot be resolved by DNS")->hint =
                VIEW("name endpoints, or use `resolution: NONE`");
    }
    for (uint32_t i = 0; i < e->addresses.n; i++)
        if (view_find(e->addresses.list[i], '/') < e->addresses.list[i].n && e->resolution != SE_NONE &&
            e->resolution != SE_STATIC)
            decode_bad_field(d, n, at, "addresses", "address ranges need `resolution: NONE` or `STATIC`");
    for (uint32_t i = 0; i < e->n_ports; i++)
        for (uint32_t j = 0; j < i; j++)
            if (e->ports[i].port == e->ports[j].port || view_eq(e->ports[i].name, e->ports[j].name))
                decode_bad(d, e->ports[i].part.node, at, "two ports have the same %s",
                           e->ports[i].port == e->ports[j].port ? "number" : "name");
    check_endpoints(d, e, n, at);
}

/* Not the WorkloadSelector of the security kinds, whose field is `matchLabels`. */
static const struct field selector_fields[] = {
    {"labels", FIELD_MAP, .at = 0, .format = FORMAT_LABELS, .required = true}};
static const struct message selector_message = MESSAGE("WorkloadSelector", struct labels, selector_fields);

static const struct field spec_fields[] = {
    {"hosts", FIELD_STRS, AT(struct service_entry, hosts), .required = true, .format = FORMAT_HOST},
    {"addresses", FIELD_STRS, AT(struct service_entry, addresses), .format = FORMAT_CIDR},
    {"ports", FIELD_LIST, AT_LIST(struct service_entry, ports, n_ports), .msg = &port_message},
    {"location", FIELD_ENUM, AT(struct service_entry, location), .words = location_words},
    {"resolution", FIELD_ENUM, AT(struct service_entry, resolution), .words = resolution_words},
    {"endpoints", FIELD_LIST, AT_LIST(struct service_entry, endpoints, n_endpoints), .msg = &endpoint_message},
    {"exportTo", FIELD_STRS, AT(struct service_entry, export_to)},
    {"subjectAltNames", FIELD_STRS, AT(struct service_entry, subject_alt_names)},
    {"workloadSelector", FIELD_EMBED, AT(struct service_entry, workload_selector), .msg = &selector_message},
};
static const struct message spec_message = {MESSAGE_FIELDS("ServiceEntry", struct service_entry, spec_fields),
                                            .check = check_spec};
static const struct field service_entry_fields[] = {
    OBJECT_FIELDS,
    {"spec", FIELD_INLINE, .msg = &spec_message, .required = true},
    {"status", FIELD_ANY},
};
const struct message service_entry_message = MESSAGE("ServiceEntry", struct service_entry, service_entry_fields);
