// SPDX-License-Identifier: Apache-2.0
/* weft edges: one row for each pair of workloads that talk. Two scrapes of all proxies give rates; both ends of an edge
 * report it, so figures come from the side that sees every failure (the source, when it has a proxy) and identities from
 * the side that verified them (the destination).
 */
#include "cli/edges.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/map.h"
#include "cli/client.h"
#include "cli/scrape.h"
#include "cli/table.h"
#include "wire/node.h"

enum { SIDES = 2, AT_SOURCE = 0, AT_DESTINATION = 1, SCRAPES = 2 };

struct bucket {
    double upper, count[SCRAPES];
};

struct side {
    double total[SCRAPES], failed[SCRAPES];
    struct bucket *buckets;
    size_t n_buckets;
    bool seen;
};

struct growing {
    struct edge edge;
    struct side sides[SIDES];
    bool reached; /* the destination is a workload: an endpoint was found */
};

struct collecting {
    struct cli *c;
    struct map edges;
    int scrape; /* 0 or 1 */
};

static bool known(struct view v)
{
    return v.n && !view_is(v, "unknown");
}

static struct growing *edge_of(struct collecting *x, const struct series *s, struct view protocol, bool tcp)
{
    struct view source = series_label(s, "source_workload"), source_ns = series_label(s, "source_workload_namespace");
    struct view to = series_label(s, "destination_workload"), to_ns = series_label(s, "destination_workload_namespace");
    bool reached = known(to);
    if (!reached) {
        to = series_label(s, "destination_service_name");
        to_ns = series_label(s, "destination_service_namespace");
    }
    struct view version = series_label(s, "destination_version");
    struct arena *a = &x->c->arena;
    struct view key = arena_printf(a, "%.*s|%.*s|%.*s|%.*s|%.*s|%.*s", VIEW_ARGS(source_ns), VIEW_ARGS(source),
                                   VIEW_ARGS(to_ns), VIEW_ARGS(to), VIEW_ARGS(version), VIEW_ARGS(protocol));
    struct growing *g = map_get(&x->edges, key);
    if (g)
        return g;
    g = ARENA_NEW(a, struct growing);
    g->edge = (struct edge){.source = source,
                            .source_ns = source_ns,
                            .destination = to,
                            .destination_ns = to_ns,
                            .version = known(version) ? version : VIEW_NONE,
                            .protocol = protocol,
                            .tcp = tcp};
    g->reached = reached;
    map_put(&x->edges, key, g);
    return g;
}

static bool failed(const struct series *s)
{
    struct view code = series_label(s, "response_code"), grpc = series_label(s, "grpc_response_status");
    if (grpc.n && !view_is(grpc, "0"))
        return true;
    return view_is(code, "0") || (code.n == 3 && code.p[0] == '5');
}

static void add_bucket(struct collecting *x, struct side *side, const struct series *s)
{
    struct view le = series_label(s, "le");
    double upper = view_is(le, "+Inf") ? INFINITY : strtod(arena_str(&x->c->arena, le), NULL);
    struct bucket *b = NULL;
    for (size_t i = 0; i < side->n_buckets && !b; i++)
        if (side->buckets[i].upper == upper)
            b = &side->buckets[i];
    if (!b) {
        b = ARENA_PUSH(&x->c->arena, side->buckets, side->n_buckets);
        b->upper = upper;
    }
    b->count[x->scrape] += s->value;
}

static void take_identities(struct edge *e, const struct series *s)
{
    struct view source = series_label(s, "source_principal"), destination = series_label(s, "destination_principal");
    if (known(source))
        e->source_id = source;
    if (known(destination))
        e->destination_id = destination;
    e->mtls = view_is(series_label(s, "connection_security_policy"), "mutual_tls");
}

