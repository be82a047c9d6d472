// SPDX-License-Identifier: Apache-2.0
/* MeshConfig and ProxyConfig (mesh_config.h): YAML inside a ConfigMap or an annotation, decoded by the same tables as
 * objects. Its lines are moved to where they stand in the file, so that diagnostics point there.
 *
 * Istio's own installation writes fields that only repeat a default (extensionProviders and defaultProviders for the
 * built-in ones, rootNamespace …): what means nothing new is accepted, all else that weft does not honour is refused.
 */
#include "mesh/mesh_config.h"

#include <errno.h>

#include "mesh/decode_value.h"
#include "mesh/messages.h"
#include "wire/node.h"

/* --- ProxyConfig --- */

static const struct enum_word interception_words[] = {
    {"REDIRECT", INTERCEPT_REDIRECT},
    {"TPROXY", INTERCEPT_TPROXY, "use REDIRECT"},
    {"NONE", INTERCEPT_NONE},
    {NULL},
};
static void interception_set(struct decoder *d, void *base, const struct node *n, const struct place *at)
{
    static const struct field f = {"interceptionMode", FIELD_ENUM, .words = interception_words};
    struct proxy_config *c = base;
    int mode = INTERCEPT_REDIRECT;
    value_decode(d, &f, &mode, NULL, n, at);
    c->interception = (enum interception_mode)mode;
    c->has_interception = true;
}

#define ENVOY_ONLY "it configures Envoy's process, and weft's proxy is another one"
static const struct field proxy_fields[] = {
    {"concurrency", FIELD_OPT_U32, AT(struct proxy_config, concurrency), .lo = 0, .hi = 1024},
    {"drainDuration", FIELD_DURATION, AT(struct proxy_config, drain)},
    {"terminationDrainDuration", FIELD_DURATION, AT(struct proxy_config, termination_drain)},
    {"discoveryAddress", FIELD_STR, AT(struct proxy_config, discovery_address)},
    {"statusPort", FIELD_OPT_U32, AT(struct proxy_config, status_port), .lo = 1, .hi = 65535},
    {"proxyAdminPort", FIELD_OPT_U32, AT(struct proxy_config, admin_port), .lo = 1, .hi = 65535},
    {"holdApplicationUntilProxyStarts", FIELD_OPT_BOOL, AT(struct proxy_config, hold_application)},
    {"proxyMetadata", FIELD_MAP, AT(struct proxy_config, metadata)},
    {"meshId", FIELD_STR, AT(struct proxy_config, mesh_id)},
    {"interceptionMode", FIELD_CUSTOM, .custom = interception_set},
    {"serviceCluster", FIELD_REFUSED},
    {"tracingServiceName", FIELD_REFUSED},
    {"tracing", FIELD_REFUSED, .why = "tracing is not available yet"},
    {"gatewayTopology", FIELD_REFUSED},
    {"readinessProbe", FIELD_REFUSED},
    {"proxyHeaders", FIELD_REFUSED},
    {"connectionSettings", FIELD_REFUSED},
    {"caCertificatesPem", FIELD_REFUSED},
    {"image", FIELD_REFUSED, .why = "there is one image of the proxy"},
    {"proxyStatsMatcher", FIELD_REFUSED, .why = ENVOY_ONLY},
    {"extraStatTags", FIELD_REFUSED, .why = ENVOY_ONLY},
    {"statsCompression", FIELD_REFUSED, .why = ENVOY_ONLY},
    {"privateKeyProvider", FIELD_REFUSED, .why = ENVOY_ONLY},
    {"runtimeValues", FIELD_REFUSED, .why = ENVOY_ONLY},
    {"binaryPath", FIELD_REFUSED, .why = ENVOY_ONLY},
    {"configPath", FIELD_REFUSED, .why = ENVOY_ONLY},
    {"customConfigFile", FIELD_REFUSED, .why = ENVOY_ONLY},
    {"proxyBootstrapTemplatePath", FIELD_REFUSED, .why = ENVOY_ONLY},
    {"statNameLength", FIELD_REFUSED, .why = ENVOY_ONLY},
    {"statsdUdpAddress", FIELD_REFUSED, .why = ENVOY_ONLY},
    {"envoyAccessLogService", FIELD_REFUSED, .why = ENVOY_ONLY},
    {"envoyMetricsService", FIELD_REFUSED, .why = ENVOY_ONLY},
    {"fileFlushInterval", FIELD_REFUSED, .why = ENVOY_ONLY},
    {"fileFlushMinSizeKb", FIELD_REFUSED, .why = ENVOY_ONLY},
    {"zipkinAddress", FIELD_REFUSED},
    {"controlPlaneAuthPolicy", FIELD_REFUSED},
};
const struct message proxy_config_message = PART("ProxyConfig", struct proxy_config, proxy_fields);

