// SPDX-License-Identifier: Apache-2.0
/* Arguments and environment (options.h). One table says which variable goes where; PROXY_CONFIG is the JSON of Istio's
 * ProxyConfig, of which the fields that a data plane can use are taken.
 */
#include "proxy/options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "plan/defaults.h"
#include "plan/plan.h"
#include "proxy/static_plan.h"
#include "wire/node.h"

#define ROOT_PATH "/var/run/secrets/istio/root-cert.pem"
#define TOKEN_PATH "/var/run/secrets/tokens/istio-token"

static const struct {
    const char *name;
    size_t at; /* of a struct view in the options */
} variables[] = {
    {"POD_NAME", offsetof(struct proxy_options, pod)},
    {"POD_NAMESPACE", offsetof(struct proxy_options, ns)},
    {"INSTANCE_IP", offsetof(struct proxy_options, ip)},
    {"SERVICE_ACCOUNT", offsetof(struct proxy_options, service_account)},
    {"TRUST_DOMAIN", offsetof(struct proxy_options, trust_domain)},
    {"ISTIO_META_WORKLOAD_NAME", offsetof(struct proxy_options, workload)},
    {"ISTIO_META_OWNER", offsetof(struct proxy_options, owner)},
    {"ISTIO_META_CLUSTER_ID", offsetof(struct proxy_options, cluster_id)},
    {"ISTIO_META_MESH_ID", offsetof(struct proxy_options, mesh_id)},
    {"ISTIO_META_NETWORK", offsetof(struct proxy_options, network)},
    {"ISTIO_META_NODE_NAME", offsetof(struct proxy_options, node_name)},
    {"ISTIO_META_ISTIO_VERSION", offsetof(struct proxy_options, version)},
    {"ISTIO_META_REVISION", offsetof(struct proxy_options, revision)},
    {"REVISION", offsetof(struct proxy_options, revision)},
    {"ISTIO_META_INTERCEPTION_MODE", offsetof(struct proxy_options, interception)},
    {"CANONICAL_SERVICE", offsetof(struct proxy_options, canonical_service)},
    {"CANONICAL_REVISION", offsetof(struct proxy_options, canonical_revision)},
    {"ISTIO_KUBE_APP_PROBERS", offsetof(struct proxy_options, probers)},
    {"ISTIO_PROMETHEUS_ANNOTATIONS", offsetof(struct proxy_options, scrape)},
};

static const char *env_get(char **env, const char *name)
{
    size_t n = strlen(name);
    for (; env && *env; env++)
        if (strncmp(*env, name, n) == 0 && (*env)[n] == '=' && (*env)[n + 1])
            return *env + n + 1;
    return NULL;
}

/* "host:port"; the port is optional. */
static int address(struct view text, struct view *ret_host, uint16_t *port)
{
    uint64_t n = *port;
    size_t colon = text.n;
    while (colon && text.p[colon - 1] != ':')
        colon--;
    if (colon && view_u64(view_from(text, colon), &n) == 0 && n && n < 65536) {
        *ret_host = view_head(text, colon - 1);
        *port = (uint16_t)n;
    } else {
        *ret_host = text;
    }
    return ret_host->n ? 0 : -EINVAL;
}

static void read_labels(struct proxy_options *o, const struct node *map)
{
    for (uint32_t i = 0; node_is(map, NODE_MAP) && i < map->n; i++) {
        struct xds_label *l = ARENA_PUSH(&o->arena, o->labels, o->n_labels);
        *l = (struct xds_label){map->fields[i].key, node_text(map->fields[i].value)};
    }
}

