// SPDX-License-Identifier: Apache-2.0
/* The registry: Services and ServiceEntries become one list of hosts with ports and instances, so that nothing after it
 * asks which of the two an object was.
 *
 * Instances of a Service come from its EndpointSlices (else Endpoints), joined with their Pods for labels, identity and
 * the workload's name; those of a ServiceEntry from its endpoints or from the Pods that it selects. Addresses that are
 * not ready are left out, as Istio does.
 */
#include "compile/scope.h"

#include <stdlib.h>

#include "base/must.h"

struct labels *labels_copy(struct arena *a, const struct labels *l)
{
    struct labels *copy = ARENA_NEW(a, struct labels);
    for (uint32_t i = 0; i < l->n; i++)
        *ARENA_PUSH(a, copy->list, copy->n) =
            (struct label){arena_view(a, l->list[i].key), arena_view(a, l->list[i].value)};
    return copy;
}

static struct registered *add(struct compiler *c, struct view host, const struct object *o)
{
    struct registered *r = ARENA_NEW(&c->arena, struct registered);
    r->host = host;
    r->name = o->meta.name;
    r->ns = o->meta.ns;
    r->object = o;
    *ARENA_PUSH(&c->arena, c->services, c->n_services) = r;
    return r;
}

static void add_address(struct compiler *c, struct registered *r, struct view address)
{
    for (uint32_t i = 0; i < r->n_addresses; i++)
        if (view_eq(r->addresses[i], address))
            return;
    *ARENA_PUSH(&c->arena, r->addresses, r->n_addresses) = address;
}

static void add_service(struct compiler *c, const struct service *s)
{
    struct registered *r = add(c, service_host(&c->arena, s, c->snap->domain), &s->o);
    r->service = s;
    r->export_to = s->export_to.n ? &s->export_to : &c->config->default_service_export_to;
    r->headless = service_is_headless(s);
    r->resolution = s->type == SERVICE_EXTERNAL_NAME ? RESOLVE_ALIAS : r->headless ? RESOLVE_PASSTHROUGH : RESOLVE_EDS;
    if (r->resolution == RESOLVE_ALIAS)
        r->alias_of = s->external_name;
    if (r->resolution == RESOLVE_EDS) {
        if (s->cluster_ip.n)
            add_address(c, r, s->cluster_ip);
        for (uint32_t i = 0; i < s->cluster_ips.n; i++)
            add_address(c, r, s->cluster_ips.list[i]);
    }
    for (uint32_t i = 0; i < s->n_ports; i++) {
        if (s->ports[i].protocol == PORT_UDP || s->ports[i].l4 != L4_TCP)
            continue;
        *ARENA_PUSH(&c->arena, r->ports, r->n_ports) = (struct reg_port){
            .port = s->ports[i].port,
            .name = s->ports[i].name,
            .protocol = s->ports[i].protocol,
            .k8s = &s->ports[i],
        };
    }
}

static void add_entry_host(struct compiler *c, const struct service_entry *e, struct view host)
{
    static const enum resolution resolutions[] = {
        [SE_NONE] = RESOLVE_PASSTHROUGH,
        [SE_STATIC] = RESOLVE_EDS,
        [SE_DNS] = RESOLVE_DNS,
        [SE_DNS_ROUND_ROBIN] = RESOLVE_DNS_RR,
        [SE_DYNAMIC_DNS] = RESOLVE_PASSTHROUGH,
    };
    struct registered *r = add(c, host, &e->o);
    r->entry = e;
    r->export_to = e->export_to.n ? &e->export_to : &c->config->default_service_export_to;
    r->resolution = resolutions[e->resolution];
    r->external = e->location == SE_EXTERNAL;
    for (uint32_t i = 0; i < e->addresses.n; i++)
        add_address(c, r, e->addresses.list[i]);
    for (uint32_t i = 0; i < e->n_ports; i++) {
        if (e->ports[i].protocol == PORT_UDP)
            continue;
        *ARENA_PUSH(&c->arena, r->ports, r->n_ports) = (struct reg_port){
            .port = e->ports[i].port,
            .name = e->ports[i].name,
            .protocol = e->ports[i].protocol,
            .entry = &e->ports[i],
        };
    }
}

/* An ExternalName Service lends its host to the Service that it stands for, over other aliases if need be. */
static void link_aliases(struct compiler *c)
{
    struct map by_host;
    map_init(&by_host, NULL);
    for (uint32_t i = c->n_services; i-- > 0;)
        map_put(&by_host, c->services[i]->host, c->services[i]);
    for (uint32_t i = 0; i < c->n_services; i++) {
        struct registered *r = c->services[i], *to = r;
        for (int hops = 0; to && to->resolution == RESOLVE_ALIAS && hops < 8; hops++)
            to = map_get(&by_host, to->alias_of);
        if (to && to != r && to->resolution != RESOLVE_ALIAS)
            *ARENA_PUSH(&c->arena, to->aliases, to->n_aliases) = r->host;
    }
    map_done(&by_host);
}

