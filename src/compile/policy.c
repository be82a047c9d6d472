// SPDX-License-Identifier: Apache-2.0
/* Which policy holds where: DestinationRules by namespace, host and subset, PeerAuthentications by scope.
 *
 * DestinationRule: the client's namespace, then the service's, then the root namespace; the first that has a rule for the
 * host wins, there is no merging across namespaces. Rules of one namespace for one host are merged: subsets add up (the
 * first of a name stays), the first trafficPolicy counts.
 * PeerAuthentication: mesh, then namespace, then workload; the oldest of a scope; ports only on the workload's.
 */
#include "compile/scope.h"

static bool same_strings(const struct strings *a, const struct strings *b)
{
    if (a->n != b->n)
        return false;
    for (uint32_t i = 0; i < a->n; i++)
        if (!strings_has(b, a->list[i]))
            return false;
    return true;
}

static bool same_labels(const struct labels *a, const struct labels *b)
{
    return a->n == b->n && labels_match(a, b);
}

static const struct strings *exports(const struct compiler *c, const struct destination_rule *dr)
{
    return dr->export_to.n ? &dr->export_to : &c->config->default_destination_rule_export_to;
}

static void merge(struct compiler *c, struct rule_set *into, const struct destination_rule *dr)
{
    if (!into->policy_of && dr->policy)
        into->policy_of = dr;
    for (uint32_t i = 0; i < dr->n_subsets; i++) {
        const struct destination_rule *of;
        if (policy_subset(into, dr->subsets[i].name, &of))
            continue;
        uint32_t n = into->n_subsets;
        *ARENA_PUSH(&c->arena, into->subsets, into->n_subsets) = &dr->subsets[i];
        *ARENA_PUSH(&c->arena, into->subset_of, n) = dr;
    }
}

static void add_rule(struct compiler *c, const struct destination_rule *dr)
{
    struct rule_set_list *l = map_get(&c->rules, dr->o.meta.ns);
    if (!l) {
        l = ARENA_NEW(&c->arena, struct rule_set_list);
        map_put(&c->rules, dr->o.meta.ns, l);
    }
    struct view host = mesh_fqdn(&c->arena, dr->host, dr->o.meta.ns, c->snap->domain);
    for (uint32_t i = 0; i < l->n; i++) {
        struct rule_set *r = l->list[i];
        if (view_eq(r->host, host) && same_strings(exports(c, r->first), exports(c, dr)) &&
            same_labels(&r->first->workload_selector, &dr->workload_selector)) {
            merge(c, r, dr);
            return;
        }
    }
    struct rule_set *r = ARENA_NEW(&c->arena, struct rule_set);
    r->host = host;
    r->ns = dr->o.meta.ns;
    r->first = dr;
    merge(c, r, dr);
    *ARENA_PUSH(&c->arena, l->list, l->n) = r;
    c->by_labels |= dr->workload_selector.n > 0;
}

void policy_build(struct compiler *c)
{
    map_init(&c->rules, &c->arena);
    SNAPSHOT_EACH(c->snap, DESTINATION_RULE, destination_rule, dr)
    add_rule(c, dr);
}

/* A better match: a more specific host, then one that selects this workload. */
static bool better(const struct rule_set *a, const struct rule_set *than)
{
    if (!than)
        return true;
    bool exact_a = a->host.n && a->host.p[0] != '*', exact_b = than->host.n && than->host.p[0] != '*';
    if (exact_a != exact_b)
        return exact_a;
    if (a->host.n != than->host.n)
        return a->host.n > than->host.n;
    return a->first->workload_selector.n && !than->first->workload_selector.n;
}