/* A downward API volume: key="value", one a line. */
static void read_label_file(struct proxy_options *o, const char *path)
{
    FILE *f = fopen(path, "re");
    char line[4096];
    if (!f)
        return;
    while (fgets(line, sizeof(line), f)) {
        struct view v = view_of(line), key;
        size_t eq = view_find(v, '=');
        key = view_head(v, eq);
        v = view_trim(view_from(v, eq + 1));
        while (v.n && (v.p[v.n - 1] == '\n' || v.p[v.n - 1] == '"'))
            v.n--;
        if (v.n && v.p[0] == '"')
            v = view_from(v, 1);
        struct xds_label *l = ARENA_PUSH(&o->arena, o->labels, o->n_labels);
        *l = (struct xds_label){arena_view(&o->arena, key), arena_view(&o->arena, v)};
    }
    fclose(f);
}

static uint64_t duration_at(const struct node *n, const char *path, uint64_t otherwise)
{
    uint64_t ns;
    struct view v = node_text_at(n, path);
    return v.n && clock_parse_duration(v, &ns) == 0 ? ns : otherwise;
}

static int read_proxy_config(struct proxy_options *o, const char *text, struct view *ret_why)
{
    struct node *n;
    struct pull_error e;
    int64_t i;
    if (node_parse(&o->arena, view_of(text), &n, &e) < 0) {
        *ret_why = arena_printf(&o->arena, "PROXY_CONFIG: %.*s", VIEW_ARGS(e.text));
        return -EINVAL;
    }
    struct view v = node_text_at(n, "discoveryAddress");
    if (v.n && address(v, &o->discovery_host, &o->discovery_port) < 0) {
        *ret_why = VIEW("PROXY_CONFIG: discoveryAddress is not host:port");
        return -EINVAL;
    }
    o->drain = duration_at(n, "terminationDrainDuration", o->drain);
    if (node_i64(node_at(n, "concurrency"), &i) == 0 && i > 0 && i < 256)
        o->concurrency = (uint32_t)i;
    if (node_i64(node_at(n, "statusPort"), &i) == 0 && i > 0 && i < 65536)
        o->status_port = (uint16_t)i;
    if (node_i64(node_at(n, "proxyAdminPort"), &i) == 0 && i > 0 && i < 65536)
        o->admin_port = (uint16_t)i;
    return 0;
}

static int read_env(struct proxy_options *o, char **env, struct view *ret_why)
{
    for (size_t i = 0; i < COUNT_OF(variables); i++) {
        const char *v = env_get(env, variables[i].name);
        if (v)
            *(struct view *)(void *)((char *)o + variables[i].at) = view_of(v);
    }
    const char *v;
    struct node *n;
    if ((v = env_get(env, "PROXY_CONFIG"))) {
        int r = read_proxy_config(o, v, ret_why);
        if (r < 0)
            return r;
    }
    if ((v = env_get(env, "ISTIO_METAJSON_LABELS")) && node_parse(&o->arena, view_of(v), &n, NULL) == 0)
        read_labels(o, n);
    if (!o->n_labels)
        read_label_file(o, (v = env_get(env, "WEFT_LABELS")) ? v : "/etc/istio/pod/labels");
    if ((v = env_get(env, "WEFT_ROOT_CERT")))
        o->root_path = v;
    if ((v = env_get(env, "WEFT_TOKEN")))
        o->token_path = v;
    if ((v = env_get(env, "WEFT_DISCOVERY_ADDRESS")) &&
        address(view_of(v), &o->discovery_host, &o->discovery_port) < 0) {
        *ret_why = VIEW("WEFT_DISCOVERY_ADDRESS is not host:port");
        return -EINVAL;
    }
    if ((v = env_get(env, "CA_ADDR")) && address(view_of(v), &o->ca_host, &o->ca_port) < 0) {
        *ret_why = VIEW("CA_ADDR is not host:port");
        return -EINVAL;
    }
    if ((v = env_get(env, "TERMINATION_DRAIN_DURATION_SECONDS")))
        o->drain = strtoull(v, NULL, 10) * NS_PER_S;
    if ((v = env_get(env, "SECRET_TTL")) && clock_parse_duration(view_of(v), &o->cert_ttl) < 0) {
        *ret_why = VIEW("SECRET_TTL is no duration");
        return -EINVAL;
    }
    if ((v = env_get(env, "EXIT_ON_ZERO_ACTIVE_CONNECTIONS")))
        o->exit_on_zero_connections = strcmp(v, "true") == 0;
    return 0;
}