/* --- MeshConfig --- */

static const struct enum_word outbound_words[] = {
    {"REGISTRY_ONLY", OUTBOUND_REGISTRY_ONLY},
    {"ALLOW_ANY", OUTBOUND_ALLOW_ANY},
    {"ALLOW_ANY_DYNAMIC_DNS", OUTBOUND_ALLOW_ANY, "use ALLOW_ANY"},
    {NULL},
};
static const struct field outbound_fields[] = {
    {"mode", FIELD_ENUM, AT(struct mesh_outbound_policy, mode), .words = outbound_words},
    {"tls", FIELD_REFUSED},
};
static const struct message outbound_message =
    PART("OutboundTrafficPolicy", struct mesh_outbound_policy, outbound_fields);

static const struct enum_word encoding_words[] = {{"TEXT", ACCESS_LOG_TEXT}, {"JSON", ACCESS_LOG_JSON}, {NULL}};

/* defaultProviders.metrics: [prometheus] is what every installation writes and what weft does anyway. */
static void default_providers(struct decoder *d, void *base, const struct node *n, const struct place *at)
{
    for (uint32_t i = 0; node_is(n, NODE_MAP) && i < n->n; i++) {
        const struct node_field *f = &n->fields[i];
        struct place here = {.up = at, .key = f->key};
        bool prometheus = view_is(f->key, "metrics") && f->value->type == NODE_SEQ && f->value->n == 1 &&
                          view_is(node_text(f->value->items[0]), "prometheus");
        if (!prometheus && f->value->n)
            decode_bad(d, f->value, &here,
                       "`defaultProviders` other than `metrics: [prometheus]` are not supported yet");
    }
}