static const struct rule_set *rules_in(const struct scope *s, struct view ns, const struct registered *r)
{
    const struct rule_set_list *l = map_get(&s->c->rules, ns);
    const struct rule_set *best = NULL;
    for (uint32_t i = 0; l && i < l->n; i++) {
        const struct rule_set *at = l->list[i];
        if (!host_matches(at->host, r->host))
            continue;
        if (!view_eq(ns, s->ns) && !export_visible(exports(s->c, at->first), ns, s->ns))
            continue;
        const struct labels *selector = &at->first->workload_selector;
        if (selector->n && (!view_eq(ns, s->ns) || !labels_match(selector, &s->labels)))
            continue;
        if (better(at, best))
            best = at;
    }
    return best;
}

const struct rule_set *policy_rules(const struct scope *s, const struct registered *r)
{
    const struct rule_set *found = NULL;
    struct view root = s->c->config->root_ns;
    if (!view_eq(s->ns, root))
        found = rules_in(s, s->ns, r);
    if (!found && r->ns.n)
        found = rules_in(s, r->ns, r);
    return found ? found : rules_in(s, root, r);
}

const struct subset *policy_subset(const struct rule_set *rules, struct view name,
                                   const struct destination_rule **ret_of)
{
    for (uint32_t i = 0; rules && i < rules->n_subsets; i++)
        if (view_eq(rules->subsets[i]->name, name)) {
            *ret_of = rules->subset_of[i];
            return rules->subsets[i];
        }
    return NULL;
}

static void apply(struct effective_policy *to, const struct traffic_policy *p, uint32_t port)
{
    if (!p)
        return;
    to->lb = p->load_balancer ? p->load_balancer : to->lb;
    to->pool = p->connection_pool ? p->connection_pool : to->pool;
    to->outlier = p->outlier ? p->outlier : to->outlier;
    to->tls = p->tls ? p->tls : to->tls;
    for (uint32_t i = 0; i < p->n_ports; i++)
        if (p->ports[i].port == port) { /* not inherited: what is missing there is the default */
            *to = (struct effective_policy){p->ports[i].load_balancer, p->ports[i].connection_pool, p->ports[i].outlier,
                                            p->ports[i].tls};
            break;
        }
}

struct effective_policy policy_for(const struct rule_set *rules, const struct subset *subset, uint32_t port)
{
    struct effective_policy e = {0};
    if (rules && rules->policy_of)
        apply(&e, rules->policy_of->policy, port);
    if (subset)
        apply(&e, subset->policy, port);
    return e;
}

/* --- PeerAuthentication --- */

static const struct peer_authentication *oldest(const struct compiler *c, struct view ns, const struct labels *labels,
                                                bool selecting)
{
    SNAPSHOT_EACH(c->snap, PEER_AUTHENTICATION, peer_authentication, pa)
    {
        if (!view_eq(pa->o.meta.ns, ns) || (pa->has_selector && pa->selector.n > 0) != selecting)
            continue;
        if (!selecting || labels_match(&pa->selector, labels))
            return pa;
    }
    return NULL;
}

static enum mtls_mode over(enum mtls_mode base, const struct peer_authentication *pa)
{
    return pa && pa->mode != MTLS_UNSET ? pa->mode : base;
}

enum mtls_mode policy_mtls_namespace(const struct compiler *c, struct view ns)
{
    enum mtls_mode mode = over(MTLS_PERMISSIVE, oldest(c, c->config->root_ns, NULL, false));
    return view_eq(ns, c->config->root_ns) ? mode : over(mode, oldest(c, ns, NULL, false));
}

enum mtls_mode policy_mtls(const struct compiler *c, struct view ns, const struct labels *labels, uint32_t port)
{
    enum mtls_mode mode = policy_mtls_namespace(c, ns);
    bool root = view_eq(ns, c->config->root_ns); /* selectors there mean nothing */
    const struct peer_authentication *pa = root ? NULL : oldest(c, ns, labels, true);
    mode = over(mode, pa);
    for (uint32_t i = 0; pa && i < pa->n_ports; i++)
        if (pa->ports[i].port == port && pa->ports[i].mode != MTLS_UNSET)
            return pa->ports[i].mode;
    return mode;
}
