// SPDX-License-Identifier: Apache-2.0
/* The compiler's own view of a snapshot, shared by the files of this folder.
 *
 *   registry.c     Services and ServiceEntries as one list of things that have a host, ports and instances
 *   policy.c       which DestinationRule applies, and what it says for a port and subset; PeerAuthentication
 *   scope.c        what the proxies of one kind in one namespace see; binding VirtualServices to hosts
 *   cluster.c, endpoint.c, route.c, virtual_host.c, service_host.c, listener_outbound.c, listener_inbound.c,
 *   inbound_common.c, gateway.c, secret.c       the output
 *
 * Everything here lives in the compiler's arena and dies with it; what goes into a resource is copied, but for the parts
 * (plan/resource.h) of service_host.c and inbound_common.c, which resources point into and keep.
 */
#pragma once

#include "base/map.h"
#include "compile/compile.h"

enum resolution {
    RESOLVE_EDS,         /* endpoints are known: Services with a ClusterIP, ServiceEntry STATIC */
    RESOLVE_DNS,         /* every address of the names */
    RESOLVE_DNS_RR,      /* one address at a time */
    RESOLVE_PASSTHROUGH, /* where the client was going: headless Services, ServiceEntry NONE */
    RESOLVE_ALIAS,       /* ExternalName: stands for another host */
};

struct instance {
    struct view address; /* IP, or a name for DNS */
    uint32_t port;
    uint32_t weight;
    const struct labels *labels;
    struct view ns, service_account;
    struct view workload; /* Istio's metadata string, without the cluster at its end */
    struct view hostname;
    struct view region, zone, subzone;
    bool sidecar; /* security.istio.io/tlsMode: istio */
};

struct reg_port {
    uint32_t port;
    struct view name;
    enum port_protocol protocol;
    const struct service_port *k8s; /* or */
    const struct se_port *entry;
    struct instance *instances; /* registry_instances() fills them at first use */
    uint32_t n_instances;
    bool loaded;
};

struct registered {
    struct view host, name, ns;
    struct view *addresses; /* virtual IPs or prefixes; none: by port only */
    struct reg_port *ports;
    uint32_t n_addresses, n_ports;
    enum resolution resolution;
    bool external;        /* outside the mesh: no automatic mTLS */
    bool headless;        /* a Service with clusterIP None */
    struct view alias_of; /* RESOLVE_ALIAS: host */
    struct view *aliases; /* hosts of ExternalName Services that stand for this one */
    uint32_t n_aliases;
    const struct strings *export_to;
    const struct service *service;
    const struct service_entry *entry;
    const struct object *object;
    uint64_t print; /* reuse.c: of the instances; 0: not known yet */
};

/* DestinationRules of one namespace and host, merged. */
struct rule_set {
    struct view host, ns;
    const struct destination_rule *first;
    const struct destination_rule *policy_of; /* the one whose trafficPolicy counts; NULL: none has one */
    const struct subset **subsets;
    const struct destination_rule **subset_of;
    uint32_t n_subsets;
};

struct rule_set_list {
    struct rule_set **list;
    uint32_t n;
};

/* The blocks of a trafficPolicy that hold for one port and subset. */
struct effective_policy {
    const struct load_balancer *lb;
    const struct connection_pool *pool;
    const struct outlier_detection *outlier;
    const struct client_tls *tls;
};

struct memo;

/* What the route tables of all scopes say alike of a service that no VirtualService speaks for. */
struct service_host {
    struct resource_part *part; /* referenced; all below lives in it */
    uint64_t print;
    struct view name;       /* host:port */
    struct view dotted;     /* the host and a dot: every name by which it is known is a beginning of it */
    struct strings domains; /* as other namespaces know it, without names that other objects lend it (aliases) */
    struct route *routes;
    uint32_t n_routes;
    struct plan_origin origin;
};

struct compiler {
    const struct mesh_snapshot *snap;
    const struct mesh_config *config;
    struct arena arena;
    struct registered **services; /* Services, then ServiceEntry hosts, each oldest first */
    uint32_t n_services;
    struct map rules;               /* namespace → struct rule_set_list */
    struct map scopes;              /* key → struct scope */
    struct map interned;            /* content hash → struct resource, referenced */
    struct map before;              /* interned of the compiler before this one */
    struct map memos, memos_before; /* reuse.c: print → what was made of a service */
    struct inbound_common *inbound; /* NULL: not asked for yet */
    struct map hosts, hosts_before; /* service_host.c: print → struct service_host */
    struct map plans_before;        /* scope → its plan in the compiler before this one, referenced */
    struct memo *recording;
    uint64_t policy_print, outbound_print, outbound_before;
    bool by_labels; /* some object selects by the proxy's labels */
};

