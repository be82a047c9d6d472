// SPDX-License-Identifier: Apache-2.0
/* The two containers that are added (parts.h): istio-init, which sets the capture rules, and istio-proxy; and the volumes
 * of the latter. Names, ports, arguments, environment and mounts are those of Istio's templates; fixed parts are YAML
 * texts, what depends on the pod is set behind them.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "inject/parts.h"

static const char volumes_text[] = "- {name: workload-socket, emptyDir: {}}\n"
                                   "- {name: credential-socket, emptyDir: {}}\n"
                                   "- {name: workload-certs, emptyDir: {}}\n"
                                   "- {name: istio-envoy, emptyDir: {medium: Memory}}\n"
                                   "- {name: istio-data, emptyDir: {}}\n"
                                   "- name: istio-podinfo\n"
                                   "  downwardAPI:\n"
                                   "    items:\n"
                                   "    - {path: labels, fieldRef: {fieldPath: metadata.labels}}\n"
                                   "    - {path: annotations, fieldRef: {fieldPath: metadata.annotations}}\n"
                                   "- name: istio-token\n"
                                   "  projected:\n"
                                   "    sources:\n"
                                   "    - serviceAccountToken:\n"
                                   "        path: istio-token\n"
                                   "        expirationSeconds: 43200\n"
                                   "        audience: istio-ca\n"
                                   "- {name: istiod-ca-cert, configMap: {name: istio-ca-root-cert}}\n";

static const char mounts_text[] = "- {name: workload-socket, mountPath: /var/run/secrets/workload-spiffe-uds}\n"
                                  "- {name: credential-socket, mountPath: /var/run/secrets/credential-uds}\n"
                                  "- {name: workload-certs, mountPath: /var/run/secrets/workload-spiffe-credentials}\n"
                                  "- {name: istiod-ca-cert, mountPath: /var/run/secrets/istio}\n"
                                  "- {name: istio-data, mountPath: /var/lib/istio/data}\n"
                                  "- {name: istio-envoy, mountPath: /etc/istio/proxy}\n"
                                  "- {name: istio-token, mountPath: /var/run/secrets/tokens}\n"
                                  "- {name: istio-podinfo, mountPath: /etc/istio/pod}\n";

static const char proxy_text[] = "name: istio-proxy\n"
                                 "ports:\n"
                                 "- {containerPort: 15090, protocol: TCP, name: http-envoy-prom}\n"
                                 "resources:\n"
                                 "  requests: {cpu: 100m, memory: 128Mi}\n"
                                 "  limits: {cpu: 2000m, memory: 1024Mi}\n"
                                 "securityContext:\n"
                                 "  allowPrivilegeEscalation: false\n"
                                 "  capabilities: {drop: [ALL]}\n"
                                 "  privileged: false\n"
                                 "  readOnlyRootFilesystem: true\n"
                                 "  runAsGroup: 1337\n"
                                 "  runAsNonRoot: true\n"
                                 "  runAsUser: 1337\n";

static const char init_text[] = "name: istio-init\n"
                                "resources:\n"
                                "  requests: {cpu: 100m, memory: 128Mi}\n"
                                "  limits: {cpu: 2000m, memory: 1024Mi}\n"
                                "securityContext:\n"
                                "  allowPrivilegeEscalation: false\n"
                                "  capabilities: {add: [NET_ADMIN, NET_RAW], drop: [ALL]}\n"
                                "  privileged: false\n"
                                "  readOnlyRootFilesystem: false\n"
                                "  runAsGroup: 0\n"
                                "  runAsNonRoot: false\n"
                                "  runAsUser: 0\n";

static const char env_text[] =
    "- {name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}\n"
    "- {name: POD_NAMESPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}\n"
    "- {name: INSTANCE_IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}\n"
    "- {name: SERVICE_ACCOUNT, valueFrom: {fieldRef: {fieldPath: spec.serviceAccountName}}}\n"
    "- {name: HOST_IP, valueFrom: {fieldRef: {fieldPath: status.hostIP}}}\n"
    "- {name: ISTIO_CPU_LIMIT, valueFrom: {resourceFieldRef: {resource: limits.cpu, divisor: '0'}}}\n";

static const char *const part_texts[PARTS] = {
    [PART_VOLUMES] = volumes_text,
    [PART_MOUNTS] = mounts_text,
    [PART_PROXY] = proxy_text,
    [PART_INIT] = init_text,
    [PART_ENV] = env_text,
    [PART_NODE_NAME] = "{name: ISTIO_META_NODE_NAME, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}",
    [PART_READY] = "{path: /healthz/ready, port: 15021}",
    [PART_DRAIN] = "preStop: {exec: {command: [weft-proxy, request, --debug-port=15020, POST, drain]}}",
    [PART_WAIT] = "postStart: {exec: {command: [weft-proxy, wait]}}",
};

const struct inject_parts *inject_parts_new(struct arena *a)
{
    struct inject_parts *parts = ARENA_NEW(a, struct inject_parts);
    for (int i = 0; i < PARTS; i++)
        parts->tree[i] = inject_yaml(a, part_texts[i]);
    return parts;
}

static struct node *part_new(struct injection *x, enum inject_part part)
{
    const struct inject_parts *parts = x->config->parts;
    return parts ? node_copy(x->arena, parts->tree[part]) : inject_yaml(x->arena, part_texts[part]);
}

static struct view mode_of(const struct injection *x)
{
    bool none = x->proxy->has_interception && x->proxy->interception == INTERCEPT_NONE;
    return annotation_get(x->pod, ANNOTATION_INTERCEPTION, none ? VIEW("NONE") : VIEW("REDIRECT"));
}

static void push_str(struct injection *x, struct node *list, struct view text)
{
    node_push(x->arena, list, node_str(x->arena, text));
}

static void push_pair(struct injection *x, struct node *list, const char *flag, struct view value)
{
    push_str(x, list, view_of(flag));
    push_str(x, list, value);
}

struct view traffic_setting(const struct injection *x, enum annotation a, struct view otherwise)
{
    struct view standard = x->config->capture[a];
    return annotation_get(x->pod, a, standard.n ? standard : otherwise);
}

/* 15090 and 15021 are the proxy's own; the status port too, behind what the user excludes. */
static struct view excluded_inbound(struct injection *x)
{
    struct view users = traffic_setting(x, ANNOTATION_EXCLUDE_IN_PORTS, VIEW_NONE);
    struct buf b = {0};
    buf_str(&b, "15090,15021");
    if (users.n) {
        buf_char(&b, ',');
        buf_view(&b, users);
    }
    if (x->status_port)
        buf_printf(&b, ",%u", x->status_port);
    struct view text = arena_view(x->arena, buf_read(&b));
    buf_done(&b);
    return text;
}

