// SPDX-License-Identifier: Apache-2.0
/* A snapshot: the immutable set of all objects at one moment, with the lookups that everyone needs. compile() and the
 * analyzers read it; nobody changes it; it dies with its arena.
 *
 *   struct mesh_snapshot *snap = snapshot_new(&arena, &diags, objects.list, objects.n);
 *   SNAPSHOT_EACH(snap, VIRTUAL_SERVICE, virtual_service, vs) …        // oldest first, then name.namespace
 *   const struct mesh_host *h = snapshot_host(snap, VIEW("reviews.default.svc.cluster.local"));
 *
 * The objects are borrowed: they must outlive the snapshot.
 */
#pragma once

#include "base/arena.h"
#include "base/diag.h"
#include "base/map.h"
#include "mesh/core.h"
#include "mesh/destination_rule.h"
#include "mesh/endpoints.h"
#include "mesh/gateway.h"
#include "mesh/mesh_config.h"
#include "mesh/object.h"
#include "mesh/peer_authentication.h"
#include "mesh/pod.h"
#include "mesh/service.h"
#include "mesh/service_entry.h"
#include "mesh/virtual_service.h"
#include "mesh/workload.h"

/* Something that traffic can be sent to by name: a Service, or one host of one ServiceEntry. */
struct mesh_host {
    struct view name;              /* FQDN, or as the ServiceEntry writes it (may start with `*.`) */
    const struct service *service; /* or */
    const struct service_entry *entry;
    struct view ns;
};

struct mesh_snapshot {
    struct arena *arena;
    struct object_list by_kind[MESH_KINDS]; /* oldest creationTimestamp first, ties by name, then namespace */
    const struct mesh_config *config;       /* never NULL */
    const struct object *config_object;     /* the ConfigMap that it came from; NULL: defaults */
    struct view domain;                     /* cluster.local */
    struct map by_key;                      /* "<kind number>/ns/name" → struct object */
    struct map hosts;                       /* name → struct mesh_host, the first that claims it */
    struct mesh_host **wildcard_hosts;      /* ServiceEntry hosts that begin with `*` */
    uint32_t n_wildcard_hosts;
    struct map pods_by_ns; /* ns → struct object_list of pods */
    struct map slices;     /* "ns/service" → struct object_list of EndpointSlices */
};

/* Of two objects with one kind, namespace and name the later one counts, as with `apply`. Never fails: a MeshConfig that is rejected leaves the defaults, and diags says so. */
struct mesh_snapshot *snapshot_new(struct arena *a, struct diags *d, struct object *const *objects, uint32_t n);

/* Where MeshConfig is: ConfigMap `istio` of istio-system, and `istio-<revision>` in the control plane's own namespace for
 * an installation that is not the only one. */
struct mesh_config_place {
    struct view ns, name;
};
struct mesh_snapshot *snapshot_new_at(struct arena *a, struct diags *d, struct object *const *objects, uint32_t n,
                                      const struct mesh_config_place *place);

struct object *snapshot_get(const struct mesh_snapshot *s, enum mesh_kind kind, struct view ns, struct view name);

/* Istio's short-name rule: a host without a dot gets `.<ns>.svc.<domain>`; `*` and everything with a dot stays. */
struct view mesh_fqdn(struct arena *a, struct view host, struct view ns, struct view domain);

const struct mesh_host *snapshot_host(const struct mesh_snapshot *s, struct view fqdn); /* NULL; wildcards not tried */
/* The same, then the longest ServiceEntry wildcard that covers it. */
const struct mesh_host *snapshot_host_or_wildcard(const struct mesh_snapshot *s, struct view fqdn);
/* Whether `*.example.com` covers `a.example.com` (and `*` everything); equal hosts match too. */
bool host_matches(struct view pattern, struct view host);

/* VirtualService `gateways:` entry → namespace and name (`name`, `ns/name`, `name.ns[.svc…]`). */
void gateway_ref_resolve(struct view ref, struct view vs_ns, struct view *ret_ns, struct view *ret_name);

/* exportTo (empty: visible everywhere): is an object of obj_ns visible in ns? */
bool export_visible(const struct strings *export_to, struct view obj_ns, struct view ns);

/* Pods of a namespace that carry the labels; `i` starts at 0 and is moved. NULL: no more.
 *   for (uint32_t i = 0; (p = snapshot_pod(snap, ns, &svc->selector, &i));) …                         */
const struct pod *snapshot_pod(const struct mesh_snapshot *s, struct view ns, const struct labels *selector,
                               uint32_t *i);
const struct object_list *snapshot_slices(const struct mesh_snapshot *s, struct view ns,
                                          struct view service); /* or NULL */

#define SNAPSHOT_EACH(snap, symbol, type, var)                                                                         \
    for (uint32_t var##_i = 0; var##_i < (snap)->by_kind[KIND_##symbol].n; var##_i++)                                  \
        for (const struct type *var = (const struct type *)(void *)(snap)->by_kind[KIND_##symbol].list[var##_i]; var;  \
             var = NULL)
