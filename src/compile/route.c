// SPDX-License-Identifier: Apache-2.0
/* From a VirtualService's rules to routes, and the route of a host without rules.
 *
 * Some conditions are known now (port, gateway, labels and namespace of the proxy): a rule whose match fails them is left
 * out. One route is made for each remaining match. A rule that matches everything ends the list: what a person wrote
 * behind it can never be reached. Destinations are not checked here: an unknown one keeps its name and answers 503 NC.
 */
#include "compile/scope.h"

#include "plan/defaults.h"
#include "plan/retry.h"

/* --- defaults --- */

static struct retry_policy *default_retries(const struct route_context *x, bool sticky)
{
    struct retry_policy *p = ARENA_NEW(x->a, struct retry_policy);
    p->attempts = (uint32_t)DEFAULT_RETRY_ATTEMPTS;
    p->on = RETRY_CONNECT_FAILURE | RETRY_REFUSED_STREAM | RETRY_UNAVAILABLE | RETRY_CANCELLED |
            RETRY_RETRIABLE_STATUS_CODES;
    p->previous_hosts = !sticky; /* consistent hashing must come back to the same host */
    p->host_attempts = (uint32_t)DEFAULT_RETRY_HOST_ATTEMPTS;
    return p;
}

#define MAX_RETRY_STATUSES 16

static struct retry_policy *retries(const struct route_context *x, const struct http_retries *r, bool sticky)
{
    if (!r)
        r = x->s->c->config->default_retries;
    if (!r)
        return default_retries(x, sticky);
    if (r->attempts <= 0)
        return NULL;
    struct retry_policy *p = default_retries(x, sticky);
    p->attempts = (uint32_t)r->attempts;
    if (r->retry_on.n) {
        struct view bad;
        uint16_t *statuses = ARENA_ARRAY(x->a, uint16_t, MAX_RETRY_STATUSES);
        if (retry_parse_on(r->retry_on, &p->on, statuses, &p->n_statuses, MAX_RETRY_STATUSES, &bad) == 0)
            p->statuses = p->n_statuses ? statuses : NULL;
    }
    if (r->per_try_timeout.set)
        p->per_try_timeout = r->per_try_timeout.ns;
    if (r->backoff.set)
        p->base_interval = r->backoff.ns;
    p->other_priorities = r->remote_localities.set && r->remote_localities.value;
    if (r->ignore_previous_hosts.set)
        p->previous_hosts = r->ignore_previous_hosts.value;
    return p;
}

static struct view operation(const struct route_context *x, const struct route *r, struct view host)
{
    static const char *const tail[] = {
        [PATH_PREFIX] = "*", [PATH_SEPARATED_PREFIX] = "*", [PATH_EXACT] = "", [PATH_REGEX] = ""};
    return arena_printf(x->a, "%.*s:%u%.*s%s", VIEW_ARGS(host), x->port, VIEW_ARGS(r->path.value), tail[r->path.kind]);
}

/* --- hash policies of the destinations --- */

static void add_hash(const struct route_context *x, struct route_forward *f, const struct consistent_hash *h)
{
    struct hash_policy p = {0};
    if (h->header.n) {
        p.kind = HASH_HEADER;
        p.name = arena_view(x->a, h->header);
    } else if (h->cookie) {
        p.kind = HASH_COOKIE;
        p.name = arena_view(x->a, h->cookie->name);
        p.cookie_path = arena_view(x->a, h->cookie->path);
        p.has_ttl = h->cookie->ttl.set;
        p.cookie_ttl = h->cookie->ttl.ns;
    } else if (h->query_param.n) {
        p.kind = HASH_QUERY;
        p.name = arena_view(x->a, h->query_param);
    } else {
        p.kind = HASH_SOURCE_IP;
    }
    for (uint32_t i = 0; i < f->n_hash; i++)
        if (f->hash[i].kind == p.kind && view_eq(f->hash[i].name, p.name))
            return;
    *ARENA_PUSH(x->a, f->hash, f->n_hash) = p;
}

const struct consistent_hash *route_hashing(const struct scope *s, const struct registered *r, uint32_t port,
                                            struct view subset)
{
    const struct rule_set *rules = policy_rules(s, r);
    const struct destination_rule *of;
    struct effective_policy e = policy_for(rules, subset.n ? policy_subset(rules, subset, &of) : NULL, port);
    return e.lb ? e.lb->consistent_hash : NULL;
}

static bool hash_of(const struct route_context *x, struct route_forward *f, const struct registered *r, uint32_t port,
                    struct view subset)
{
    const struct consistent_hash *h = r ? route_hashing(x->s, r, port, subset) : NULL;
    if (h)
        add_hash(x, f, h);
    return h != NULL;
}

