// SPDX-License-Identifier: Apache-2.0
/* Injection (inject.h), step by step: what is known about the pod, its probes, the containers and volumes, labels and
 * annotations. The steps are the functions of inject_pod at the end of this file.
 */
#include "inject/inject.h"

#include <errno.h>

#include "inject/parts.h"

struct inject_config inject_config_default(void)
{
    return (struct inject_config){
        .revision = VIEW("default"),
        .cluster_id = VIEW("Kubernetes"),
        .image_proxy = VIEW("weft/proxy"),
        .image_node = VIEW("weft/node"),
        .domain = VIEW("cluster.local"),
        .root_ns = VIEW("istio-system"),
        .ca_address = VIEW("istiod.istio-system.svc:15012"),
        .native_sidecars = true,
        .default_policy = true,
    };
}

struct node *inject_yaml(struct arena *a, const char *text)
{
    struct node *n = NULL;
    must(node_parse(a, view_of(text), &n, NULL) == 0);
    return node_copy(a, n);
}

struct view inject_json(struct arena *a, const struct node *n)
{
    struct buf b = {0};
    node_print_json(n, &b);
    struct view text = arena_view(a, buf_read(&b));
    buf_done(&b);
    return text;
}

/* --- a copy to change --- */

/* The map or list itself anew; what is in it stays the original's. */
static struct node *copy_outside(struct arena *a, const struct node *n)
{
    size_t size = n->type == NODE_MAP ? sizeof(struct node_field) : sizeof(struct node *);
    struct node *to = ARENA_NEW(a, struct node);
    void *inside = NULL;
    *to = *n;
    if (n->type != NODE_MAP && n->type != NODE_SEQ)
        return to;
    for (uint32_t i = 0; i < n->n; i++) /* as ARENA_PUSH leaves it, so that more can be pushed */
        inside = arena_grow(a, inside, i, size);
    if (n->n)
        memcpy(inside, n->fields, n->n * size);
    to->fields = inside;
    return to;
}

static void copy_field(struct arena *a, struct node *map, const char *key, bool whole)
{
    struct node *n = node_get(map, view_of(key));
    if (n)
        node_set(a, map, view_of(key), whole ? node_copy(a, n) : copy_outside(a, n));
}

/* The pod anew as far as injection changes it; the rest (most of it: environment, mounts …) is the original's, which costs
 * nothing here and is seen at a glance to be the same when the patch is made. */
static struct node *copy_pod(struct arena *a, const struct node *pod)
{
    static const char *const whole[] = {"readinessProbe", "livenessProbe", "startupProbe", "lifecycle"};
    static const char *const lists[] = {"containers", "initContainers"};
    struct node *to = copy_outside(a, pod), *spec;
    copy_field(a, to, "metadata", true);
    copy_field(a, to, "spec", false);
    spec = node_get(to, VIEW("spec"));
    copy_field(a, spec, "volumes", false);
    copy_field(a, spec, "securityContext", true);
    copy_field(a, spec, "imagePullSecrets", true);
    for (size_t l = 0; l < COUNT_OF(lists); l++) {
        copy_field(a, spec, lists[l], false);
        struct node *list = node_get(spec, view_of(lists[l]));
        for (uint32_t i = 0; node_is(list, NODE_SEQ) && i < list->n; i++) {
            list->items[i] = copy_outside(a, list->items[i]);
            for (size_t f = 0; f < COUNT_OF(whole); f++)
                copy_field(a, list->items[i], whole[f], true);
        }
    }
    return to;
}

/* --- what is known about the pod --- */

/* A ReplicaSet is named after its Deployment and the hash that its pods carry. */
static bool is_deployment_of(struct view name, struct view hash, struct view *ret_name)
{
    if (!hash.n || name.n <= hash.n + 1 || !view_ends(name, hash) || name.p[name.n - hash.n - 1] != '-')
        return false;
    *ret_name = view_head(name, name.n - hash.n - 1);
    return true;
}

