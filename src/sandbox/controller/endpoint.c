// SPDX-License-Identifier: Apache-2.0
/* EndpointSlices and Endpoints: the pods behind each Service that has a selector, ready or not, with the ports that its
 * targetPorts mean in them. Pods in which a named targetPort means different numbers stand in different slices, named
 * <service>-<hash of the ports>, so that names do not change while pods come and go.
 *
 * A pod is in a slice from the moment that it has an address until it is gone; `ready` ends with its readiness or with
 * its deletion, whichever comes first, and that is what takes it out of load balancing.
 */
#include "sandbox/cluster.h"

#include "mesh/endpoints.h"
#include "mesh/service.h"
#include "wire/node.h"

/* Pods that answer on the same numbers. */
struct group {
    uint32_t *ports; /* in the order of the Service's ports; 0: the pod has none of that name */
    const struct record **pods;
    size_t n_pods;
};

struct slices {
    struct cluster *c;
    const struct record *r;
    const struct service *s;
    struct group *groups;
    size_t n_groups;
};

static const char *l4_name(enum l4_protocol l4)
{
    return l4 == L4_UDP ? "UDP" : l4 == L4_SCTP ? "SCTP" : "TCP";
}

static uint32_t target_of(const struct service_port *port, const struct pod *pod)
{
    return port->target_port.set ? pod_port(&pod->spec, &port->target_port) : port->port;
}

static void add_pod(struct slices *x, const struct record *r)
{
    struct arena *a = &x->c->round;
    uint32_t *ports = ARENA_ARRAY(a, uint32_t, x->s->n_ports + 1);
    for (uint32_t i = 0; i < x->s->n_ports; i++)
        ports[i] = target_of(&x->s->ports[i], record_pod(r));
    struct group *g = NULL;
    for (size_t i = 0; i < x->n_groups && !g; i++)
        if (memcmp(x->groups[i].ports, ports, x->s->n_ports * sizeof(*ports)) == 0)
            g = &x->groups[i];
    if (!g) {
        g = ARENA_PUSH(a, x->groups, x->n_groups);
        g->ports = ports;
    }
    *ARENA_PUSH(a, g->pods, g->n_pods) = r;
}

static struct node *target_ref(struct arena *a, const struct record *pod)
{
    struct node *ref = node_new(a, NODE_MAP);
    node_set_str(a, ref, "kind", VIEW("Pod"));
    node_set_str(a, ref, "namespace", arena_view(a, pod->ns));
    node_set_str(a, ref, "name", arena_view(a, pod->name));
    node_set_str(a, ref, "uid", arena_view(a, pod->uid));
    return ref;
}

static bool in_subdomain(const struct slices *x, const struct pod *pod)
{
    return pod->spec.hostname.n && view_eq(pod->spec.subdomain, x->r->name);
}

static struct node *endpoint_node(struct slices *x, const struct record *r)
{
    struct arena *a = &x->c->round;
    const struct pod *pod = record_pod(r);
    bool serving = pod_is_ready(pod), ending = r->object->meta.deleting;
    struct node *e = node_new(a, NODE_MAP), *addresses = node_make(a, e, "addresses", NODE_SEQ);
    node_push(a, addresses, node_str(a, arena_view(a, pod->ip)));
    struct node *conditions = node_make(a, e, "conditions", NODE_MAP);
    node_set_bool(a, conditions, "ready", x->s->publish_not_ready || (serving && !ending));
    node_set_bool(a, conditions, "serving", serving);
    node_set_bool(a, conditions, "terminating", ending);
    if (in_subdomain(x, pod))
        node_set_str(a, e, "hostname", arena_view(a, pod->spec.hostname));
    if (pod->spec.node_name.n)
        node_set_str(a, e, "nodeName", arena_view(a, pod->spec.node_name));
    node_set(a, e, VIEW("targetRef"), target_ref(a, r));
    return e;
}

static struct node *ports_node(struct slices *x, const struct group *g)
{
    struct arena *a = &x->c->round;
    struct node *ports = node_new(a, NODE_SEQ);
    for (uint32_t i = 0; i < x->s->n_ports; i++) {
        const struct service_port *from = &x->s->ports[i];
        if (!g->ports[i])
            continue;
        struct node *p = node_new(a, NODE_MAP);
        node_set_str(a, p, "name", arena_view(a, from->name));
        node_set_int(a, p, "port", g->ports[i]);
        node_set_str(a, p, "protocol", view_of(l4_name(from->l4)));
        if (from->app_protocol.n)
            node_set_str(a, p, "appProtocol", arena_view(a, from->app_protocol));
        node_push(a, ports, p);
    }
    return ports;
}

static void copy_labels(struct arena *a, struct node *tree, const struct record *service)
{
    const struct node *labels = node_at(service->tree, "metadata.labels");
    if (labels)
        node_set(a, node_get(tree, VIEW("metadata")), VIEW("labels"), node_copy(a, labels));
}