static void forward_start(struct route *r)
{
    r->action = ROUTE_FORWARD;
    r->forward.cluster_not_found = 503;
    r->forward.has_max_grpc_timeout = true;
    r->forward.timeout = DEFAULT_ROUTE_TIMEOUT;
}

/* Most virtual hosts are made of one Service, and so is their route: its texts are there already. */
static bool same_object(const struct plan_origin *o, const struct origin *at)
{
    return !o->rule.n && view_eq(o->name, at->name) && view_eq(o->ns, at->ns) && view_eq(o->kind, at->kind) &&
           view_eq(o->file, at->file) && o->line == at->line;
}

void route_default(const struct route_context *x, struct virtual_host *vh, struct view cluster, struct view name,
                   const struct registered *to, uint32_t port)
{
    struct route *r = ARENA_PUSH(x->a, vh->routes, vh->n_routes);
    r->name = arena_view(x->a, name);
    r->path = (struct path_match){.kind = PATH_PREFIX, .value = VIEW("/")};
    forward_start(r);
    *ARENA_PUSH(x->a, r->forward.clusters, r->forward.n_clusters) =
        (struct weighted_cluster){.cluster = name_ref_copy(x->a, cluster), .weight = 1};
    r->forward.total_weight = 1;
    if (!to)
        return; /* passthrough: no retries, nothing is known of it */
    bool sticky = hash_of(x, &r->forward, to, port, VIEW_NONE);
    r->forward.retry = retries(x, NULL, sticky);
    r->operation = operation(x, r, to->host);
    r->origin =
        same_object(&vh->origin, &to->object->at) ? vh->origin : plan_origin_of(x->a, &to->object->at, VIEW_NONE);
}

/* --- destinations --- */

struct target_name {
    struct view host;
    uint32_t port;
    const struct registered *r; /* NULL: unknown */
};

static struct target_name resolve(const struct scope *s, struct arena *a, const struct destination *d,
                                  const struct virtual_service *vs, uint32_t listener_port)
{
    struct target_name t = {.host = mesh_fqdn(a, d->host, vs->o.meta.ns, s->c->snap->domain)};
    t.r = scope_service(s, t.host) ? scope_resolve(s, t.host) : NULL;
    if (t.r)
        t.host = t.r->host;
    t.port = d->port ? d->port : t.r && t.r->n_ports == 1 ? t.r->ports[0].port : listener_port;
    return t;
}

struct view destination_cluster(const struct scope *s, struct arena *a, const struct destination *d,
                                const struct virtual_service *vs, uint32_t listener_port)
{
    struct target_name t = resolve(s, a, d, vs, listener_port);
    return name_cluster(a, t.port, d->subset, t.host);
}

/* --- headers --- */

static struct view lower(struct arena *a, struct view v)
{
    char *p = arena_str(a, v);
    for (size_t i = 0; i < v.n; i++)
        if (p[i] >= 'A' && p[i] <= 'Z')
            p[i] = (char)(p[i] | 0x20);
    return (struct view){p, v.n};
}

static bool is_authority(struct view name)
{
    return view_ieq(name, VIEW("host")) || view_ieq(name, VIEW(":authority"));
}

/* `request.set: {Host: x}` is the way to rewrite the authority: returned instead of listed. */
static struct view add_ops(struct arena *a, struct header_mutations *m, const struct header_ops *ops, bool request)
{
    struct view authority = VIEW_NONE;
    for (uint32_t i = 0; i < ops->set.n; i++) {
        if (request && is_authority(ops->set.list[i].key))
            authority = arena_view(a, ops->set.list[i].value);
        else
            *ARENA_PUSH(a, m->set, m->n_set) =
                (struct header_value){lower(a, ops->set.list[i].key), arena_view(a, ops->set.list[i].value), false};
    }
    for (uint32_t i = 0; i < ops->add.n; i++)
        *ARENA_PUSH(a, m->set, m->n_set) =
            (struct header_value){lower(a, ops->add.list[i].key), arena_view(a, ops->add.list[i].value), true};
    for (uint32_t i = 0; i < ops->remove.n; i++)
        *ARENA_PUSH(a, m->remove, m->n_remove) = lower(a, ops->remove.list[i]);
    return authority;
}

static struct view add_headers(struct arena *a, struct route_headers *h, const struct headers_policy *p)
{
    add_ops(a, &h->response, &p->response, false);
    return add_ops(a, &h->request, &p->request, true);
}

/* --- what a rule does --- */

