// SPDX-License-Identifier: Apache-2.0
/* Route tables as text (print.h): one block a virtual host, one a route. */
#include "plan/print.h"
#include "plan/print_line.h"
#include "plan/retry.h"

void print_text_match(struct buf *out, const struct text_match *m)
{
    static const char *const kinds[] = {"exact", "prefix", "suffix", "contains", "regex", "present"};
    buf_str(out, kinds[m->kind]);
    if (m->kind == TEXT_PRESENT)
        return;
    buf_char(out, ' ');
    buf_json_str(out, m->value);
    if (m->ignore_case)
        buf_str(out, " ignore-case");
}

static void print_mutations(struct buf *out, int depth, const char *what, const struct header_mutations *m)
{
    for (uint32_t i = 0; i < m->n_remove; i++) {
        line_start(out, depth, what);
        buf_str(out, " remove ");
        buf_view(out, m->remove[i]);
        buf_char(out, '\n');
    }
    for (uint32_t i = 0; i < m->n_set; i++) {
        line_start(out, depth, what);
        buf_str(out, m->set[i].append ? " add " : " set ");
        buf_view(out, m->set[i].name);
        buf_str(out, ": ");
        line_value(out, m->set[i].value);
        buf_char(out, '\n');
    }
}

static void print_changes(struct buf *out, int depth, const struct route_headers *h)
{
    print_mutations(out, depth, "request", &h->request);
    print_mutations(out, depth, "response", &h->response);
}

static void print_match(struct buf *out, int depth, const struct route *r)
{
    static const char *const kinds[] = {"prefix", "exact", "path-prefix", "regex"};
    line_start(out, depth, "path ");
    buf_str(out, kinds[r->path.kind]);
    buf_char(out, ' ');
    buf_json_str(out, r->path.value);
    buf_str(out, r->path.ignore_case ? " ignore-case\n" : "\n");
    for (uint32_t i = 0; i < r->n_headers; i++) {
        const struct header_match *h = &r->headers[i];
        line_start(out, depth, h->invert ? "header not " : "header ");
        buf_view(out, h->name);
        buf_char(out, ' ');
        print_text_match(out, &h->value);
        buf_str(out, h->missing_is_empty ? " missing-is-empty\n" : "\n");
    }
    for (uint32_t i = 0; i < r->n_queries; i++) {
        line_start(out, depth, "query ");
        buf_view(out, r->queries[i].name);
        buf_char(out, ' ');
        print_text_match(out, &r->queries[i].value);
        buf_char(out, '\n');
    }
    line_flag(out, depth, "grpc-only", r->grpc_only);
}

static void print_retry(struct buf *out, int depth, const struct retry_policy *p)
{
    line_start(out, depth, "retry ");
    buf_u64(out, p->attempts);
    buf_char(out, ' ');
    retry_print_on(out, p->on);
    for (uint32_t i = 0; i < p->n_statuses; i++)
        buf_printf(out, "%s%u", i ? "," : " statuses ", p->statuses[i]);
    buf_char(out, '\n');
    line_duration(out, depth + 1, "per-try-timeout", p->per_try_timeout);
    line_duration(out, depth + 1, "base-interval", p->base_interval);
    line_duration(out, depth + 1, "max-interval", p->max_interval);
    line_flag(out, depth + 1, "previous-hosts", p->previous_hosts);
    line_flag(out, depth + 1, "other-priorities", p->other_priorities);
    line_u64(out, depth + 1, "host-attempts", p->host_attempts);
}

void print_hash_policies(struct buf *out, int depth, const struct hash_policy *h, uint32_t n)
{
    static const char *const kinds[] = {"header", "cookie", "source-ip", "query"};
    for (uint32_t i = 0; i < n; i++) {
        line_start(out, depth, "hash ");
        buf_str(out, kinds[h[i].kind]);
        if (h[i].name.n) {
            buf_char(out, ' ');
            buf_view(out, h[i].name);
        }
        if (h[i].cookie_path.n) {
            buf_str(out, " path ");
            buf_view(out, h[i].cookie_path);
        }
        if (h[i].has_ttl) {
            buf_str(out, " ttl ");
            clock_print_duration(out, h[i].cookie_ttl);
        }
        buf_str(out, h[i].terminal ? " terminal\n" : "\n");
    }
}