static const struct field mesh_fields[] = {
    {"accessLogFile", FIELD_STR, AT(struct mesh_config, access_log_file)},
    {"accessLogFormat", FIELD_STR, AT(struct mesh_config, access_log_format)},
    {"accessLogEncoding", FIELD_ENUM, AT(struct mesh_config, access_log_encoding), .words = encoding_words},
    {"enableAutoMtls", FIELD_OPT_BOOL, AT(struct mesh_config, auto_mtls)},
    {"trustDomain", FIELD_STR, AT(struct mesh_config, trust_domain), .required = false},
    {"trustDomainAliases", FIELD_STRS, AT(struct mesh_config, trust_domain_aliases)},
    {"rootNamespace", FIELD_STR, AT(struct mesh_config, root_ns), .format = FORMAT_LABEL},
    {"outboundTrafficPolicy", FIELD_MSG, AT(struct mesh_config, outbound), .msg = &outbound_message},
    {"connectTimeout", FIELD_DURATION, AT(struct mesh_config, connect_timeout), .lo = NS_PER_MS},
    {"protocolDetectionTimeout", FIELD_DURATION, AT(struct mesh_config, protocol_detection_timeout)},
    {"defaultServiceExportTo", FIELD_STRS, AT(struct mesh_config, default_service_export_to)},
    {"defaultVirtualServiceExportTo", FIELD_STRS, AT(struct mesh_config, default_virtual_service_export_to)},
    {"defaultDestinationRuleExportTo", FIELD_STRS, AT(struct mesh_config, default_destination_rule_export_to)},
    {"enablePrometheusMerge", FIELD_OPT_BOOL, AT(struct mesh_config, prometheus_merge)},
    {"defaultHttpRetryPolicy", FIELD_MSG, AT(struct mesh_config, default_retries), .msg = &http_retries_message},
    {"defaultConfig", FIELD_MSG, AT(struct mesh_config, default_config), .msg = &proxy_config_message},
    {"defaultProviders", FIELD_CUSTOM, .custom = default_providers},
    {"proxyListenPort", FIELD_REFUSED, .why = "the ports are Istio's: 15001 and 15006"},
    {"proxyInboundListenPort", FIELD_REFUSED, .why = "the ports are Istio's: 15001 and 15006"},
    {"proxyHttpPort", FIELD_REFUSED},
    {"hboneIdleTimeout", FIELD_REFUSED},
    {"tcpKeepalive", FIELD_REFUSED, .why = "set connectionPool.tcp.tcpKeepalive in a DestinationRule"},
    {"ingressClass", FIELD_REFUSED},
    {"ingressService", FIELD_REFUSED},
    {"ingressControllerMode", FIELD_REFUSED},
    {"ingressSelector", FIELD_REFUSED},
    {"enableTracing", FIELD_REFUSED, .why = "tracing is not available yet"},
    {"enableEnvoyAccessLogService", FIELD_REFUSED},
    {"disableEnvoyListenerLog", FIELD_REFUSED},
    {"inboundTrafficPolicy", FIELD_REFUSED},
    {"configSources", FIELD_REFUSED},
    {"caCertificates", FIELD_REFUSED},
    {"localityLbSetting", FIELD_REFUSED},
    {"zoneAwareLbSetting", FIELD_REFUSED},
    {"dnsRefreshRate", FIELD_REFUSED},
    {"h2UpgradePolicy", FIELD_REFUSED, .why = "set connectionPool.http.h2UpgradePolicy in a DestinationRule"},
    {"inboundClusterStatName", FIELD_REFUSED},
    {"outboundClusterStatName", FIELD_REFUSED},
    {"certificates", FIELD_REFUSED},
    {"serviceSettings", FIELD_REFUSED},
    {"serviceScopeConfigs", FIELD_REFUSED},
    {"verifyCertificateAtClient", FIELD_REFUSED},
    {"ca", FIELD_REFUSED},
    {"extensionProviders", FIELD_REFUSED},
    {"discoverySelectors", FIELD_REFUSED},
    {"pathNormalization", FIELD_REFUSED},
    {"meshMTLS", FIELD_REFUSED},
    {"tlsDefaults", FIELD_REFUSED},
    {"defaultTrafficPolicy", FIELD_REFUSED},
    {"serviceEntryVisibility", FIELD_REFUSED},
};

static void mesh_defaults(void *msg)
{
    struct mesh_config *c = msg;
    c->trust_domain = VIEW("cluster.local");
    c->root_ns = VIEW("istio-system");
}
const struct message mesh_config_message = {MESSAGE_FIELDS("MeshConfig", struct mesh_config, mesh_fields), .part = true,
                                            .init = mesh_defaults};

struct mesh_config *mesh_config_default(struct arena *a)
{
    struct mesh_config *c = ARENA_NEW(a, struct mesh_config);
    mesh_defaults(c);
    return c;
}

/* Moves a tree from its own text to where the text stands in the file: a block scalar begins on the line after its key
 * and is indented. Other texts (quoted, one line) keep the place of the scalar. */
static void move_tree(struct node *n, const struct node *holder, uint32_t indent)
{
    n->line = holder->block ? holder->line + n->line : holder->line;
    n->col = holder->block ? n->col + indent : holder->col;
    n->span = holder->block ? n->span : holder->span;
    for (uint32_t i = 0; n->type == NODE_SEQ && i < n->n; i++)
        move_tree(n->items[i], holder, indent);
    for (uint32_t i = 0; n->type == NODE_MAP && i < n->n; i++) {
        struct node_field *f = &n->fields[i];
        f->line = holder->block ? holder->line + f->line : holder->line;
        f->col = holder->block ? f->col + indent : holder->col;
        move_tree(f->value, holder, indent);
    }
}