struct bound_host { /* a host and the VirtualService that speaks for it */
    struct view host;
    const struct virtual_service *vs;
};

struct scope {
    struct compiler *c;
    enum proxy_kind kind;
    struct view ns;
    struct labels labels;
    struct view cluster_id;
    struct registered **services; /* visible, one for each host */
    uint32_t n_services;
    struct map by_host;                /* host → struct registered; on the heap */
    const struct virtual_service **vs; /* visible, for the mesh, in order of precedence */
    uint32_t n_vs;
    struct bound_host *bound; /* hosts of vs, each once, the first wins */
    uint32_t n_bound;
    const struct client_tls **credentials; /* of DestinationRules, that name Secrets */
    uint32_t n_credentials;
    struct plan *plan; /* everything outbound */
};

/* --- registry.c --- */
void registry_build(struct compiler *c);
const struct reg_port *registry_port(const struct registered *r, uint32_t port); /* NULL when absent */
struct instance *registry_instances(struct compiler *c, const struct registered *r, const struct reg_port *p,
                                    uint32_t *ret_n);
/* All instances' identities, spiffe://<trust domain>/ns/<ns>/sa/<account>, sorted, each once. */
struct view *registry_identities(struct compiler *c, const struct registered *r, const struct reg_port *p,
                                 uint32_t *ret_n);
const struct pod *registry_target(const struct compiler *c, const struct target_ref *t, struct view ns); /* or NULL */
struct labels *labels_copy(struct arena *a, const struct labels *l);

/* --- policy.c --- */
void policy_build(struct compiler *c);
const struct rule_set *policy_rules(const struct scope *s, const struct registered *r);
const struct subset *policy_subset(const struct rule_set *rules, struct view name,
                                   const struct destination_rule **ret_of);
struct effective_policy policy_for(const struct rule_set *rules, const struct subset *subset, uint32_t port);
/* mTLS mode that a workload's port demands, never MTLS_UNSET. */
enum mtls_mode policy_mtls(const struct compiler *c, struct view ns, const struct labels *labels, uint32_t port);
/* The mode of the namespace as a whole, as clients guess it. */
enum mtls_mode policy_mtls_namespace(const struct compiler *c, struct view ns);

/* --- scope.c --- */
struct scope *scope_get(struct compiler *c, const struct proxy_facts *proxy);
const struct registered *scope_service(const struct scope *s, struct view host);
/* Follows ExternalName; NULL when the host is unknown. */
const struct registered *scope_resolve(const struct scope *s, struct view host);
const struct virtual_service *scope_vs_for(const struct scope *s, struct view host); /* most specific; NULL: none */
bool scope_allows_any(const struct scope *s);
/* An equal one that is made later shall be this one. */
void scope_intern(struct compiler *c, const struct resource *r);
/* Seals it, shares an equal one if there is one, puts it into the plan; the caller's reference is consumed. */
void scope_put(struct compiler *c, struct plan *p, void *resource);

/* --- reuse.c --- */
static inline uint64_t print_mix(uint64_t print, uint64_t more)
{
    print = (print ^ more) * 0xff51afd7ed558ccdu;
    return print ^ print >> 32;
}

static inline uint64_t print_object(uint64_t print, const void *p)
{
    return print_mix(print, (uint64_t)(uintptr_t)p);
}

void reuse_build(struct compiler *c);
/* True: its clusters and endpoints are in the plan. False: make them, then reuse_end(). */
bool reuse_service(struct scope *s, const struct registered *r, const struct rule_set *rules);
void reuse_end(struct compiler *c);
void reuse_record(struct compiler *c, struct resource *r); /* by scope_put */
bool reuse_outbound(struct scope *s, struct view key);     /* listeners and routes; false: make them */
void reuse_plan(struct scope *s, struct view key);
void reuse_forget(struct map *memos);

/* --- inbound_common.c --- */
enum alpn_set { ALPN_ANY, ALPN_ISTIO, ALPN_ISTIO_HTTP, ALPN_ISTIO_TCP, ALPN_PLAIN_HTTP, ALPN_SETS };
struct inbound_common {
    struct resource_part *part; /* referenced by the compiler; all below lives in it */
    struct strings alpn[ALPN_SETS];
    struct tls_server *tls[2]; /* for TCP, for HTTP */
    struct http_manager *http; /* of ports without a Service */
    struct tcp_manager *tcp;
    struct tcp_manager *black_hole;
};
const struct inbound_common *inbound_common(struct scope *s);
void inbound_common_forget(struct compiler *c);
/* A manager with one route, to a cluster of this pod. port 0: no Service has it. */
struct http_manager *inbound_http(struct scope *s, struct arena *a, struct view cluster, uint32_t target,
                                  uint32_t port);

