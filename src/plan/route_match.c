// SPDX-License-Identifier: Apache-2.0
/* Choosing the virtual host and the route of a request (route.h).
 *
 * A table's domains go into four places: a hash of the exact ones and one of the suffixes (both by lower-case hash, the
 * suffixes probed longest first, only for lengths that occur), a short list of prefixes, and the catch-all. Routes are
 * scanned in order: what a person wrote is a list, and the first match wins.
 */
#include "plan/route.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/regex.h"
#include "plan/listener.h"

struct domain {
    struct view text; /* without the star */
    uint64_t hash;
    const struct virtual_host *host;
};

struct domain_hash {
    struct domain *slots;
    uint32_t n_slots;
};

struct domain_table {
    struct domain_hash exact, suffix;
    uint16_t *suffix_lengths; /* descending, each once */
    struct domain *prefixes;  /* longest first */
    uint32_t n_suffix_lengths, n_prefixes;
    const struct virtual_host *any;
};

/* FNV-1a over lower-case bytes: hosts are short, and the hash must not depend on case. */
static uint64_t host_hash(struct view v)
{
    uint64_t h = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < v.n; i++) {
        unsigned char c = (unsigned char)v.p[i];
        c = c >= 'A' && c <= 'Z' ? (unsigned char)(c | 0x20) : c;
        h = (h ^ c) * UINT64_C(1099511628211);
    }
    return h ^ (h >> 29);
}

static const struct virtual_host *hash_get(const struct domain_hash *t, struct view text)
{
    if (!t->n_slots)
        return NULL;
    uint64_t h = host_hash(text);
    for (uint32_t i = (uint32_t)h & (t->n_slots - 1); t->slots[i].host; i = (i + 1) & (t->n_slots - 1))
        if (t->slots[i].hash == h && view_ieq(t->slots[i].text, text))
            return t->slots[i].host;
    return NULL;
}

static bool hash_put(struct domain_hash *t, struct view text, const struct virtual_host *host)
{
    uint64_t h = host_hash(text);
    uint32_t i = (uint32_t)h & (t->n_slots - 1);
    for (; t->slots[i].host; i = (i + 1) & (t->n_slots - 1))
        if (t->slots[i].hash == h && view_ieq(t->slots[i].text, text))
            return false;
    t->slots[i] = (struct domain){text, h, host};
    return true;
}

static void hash_init(struct domain_hash *t, struct arena *a, uint32_t n)
{
    if (!n)
        return;
    for (t->n_slots = 4; t->n_slots < n * 2; t->n_slots *= 2)
        ;
    t->slots = ARENA_ARRAY(a, struct domain, t->n_slots);
}

enum domain_kind { DOMAIN_EXACT, DOMAIN_SUFFIX, DOMAIN_PREFIX, DOMAIN_ANY };

static enum domain_kind domain_kind(struct view d, struct view *ret_text)
{
    *ret_text = d;
    if (view_is(d, "*"))
        return DOMAIN_ANY;
    if (d.n && d.p[0] == '*') {
        *ret_text = view_from(d, 1);
        return DOMAIN_SUFFIX;
    }
    if (d.n && d.p[d.n - 1] == '*') {
        *ret_text = view_head(d, d.n - 1);
        return DOMAIN_PREFIX;
    }
    return DOMAIN_EXACT;
}

static int longest_first(const void *a, const void *b)
{
    const struct domain *x = a, *y = b;
    return x->text.n > y->text.n ? -1 : x->text.n < y->text.n;
}

static void add_length(struct domain_table *t, struct arena *a, size_t n)
{
    uint32_t at = 0;
    while (at < t->n_suffix_lengths && t->suffix_lengths[at] > n)
        at++;
    if (at < t->n_suffix_lengths && t->suffix_lengths[at] == n)
        return;
    (void)ARENA_PUSH(a, t->suffix_lengths, t->n_suffix_lengths);
    memmove(&t->suffix_lengths[at + 1], &t->suffix_lengths[at],
            (t->n_suffix_lengths - 1 - at) * sizeof(t->suffix_lengths[0]));
    t->suffix_lengths[at] = (uint16_t)n;
}