void registry_build(struct compiler *c)
{
    SNAPSHOT_EACH(c->snap, SERVICE, service, s)
    add_service(c, s);
    SNAPSHOT_EACH(c->snap, SERVICE_ENTRY, service_entry, e)
    for (uint32_t i = 0; i < e->hosts.n; i++)
        add_entry_host(c, e, e->hosts.list[i]);
    link_aliases(c);
}

const struct reg_port *registry_port(const struct registered *r, uint32_t port)
{
    for (uint32_t i = 0; i < r->n_ports; i++)
        if (r->ports[i].port == port)
            return &r->ports[i];
    return NULL;
}

/* --- instances --- */

static struct view first_label(const struct labels *l, const char *const *keys, size_t n, struct view otherwise)
{
    for (size_t i = 0; i < n; i++) {
        struct view v = labels_get(l, view_of(keys[i]));
        if (v.n)
            return v;
    }
    return otherwise;
}

/* reviews-v1-5d4c8b7f9 of a ReplicaSet becomes its Deployment reviews-v1. */
static struct view workload_name(const struct pod *pod)
{
    const struct object_meta *m = &pod->o.meta;
    for (uint32_t i = 0; i < m->n_owners; i++) {
        if (!m->owners[i].controller && m->n_owners > 1)
            continue;
        struct view owner = m->owners[i].name, hash = labels_get(&m->labels, VIEW("pod-template-hash"));
        if (view_is(m->owners[i].kind, "ReplicaSet") && hash.n && owner.n > hash.n + 1 && view_ends(owner, hash))
            return view_head(owner, owner.n - hash.n - 1);
        return owner;
    }
    return m->name.n ? m->name : m->generate_name;
}

/* workload;namespace;canonical name;canonical revision */
static struct view workload_of(struct arena *a, const struct pod *pod)
{
    static const char *const names[] = {"service.istio.io/canonical-name", "app.kubernetes.io/name", "app"};
    static const char *const revisions[] = {"service.istio.io/canonical-revision", "app.kubernetes.io/version",
                                            "version"};
    const struct labels *l = &pod->o.meta.labels;
    struct view workload = workload_name(pod);
    struct view name = first_label(l, names, COUNT_OF(names), workload);
    struct view revision = first_label(l, revisions, COUNT_OF(revisions), VIEW("latest"));
    return arena_printf(a, "%.*s;%.*s;%.*s;%.*s", VIEW_ARGS(workload), VIEW_ARGS(pod->o.meta.ns), VIEW_ARGS(name),
                        VIEW_ARGS(revision));
}

static const struct labels no_labels;

static void describe_pod(struct compiler *c, struct instance *i, const struct pod *pod)
{
    i->labels = &no_labels;
    if (!pod)
        return;
    i->labels = &pod->o.meta.labels;
    i->ns = pod->o.meta.ns;
    i->service_account = pod->spec.service_account.n ? pod->spec.service_account : VIEW("default");
    i->workload = workload_of(&c->arena, pod);
    i->sidecar = labels_is(i->labels, "security.istio.io/tlsMode", "istio");
    struct view rest = labels_get(i->labels, VIEW("topology.istio.io/locality"));
    view_cut(&rest, '.', &i->region);
    view_cut(&rest, '.', &i->zone);
    view_cut(&rest, '.', &i->subzone);
}

static struct instance *push(struct compiler *c, struct reg_port *p, struct view address, uint32_t port)
{
    struct instance *i = ARENA_PUSH(&c->arena, p->instances, p->n_instances);
    *i = (struct instance){.address = address, .port = port, .weight = 1, .labels = &no_labels};
    return i;
}

const struct pod *registry_target(const struct compiler *c, const struct target_ref *t, struct view ns)
{
    if (!view_is(t->kind, "Pod"))
        return NULL;
    struct object *o = snapshot_get(c->snap, KIND_POD, t->ns.n ? t->ns : ns, t->name);
    return OBJECT_AS(o, POD, pod);
}

static bool seen(const struct reg_port *p, struct view address, uint32_t port)
{
    for (uint32_t i = 0; i < p->n_instances; i++)
        if (p->instances[i].port == port && view_eq(p->instances[i].address, address))
            return true;
    return false;
}

static void from_slice(struct compiler *c, const struct registered *r, struct reg_port *p,
                       const struct endpoint_slice *slice)
{
    if (view_is(slice->address_type, "FQDN"))
        return;
    for (uint32_t i = 0; i < slice->n_ports; i++) {
        if (!view_eq(slice->ports[i].name, p->name))
            continue;
        for (uint32_t j = 0; j < slice->n_endpoints; j++) {
            const struct slice_endpoint *e = &slice->endpoints[j];
            bool ready = !e->ready.set || e->ready.value;
            if ((!ready && !r->service->publish_not_ready) || !e->addresses.n ||
                seen(p, e->addresses.list[0], slice->ports[i].port))
                continue;
            struct instance *made = push(c, p, e->addresses.list[0], slice->ports[i].port);
            made->ns = r->ns;
            describe_pod(c, made, registry_target(c, &e->target, r->ns));
            made->hostname = e->hostname;
            if (!made->zone.n)
                made->zone = e->zone;
        }
    }
}