static void take_series(struct collecting *x, const struct series *s)
{
    bool count = view_is(s->name, "istio_requests_total"), tcp = view_is(s->name, "istio_tcp_connections_opened_total");
    bool bucket = view_is(s->name, "istio_request_duration_milliseconds_bucket");
    if (!count && !tcp && !bucket)
        return;
    struct view protocol = tcp ? VIEW("tcp") : series_label(s, "request_protocol");
    struct growing *g = edge_of(x, s, protocol, tcp);
    int at = view_is(series_label(s, "reporter"), "destination") ? AT_DESTINATION : AT_SOURCE;
    struct side *side = &g->sides[at];
    side->seen = true;
    if (bucket) {
        add_bucket(x, side, s);
        return;
    }
    side->total[x->scrape] += s->value;
    if (!tcp && failed(s))
        side->failed[x->scrape] += s->value;
    if (at == AT_DESTINATION && s->value > 0)
        take_identities(&g->edge, s);
}

static int scrape_all(struct collecting *x)
{
    struct scraped_pod *pods;
    size_t n;
    int r = scrape_pods(x->c, &pods, &n);
    for (size_t i = 0; i < n; i++) {
        struct view text = scrape_get(x->c, pods[i].ns, pods[i].name, 15090, "/stats/prometheus");
        struct series s;
        while (series_next(&x->c->arena, &text, &s))
            take_series(x, &s);
    }
    return r;
}

static int by_upper(const void *x, const void *y)
{
    double a = ((const struct bucket *)x)->upper, b = ((const struct bucket *)y)->upper;
    return (a > b) - (a < b);
}

/* Of the window; of everything when nothing happened in it. Linear inside a bucket, as Prometheus' histogram_quantile. */
static double quantile(struct side *side, double q)
{
    if (!side->n_buckets)
        return -1;
    qsort(side->buckets, side->n_buckets, sizeof(*side->buckets), by_upper);
    const struct bucket *last = &side->buckets[side->n_buckets - 1];
    bool moved = last->count[1] > last->count[0];
    double all = moved ? last->count[1] - last->count[0] : last->count[1], below = 0, lower = 0;
    if (all <= 0)
        return -1;
    for (size_t i = 0; i < side->n_buckets; i++) {
        const struct bucket *b = &side->buckets[i];
        double upto = moved ? b->count[1] - b->count[0] : b->count[1];
        if (upto >= q * all) {
            if (isinf(b->upper) || upto <= below)
                return lower;
            return lower + (b->upper - lower) * (q * all - below) / (upto - below);
        }
        below = upto;
        lower = b->upper;
    }
    return lower;
}

static void finish(struct growing *g, double seconds)
{
    struct edge *e = &g->edge;
    struct side *s = g->sides[AT_SOURCE].seen ? &g->sides[AT_SOURCE] : &g->sides[AT_DESTINATION];
    double requests = s->total[1] - s->total[0], bad = s->failed[1] - s->failed[0];
    bool moved = requests > 0;
    e->inside = g->sides[AT_DESTINATION].seen && known(e->source);
    e->rate = requests > 0 ? requests / seconds : 0;
    e->total = s->total[1];
    double of = moved ? requests : s->total[1], lost = moved ? bad : s->failed[1];
    e->success = e->tcp || of <= 0 ? -1 : 100 * (of - lost) / of;
    e->p50 = e->tcp ? -1 : quantile(s, 0.5);
    e->p99 = e->tcp ? -1 : quantile(s, 0.99);
}

static int by_name(const void *x, const void *y)
{
    const struct edge *a = x, *b = y;
    int c = view_cmp(a->source, b->source);
    c = c ? c : view_cmp(a->destination, b->destination);
    return c ? c : view_cmp(a->version, b->version);
}

int edges_collect(struct cli *c, uint64_t window_ns, struct edge **ret_edges, size_t *ret_n)
{
    struct collecting x = {.c = c};
    map_init(&x.edges, &c->arena);
    int r = scrape_all(&x);
    if (r)
        return r;
    uint64_t then = clock_mono();
    usleep((useconds_t)(window_ns / 1000));
    double seconds = (double)(clock_mono() - then) / 1e9;
    x.scrape = 1;
    r = scrape_all(&x);
    *ret_edges = ARENA_ARRAY(&c->arena, struct edge, map_size(&x.edges) + 1);
    *ret_n = 0;
    MAP_EACH (&x.edges, it) {
        struct growing *g = it->value;
        finish(g, seconds);
        if (g->edge.total > 0 &&
            !(g->edge.rate <= 0 && !g->reached)) /* calls that found nobody are shown as they happen */
            (*ret_edges)[(*ret_n)++] = g->edge;
    }
    if (*ret_n)
        qsort(*ret_edges, *ret_n, sizeof(**ret_edges), by_name);
    return r;
}