static bool add_domain(struct domain_table *t, struct arena *a, struct view d, const struct virtual_host *host)
{
    struct view text;
    switch (domain_kind(d, &text)) {
    case DOMAIN_ANY:
        if (t->any)
            return false;
        t->any = host;
        return true;
    case DOMAIN_EXACT:
        return hash_put(&t->exact, text, host);
    case DOMAIN_SUFFIX:
        add_length(t, a, text.n);
        return hash_put(&t->suffix, text, host);
    case DOMAIN_PREFIX:
        for (uint32_t i = 0; i < t->n_prefixes; i++)
            if (view_ieq(t->prefixes[i].text, text))
                return false;
        *ARENA_PUSH(a, t->prefixes, t->n_prefixes) = (struct domain){.text = text, .host = host};
        return true;
    }
    return false;
}

static int build_domains(struct route_table *t, struct arena *a, struct view *ret_error)
{
    uint32_t n[4] = {0};
    struct view text;
    for (uint32_t i = 0; i < t->n_hosts; i++)
        for (uint32_t j = 0; j < t->hosts[i].n_domains; j++)
            n[domain_kind(t->hosts[i].domains[j], &text)]++;
    struct domain_table *d = ARENA_NEW(a, struct domain_table);
    hash_init(&d->exact, a, n[DOMAIN_EXACT]);
    hash_init(&d->suffix, a, n[DOMAIN_SUFFIX]);
    for (uint32_t i = 0; i < t->n_hosts; i++)
        for (uint32_t j = 0; j < t->hosts[i].n_domains; j++)
            if (!add_domain(d, a, t->hosts[i].domains[j], &t->hosts[i])) {
                *ret_error = arena_printf(
                    a, "route table %.*s: only unique domains are allowed, %.*s is in virtual host %.*s a second time",
                    VIEW_ARGS(t->res.name), VIEW_ARGS(t->hosts[i].domains[j]), VIEW_ARGS(t->hosts[i].name));
                return -EINVAL;
            }
    if (d->n_prefixes)
        qsort(d->prefixes, d->n_prefixes, sizeof(d->prefixes[0]), longest_first);
    t->domains = d;
    return 0;
}

static int prepare_route(struct route *r, struct arena *a, struct view *ret_error)
{
    int e = path_match_prepare(&r->path, a, ret_error);
    for (uint32_t i = 0; i < r->n_headers && e == 0; i++)
        e = text_match_prepare(&r->headers[i].value, a, ret_error);
    for (uint32_t i = 0; i < r->n_queries && e == 0; i++)
        e = text_match_prepare(&r->queries[i].value, a, ret_error);
    for (uint32_t i = 0; r->cors && i < r->cors->n_origins && e == 0; i++)
        e = text_match_prepare(&r->cors->origins[i], a, ret_error);
    struct regex_rewrite *rewrite = &r->forward.regex_rewrite;
    if (e == 0 && rewrite->pattern.n && !rewrite->regex)
        e = regex_new(a, rewrite->pattern, &rewrite->regex, ret_error);
    return e;
}

int route_table_prepare(struct route_table *t, struct arena *a, struct view *ret_error)
{
    if (t->domains)
        return 0;
    for (uint32_t i = 0; i < t->n_hosts; i++)
        for (uint32_t j = 0; j < t->hosts[i].n_routes; j++) {
            int r = prepare_route(&t->hosts[i].routes[j], a, ret_error);
            if (r < 0)
                return r;
        }
    return build_domains(t, a, ret_error);
}

static struct view without_port(struct view host)
{
    size_t colon = host.n;
    while (colon > 0 && host.p[colon - 1] >= '0' && host.p[colon - 1] <= '9')
        colon--;
    if (colon > 0 && colon < host.n && host.p[colon - 1] == ':')
        return view_head(host, colon - 1);
    return host;
}

const struct virtual_host *route_table_find(const struct route_table *t, struct view host)
{
    const struct domain_table *d = t->domains;
    must(d != NULL); /* resource_prepare comes first */
    if (t->ignore_port)
        host = without_port(host);
    const struct virtual_host *found = hash_get(&d->exact, host);
    for (uint32_t i = 0; i < d->n_suffix_lengths && !found; i++)
        if (d->suffix_lengths[i] < host.n) /* the star stands for at least one byte */
            found = hash_get(&d->suffix, view_from(host, host.n - d->suffix_lengths[i]));
    for (uint32_t i = 0; i < d->n_prefixes && !found; i++)
        if (d->prefixes[i].text.n < host.n && view_istarts(host, d->prefixes[i].text))
            found = d->prefixes[i].host;
    return found ? found : d->any;
}