/* What an installation asks of both containers. */
static void set_platform(struct injection *x, struct node *c)
{
    struct node *security = node_get(c, VIEW("securityContext"));
    if (x->config->pull_policy.n)
        node_set_str(x->arena, c, "imagePullPolicy", x->config->pull_policy);
    if (x->config->seccomp)
        node_set(x->arena, security, VIEW("seccompProfile"), node_copy(x->arena, x->config->seccomp));
    if (x->config->privileged) {
        node_set_bool(x->arena, security, "privileged", true);
        node_set_bool(x->arena, security, "allowPrivilegeEscalation", true);
    }
}

static struct view agent_log_level(const struct injection *x)
{
    struct view level = x->config->agent_log_level;
    return annotation_get(x->pod, ANNOTATION_AGENT_LOG_LEVEL, level.n ? level : VIEW("default:info"));
}

struct node *make_init_container(struct injection *x)
{
    static const struct {
        enum annotation annotation;
        const char *flag;
    } optional[] = {{ANNOTATION_INCLUDE_OUT_PORTS, "-q"},
                    {ANNOTATION_EXCLUDE_OUT_PORTS, "-o"},
                    {ANNOTATION_KUBEVIRT_INTERFACES, "-k"},
                    {ANNOTATION_REROUTE_INTERFACES, "-k"},
                    {ANNOTATION_EXCLUDE_INTERFACES, "-c"}};
    struct node *c = part_new(x, PART_INIT), *args = node_new(x->arena, NODE_SEQ);
    node_set_str(x->arena, c, "image", x->config->image_node);
    if (x->config->node_command.n) {
        struct node *command = node_new(x->arena, NODE_SEQ);
        push_str(x, command, x->config->node_command);
        node_set(x->arena, c, VIEW("command"), command);
    }
    push_str(x, args, VIEW("iptables"));
    push_pair(x, args, "-p", VIEW("15001"));
    push_pair(x, args, "-z", VIEW("15006"));
    push_pair(x, args, "-u", VIEW("1337"));
    push_pair(x, args, "-m", mode_of(x));
    push_pair(x, args, "-i", traffic_setting(x, ANNOTATION_INCLUDE_OUT_IPS, VIEW("*")));
    push_pair(x, args, "-x", traffic_setting(x, ANNOTATION_EXCLUDE_OUT_IPS, VIEW("")));
    push_pair(x, args, "-b", traffic_setting(x, ANNOTATION_INCLUDE_IN_PORTS, VIEW("*")));
    push_pair(x, args, "-d", excluded_inbound(x));
    for (size_t i = 0; i < COUNT_OF(optional); i++)
        if (traffic_setting(x, optional[i].annotation, VIEW_NONE).n)
            push_pair(x, args, optional[i].flag, traffic_setting(x, optional[i].annotation, VIEW_NONE));
    push_str(x, args, arena_printf(x->arena, "--log_output_level=%.*s", VIEW_ARGS(agent_log_level(x))));
    if (x->config->log_json)
        push_str(x, args, VIEW("--log_as_json"));
    if (x->config->force_apply)
        push_str(x, args, VIEW("--force-apply"));
    node_set(x->arena, c, VIEW("args"), args);
    set_platform(x, c);
    if (x->config->init_resources || x->config->resources)
        node_set(x->arena, c, VIEW("resources"),
                 node_copy(x->arena, x->config->init_resources ? x->config->init_resources : x->config->resources));
    return c;
}