/* --flag value and --flag=value; false: not this flag. */
static bool flag(int argc, char **argv, int *i, const char *name, const char **ret_value)
{
    const char *arg = argv[*i];
    size_t n = strlen(name);
    if (strncmp(arg, "--", 2) != 0 || strncmp(arg + 2, name, n) != 0)
        return false;
    if (arg[2 + n] == '=') {
        *ret_value = arg + 3 + n;
        return true;
    }
    if (arg[2 + n] || *i + 1 >= argc)
        return false;
    *ret_value = argv[++*i];
    return true;
}

static int level_of(const char *text, enum log_level *ret)
{
    const char *last = strrchr(text, ':'); /* default:info, as istio's scopes */
    if (last)
        text = last + 1;
    if (strcmp(text, "critical") == 0 || strcmp(text, "off") == 0 || strcmp(text, "fatal") == 0 ||
        strcmp(text, "none") == 0)
        text = "error";
    if (strcmp(text, "trace") == 0)
        text = "debug";
    return log_parse_level(text, ret);
}

static uint16_t port_of(const char *text)
{
    unsigned long n = strtoul(text, NULL, 10);
    return n < 65536 ? (uint16_t)n : 0;
}

static int read_args(struct proxy_options *o, int argc, char **argv, struct view *ret_why)
{
    struct plan *plan = NULL;
    enum log_level level = LOG_ERROR;
    bool leveled = false;
    int r = 0;
    for (int i = 1; i < argc && r == 0; i++) {
        const char *v;
        if (strcmp(argv[i], "proxy") == 0)
            continue;
        if (strcmp(argv[i], "sidecar") == 0 || strcmp(argv[i], "router") == 0)
            o->type = view_of(argv[i]);
        else if (flag(argc, argv, &i, "domain", &v))
            o->domain = view_of(v);
        else if (flag(argc, argv, &i, "concurrency", &v))
            o->concurrency = port_of(v);
        else if (strcmp(argv[i], "--log_as_json") == 0)
            o->log_json = true;
        else if (flag(argc, argv, &i, "log_output_level", &v) || flag(argc, argv, &i, "proxyLogLevel", &v)) {
            r = level_of(v, &level);
            if (!r && (!leveled || level > o->log_level))
                o->log_level = level;
            leveled = true;
        } else if (flag(argc, argv, &i, "proxyComponentLogLevel", &v) || flag(argc, argv, &i, "outlierLogPath", &v))
            continue; /* Envoy's components do not exist here */
        else if (flag(argc, argv, &i, "bench-route", &v))
            r = static_plan_parse(plan = plan ? plan : plan_new(), view_of(v));
        else if (flag(argc, argv, &i, "admin-port", &v))
            o->admin_port = port_of(v);
        else if (flag(argc, argv, &i, "status-port", &v))
            o->status_port = port_of(v);
        else if (flag(argc, argv, &i, "health-port", &v))
            o->health_port = port_of(v);
        else if (flag(argc, argv, &i, "metrics-port", &v))
            o->metrics_port = port_of(v);
        else
            r = -EINVAL;
        if (r < 0)
            *ret_why = arena_printf(&o->arena, "argument %s is not understood", argv[i]);
    }
    if (plan) { /* a bench or test of the data path: no fixed ports */
        o->plan = plan;
        o->admin_port = o->status_port = o->health_port = o->metrics_port = 0;
    }
    return r;
}