static void from_endpoints(struct compiler *c, const struct registered *r, struct reg_port *p,
                           const struct endpoints *e)
{
    for (uint32_t i = 0; i < e->n_subsets; i++)
        for (uint32_t k = 0; k < e->subsets[i].n_ports; k++) {
            if (!view_eq(e->subsets[i].ports[k].name, p->name))
                continue;
            for (uint32_t j = 0; j < e->subsets[i].n_addresses; j++) {
                const struct endpoint_address *a = &e->subsets[i].addresses[j];
                struct instance *made = push(c, p, a->ip, e->subsets[i].ports[k].port);
                made->ns = r->ns;
                describe_pod(c, made, registry_target(c, &a->target, r->ns));
                made->hostname = a->hostname;
            }
        }
}

static void load_service(struct compiler *c, const struct registered *r, struct reg_port *p)
{
    const struct object_list *slices = snapshot_slices(c->snap, r->ns, r->name);
    for (uint32_t i = 0; slices && i < slices->n; i++)
        from_slice(c, r, p, OBJECT_AS(slices->list[i], ENDPOINT_SLICE, endpoint_slice));
    if (slices && slices->n)
        return;
    struct object *o = snapshot_get(c->snap, KIND_ENDPOINTS, r->ns, r->name);
    if (o)
        from_endpoints(c, r, p, OBJECT_AS(o, ENDPOINTS, endpoints));
}

static uint32_t entry_port(const struct reg_port *p)
{
    return p->entry->target_port ? p->entry->target_port : p->port;
}

static void load_entry(struct compiler *c, const struct registered *r, struct reg_port *p)
{
    const struct service_entry *e = r->entry;
    for (uint32_t i = 0; i < e->n_endpoints; i++) {
        const struct se_endpoint *from = &e->endpoints[i];
        uint32_t port = entry_port(p);
        for (uint32_t j = 0; j < from->n_ports; j++)
            if (view_eq(from->ports[j].name, p->name))
                port = from->ports[j].port;
        struct instance *made = push(c, p, from->address, port);
        made->labels = &from->labels;
        made->ns = r->ns;
        made->weight = from->weight ? from->weight : 1;
        made->service_account = from->service_account;
        made->sidecar = labels_is(&from->labels, "security.istio.io/tlsMode", "istio");
        struct view rest = from->locality;
        view_cut(&rest, '/', &made->region);
        view_cut(&rest, '/', &made->zone);
        view_cut(&rest, '/', &made->subzone);
    }
    const struct pod *pod;
    for (uint32_t i = 0; e->has_workload_selector && (pod = snapshot_pod(c->snap, r->ns, &e->workload_selector, &i));) {
        if (!pod->ip.n || !pod_is_ready(pod))
            continue;
        struct instance *made = push(c, p, pod->ip, entry_port(p));
        made->ns = r->ns;
        describe_pod(c, made, pod);
    }
    bool dns = r->resolution == RESOLVE_DNS || r->resolution == RESOLVE_DNS_RR;
    if (dns && !p->n_instances) /* the host itself is the name to resolve */
        push(c, p, r->host, entry_port(p))->ns = r->ns;
}

struct instance *registry_instances(struct compiler *c, const struct registered *r, const struct reg_port *p,
                                    uint32_t *ret_n)
{
    struct reg_port *mine = (struct reg_port *)p; /* filled once, on demand */
    if (!mine->loaded) {
        mine->loaded = true;
        if (r->service)
            load_service(c, r, mine);
        else
            load_entry(c, r, mine);
    }
    *ret_n = p->n_instances;
    return p->instances;
}

static int by_bytes(const void *a, const void *b)
{
    return view_cmp(*(const struct view *)a, *(const struct view *)b);
}

struct view *registry_identities(struct compiler *c, const struct registered *r, const struct reg_port *p,
                                 uint32_t *ret_n)
{
    struct view *all = NULL;
    uint32_t n = 0, n_instances, kept = 0;
    const struct instance *list = registry_instances(c, r, p, &n_instances);
    for (uint32_t i = 0; i < n_instances; i++)
        if (list[i].service_account.n)
            *ARENA_PUSH(&c->arena, all, n) =
                arena_printf(&c->arena, "spiffe://%.*s/ns/%.*s/sa/%.*s", VIEW_ARGS(c->config->trust_domain),
                             VIEW_ARGS(list[i].ns), VIEW_ARGS(list[i].service_account));
    for (uint32_t i = 0; r->entry && i < r->entry->subject_alt_names.n; i++)
        *ARENA_PUSH(&c->arena, all, n) = r->entry->subject_alt_names.list[i];
    if (n)
        qsort(all, n, sizeof(all[0]), by_bytes);
    for (uint32_t i = 0; i < n; i++)
        if (!kept || !view_eq(all[kept - 1], all[i]))
            all[kept++] = all[i];
    *ret_n = kept;
    return all;
}