/* A CronJob's Jobs are named after it and the minute of their time: eight to ten digits. */
static bool is_cron_job_of(struct view name, struct view *ret_name)
{
    size_t digits = 0;
    while (digits < name.n && name.p[name.n - 1 - digits] >= '0' && name.p[name.n - 1 - digits] <= '9')
        digits++;
    if (digits < 8 || digits > 10 || name.n < digits + 2 || name.p[name.n - 1 - digits] != '-')
        return false;
    *ret_name = view_head(name, name.n - digits - 1);
    return true;
}

static void find_workload(struct injection *x)
{
    const struct node *meta = node_get(x->pod, VIEW("metadata")), *owners = node_get(meta, VIEW("ownerReferences"));
    x->workload = node_text_at(meta, "name");
    x->owner_api = VIEW("v1");
    x->owner_kind = VIEW("Pod");
    if (!x->workload.n) {
        struct view prefix = node_text_at(meta, "generateName");
        x->workload = prefix.n && prefix.p[prefix.n - 1] == '-' ? view_head(prefix, prefix.n - 1) : prefix;
    }
    for (uint32_t i = 0; node_is(owners, NODE_SEQ) && i < owners->n; i++) {
        const struct node *o = owners->items[i];
        if (!node_bool(node_get(o, VIEW("controller")), false))
            continue;
        x->workload = node_text_at(o, "name");
        x->owner_api = node_text_at(o, "apiVersion");
        x->owner_kind = node_text_at(o, "kind");
        struct view hash = node_text(node_get(node_get(meta, VIEW("labels")), VIEW("pod-template-hash")));
        if (view_is(x->owner_kind, "ReplicaSet") && is_deployment_of(x->workload, hash, &x->workload))
            x->owner_kind = VIEW("Deployment");
        if (view_is(x->owner_kind, "Job") && is_cron_job_of(x->workload, &x->workload))
            x->owner_kind = VIEW("CronJob");
    }
    struct view named = node_text(node_get(node_get(meta, VIEW("labels")), VIEW("service.istio.io/workload-name")));
    if (named.n)
        x->workload = named;
}

static struct view pod_ports_json(struct injection *x)
{
    struct node *all = node_new(x->arena, NODE_SEQ);
    const struct node *list = node_get(x->spec, VIEW("containers"));
    for (uint32_t i = 0; node_is(list, NODE_SEQ) && i < list->n; i++) {
        const struct node *ports = node_get(list->items[i], VIEW("ports"));
        for (uint32_t j = 0; node_is(ports, NODE_SEQ) && j < ports->n; j++)
            node_push(x->arena, all, ports->items[j]);
    }
    return inject_json(x->arena, all);
}

static void find_containers(struct injection *x)
{
    struct buf names = {0};
    const struct node *list = node_get(x->spec, VIEW("containers"));
    for (uint32_t i = 0; node_is(list, NODE_SEQ) && i < list->n; i++) {
        struct view name = node_text_at(list->items[i], "name");
        if (view_is(name, "istio-proxy"))
            continue;
        if (buf_len(&names))
            buf_char(&names, ',');
        buf_view(&names, name);
    }
    x->app_containers = arena_view(x->arena, buf_read(&names));
    x->pod_ports = pod_ports_json(x);
    buf_done(&names);
}

static int find_settings(struct injection *x, const struct origin *at)
{
    struct proxy_config *own = NULL;
    struct view text = annotation_get(x->pod, ANNOTATION_PROXY_CONFIG, VIEW_NONE);
    uint64_t port;
    if (annotations_check(x->diags, x->pod, at) < 0)
        return -EINVAL;
    if (text.n && proxy_config_parse(x->arena, x->diags, at, text, &own) < 0)
        return -EINVAL;
    x->proxy = proxy_config_merge(x->arena, x->mesh->default_config, own);
    struct view template = x->config->gateway_template ? VIEW("gateway") : VIEW("sidecar");
    x->gateway = view_is(annotation_get(x->pod, ANNOTATION_TEMPLATES, template), "gateway");
    struct view native = annotation_get(x->pod, ANNOTATION_NATIVE, VIEW_NONE);
    x->native = !x->gateway && (native.n ? view_is(native, "true") : x->config->native_sidecars);
    const struct inject_config *c = x->config;
    x->hold = x->proxy->hold_application.set ? x->proxy->hold_application.value : c->hold.set && c->hold.value;
    x->status_port = c->status_port.set ? c->status_port.value : 15020;
    if (x->proxy->status_port.set)
        x->status_port = x->proxy->status_port.value;
    if (view_u64(annotation_get(x->pod, ANNOTATION_STATUS_PORT, VIEW_NONE), &port) == 0)
        x->status_port = (uint32_t)port;
    return 0;
}