static uint32_t per_million(double percent)
{
    return percent >= 100 ? 1000000 : percent <= 0 ? 0 : (uint32_t)(percent * 10000 + 0.5);
}

static struct view forward_to(const struct route_context *x, struct route *r, const struct virtual_service *vs,
                              const struct http_route *rule)
{
    struct view host = VIEW_NONE;
    bool sticky = false;
    forward_start(r);
    for (uint32_t i = 0; i < rule->n_route; i++) {
        const struct http_destination *d = &rule->route[i];
        if (rule->n_route > 1 && d->weight <= 0)
            continue;
        struct target_name t = resolve(x->s, x->a, &d->destination, vs, x->port);
        struct weighted_cluster *w = ARENA_PUSH(x->a, r->forward.clusters, r->forward.n_clusters);
        w->cluster = name_ref(name_cluster(x->a, t.port, d->destination.subset, t.host));
        w->weight = rule->n_route > 1 ? (uint32_t)d->weight : 1;
        w->host_rewrite = add_headers(x->a, &w->headers, &d->headers);
        r->forward.total_weight += w->weight;
        host = t.host;
        sticky |= hash_of(x, &r->forward, t.r, t.port, d->destination.subset);
    }
    r->forward.retry = retries(x, rule->retries, sticky);
    if (rule->timeout.set)
        r->forward.timeout = r->forward.max_grpc_timeout = rule->timeout.ns;
    for (uint32_t i = 0; i < rule->n_mirrors; i++)
        *ARENA_PUSH(x->a, r->forward.mirrors, r->forward.n_mirrors) = (struct route_mirror){
            .cluster = name_ref(destination_cluster(x->s, x->a, &rule->mirrors[i].destination, vs, x->port)),
            .per_million = per_million(rule->mirrors[i].percent),
            .keep_host = true,
        };
    if (rule->rewrite) {
        r->forward.host_rewrite = arena_view(x->a, rule->rewrite->authority);
        if (rule->rewrite->regex_match.n) {
            r->forward.regex_rewrite.pattern = arena_view(x->a, rule->rewrite->regex_match);
            r->forward.regex_rewrite.substitution = arena_view(x->a, rule->rewrite->regex_rewrite);
        } else {
            r->forward.prefix_rewrite = arena_view(x->a, rule->rewrite->uri);
        }
    }
    return r->forward.n_clusters == 1 ? host : vs->o.meta.name;
}

static void redirect_to(const struct route_context *x, struct route *r, const struct http_redirect *from)
{
    struct route_redirect *to = r->redirect = ARENA_NEW(x->a, struct route_redirect);
    r->action = ROUTE_REDIRECT;
    to->status = (uint16_t)(from->code ? from->code : 301);
    to->path = arena_view(x->a, from->uri);
    to->prefix_rewrite = arena_view(x->a, from->prefix_rewrite);
    to->host = arena_view(x->a, from->authority);
    to->scheme = arena_view(x->a, from->scheme);
    to->port = from->port ? from->port : from->derive_port == REDIRECT_PORT_REQUEST ? x->port : 0;
    bool https = from->scheme.n ? view_is(from->scheme, "https") : x->https;
    if (to->port == (https ? 443 : 80))
        to->port = 0;
}

/* gRPC names of status codes, as VirtualServices write them. */
static const char *const grpc_names[] = {
    "OK",        "CANCELLED",       "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
    "NOT_FOUND", "ALREADY_EXISTS",  "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
    "ABORTED",   "OUT_OF_RANGE",    "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
    "DATA_LOSS", "UNAUTHENTICATED",
};

static int16_t grpc_status(struct view text)
{
    uint64_t n;
    if (!text.n)
        return -1;
    if (view_u64(text, &n) == 0 && n < COUNT_OF(grpc_names))
        return (int16_t)n;
    for (size_t i = 0; i < COUNT_OF(grpc_names); i++)
        if (view_ieq(text, view_of(grpc_names[i])))
            return (int16_t)i;
    return -1;
}

static struct fault *fault_of(const struct route_context *x, const struct http_fault *from)
{
    if (!from)
        return NULL;
    struct fault *f = ARENA_NEW(x->a, struct fault);
    f->abort_grpc = -1;
    if (from->delay) {
        f->delay = from->delay->fixed_ns;
        f->delay_per_million = per_million(from->delay->percent);
    }
    if (from->abort) {
        f->abort_status = (uint16_t)from->abort->http_status;
        f->abort_grpc = grpc_status(from->abort->grpc_status);
        f->abort_per_million = per_million(from->abort->percent);
    }
    return f;
}