static uint32_t block_indent(const struct object *o, const struct node *holder)
{
    struct view line = object_line(o, holder->line + 1);
    uint32_t n = 0;
    while (n < line.n && line.p[n] == ' ')
        n++;
    return n;
}

/* Reads `text` as YAML and decodes it as the message; `holder` is the scalar that holds the text (may be NULL). */
static int decode_text(struct decoder *d, const struct message *m, void *msg, struct view text,
                       const struct node *holder, const struct place *at)
{
    struct node *tree;
    struct pull_error e;
    if (node_parse(d->arena, text, &tree, &e) < 0) {
        struct diag *one = decode_error(d, "WEFT0001", holder, at);
        one->title = diag_text(d->diags, "the text of `%.*s` cannot be read as YAML", VIEW_ARGS(at->key));
        one->label = diag_text(d->diags, "line %u of it: %.*s", e.line, VIEW_ARGS(e.text));
        return -EINVAL;
    }
    struct node *own = node_copy(d->arena, tree);
    if (holder && holder->line)
        move_tree(own, holder, holder->block ? block_indent(d->object, holder) : 0);
    if (tree->type == NODE_NULL)
        own->type = NODE_MAP, own->n = 0, own->fields = NULL;
    decode_message(d, m, msg, own, at);
    return d->errors ? -EINVAL : 0;
}

int mesh_config_parse(struct arena *a, struct diags *d, const struct config_map *cm, struct mesh_config **ret_config)
{
    struct object o = cm->o;
    struct decoder dec = {.arena = a, .diags = d, .object = &o};
    struct place data = {.key = VIEW("data")}, mesh = {.up = &data, .key = VIEW("mesh")};
    struct mesh_config *c = mesh_config_default(a);
    const struct node *holder = node_get(node_get(cm->o.node, VIEW("data")), VIEW("mesh"));
    struct view text = labels_get(&cm->data, VIEW("mesh"));
    if (text.n) {
        int err = decode_text(&dec, &mesh_config_message, c, text, holder, &mesh);
        if (err)
            return err;
    }
    *ret_config = c;
    return 0;
}

int proxy_config_parse(struct arena *a, struct diags *d, const struct origin *at, struct view text,
                       struct proxy_config **ret_config)
{
    struct object o = {.at = *at};
    struct decoder dec = {.arena = a, .diags = d, .object = &o};
    struct place place = {.key = VIEW("metadata.annotations[proxy.istio.io/config]")};
    struct proxy_config *c = ARENA_NEW(a, struct proxy_config);
    int err = decode_text(&dec, &proxy_config_message, c, text, NULL, &place);
    if (!err)
        *ret_config = c;
    return err;
}

struct proxy_config *proxy_config_merge(struct arena *a, const struct proxy_config *base,
                                        const struct proxy_config *over)
{
    struct proxy_config *c = ARENA_NEW(a, struct proxy_config);
    if (base)
        *c = *base;
    if (!over)
        return c;
#define TAKE(member)                                                                                                   \
    if (over->member.set)                                                                                              \
    c->member = over->member
    TAKE(concurrency);
    TAKE(drain);
    TAKE(termination_drain);
    TAKE(status_port);
    TAKE(admin_port);
    TAKE(hold_application);
#undef TAKE
    if (over->discovery_address.n)
        c->discovery_address = over->discovery_address;
    if (over->mesh_id.n)
        c->mesh_id = over->mesh_id;
    if (over->has_interception) {
        c->has_interception = true;
        c->interception = over->interception;
    }
    struct labels merged = {0};
    for (uint32_t i = 0; base && i < base->metadata.n; i++)
        if (!labels_has(&over->metadata, base->metadata.list[i].key))
            *ARENA_PUSH(a, merged.list, merged.n) = base->metadata.list[i];
    for (uint32_t i = 0; i < over->metadata.n; i++)
        *ARENA_PUSH(a, merged.list, merged.n) = over->metadata.list[i];
    c->metadata = merged;
    return c;
}

bool mesh_config_allow_any(const struct mesh_config *c)
{
    return !c->outbound || c->outbound->mode == OUTBOUND_ALLOW_ANY;
}