/* --- metadata --- */

static struct node *labels_of(struct injection *x)
{
    return node_make(x->arena, node_make(x->arena, x->pod, "metadata", NODE_MAP), "labels", NODE_MAP);
}

static struct node *annotations_of(struct injection *x)
{
    return node_make(x->arena, node_make(x->arena, x->pod, "metadata", NODE_MAP), "annotations", NODE_MAP);
}

static void set_if_absent(struct injection *x, struct node *map, const char *key, struct view value)
{
    if (!node_get(map, view_of(key)) && value.n)
        node_set_str(x->arena, map, key, value);
}

static struct view first_label(const struct node *labels, const char *a, const char *b, struct view otherwise)
{
    struct view v = node_text(node_get(labels, view_of(a)));
    if (!v.n)
        v = node_text(node_get(labels, view_of(b)));
    return v.n ? v : otherwise;
}

/* Label values have 63 characters and end in a letter or digit. */
static struct view as_label(struct view v)
{
    v = view_head(v, 63);
    while (v.n && (v.p[v.n - 1] == '-' || v.p[v.n - 1] == '_' || v.p[v.n - 1] == '.'))
        v.n--;
    return v;
}

static void set_labels(struct injection *x)
{
    struct node *labels = labels_of(x);
    struct view name = first_label(labels, "app.kubernetes.io/name", "app", x->workload);
    struct view revision = first_label(labels, "app.kubernetes.io/version", "version", VIEW("latest"));
    if (!x->gateway)
        set_if_absent(x, labels, "security.istio.io/tlsMode", VIEW("istio"));
    set_if_absent(x, labels, "topology.istio.io/network", x->config->network);
    set_if_absent(x, labels, "service.istio.io/canonical-name", as_label(name));
    set_if_absent(x, labels, "service.istio.io/canonical-revision", as_label(revision));
}

/* Prometheus asks the proxy, which adds the application's own metrics to its own. */
static void merge_metrics(struct injection *x)
{
    struct node *annotations = annotations_of(x);
    bool on = !x->mesh->prometheus_merge.set || x->mesh->prometheus_merge.value;
    struct view asked = annotation_get(x->pod, ANNOTATION_MERGE_METRICS, VIEW_NONE);
    struct view scrape = node_text(node_get(annotations, VIEW("prometheus.io/scrape")));
    struct view port = node_text(node_get(annotations, VIEW("prometheus.io/port")));
    struct view path = node_text(node_get(annotations, VIEW("prometheus.io/path")));
    if (asked.n)
        on = view_is(asked, "true");
    if (!on || view_is(scrape, "false") || !x->status_port)
        return;
    if (scrape.n || port.n || path.n) {
        struct node *original = node_new(x->arena, NODE_MAP);
        node_set_str(x->arena, original, "scrape", scrape);
        node_set_str(x->arena, original, "path", path);
        node_set_str(x->arena, original, "port", port);
        x->scrape = inject_json(x->arena, original);
    }
    node_set_str(x->arena, annotations, "prometheus.io/scrape", VIEW("true"));
    node_set_str(x->arena, annotations, "prometheus.io/port", arena_printf(x->arena, "%u", x->status_port));
    node_set_str(x->arena, annotations, "prometheus.io/path", VIEW("/stats/prometheus"));
}

