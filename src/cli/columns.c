// SPDX-License-Identifier: Apache-2.0
/* Columns by kind (columns.h): a table of title and cell function; NAME comes first and AGE last everywhere. */
#include "cli/columns.h"

#include <string.h>

#include "base/clock.h"
#include "wire/node.h"

typedef struct view (*cell_fn)(struct arena *a, const struct node *o);

static int64_t count(const struct node *o, const char *path, int64_t absent)
{
    int64_t n;
    const struct node *at = node_at(o, path);
    return at && node_i64(at, &n) == 0 ? n : absent;
}

static struct view number(struct arena *a, const struct node *o, const char *path, int64_t absent)
{
    return arena_printf(a, "%lld", (long long)count(o, path, absent));
}

/* Texts of a list, comma-separated; at: a path inside each item, or NULL. */
static struct view joined(struct arena *a, const struct node *list, const char *at)
{
    struct buf b = {0};
    for (uint32_t i = 0; node_is(list, NODE_SEQ) && i < list->n; i++) {
        struct view v = at ? node_text_at(list->items[i], at) : node_text(list->items[i]);
        buf_printf(&b, "%s%.*s", i ? "," : "", VIEW_ARGS(v));
    }
    struct view v = arena_view(a, buf_read(&b));
    buf_done(&b);
    return v;
}

struct view columns_age(struct arena *a, struct view timestamp)
{
    uint64_t then;
    if (clock_parse_time(timestamp, &then))
        return VIEW("<unknown>");
    uint64_t now = clock_wall(), s = now > then ? (now - then) / NS_PER_S : 0;
    if (s < 120)
        return arena_printf(a, "%llus", (unsigned long long)s);
    if (s < 600)
        return s % 60 ? arena_printf(a, "%llum%llus", (unsigned long long)(s / 60), (unsigned long long)(s % 60))
                      : arena_printf(a, "%llum", (unsigned long long)(s / 60));
    if (s < 3 * 3600)
        return arena_printf(a, "%llum", (unsigned long long)(s / 60));
    if (s < 48 * 3600)
        return arena_printf(a, "%lluh", (unsigned long long)(s / 3600));
    return arena_printf(a, "%llud", (unsigned long long)(s / 86400));
}

/* ---- Pods. */

static struct view pod_ready(struct arena *a, const struct node *o)
{
    int64_t all = 0, ready = 0;
    static const char *const lists[] = {"status.containerStatuses", "status.initContainerStatuses"};
    const struct node *init = node_at(o, "spec.initContainers"), *spec = node_at(o, "spec.containers");
    all = node_is(spec, NODE_SEQ) ? spec->n : 0;
    for (uint32_t i = 0; node_is(init, NODE_SEQ) && i < init->n; i++)
        all += view_is(node_text_at(init->items[i], "restartPolicy"), "Always");
    for (size_t l = 0; l < COUNT_OF(lists); l++) {
        const struct node *list = node_at(o, lists[l]);
        for (uint32_t i = 0; node_is(list, NODE_SEQ) && i < list->n; i++) {
            bool sidecar = l == 0;
            for (uint32_t j = 0; l == 1 && node_is(init, NODE_SEQ) && j < init->n; j++)
                sidecar =
                    sidecar || (view_eq(node_text_at(init->items[j], "name"), node_text_at(list->items[i], "name")) &&
                                view_is(node_text_at(init->items[j], "restartPolicy"), "Always"));
            ready += sidecar && node_bool(node_get(list->items[i], VIEW("ready")), false);
        }
    }
    return arena_printf(a, "%lld/%lld", (long long)ready, (long long)all);
}

/* The worst thing to say about its containers, else the phase. */
static struct view pod_status(struct arena *a, const struct node *o)
{
    if (node_at(o, "metadata.deletionTimestamp"))
        return VIEW("Terminating");
    static const char *const lists[] = {"status.initContainerStatuses", "status.containerStatuses"};
    for (size_t l = 0; l < COUNT_OF(lists); l++) {
        const struct node *list = node_at(o, lists[l]);
        for (uint32_t i = 0; node_is(list, NODE_SEQ) && i < list->n; i++) {
            struct view waits = node_text_at(list->items[i], "state.waiting.reason");
            struct view ended = node_text_at(list->items[i], "state.terminated.reason");
            if (waits.n && !view_is(waits, "PodInitializing"))
                return l == 0 ? arena_printf(a, "Init:%.*s", VIEW_ARGS(waits)) : waits;
            if (ended.n && (l == 1 || !view_is(ended, "Completed")))
                return ended;
        }
    }
    struct view reason = node_text_at(o, "status.reason"), phase = node_text_at(o, "status.phase");
    return reason.n ? reason : phase.n ? phase : VIEW("Pending");
}