static void print_forward(struct buf *out, int depth, const struct route_forward *f)
{
    for (uint32_t i = 0; i < f->n_clusters; i++) {
        const struct weighted_cluster *c = &f->clusters[i];
        line_start(out, depth, "cluster ");
        buf_view(out, c->cluster.name);
        if (f->n_clusters > 1)
            buf_printf(out, " weight %u", c->weight);
        buf_char(out, '\n');
        line_view(out, depth + 1, "host-rewrite", c->host_rewrite);
        print_changes(out, depth + 1, &c->headers);
    }
    if (f->cluster_not_found != 503)
        line_u64(out, depth, "cluster-not-found", f->cluster_not_found);
    line_view(out, depth, "prefix-rewrite", f->prefix_rewrite);
    if (f->regex_rewrite.pattern.n) {
        line_start(out, depth, "regex-rewrite ");
        buf_json_str(out, f->regex_rewrite.pattern);
        buf_str(out, " → ");
        buf_json_str(out, f->regex_rewrite.substitution);
        buf_char(out, '\n');
    }
    line_view(out, depth, "host-rewrite", f->host_rewrite);
    line_flag(out, depth, "auto-host-rewrite", f->auto_host_rewrite);
    line_duration(out, depth, "timeout", f->timeout);
    line_duration(out, depth, "idle-timeout", f->idle_timeout);
    if (f->has_max_grpc_timeout) {
        line_start(out, depth, "max-grpc-timeout ");
        clock_print_duration(out, f->max_grpc_timeout);
        buf_char(out, '\n');
    }
    if (f->retry)
        print_retry(out, depth, f->retry);
    for (uint32_t i = 0; i < f->n_mirrors; i++) {
        line_start(out, depth, "mirror ");
        buf_view(out, f->mirrors[i].cluster.name);
        buf_printf(out, " %u per million%s\n", f->mirrors[i].per_million, f->mirrors[i].keep_host ? " keep-host" : "");
    }
    print_hash_policies(out, depth, f->hash, f->n_hash);
    line_flag(out, depth, "websocket-off", f->websocket_off);
}

static void print_redirect(struct buf *out, int depth, const struct route_redirect *r)
{
    line_u64(out, depth, "redirect", r->status);
    line_view(out, depth + 1, "scheme", r->scheme);
    line_flag(out, depth + 1, "https", r->https);
    line_view(out, depth + 1, "host", r->host);
    line_u64(out, depth + 1, "port", r->port);
    line_view(out, depth + 1, "path", r->path);
    line_view(out, depth + 1, "prefix-rewrite", r->prefix_rewrite);
    line_flag(out, depth + 1, "strip-query", r->strip_query);
}

static void print_fault(struct buf *out, int depth, const struct fault *f)
{
    if (f->delay) {
        line_start(out, depth, "fault delay ");
        clock_print_duration(out, f->delay);
        buf_printf(out, " %u per million\n", f->delay_per_million);
    }
    if (f->abort_status) {
        line_start(out, depth, "fault abort ");
        buf_printf(out, "%u %u per million\n", f->abort_status, f->abort_per_million);
    }
    if (f->abort_grpc >= 0) {
        line_start(out, depth, "fault abort grpc ");
        buf_printf(out, "%d %u per million\n", f->abort_grpc, f->abort_per_million);
    }
}

static void print_cors(struct buf *out, int depth, const struct cors *c)
{
    line_flag(out, depth, "cors", true);
    for (uint32_t i = 0; i < c->n_origins; i++) {
        line_start(out, depth + 1, "origin ");
        print_text_match(out, &c->origins[i]);
        buf_char(out, '\n');
    }
    line_view(out, depth + 1, "methods", c->methods);
    line_view(out, depth + 1, "headers", c->headers);
    line_view(out, depth + 1, "expose", c->expose);
    line_view(out, depth + 1, "max-age", c->max_age);
    if (c->has_credentials)
        line_str(out, depth + 1, "credentials", c->credentials ? "true" : "false");
    line_flag(out, depth + 1, "forward-unmatched-preflights", c->forward_unmatched_preflights);
}

static void print_route(struct buf *out, int depth, const struct route *r)
{
    line_start(out, depth, "route ");
    line_value(out, r->name);
    buf_char(out, '\n');
    depth++;
    print_match(out, depth, r);
    switch (r->action) {
    case ROUTE_FORWARD:
        print_forward(out, depth, &r->forward);
        break;
    case ROUTE_REDIRECT:
        print_redirect(out, depth, r->redirect);
        break;
    case ROUTE_DIRECT:
        line_u64(out, depth, "direct", r->direct->status);
        line_view(out, depth + 1, "body", r->direct->body);
        break;
    }
    print_changes(out, depth, &r->changes);
    if (r->fault)
        print_fault(out, depth, r->fault);
    if (r->cors)
        print_cors(out, depth, r->cors);
    line_view(out, depth, "operation", r->operation);
    line_origin(out, depth, &r->origin);
}

void print_route_table(struct buf *out, int depth, const struct route_table *t)
{
    line_flag(out, depth, "ignore-port", t->ignore_port);
    line_u64(out, depth, "max-direct-body", t->max_direct_body);
    for (uint32_t i = 0; i < t->n_hosts; i++) {
        const struct virtual_host *h = &t->hosts[i];
        line_view(out, depth, "virtual-host", h->name);
        line_views(out, depth + 1, "domains", h->domains, h->n_domains);
        line_flag(out, depth + 1, "attempt-count", h->include_attempt_count);
        line_flag(out, depth + 1, "require-tls", h->require_tls == REQUIRE_TLS_ALL);
        line_origin(out, depth + 1, &h->origin);
        for (uint32_t j = 0; j < h->n_routes; j++)
            print_route(out, depth + 1, &h->routes[j]);
    }
}