static bool route_matches(const struct route *r, const struct match_request *q, struct view path)
{
    if (!path_match(&r->path, path))
        return false;
    for (uint32_t i = 0; i < r->n_headers; i++)
        if (!header_match(&r->headers[i], q))
            return false;
    for (uint32_t i = 0; i < r->n_queries; i++)
        if (!query_match(&r->queries[i], q->path))
            return false;
    struct view type;
    return !r->grpc_only ||
           (q->header && q->header(q->headers, VIEW("content-type"), &type) &&
            view_starts(type, VIEW("application/grpc")) && (type.n == 16 || type.p[16] == '+' || type.p[16] == ';'));
}

const struct route *virtual_host_find(const struct virtual_host *h, const struct match_request *q)
{
    struct view path = path_without_query(q->path);
    for (uint32_t i = 0; i < h->n_routes; i++)
        if (route_matches(&h->routes[i], q, path))
            return &h->routes[i];
    return NULL;
}

static const struct weighted_cluster *pick(const struct weighted_cluster *c, uint32_t n, uint64_t total,
                                           uint64_t random)
{
    if (n <= 1 || total == 0)
        return n ? &c[0] : NULL;
    uint64_t at = (uint64_t)(((unsigned __int128)random * total) >> 64);
    for (uint32_t i = 0; i < n; i++) {
        if (at < c[i].weight)
            return &c[i];
        at -= c[i].weight;
    }
    return &c[n - 1];
}

const struct weighted_cluster *route_pick_cluster(const struct route *r, uint64_t random)
{
    return pick(r->forward.clusters, r->forward.n_clusters, r->forward.total_weight, random);
}

const struct weighted_cluster *tcp_manager_pick_cluster(const struct tcp_manager *t, uint64_t random)
{
    return pick(t->clusters, t->n_clusters, t->total_weight, random);
}

static struct view swap_prefix(const struct path_match *m, struct arena *a, struct view path, struct view with)
{
    struct view bare = path_without_query(path);
    /* An exact or regex match is replaced as a whole. */
    size_t matched = m->kind == PATH_EXACT || m->kind == PATH_REGEX ? bare.n : m->value.n;
    struct view rest = view_from(path, matched);
    if (m->kind == PATH_SEPARATED_PREFIX && with.n && with.p[with.n - 1] == '/' && rest.n && rest.p[0] == '/')
        with = view_head(with, with.n - 1); /* /foo → / makes /bar of /foo/bar, not //bar */
    return arena_printf(a, "%.*s%.*s", VIEW_ARGS(with), VIEW_ARGS(rest));
}

struct view route_rewrite_path(const struct route *r, struct arena *a, struct view path)
{
    if (r->forward.prefix_rewrite.n)
        return swap_prefix(&r->path, a, path, r->forward.prefix_rewrite);
    if (!r->forward.regex_rewrite.regex)
        return path;
    struct view bare = path_without_query(path);
    struct view changed = regex_replace(r->forward.regex_rewrite.regex, a, bare, r->forward.regex_rewrite.substitution);
    return bare.n == path.n ? changed
                            : arena_printf(a, "%.*s%.*s", VIEW_ARGS(changed), VIEW_ARGS(view_from(path, bare.n)));
}

struct view route_redirect_location(const struct route *r, struct arena *a, const struct match_request *q)
{
    const struct route_redirect *to = r->redirect;
    struct view scheme = to->https ? VIEW("https") : to->scheme.n ? to->scheme : q->scheme;
    struct view bare_host = without_port(q->host), host = to->host.n ? to->host : bare_host;
    struct view port = VIEW_NONE;
    if (to->port)
        port = arena_printf(a, ":%u", to->port);
    else if (!to->host.n && view_eq(scheme, q->scheme))
        port = view_from(q->host, bare_host.n);
    if ((view_is(port, ":80") && view_is(scheme, "http")) || (view_is(port, ":443") && view_is(scheme, "https")))
        port = VIEW_NONE;
    struct view path = to->path.n             ? to->path
                       : to->prefix_rewrite.n ? swap_prefix(&r->path, a, q->path, to->prefix_rewrite)
                                              : q->path;
    bool own_query = view_find(to->path, '?') < to->path.n; /* replaces the request's */
    if (to->path.n && !own_query)
        path = arena_printf(a, "%.*s%.*s", VIEW_ARGS(path), VIEW_ARGS(view_from(q->path, view_find(q->path, '?'))));
    if (to->strip_query && !own_query)
        path = path_without_query(path);
    return arena_printf(a, "%.*s://%.*s%.*s%.*s", VIEW_ARGS(scheme), VIEW_ARGS(host), VIEW_ARGS(port), VIEW_ARGS(path));
}
