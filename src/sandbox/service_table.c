// SPDX-License-Identifier: Apache-2.0
/* Services and endpoints of the store as the node's rules and the DNS server want them (kubelet.h). EndpointSlices are
 * the truth; hand-written Endpoints count for a Service that has no slice, as Kubernetes mirrors them.
 */
#include "mesh/endpoints.h"
#include "mesh/service.h"
#include "net/addr.h"
#include "sandbox/kubelet.h"
#include "wire/node.h"

struct table {
    struct arena *a;
    struct record **slices;
    size_t n_slices;
    struct store *store;
};

static void add_target(struct table *t, struct runtime_service_port *p, uint32_t ip, uint32_t port)
{
    if (!ip || !port)
        return;
    p->targets = arena_grow(t->a, p->targets, p->n_targets, sizeof(p->targets[0]));
    p->targets[p->n_targets].ip = ip;
    p->targets[p->n_targets++].port = (uint16_t)port;
}

static void add_endpoint(struct table *t, struct runtime_service *s, uint32_t ip, struct view hostname, bool ready)
{
    if (!ip)
        return;
    struct runtime_endpoint *e = ARENA_PUSH(t->a, s->endpoints, s->n_endpoints);
    *e = (struct runtime_endpoint){.ip = ip, .hostname = hostname, .ready = ready};
}

/* The number behind a Service's port in this slice or subset; 0: none. */
static uint32_t number_of(const struct endpoint_port *ports, uint32_t n, struct view name)
{
    for (uint32_t i = 0; i < n; i++)
        if (view_eq(ports[i].name, name) || (n == 1 && !ports[i].name.n && !name.n))
            return ports[i].port;
    return 0;
}

static void add_slice(struct table *t, struct runtime_service *s, const struct endpoint_slice *slice)
{
    for (uint32_t i = 0; i < slice->n_endpoints; i++) {
        const struct slice_endpoint *e = &slice->endpoints[i];
        bool ready = !e->ready.set || e->ready.value;
        for (uint32_t j = 0; j < e->addresses.n; j++) {
            uint32_t ip = addr_v4_number(e->addresses.list[j]);
            add_endpoint(t, s, ip, e->hostname, ready);
            for (size_t k = 0; ready && k < s->n_ports; k++)
                add_target(t, &s->ports[k], ip, number_of(slice->ports, slice->n_ports, s->ports[k].name));
        }
    }
}

static void add_subset(struct table *t, struct runtime_service *s, const struct endpoint_subset *subset)
{
    for (uint32_t i = 0; i < subset->n_addresses; i++) {
        uint32_t ip = addr_v4_number(subset->addresses[i].ip);
        add_endpoint(t, s, ip, subset->addresses[i].hostname, true);
        for (size_t k = 0; k < s->n_ports; k++)
            add_target(t, &s->ports[k], ip, number_of(subset->ports, subset->n_ports, s->ports[k].name));
    }
}

static uint32_t affinity_of(const struct record *r, const struct service *service)
{
    if (!view_is(service->session_affinity, "ClientIP"))
        return 0;
    int64_t seconds = 10800; /* Kubernetes' default */
    const struct node *n = node_at(r->tree, "spec.sessionAffinityConfig.clientIP.timeoutSeconds");
    return n && node_i64(n, &seconds) == 0 && seconds > 0 ? (uint32_t)seconds : 10800;
}

static void add_service(struct table *t, const struct record *r, struct runtime_service *s)
{
    const struct service *from = OBJECT_AS(r->object, SERVICE, service);
    *s = (struct runtime_service){.ns = r->ns, .name = r->name, .affinity_s = affinity_of(r, from)};
    if (from->type == SERVICE_EXTERNAL_NAME) {
        s->external_name = from->external_name;
        return;
    }
    s->cluster_ip = addr_v4_number(from->cluster_ip); /* "None" is no address */
    for (uint32_t i = 0; i < from->n_ports; i++) {
        if (from->ports[i].l4 == L4_SCTP)
            continue;
        struct runtime_service_port *p = ARENA_PUSH(t->a, s->ports, s->n_ports);
        *p = (struct runtime_service_port){.name = from->ports[i].name,
                                           .proto = from->ports[i].l4 == L4_UDP ? RUNTIME_UDP : RUNTIME_TCP,
                                           .port = (uint16_t)from->ports[i].port};
    }
    bool sliced = false;
    for (size_t i = 0; i < t->n_slices; i++) {
        const struct endpoint_slice *slice = OBJECT_AS(t->slices[i]->object, ENDPOINT_SLICE, endpoint_slice);
        if (!view_eq(t->slices[i]->ns, r->ns) || !view_eq(endpoint_slice_service(slice), r->name))
            continue;
        sliced = true;
        add_slice(t, s, slice);
    }
    const struct record *by_hand = sliced ? NULL : store_get(t->store, KIND_ENDPOINTS, r->ns, r->name);
    const struct endpoints *e = by_hand ? OBJECT_AS(by_hand->object, ENDPOINTS, endpoints) : NULL;
    for (uint32_t i = 0; e && i < e->n_subsets; i++)
        add_subset(t, s, &e->subsets[i]);
}

struct runtime_services service_table(struct store *store, struct arena *a)
{
    struct table t = {.a = a, .store = store};
    t.slices = store_list(store, KIND_ENDPOINT_SLICE, VIEW_NONE, a, &t.n_slices);
    size_t n;
    struct record **services = store_list(store, KIND_SERVICE, VIEW_NONE, a, &n);
    struct runtime_services out = {.services = ARENA_ARRAY(a, struct runtime_service, n + 1), .n_services = n};
    for (size_t i = 0; i < n; i++)
        add_service(&t, services[i], &out.services[i]);
    return out;
}