static struct view join(struct arena *a, const struct strings *s)
{
    struct view out = VIEW_NONE;
    for (uint32_t i = 0; i < s->n; i++)
        out = i ? arena_printf(a, "%.*s,%.*s", VIEW_ARGS(out), VIEW_ARGS(s->list[i])) : arena_view(a, s->list[i]);
    return out;
}

static struct text_match text_of(struct arena *a, const struct string_match *m)
{
    static const enum text_match_kind kinds[] = {[MATCH_PRESENT] = TEXT_PRESENT,
                                                 [MATCH_EXACT] = TEXT_EXACT,
                                                 [MATCH_PREFIX] = TEXT_PREFIX,
                                                 [MATCH_REGEX] = TEXT_REGEX};
    return (struct text_match){.kind = kinds[m->type], .value = arena_view(a, m->text)};
}

static struct cors *cors_of(const struct route_context *x, const struct cors_policy *from)
{
    if (!from)
        return NULL;
    struct cors *c = ARENA_NEW(x->a, struct cors);
    for (uint32_t i = 0; i < from->n_allow_origins; i++)
        *ARENA_PUSH(x->a, c->origins, c->n_origins) = text_of(x->a, &from->allow_origins[i]);
    c->methods = join(x->a, &from->allow_methods);
    c->headers = join(x->a, &from->allow_headers);
    c->expose = join(x->a, &from->expose_headers);
    if (from->max_age.set)
        c->max_age = arena_printf(x->a, "%llu", (unsigned long long)(from->max_age.ns / NS_PER_S));
    c->has_credentials = from->allow_credentials.set;
    c->credentials = from->allow_credentials.value;
    c->forward_unmatched_preflights = from->unmatched != CORS_PREFLIGHT_IGNORE;
    return c;
}

/* --- what a rule matches --- */

static bool match_holds(const struct route_context *x, const struct http_match *m, const struct virtual_service *vs)
{
    if (m->port && m->port != x->port)
        return false;
    if (m->source_ns.n && !view_eq(m->source_ns, x->s->ns))
        return false;
    if (m->source_labels.n && !labels_match(&m->source_labels, &x->s->labels))
        return false;
    if (!m->gateways.n)
        return true;
    for (uint32_t i = 0; i < m->gateways.n; i++) {
        struct view ns, name;
        if (view_is(m->gateways.list[i], "mesh")) {
            if (view_is(x->gateway, "mesh"))
                return true;
            continue;
        }
        gateway_ref_resolve(m->gateways.list[i], vs->o.meta.ns, &ns, &name);
        if (view_eq(x->gateway, arena_printf(x->a, "%.*s/%.*s", VIEW_ARGS(ns), VIEW_ARGS(name))))
            return true;
    }
    return false;
}

static void add_header_match(struct arena *a, struct route *r, struct view name, const struct string_match *m,
                             bool invert)
{
    struct header_match *h = ARENA_PUSH(a, r->headers, r->n_headers);
    h->name = lower(a, name);
    h->value = text_of(a, m);
    h->invert = invert;
    h->missing_is_empty = invert && h->value.kind != TEXT_PRESENT;
}

static bool ignored_header(struct view name) /* they have fields of their own, as Istio has it */
{
    return view_is(name, "uri") || view_is(name, "scheme") || view_is(name, "method") || view_is(name, "authority");
}

static void set_match(struct arena *a, struct route *r, const struct http_match *m)
{
    static const enum path_match_kind kinds[] = {[MATCH_PRESENT] = PATH_PREFIX,
                                                 [MATCH_EXACT] = PATH_EXACT,
                                                 [MATCH_PREFIX] = PATH_PREFIX,
                                                 [MATCH_REGEX] = PATH_REGEX};
    r->path = (struct path_match){.kind = PATH_PREFIX, .value = VIEW("/")};
    if (!m)
        return;
    if (m->uri.set && m->uri.type != MATCH_PRESENT)
        r->path = (struct path_match){.kind = kinds[m->uri.type],
                                      .value = arena_view(a, m->uri.text),
                                      .ignore_case = m->ignore_uri_case && m->uri.type != MATCH_REGEX};
    for (uint32_t i = 0; i < m->n_headers; i++)
        if (!ignored_header(m->headers[i].name))
            add_header_match(a, r, m->headers[i].name, &m->headers[i].match, false);
    for (uint32_t i = 0; i < m->n_without_headers; i++)
        if (!ignored_header(m->without_headers[i].name))
            add_header_match(a, r, m->without_headers[i].name, &m->without_headers[i].match, true);
    if (m->scheme.set)
        add_header_match(a, r, VIEW(":scheme"), &m->scheme, false);
    if (m->method.set)
        add_header_match(a, r, VIEW(":method"), &m->method, false);
    if (m->authority.set)
        add_header_match(a, r, VIEW(":authority"), &m->authority, false);
    for (uint32_t i = 0; i < m->n_query_params; i++)
        *ARENA_PUSH(a, r->queries, r->n_queries) = (struct query_match){.name = arena_view(a, m->query_params[i].name),
                                                                        .value = text_of(a, &m->query_params[i].match)};
}