static struct node *names_of(struct injection *x, const struct node *list)
{
    struct node *names = node_new(x->arena, NODE_SEQ);
    for (uint32_t i = 0; i < list->n; i++)
        node_push(x->arena, names, node_str(x->arena, node_text_at(list->items[i], "name")));
    return names->n ? names : node_new(x->arena, NODE_NULL);
}

/* Adds what the installation names and the pod has not; their names. */
static struct node *add_pull_secrets(struct injection *x)
{
    const struct strings *names = &x->config->pull_secrets;
    if (!names->n)
        return node_new(x->arena, NODE_NULL);
    struct node *list = node_make(x->arena, x->spec, "imagePullSecrets", NODE_SEQ), *all = node_new(x->arena, NODE_SEQ);
    for (uint32_t i = 0; i < names->n; i++) {
        bool there = false;
        for (uint32_t j = 0; j < list->n && !there; j++)
            there = view_eq(node_text_at(list->items[j], "name"), names->list[i]);
        node_push(x->arena, all, node_str(x->arena, names->list[i]));
        if (there)
            continue;
        struct node *one = node_new(x->arena, NODE_MAP);
        node_set_str(x->arena, one, "name", names->list[i]);
        node_push(x->arena, list, one);
    }
    return all;
}

static void set_annotations(struct injection *x, const struct node *added_init, const struct node *added,
                            const struct node *volumes)
{
    struct node *annotations = annotations_of(x), *status = node_new(x->arena, NODE_MAP);
    struct view first = view_head(x->app_containers, view_find(x->app_containers, ','));
    node_set_str(x->arena, annotations, "istio.io/rev", x->config->revision);
    for (uint32_t i = 0; i < x->config->annotations.n; i++)
        set_if_absent(x, annotations, arena_str(x->arena, x->config->annotations.list[i].key),
                      x->config->annotations.list[i].value);
    set_if_absent(x, annotations, "kubectl.kubernetes.io/default-container", first);
    set_if_absent(x, annotations, "kubectl.kubernetes.io/default-logs-container", first);
    node_set(x->arena, status, VIEW("initContainers"), names_of(x, added_init));
    node_set(x->arena, status, VIEW("containers"), names_of(x, added));
    node_set(x->arena, status, VIEW("volumes"), names_of(x, volumes));
    node_set(x->arena, status, VIEW("imagePullSecrets"), add_pull_secrets(x));
    node_set_str(x->arena, status, "revision", x->config->revision);
    node_set_str(x->arena, annotations, annotation_names[ANNOTATION_STATUS], inject_json(x->arena, status));
}

/* --- containers --- */

/* Takes the user's own container istio-proxy out of the pod; NULL when there is none. */
static struct node *take_users(struct injection *x)
{
    static const char *const lists[] = {"containers", "initContainers"};
    for (size_t l = 0; l < COUNT_OF(lists); l++) {
        struct node *list = node_get(x->spec, view_of(lists[l]));
        for (uint32_t i = 0; node_is(list, NODE_SEQ) && i < list->n; i++) {
            struct node *c = list->items[i];
            if (!view_is(node_text_at(c, "name"), "istio-proxy"))
                continue;
            node_remove(list, i);
            struct node *all = node_new(x->arena, NODE_MAP);
            node_push(x->arena, node_make(x->arena, all, lists[l], NODE_SEQ), c);
            if (!x->gateway || c->n > 2) /* more than name and image */
                node_set_str(x->arena, annotations_of(x), annotation_names[ANNOTATION_OVERRIDES],
                             inject_json(x->arena, all));
            return c;
        }
    }
    return NULL;
}

static bool captures(const struct injection *x)
{
    bool none = x->proxy->has_interception && x->proxy->interception == INTERCEPT_NONE;
    struct view mode = annotation_get(x->pod, ANNOTATION_INTERCEPTION, none ? VIEW("NONE") : VIEW("REDIRECT"));
    return !x->gateway && !view_is(mode, "NONE");
}