static struct view pod_restarts(struct arena *a, const struct node *o)
{
    int64_t sum = 0;
    static const char *const lists[] = {"status.containerStatuses", "status.initContainerStatuses"};
    for (size_t l = 0; l < COUNT_OF(lists); l++) {
        const struct node *list = node_at(o, lists[l]);
        for (uint32_t i = 0; node_is(list, NODE_SEQ) && i < list->n; i++)
            sum += count(list->items[i], "restartCount", 0);
    }
    return arena_printf(a, "%lld", (long long)sum);
}

/* ---- Workloads. */

static struct view replicas_ready(struct arena *a, const struct node *o)
{
    return arena_printf(a, "%lld/%lld", (long long)count(o, "status.readyReplicas", 0),
                        (long long)count(o, "spec.replicas", 1));
}

static struct view updated(struct arena *a, const struct node *o)
{
    return number(a, o, "status.updatedReplicas", 0);
}

static struct view available(struct arena *a, const struct node *o)
{
    return number(a, o, "status.availableReplicas", 0);
}

static struct view desired(struct arena *a, const struct node *o)
{
    return number(a, o, "spec.replicas", 1);
}

static struct view current(struct arena *a, const struct node *o)
{
    return number(a, o, "status.replicas", 0);
}

static struct view ready(struct arena *a, const struct node *o)
{
    return number(a, o, "status.readyReplicas", 0);
}

static struct view scheduled(struct arena *a, const struct node *o)
{
    return number(a, o, "status.desiredNumberScheduled", 0);
}

static struct view number_ready(struct arena *a, const struct node *o)
{
    return number(a, o, "status.numberReady", 0);
}

static struct view job_status(struct arena *a, const struct node *o)
{
    const struct node *all = node_at(o, "status.conditions");
    struct view status = node_is(all, NODE_SEQ) && all->n ? node_text_at(all->items[0], "type") : VIEW_NONE;
    return status.n ? status : VIEW("Running");
}

static struct view completions(struct arena *a, const struct node *o)
{
    return arena_printf(a, "%lld/%lld", (long long)count(o, "status.succeeded", 0),
                        (long long)count(o, "spec.completions", 1));
}

/* ---- Services and their like. */

static struct view service_type(struct arena *a, const struct node *o)
{
    struct view type = node_text_at(o, "spec.type");
    return type.n ? type : VIEW("ClusterIP");
}

static struct view service_ports(struct arena *a, const struct node *o)
{
    struct buf b = {0};
    const struct node *ports = node_at(o, "spec.ports");
    for (uint32_t i = 0; node_is(ports, NODE_SEQ) && i < ports->n; i++) {
        struct view protocol = node_text_at(ports->items[i], "protocol");
        buf_printf(&b, "%s%lld/%.*s", i ? "," : "", (long long)count(ports->items[i], "port", 0),
                   VIEW_ARGS(protocol.n ? protocol : VIEW("TCP")));
    }
    struct view v = arena_view(a, buf_read(&b));
    buf_done(&b);
    return v;
}

static struct view selector(struct arena *a, const struct node *o)
{
    struct buf b = {0};
    const struct node *map = node_at(o, "spec.selector");
    for (uint32_t i = 0; node_is(map, NODE_MAP) && i < map->n; i++)
        buf_printf(&b, "%s%.*s=%.*s", i ? "," : "", VIEW_ARGS(map->fields[i].key),
                   VIEW_ARGS(node_text(map->fields[i].value)));
    struct view v = arena_view(a, buf_read(&b));
    buf_done(&b);
    return v;
}

static struct view slice_ports(struct arena *a, const struct node *o)
{
    return joined(a, node_at(o, "ports"), "port");
}

static struct view slice_endpoints(struct arena *a, const struct node *o)
{
    return joined(a, node_at(o, "endpoints"), "addresses.0");
}

static struct view endpoint_list(struct arena *a, const struct node *o)
{
    struct buf b = {0};
    const struct node *subsets = node_at(o, "subsets");
    for (uint32_t i = 0; node_is(subsets, NODE_SEQ) && i < subsets->n; i++) {
        const struct node *addresses = node_get(subsets->items[i], VIEW("addresses"));
        for (uint32_t j = 0; node_is(addresses, NODE_SEQ) && j < addresses->n; j++)
            buf_printf(&b, "%s%.*s:%lld", buf_len(&b) ? "," : "", VIEW_ARGS(node_text_at(addresses->items[j], "ip")),
                       (long long)count(subsets->items[i], "ports.0.port", 0));
    }
    struct view v = arena_view(a, buf_read(&b));
    buf_done(&b);
    return v;
}

static struct view data_count(struct arena *a, const struct node *o)
{
    const struct node *data = node_get(o, VIEW("data")), *texts = node_get(o, VIEW("stringData"));
    return arena_printf(a, "%u", (data ? data->n : 0) + (texts ? texts->n : 0));
}

static struct view namespace_status(struct arena *a, const struct node *o)
{
    return node_at(o, "metadata.deletionTimestamp") ? VIEW("Terminating") : VIEW("Active");
}

static struct view hosts(struct arena *a, const struct node *o)
{
    return joined(a, node_at(o, "spec.hosts"), NULL);
}