static struct view write_slice(struct slices *x, const struct group *g)
{
    struct arena *a = &x->c->round;
    uint64_t hash = view_hash(view_make(g->ports, x->s->n_ports * sizeof(*g->ports)));
    static const char letters[] = "bcdfghjklmnpqrstvwxz2456789";
    char suffix[6] = {0};
    for (int i = 0; i < 5; i++, hash /= sizeof(letters) - 1)
        suffix[i] = letters[hash % (sizeof(letters) - 1)];
    struct view name = arena_printf(a, "%.*s-%s", VIEW_ARGS(x->r->name), suffix);
    struct node *tree = tree_new(a, VIEW("discovery.k8s.io/v1"), VIEW("EndpointSlice"), x->r->ns, name);
    copy_labels(a, tree, x->r);
    struct node *labels = node_make(a, node_get(tree, VIEW("metadata")), "labels", NODE_MAP);
    node_set(a, labels, VIEW("kubernetes.io/service-name"), node_str(a, arena_view(a, x->r->name)));
    node_set(a, labels, VIEW("endpointslice.kubernetes.io/managed-by"),
             node_str(a, VIEW("endpointslice-controller.k8s.io")));
    tree_own(a, tree, x->r);
    node_set_str(a, tree, "addressType", VIEW("IPv4"));
    struct node *endpoints = node_make(a, tree, "endpoints", NODE_SEQ);
    for (size_t i = 0; i < g->n_pods; i++)
        node_push(a, endpoints, endpoint_node(x, g->pods[i]));
    node_set(a, tree, VIEW("ports"), ports_node(x, g));
    int err = store_write(x->c->store, &(struct store_put){.tree = tree}, NULL, NULL);
    (void)odd(err == 0);
    return name;
}

static struct node *address_node(struct slices *x, const struct record *r)
{
    struct arena *a = &x->c->round;
    const struct pod *pod = record_pod(r);
    struct node *n = node_new(a, NODE_MAP);
    node_set_str(a, n, "ip", arena_view(a, pod->ip));
    if (in_subdomain(x, pod))
        node_set_str(a, n, "hostname", arena_view(a, pod->spec.hostname));
    node_set(a, n, VIEW("targetRef"), target_ref(a, r));
    return n;
}

static void write_endpoints(struct slices *x)
{
    struct arena *a = &x->c->round;
    struct node *tree = tree_new(a, VIEW("v1"), VIEW("Endpoints"), x->r->ns, x->r->name);
    copy_labels(a, tree, x->r);
    tree_own(a, tree, x->r);
    struct node *subsets = node_make(a, tree, "subsets", NODE_SEQ);
    for (size_t i = 0; i < x->n_groups; i++) {
        const struct group *g = &x->groups[i];
        struct node *subset = node_new(a, NODE_MAP);
        for (size_t j = 0; j < g->n_pods; j++) {
            bool ready =
                x->s->publish_not_ready || (pod_is_ready(record_pod(g->pods[j])) && !g->pods[j]->object->meta.deleting);
            node_push(a, node_make(a, subset, ready ? "addresses" : "notReadyAddresses", NODE_SEQ),
                      address_node(x, g->pods[j]));
        }
        node_set(a, subset, VIEW("ports"), ports_node(x, g));
        node_push(a, subsets, subset);
    }
    int err = store_write(x->c->store, &(struct store_put){.tree = tree}, NULL, NULL);
    (void)odd(err == 0);
}

static void drop_others(struct slices *x, const struct view *names, size_t n_names)
{
    size_t n;
    struct record **all = cluster_owned(x->c, KIND_ENDPOINT_SLICE, x->r, &n);
    for (size_t i = 0; i < n; i++) {
        bool kept = false;
        for (size_t j = 0; j < n_names; j++)
            kept = kept || view_eq(all[i]->name, names[j]);
        if (!kept)
            store_remove(x->c->store, KIND_ENDPOINT_SLICE, all[i]->ns, all[i]->name);
    }
}

void endpoint_reconcile(struct cluster *c)
{
    CLUSTER_EACH(c, KIND_SERVICE, r)
    {
        struct slices x = {.c = c, .r = r, .s = OBJECT_AS(r->object, SERVICE, service)};
        if (x.s->type == SERVICE_EXTERNAL_NAME || !x.s->selector.n) {
            drop_others(&x, NULL, 0);
            continue;
        }
        size_t n;
        struct record **pods = store_list(c->store, KIND_POD, r->ns, &c->round, &n);
        for (size_t i = 0; i < n; i++) {
            const struct pod *pod = record_pod(pods[i]);
            bool over = view_is(pod->phase, "Succeeded") || view_is(pod->phase, "Failed");
            if (pod->ip.n && !over && labels_match(&x.s->selector, &pods[i]->object->meta.labels))
                add_pod(&x, pods[i]);
        }
        struct view *names = ARENA_ARRAY(&c->round, struct view, x.n_groups + 1);
        for (size_t i = 0; i < x.n_groups; i++)
            names[i] = write_slice(&x, &x.groups[i]);
        drop_others(&x, names, x.n_groups);
        write_endpoints(&x);
    }
}