static void labels_to_identity(struct proxy_options *o)
{
    for (uint32_t i = 0; i < o->n_labels; i++) {
        const struct xds_label *l = &o->labels[i];
        if (view_is(l->name, "app"))
            o->app = l->value;
        else if (view_is(l->name, "version"))
            o->app_version = l->value;
        else if (view_is(l->name, "service.istio.io/canonical-name"))
            o->canonical_service = l->value;
        else if (view_is(l->name, "service.istio.io/canonical-revision"))
            o->canonical_revision = l->value;
    }
    if (!o->canonical_service.n)
        o->canonical_service = o->app.n ? o->app : o->workload;
    if (!o->canonical_revision.n)
        o->canonical_revision = o->app_version.n ? o->app_version : VIEW("latest");
    /* kubernetes://apis/apps/v1/namespaces/default/deployments/reviews-v1 */
    struct view rest = o->owner, part;
    size_t at = view_find_view(rest, VIEW("/namespaces/"));
    rest = view_from(rest, at + 12);
    if (at < o->owner.n && view_cut(&rest, '/', &part) && view_cut(&rest, '/', &part) && part.n &&
        view_ends(part, VIEW("s")))
        o->workload_type = view_head(part, part.n - 1);
}

int options_read(struct proxy_options *o, int argc, char **argv, char **env, struct view *ret_why)
{
    *o = (struct proxy_options){
        .type = VIEW("sidecar"),
        .trust_domain = VIEW("cluster.local"),
        .ns = VIEW("default"),
        .service_account = VIEW("default"),
        .cluster_id = VIEW("Kubernetes"),
        .version = VIEW("1.31.0"),
        .interception = VIEW("REDIRECT"),
        .server_name = VIEW("istiod.istio-system.svc"),
        .discovery_port = 15012,
        .ca_port = 15012,
        .root_path = ROOT_PATH,
        .token_path = TOKEN_PATH,
        .concurrency = 2,
        .drain = DEFAULT_TERMINATION_DRAIN,
        .admin_port = 15000,
        .status_port = 15020,
        .health_port = 15021,
        .metrics_port = 15090,
        .admin_address = VIEW("127.0.0.1"),
        .log_level = LOG_INFO,
    };
    arena_init(&o->arena, 4096);
    int r = read_env(o, env, ret_why);
    if (r == 0)
        r = read_args(o, argc, argv, ret_why);
    if (r < 0)
        return r;
    if (!o->concurrency)
        o->concurrency = 2;
    if (!o->domain.n)
        o->domain = arena_printf(&o->arena, "%.*s.svc.cluster.local", VIEW_ARGS(o->ns));
    if (!o->ca_host.n) {
        o->ca_host = o->discovery_host;
        o->ca_port = o->discovery_port;
    }
    o->discovery_plain = o->discovery_port == 15010;
    size_t comma = view_find(o->ip, ',');
    o->ip = view_head(o->ip, comma);
    labels_to_identity(o);
    if (!o->plan && !o->discovery_host.n) {
        *ret_why = VIEW("no control plane: PROXY_CONFIG with discoveryAddress is needed (or --bench-route)");
        return -EINVAL;
    }
    return 0;
}

void options_done(struct proxy_options *o)
{
    plan_unref(o->plan);
    arena_done(&o->arena);
}

void options_node(const struct proxy_options *o, struct xds_node *ret_node)
{
    *ret_node = (struct xds_node){
        .type = o->type,
        .ip = o->ip,
        .pod = o->pod,
        .ns = o->ns,
        .domain = o->domain,
        .service_account = o->service_account,
        .workload_name = o->workload,
        .owner = o->owner,
        .cluster_id = o->cluster_id,
        .mesh_id = o->mesh_id,
        .network = o->network,
        .node_name = o->node_name,
        .version = o->version,
        .revision = o->revision,
        .interception = o->interception,
        .build = VIEW("weft " WEFT_VERSION),
        .ips = o->ip,
        .labels = o->labels,
        .n_labels = o->n_labels,
        .region = o->region,
        .zone = o->zone,
        .subzone = o->subzone,
    };
}