static bool catches_all(const struct route *r)
{
    bool path = (r->path.kind == PATH_PREFIX && view_is(r->path.value, "/")) ||
                (r->path.kind == PATH_REGEX && (view_is(r->path.value, "*") || view_is(r->path.value, ".*")));
    return path && !r->n_headers && !r->n_queries && !r->grpc_only;
}

static struct view route_name(struct arena *a, const struct http_route *rule, const struct http_match *m)
{
    if (!m || !m->name.n)
        return arena_view(a, rule->name);
    return rule->name.n ? arena_printf(a, "%.*s.%.*s", VIEW_ARGS(rule->name), VIEW_ARGS(m->name))
                        : arena_view(a, m->name);
}

static const struct route *add_route(const struct route_context *x, struct virtual_host *vh,
                                     const struct virtual_service *vs, const struct http_route *rule,
                                     const struct http_match *m)
{
    struct route *r = ARENA_PUSH(x->a, vh->routes, vh->n_routes);
    struct view host = vs->o.meta.name;
    r->name = route_name(x->a, rule, m);
    set_match(x->a, r, m);
    if (rule->redirect) {
        redirect_to(x, r, rule->redirect);
    } else if (rule->direct_response) {
        r->action = ROUTE_DIRECT;
        r->direct = ARENA_NEW(x->a, struct route_direct);
        r->direct->status = (uint16_t)rule->direct_response->status;
        r->direct->body = arena_view(x->a, rule->direct_response->body);
    } else {
        host = forward_to(x, r, vs, rule);
    }
    struct view authority = add_headers(x->a, &r->changes, &rule->headers);
    if (authority.n && r->action == ROUTE_FORWARD)
        r->forward.host_rewrite = authority;
    r->fault = fault_of(x, rule->fault);
    r->cors = cors_of(x, rule->cors);
    r->operation = operation(x, r, host);
    r->origin = plan_origin_of(x->a, &vs->o.at, rule->part.at.path);
    if (rule->part.at.line)
        r->origin.line = rule->part.at.line;
    return r;
}

uint32_t routes_of_vs(const struct route_context *x, struct virtual_host *vh, const struct virtual_service *vs)
{
    uint32_t before = vh->n_routes;
    for (uint32_t i = 0; i < vs->n_http; i++) {
        const struct http_route *rule = &vs->http[i];
        if (!rule->n_match && catches_all(add_route(x, vh, vs, rule, NULL)))
            break;
        bool done = false;
        for (uint32_t j = 0; j < rule->n_match && !done; j++)
            done = match_holds(x, &rule->match[j], vs) && catches_all(add_route(x, vh, vs, rule, &rule->match[j]));
        if (done)
            break;
    }
    return vh->n_routes - before;
}

/* --- tcp and tls routes --- */

bool l4_match_holds(const struct scope *s, const struct l4_match *m, const struct virtual_service *vs, uint32_t port,
                    struct view gateway)
{
    struct http_match same = {
        .port = m->port, .source_ns = m->source_ns, .source_labels = m->source_labels, .gateways = m->gateways};
    struct route_context x = {.s = (struct scope *)s, .a = &s->c->arena, .port = port, .gateway = gateway};
    return match_holds(&x, &same, vs);
}

struct weighted_cluster *l4_clusters(const struct scope *s, struct arena *a, const struct l4_route *r,
                                     const struct virtual_service *vs, uint32_t port, uint32_t *ret_n,
                                     uint64_t *ret_total)
{
    struct weighted_cluster *list = NULL;
    uint32_t n = 0;
    uint64_t total = 0;
    for (uint32_t i = 0; i < r->n_route; i++) {
        if (r->n_route > 1 && r->route[i].weight <= 0)
            continue;
        struct weighted_cluster *w = ARENA_PUSH(a, list, n);
        w->cluster = name_ref(destination_cluster(s, a, &r->route[i].destination, vs, port));
        w->weight = r->n_route > 1 ? (uint32_t)r->route[i].weight : 1;
        total += w->weight;
    }
    *ret_n = n;
    *ret_total = total;
    return list;
}