static struct view gateways(struct arena *a, const struct node *o)
{
    return joined(a, node_at(o, "spec.gateways"), NULL);
}

#define TEXT_CELL(name, path)                                                                                          \
    static struct view name(struct arena *a, const struct node *o)                                                     \
    {                                                                                                                  \
        return node_text_at(o, path);                                                                                  \
    }
TEXT_CELL(pod_ip, "status.podIP")
TEXT_CELL(pod_node, "spec.nodeName")
TEXT_CELL(cluster_ip, "spec.clusterIP")
TEXT_CELL(secret_type, "type")
TEXT_CELL(address_type, "addressType")
TEXT_CELL(rule_host, "spec.host")
TEXT_CELL(location, "spec.location")
TEXT_CELL(resolution, "spec.resolution")
TEXT_CELL(mtls_mode, "spec.mtls.mode")

static const struct column {
    enum mesh_kind kind;
    const char *title;
    cell_fn cell;
    bool wide;
} columns[] = {
    {KIND_POD, "READY", pod_ready, false},
    {KIND_POD, "STATUS", pod_status, false},
    {KIND_POD, "RESTARTS", pod_restarts, false},
    {KIND_POD, "IP", pod_ip, true},
    {KIND_POD, "NODE", pod_node, true},
    {KIND_DEPLOYMENT, "READY", replicas_ready, false},
    {KIND_DEPLOYMENT, "UP-TO-DATE", updated, false},
    {KIND_DEPLOYMENT, "AVAILABLE", available, false},
    {KIND_REPLICA_SET, "DESIRED", desired, false},
    {KIND_REPLICA_SET, "CURRENT", current, false},
    {KIND_REPLICA_SET, "READY", ready, false},
    {KIND_STATEFUL_SET, "READY", replicas_ready, false},
    {KIND_DAEMON_SET, "DESIRED", scheduled, false},
    {KIND_DAEMON_SET, "READY", number_ready, false},
    {KIND_JOB, "STATUS", job_status, false},
    {KIND_JOB, "COMPLETIONS", completions, false},
    {KIND_SERVICE, "TYPE", service_type, false},
    {KIND_SERVICE, "CLUSTER-IP", cluster_ip, false},
    {KIND_SERVICE, "PORT(S)", service_ports, false},
    {KIND_SERVICE, "SELECTOR", selector, true},
    {KIND_ENDPOINTS, "ENDPOINTS", endpoint_list, false},
    {KIND_ENDPOINT_SLICE, "ADDRESSTYPE", address_type, false},
    {KIND_ENDPOINT_SLICE, "PORTS", slice_ports, false},
    {KIND_ENDPOINT_SLICE, "ENDPOINTS", slice_endpoints, false},
    {KIND_CONFIG_MAP, "DATA", data_count, false},
    {KIND_SECRET, "TYPE", secret_type, false},
    {KIND_SECRET, "DATA", data_count, false},
    {KIND_NAMESPACE, "STATUS", namespace_status, false},
    {KIND_VIRTUAL_SERVICE, "GATEWAYS", gateways, false},
    {KIND_VIRTUAL_SERVICE, "HOSTS", hosts, false},
    {KIND_DESTINATION_RULE, "HOST", rule_host, false},
    {KIND_SERVICE_ENTRY, "HOSTS", hosts, false},
    {KIND_SERVICE_ENTRY, "LOCATION", location, false},
    {KIND_SERVICE_ENTRY, "RESOLUTION", resolution, false},
    {KIND_PEER_AUTHENTICATION, "MODE", mtls_mode, false},
};

void columns_table(struct table *t, struct arena *a, enum mesh_kind kind, bool with_ns, bool wide)
{
    table_init(t, a, "");
    if (with_ns)
        table_title(t, "NAMESPACE");
    table_title(t, "NAME");
    for (size_t i = 0; i < COUNT_OF(columns); i++)
        if (columns[i].kind == kind && !columns[i].wide)
            table_title(t, columns[i].title);
    table_title(t, "AGE");
    for (size_t i = 0; i < COUNT_OF(columns); i++)
        if (columns[i].kind == kind && columns[i].wide && wide)
            table_title(t, columns[i].title);
}

void columns_row(struct table *t, enum mesh_kind kind, const struct node *object, struct view label, bool with_ns,
                 bool wide)
{
    if (with_ns)
        table_view(t, node_text_at(object, "metadata.namespace"));
    table_view(t, label);
    for (size_t i = 0; i < COUNT_OF(columns); i++)
        if (columns[i].kind == kind && !columns[i].wide)
            table_view(t, columns[i].cell(t->arena, object));
    table_view(t, columns_age(t->arena, node_text_at(object, "metadata.creationTimestamp")));
    for (size_t i = 0; i < COUNT_OF(columns); i++)
        if (columns[i].kind == kind && columns[i].wide && wide)
            table_view(t, columns[i].cell(t->arena, object));
}