static void cell(struct table *t, double v, const char *fmt_suffix, int digits)
{
    if (v < 0)
        table_cell(t, "-");
    else
        table_cell(t, "%.*f%s", digits, v, fmt_suffix);
}

static void print_json(const struct edge *edges, size_t n, FILE *to)
{
    struct buf b = {0};
    buf_char(&b, '[');
    for (size_t i = 0; i < n; i++) {
        const struct edge *e = &edges[i];
        const struct {
            const char *key;
            struct view value;
        } texts[] = {{"source", e->source},
                     {"sourceNamespace", e->source_ns},
                     {"destination", e->destination},
                     {"destinationNamespace", e->destination_ns},
                     {"version", e->version},
                     {"protocol", e->protocol},
                     {"sourcePrincipal", e->source_id},
                     {"destinationPrincipal", e->destination_id}};
        buf_str(&b, i ? ",{" : "{");
        for (size_t k = 0; k < COUNT_OF(texts); k++) {
            buf_printf(&b, "\"%s\":", texts[k].key);
            buf_json_str(&b, texts[k].value);
            buf_char(&b, ',');
        }
        buf_printf(&b, "\"mtls\":%s,\"insideMesh\":%s,\"requestsPerSecond\":%.3f,\"total\":%.0f",
                   e->mtls ? "true" : "false", e->inside ? "true" : "false", e->rate, e->total);
        if (e->success >= 0)
            buf_printf(&b, ",\"successPercent\":%.3f", e->success);
        if (e->p50 >= 0)
            buf_printf(&b, ",\"p50Ms\":%.3f,\"p99Ms\":%.3f", e->p50, e->p99);
        buf_char(&b, '}');
    }
    buf_str(&b, "]\n");
    fputs(buf_cstr(&b), to);
    buf_done(&b);
}

void edges_print(struct cli *c, const struct edge *edges, size_t n, FILE *to)
{
    if (c->output == OUTPUT_JSON) {
        print_json(edges, n, to);
        return;
    }
    struct table t;
    table_init(&t, &c->arena,
               "SOURCE\0DESTINATION\0VERSION\0PROTOCOL\0>REQ/S\0>SUCCESS\0>P50 MS\0>P99 MS\0MTLS\0IDENTITIES\0");
    for (size_t i = 0; i < n; i++) {
        const struct edge *e = &edges[i];
        table_view(&t, e->source);
        table_view(&t, e->destination);
        table_cell(&t, "%.*s", VIEW_ARGS(e->version.n ? e->version : VIEW("-")));
        table_view(&t, e->protocol);
        cell(&t, e->rate, "", 1);
        cell(&t, e->success, "%", 1);
        cell(&t, e->p50, "", 1);
        cell(&t, e->p99, "", 1);
        table_cell(&t, "%s", e->mtls ? "yes" : "no");
        if (e->mtls)
            table_cell(&t, "%.*s -> %.*s", VIEW_ARGS(e->source_id), VIEW_ARGS(e->destination_id));
        else
            table_cell(&t, "-");
    }
    table_print(&t, to);
}

int verb_edges(struct cli *c)
{
    uint64_t window = 2 * NS_PER_S;
    if (c->opt[OPT_WINDOW] && (clock_parse_duration(view_of(c->opt[OPT_WINDOW]), &window) || !window))
        return cli_usage(c, "--window %s is not a duration: 2s, 500ms", c->opt[OPT_WINDOW]);
    struct edge *edges;
    size_t n;
    int r = edges_collect(c, window, &edges, &n);
    if (r)
        return r;
    if (!n && c->output != OUTPUT_JSON) {
        fprintf(stderr, "No traffic seen yet: proxies count requests and connections as they happen.\n");
        return EXIT_OK;
    }
    edges_print(c, edges, n, stdout);
    return EXIT_OK;
}