/* --- service_host.c --- */
struct route_context;
const struct service_host *service_host_get(const struct route_context *x, const struct registered *r);
void service_hosts_forget(struct map *hosts);
struct host_names {
    struct view list[4]; /* beginnings of `dotted`: how everybody may call the host */
    uint32_t n;
    struct view own, ns; /* and how its own namespace may */
};
struct host_names host_names(const struct compiler *c, struct view dotted);
struct view host_address(struct arena *a,
                         struct view text); /* as a domain of a virtual host; empty: it is no address */

/* --- names --- */
struct view name_cluster(struct arena *a, uint32_t port, struct view subset, struct view host);
struct view name_sni(struct arena *a, uint32_t port, struct view subset, struct view host);
bool port_is_sniffed(const struct reg_port *p); /* declared nothing: HTTP or not is found out */
bool port_is_http(const struct reg_port *p);
bool port_is_tls(const struct reg_port *p);
bool port_is_tcp(const struct reg_port *p); /* opaque, TLS included */

/* --- output --- */
void compile_clusters(struct scope *s); /* cluster.c: outbound|… and the fixed ones */
void find_credentials(struct scope *s); /* cluster.c: that DestinationRules name */
void compile_cluster_secrets(struct scope *s, struct plan *p);
void compile_outbound_listeners(struct scope *s);                                       /* listener_outbound.c */
void compile_outbound_routes(struct scope *s);                                          /* virtual_host.c */
void compile_inbound(struct scope *s, struct plan *p, const struct proxy_facts *proxy); /* listener_inbound.c */
void compile_gateway(struct scope *s, struct plan *p, const struct proxy_facts *proxy); /* gateway.c */

/* secret.c: nothing when the Secret is not there */
void compile_identity(struct scope *s, struct plan *p, struct view credential);
void compile_authorities(struct scope *s, struct plan *p, struct view credential);

/* cluster.c */
struct cluster *cluster_start(struct scope *s, struct view name, enum cluster_type type);
void cluster_apply_pool(struct scope *s, struct cluster *cl, const struct connection_pool *pool);
/* endpoint.c: all endpoints of a port that carry the subset's labels, in the arena of the set or of its cluster */
void endpoints_fill(struct scope *s, struct arena *a, struct endpoint_set *set, const struct registered *r,
                    const struct reg_port *p, const struct labels *subset, bool mtls_allowed);

/* http_manager.c */
struct http_manager *manager_new(struct scope *s, struct arena *a, enum traffic_direction direction,
                                 struct view stat_prefix);
struct tcp_manager *manager_tcp(struct scope *s, struct arena *a, struct view stat_prefix, struct view cluster);
void manager_logs(struct scope *s, struct arena *a, struct access_log **ret, uint32_t *ret_n, bool only_no_route);

/* route.c */
struct route_context {
    struct scope *s;
    struct arena *a;     /* of the resource */
    uint32_t port;       /* of the listener */
    struct view gateway; /* "mesh", or "ns/name" of the Gateway */
    bool https;          /* the listener terminates TLS */
};
/* How requests to a service are hashed by its DestinationRules; NULL: they are not. */
const struct consistent_hash *route_hashing(const struct scope *s, const struct registered *r, uint32_t port,
                                            struct view subset);
void route_default(const struct route_context *x, struct virtual_host *vh, struct view cluster, struct view name,
                   const struct registered *r, uint32_t port);
/* Appends the rules of the VirtualService; returns how many routes that made. */
uint32_t routes_of_vs(const struct route_context *x, struct virtual_host *vh, const struct virtual_service *vs);
struct view destination_cluster(const struct scope *s, struct arena *a, const struct destination *d,
                                const struct virtual_service *vs, uint32_t listener_port);
bool l4_match_holds(const struct scope *s, const struct l4_match *m, const struct virtual_service *vs, uint32_t port,
                    struct view gateway);
struct weighted_cluster *l4_clusters(const struct scope *s, struct arena *a, const struct l4_route *r,
                                     const struct virtual_service *vs, uint32_t port, uint32_t *ret_n,
                                     uint64_t *ret_total);