static void env(struct injection *x, struct node *list, const char *name, struct view value)
{
    struct node *n = node_new(x->arena, NODE_MAP);
    node_set_str(x->arena, n, "name", view_of(name));
    node_set_str(x->arena, n, "value", value);
    node_push(x->arena, list, n);
}

static void set_duration(struct injection *x, struct node *map, const char *key, struct opt_duration v)
{
    struct buf b = {0};
    if (!v.set)
        return;
    clock_print_duration(&b, v.ns);
    node_set_str(x->arena, map, key, arena_view(x->arena, buf_read(&b)));
    buf_done(&b);
}

/* ProxyConfig as JSON, by the names of its fields: what was set, and always the control plane's address. */
static struct view proxy_config_json(struct injection *x)
{
    const struct proxy_config *p = x->proxy;
    struct node *n = node_new(x->arena, NODE_MAP);
    struct view standard = x->config->discovery.n ? x->config->discovery : x->config->ca_address;
    node_set_str(
        x->arena, n, "discoveryAddress",
        annotation_get(x->pod, ANNOTATION_DISCOVERY_ADDRESS, p->discovery_address.n ? p->discovery_address : standard));
    if (p->concurrency.set)
        node_set_int(x->arena, n, "concurrency", p->concurrency.value);
    set_duration(x, n, "drainDuration", p->drain);
    set_duration(x, n, "terminationDrainDuration", p->termination_drain);
    if (x->status_port && x->status_port != 15020)
        node_set_int(x->arena, n, "statusPort", x->status_port);
    if (p->admin_port.set)
        node_set_int(x->arena, n, "proxyAdminPort", p->admin_port.value);
    if (p->hold_application.set || x->config->hold.set)
        node_set_bool(x->arena, n, "holdApplicationUntilProxyStarts", x->hold);
    if (p->mesh_id.n)
        node_set_str(x->arena, n, "meshId", p->mesh_id);
    if (p->metadata.n) {
        struct node *m = node_make(x->arena, n, "proxyMetadata", NODE_MAP);
        for (uint32_t i = 0; i < p->metadata.n; i++)
            node_set(x->arena, m, p->metadata.list[i].key, node_str(x->arena, p->metadata.list[i].value));
    }
    return inject_json(x->arena, n);
}