/* Native: istio-init, istio-proxy, then the pod's init containers, whose calls are served. Classic: istio-init after
 * them, so that they call without capture, and istio-proxy behind the applications, or before them to hold them back. */
static void add_containers(struct injection *x, struct node *proxy, struct node *added_init, struct node *added)
{
    struct node *containers = node_make(x->arena, x->spec, "containers", NODE_SEQ);
    bool init = captures(x);
    if (init || x->native) {
        struct node *inits = node_make(x->arena, x->spec, "initContainers", NODE_SEQ);
        uint32_t at = x->native ? 0 : inits->n;
        if (init) {
            struct node *c = make_init_container(x);
            node_insert(x->arena, inits, at++, c);
            node_push(x->arena, added_init, c);
        }
        if (x->native) {
            node_insert(x->arena, inits, at, proxy);
            node_push(x->arena, added_init, proxy);
        }
    }
    if (!x->native) {
        node_insert(x->arena, containers, x->hold || x->gateway ? 0 : containers->n, proxy);
        node_push(x->arena, added, proxy);
    }
}

/* Volumes that the pod already names stay the pod's. */
static void add_volumes(struct injection *x, const struct node *ours)
{
    struct node *volumes = node_make(x->arena, x->spec, "volumes", NODE_SEQ);
    for (uint32_t i = 0; i < ours->n; i++) {
        uint32_t j = 0;
        while (j < volumes->n &&
               !view_eq(node_text_at(volumes->items[j], "name"), node_text_at(ours->items[i], "name")))
            j++;
        if (j == volumes->n)
            node_push(x->arena, volumes, ours->items[i]);
    }
}

/* A gateway listens on 80 and 443 without being root. */
static void allow_low_ports(struct injection *x)
{
    struct node *security = node_make(x->arena, x->spec, "securityContext", NODE_MAP);
    if (!node_get(security, VIEW("sysctls")))
        node_set(x->arena, security, VIEW("sysctls"),
                 inject_yaml(x->arena, "- {name: net.ipv4.ip_unprivileged_port_start, value: '0'}\n"));
}

static void add_proxy(struct injection *x)
{
    struct node *users = take_users(x), *added_init = node_new(x->arena, NODE_SEQ),
                *added = node_new(x->arena, NODE_SEQ);
    struct node *volumes = make_volumes(x), *proxy = make_proxy_container(x);
    if (users)
        overlay_container(x->arena, proxy, users);
    add_containers(x, proxy, added_init, added);
    add_volumes(x, volumes);
    if (x->gateway)
        allow_low_ports(x);
    set_annotations(x, added_init, added, volumes);
}

int inject_pod(struct arena *a, struct diags *d, const struct node *pod, struct view ns, const struct inject_config *c,
               struct node **ret_pod)
{
    struct injection x = {.arena = a, .diags = d, .config = c, .mesh = c->mesh ? c->mesh : mesh_config_default(a)};
    struct origin at = {.api_version = VIEW("v1"), .kind = VIEW("Pod"), .line = pod->line, .col = pod->col};
    struct view own_ns = node_text_at(pod, "metadata.namespace");
    x.pod = copy_pod(a, pod);
    if (annotation_has(pod, ANNOTATION_STATUS)) { /* injected already */
        *ret_pod = x.pod;
        return 0;
    }
    x.spec = node_make(a, x.pod, "spec", NODE_MAP);
    x.ns = own_ns.n ? own_ns : ns;
    find_workload(&x);
    at.ns = x.ns;
    at.name = x.workload;
    int err = find_settings(&x, &at);
    if (err)
        return err;
    find_containers(&x);
    set_labels(&x);
    merge_metrics(&x);
    bool rewrite = !c->rewrite_probes.set || c->rewrite_probes.value;
    if (!x.gateway && x.status_port &&
        view_is(annotation_get(x.pod, ANNOTATION_REWRITE_PROBES, rewrite ? VIEW("true") : VIEW("false")), "true"))
        rewrite_probes(&x);
    add_proxy(&x);
    *ret_pod = x.pod;
    return 0;
}