static int by_key(const void *a, const void *b)
{
    return view_cmp(((const struct label *)a)->key, ((const struct label *)b)->key);
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

static void env_owner(struct injection *x, struct node *list)
{
    if (!x->workload.n)
        return;
    env(x, list, "ISTIO_META_WORKLOAD_NAME", x->workload);
    char *kind = arena_str(x->arena, x->owner_kind);
    for (char *c = kind; *c; c++)
        *c = lower(*c);
    env(x, list, "ISTIO_META_OWNER",
        arena_printf(x->arena, "kubernetes://apis/%.*s/namespaces/%.*s/%ss/%.*s", VIEW_ARGS(x->owner_api),
                     VIEW_ARGS(x->ns), kind, VIEW_ARGS(x->workload)));
}

static struct node *make_env(struct injection *x)
{
    struct node *list = node_new(x->arena, NODE_SEQ), *fixed = part_new(x, PART_ENV);
    env(x, list, "PILOT_CERT_PROVIDER", VIEW("istiod"));
    env(x, list, "CA_ADDR", x->config->ca_address);
    for (uint32_t i = 0; i < fixed->n; i++)
        node_push(x->arena, list, fixed->items[i]);
    env(x, list, "PROXY_CONFIG", proxy_config_json(x));
    env(x, list, "ISTIO_META_POD_PORTS", x->pod_ports);
    env(x, list, "ISTIO_META_APP_CONTAINERS", x->app_containers);
    env(x, list, "ISTIO_META_CLUSTER_ID", x->config->cluster_id);
    node_push(x->arena, list, part_new(x, PART_NODE_NAME));
    env(x, list, "ISTIO_META_INTERCEPTION_MODE", mode_of(x));
    if (x->config->network.n)
        env(x, list, "ISTIO_META_NETWORK", x->config->network);
    env_owner(x, list);
    struct view mesh_id = x->config->mesh_id.n ? x->config->mesh_id : x->mesh->trust_domain;
    env(x, list, "ISTIO_META_MESH_ID", x->proxy->mesh_id.n ? x->proxy->mesh_id : mesh_id);
    env(x, list, "TRUST_DOMAIN", x->mesh->trust_domain);
    struct labels m = x->proxy->metadata;
    struct label *sorted = arena_copy(x->arena, m.n ? (void *)m.list : (void *)&m, m.n * sizeof(*m.list));
    if (m.n)
        qsort(sorted, m.n, sizeof(*sorted), by_key);
    for (uint32_t i = 0; i < m.n; i++)
        env(x, list, arena_str(x->arena, sorted[i].key), sorted[i].value);
    for (uint32_t i = 0; i < x->config->env.n; i++)
        env(x, list, arena_str(x->arena, x->config->env.list[i].key), x->config->env.list[i].value);
    if (x->probers)
        env(x, list, "ISTIO_KUBE_APP_PROBERS", inject_json(x->arena, x->probers));
    if (x->scrape.n)
        env(x, list, "ISTIO_PROMETHEUS_ANNOTATIONS", x->scrape);
    return list;
}

static struct node *make_args(struct injection *x)
{
    struct node *args = node_new(x->arena, NODE_SEQ);
    push_str(x, args, VIEW("proxy"));
    push_str(x, args, x->gateway ? VIEW("router") : VIEW("sidecar"));
    push_pair(x, args, "--domain", arena_printf(x->arena, "$(POD_NAMESPACE).svc.%.*s", VIEW_ARGS(x->config->domain)));
    const struct {
        enum annotation annotation;
        const char *flag, *otherwise;
        struct view standard;
    } levels[] = {
        {ANNOTATION_LOG_LEVEL, "--proxyLogLevel", "warning", x->config->log_level},
        {ANNOTATION_COMPONENT_LOG_LEVEL, "--proxyComponentLogLevel", "misc:error", x->config->component_log_level}};
    for (size_t i = 0; i < COUNT_OF(levels); i++) {
        struct view standard = levels[i].standard.n ? levels[i].standard : view_of(levels[i].otherwise);
        struct view level = annotation_get(x->pod, levels[i].annotation, standard);
        push_str(x, args, arena_printf(x->arena, "%s=%.*s", levels[i].flag, VIEW_ARGS(level)));
    }
    push_str(x, args, arena_printf(x->arena, "--log_output_level=%.*s", VIEW_ARGS(agent_log_level(x))));
    if (x->config->log_json)
        push_str(x, args, VIEW("--log_as_json"));
    return args;
}

/* Any of the four annotations replaces all of the defaults. */
static void set_resources(struct injection *x, struct node *c)
{
    static const struct {
        enum annotation annotation;
        const char *group, *name;
    } rows[] = {{ANNOTATION_CPU, "requests", "cpu"},
                {ANNOTATION_MEMORY, "requests", "memory"},
                {ANNOTATION_CPU_LIMIT, "limits", "cpu"},
                {ANNOTATION_MEMORY_LIMIT, "limits", "memory"}};
    struct node *resources = node_new(x->arena, NODE_MAP);
    if (x->config->resources)
        node_set(x->arena, c, VIEW("resources"), node_copy(x->arena, x->config->resources));
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (annotation_has(x->pod, rows[i].annotation))
            node_set_str(x->arena, node_make(x->arena, resources, rows[i].group, NODE_MAP), rows[i].name,
                         annotation_get(x->pod, rows[i].annotation, VIEW_NONE));
    if (resources->n)
        node_set(x->arena, c, VIEW("resources"), resources);
}

static void set_probe(struct injection *x, struct node *c, const char *name, int64_t delay, int64_t period,
                      int64_t failures)
{
    struct node *p = node_make(x->arena, c, name, NODE_MAP);
    node_set(x->arena, p, VIEW("httpGet"), part_new(x, PART_READY));
    node_set_int(x->arena, p, "initialDelaySeconds", delay);
    node_set_int(x->arena, p, "periodSeconds", period);
    node_set_int(x->arena, p, "timeoutSeconds", 3);
    node_set_int(x->arena, p, "failureThreshold", failures);
}

static int64_t number(struct injection *x, enum annotation a, struct opt_u32 standard, int64_t otherwise)
{
    uint64_t value;
    otherwise = standard.set ? standard.value : otherwise;
    return view_u64(annotation_get(x->pod, a, VIEW_NONE), &value) == 0 ? (int64_t)value : otherwise;
}

/* Volumes or mounts of an annotation: a JSON list, or a map by name. */
static void add_users(struct injection *x, struct node *list, enum annotation a)
{
    struct view text = annotation_get(x->pod, a, VIEW_NONE);
    struct node *n = NULL;
    if (!text.n || node_parse(x->arena, text, &n, NULL) < 0)
        return;
    for (uint32_t i = 0; i < n->n; i++) {
        struct node *item = node_copy(x->arena, n->type == NODE_MAP ? n->fields[i].value : n->items[i]);
        if (n->type == NODE_MAP && item->type == NODE_MAP)
            node_set(x->arena, item, VIEW("name"), node_str(x->arena, arena_view(x->arena, n->fields[i].key)));
        node_push(x->arena, list, item);
    }
}

struct node *make_proxy_container(struct injection *x)
{
    struct node *c = part_new(x, PART_PROXY);
    node_set_str(x->arena, c, "image", annotation_get(x->pod, ANNOTATION_PROXY_IMAGE, x->config->image_proxy));
    node_set(x->arena, c, VIEW("args"), make_args(x));
    node_set(x->arena, c, VIEW("env"), make_env(x));
    if (x->status_port) {
        const struct inject_config *f = x->config;
        if (!x->gateway && (!f->startup_probe.set || f->startup_probe.value))
            set_probe(x, c, "startupProbe", 0, 1, f->startup_failures.set ? f->startup_failures.value : 600);
        set_probe(x, c, "readinessProbe", number(x, ANNOTATION_READY_DELAY, f->ready_delay, 0),
                  number(x, ANNOTATION_READY_PERIOD, f->ready_period, 15),
                  number(x, ANNOTATION_READY_FAILURES, f->ready_failures, 4));
    }
    if (x->native) {
        node_set_str(x->arena, c, "restartPolicy", VIEW("Always"));
        node_set(x->arena, c, VIEW("lifecycle"), part_new(x, PART_DRAIN));
    } else if (x->hold) {
        node_set(x->arena, c, VIEW("lifecycle"), part_new(x, PART_WAIT));
    }
    if (x->config->lifecycle)
        node_set(x->arena, c, VIEW("lifecycle"), node_copy(x->arena, x->config->lifecycle));
    set_platform(x, c);
    set_resources(x, c);
    struct node *mounts = part_new(x, PART_MOUNTS);
    add_users(x, mounts, ANNOTATION_USER_VOLUME_MOUNT);
    node_set(x->arena, c, VIEW("volumeMounts"), mounts);
    return c;
}

struct node *make_volumes(struct injection *x)
{
    struct node *volumes = part_new(x, PART_VOLUMES);
    add_users(x, volumes, ANNOTATION_USER_VOLUME);
    return volumes;
}
