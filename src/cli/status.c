// SPDX-License-Identifier: Apache-2.0
/* weft status: one row a proxy (version, in sync or since when not, its certificate's end, the last configuration that it
 * rejected), and one diagnostic an object that needs attention. From the control plane's /debug/syncz, the proxies' own
 * /certs, and the analyzers over what is applied. Exits 1 when a proxy rejects its configuration or an object has errors.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "cli/client.h"
#include "cli/cluster.h"
#include "cli/columns.h"
#include "cli/scrape.h"
#include "wire/node.h"

struct statuses {
    struct cli *c;
    const struct node *synced; /* the control plane's list, or NULL */
    struct node *rows;         /* for -o json */
    bool bad;
};

/* What the control plane's replicas say: one object a proxy, from the replica that it is connected to. NULL: none answers. */
static const struct node *ask_control(struct cli *c)
{
    int r;
    const struct node *list =
        client_get(c, VIEW("/api/v1/namespaces/istio-system/pods?labelSelector=istio%3Dpilot"), &r);
    const struct node *items = list ? node_get(list, VIEW("items")) : NULL;
    struct node *all = NULL;
    for (uint32_t i = 0; node_is(items, NODE_SEQ) && i < items->n; i++) {
        struct view text =
            scrape_get(c, VIEW("istio-system"), node_text_at(items->items[i], "metadata.name"), 15014, "/debug/syncz");
        struct node *n;
        if (!text.n || node_parse(&c->arena, text, &n, NULL) || !node_is(n, NODE_SEQ))
            continue;
        if (!all)
            all = node_new(&c->arena, NODE_SEQ);
        for (uint32_t k = 0; k < n->n; k++)
            node_push(&c->arena, all, n->items[k]);
    }
    return all;
}

/* Its entry: "proxy" is name.namespace. */
static const struct node *entry_of(const struct statuses *s, const struct scraped_pod *pod)
{
    struct view id = arena_printf(&s->c->arena, "%.*s.%.*s", VIEW_ARGS(pod->name), VIEW_ARGS(pod->ns));
    for (uint32_t i = 0; s->synced && i < s->synced->n; i++)
        if (view_eq(node_text_at(s->synced->items[i], "proxy"), id))
            return s->synced->items[i];
    return NULL;
}

/* The end of the certificate in use, by the proxy's metrics: its port 15000 is closed to the API server. */
static struct view certificate_end(struct cli *c, const struct scraped_pod *pod)
{
    struct view text = scrape_get(c, pod->ns, pod->name, 15090, "/stats/prometheus");
    struct series s;
    while (series_next(&c->arena, &text, &s)) {
        if (!view_is(s.name, "istio_agent_cert_expiry_seconds"))
            continue;
        struct buf b = {0};
        clock_print_time(&b, clock_wall() + (uint64_t)((int64_t)s.value * (int64_t)NS_PER_S));
        struct view end = arena_view(&c->arena, buf_read(&b));
        buf_done(&b);
        return end;
    }
    return VIEW_NONE;
}

static struct view time_left(struct arena *a, struct view end)
{
    uint64_t at, now = clock_wall();
    if (clock_parse_time(end, &at))
        return VIEW("none");
    if (at <= now)
        return VIEW("EXPIRED");
    uint64_t s = (at - now) / NS_PER_S;
    if (s < 120)
        return arena_printf(a, "%llus left", (unsigned long long)s);
    if (s < 7200)
        return arena_printf(a, "%llum left", (unsigned long long)(s / 60));
    return arena_printf(a, "%lluh left", (unsigned long long)(s / 3600));
}

static struct view describe_sync(struct statuses *s, const struct node *entry)
{
    if (!s->synced)
        return VIEW("control plane away");
    if (!entry)
        return VIEW("not connected");
    if (node_bool(node_get(entry, VIEW("synced")), false))
        return VIEW("synced");
    struct view since = node_text_at(entry, "since");
    return arena_printf(&s->c->arena, "not for %.*s", VIEW_ARGS(columns_age(&s->c->arena, since)));
}

static void row(struct statuses *s, struct table *t, const struct scraped_pod *pod)
{
    struct arena *a = &s->c->arena;
    const struct node *entry = entry_of(s, pod);
    struct view sync = describe_sync(s, entry), end = certificate_end(s->c, pod),
                rejected = node_text_at(entry, "rejected");
    struct view version = node_text_at(entry, "version");
    s->bad = s->bad || rejected.n;
    table_cell(t, "%.*s.%.*s", VIEW_ARGS(pod->name), VIEW_ARGS(pod->ns));
    table_cell(t, "%.*s", VIEW_ARGS(version.n ? version : VIEW("-")));
    table_view(t, sync);
    table_view(t, time_left(a, end));
    table_cell(t, "%.*s", VIEW_ARGS(rejected.n ? rejected : VIEW("-")));
    struct node *o = node_new(a, NODE_MAP);
    node_set_str(a, o, "name", pod->name);
    node_set_str(a, o, "namespace", pod->ns);
    node_set_str(a, o, "version", version);
    node_set_str(a, o, "sync", sync);
    node_set_str(a, o, "certificateExpires", end);
    node_set_str(a, o, "rejected", rejected);
    node_push(a, s->rows, o);
}

static int proxies(struct statuses *s)
{
    struct scraped_pod *pods;
    size_t n;
    int r = scrape_pods(s->c, &pods, &n);
    if (r)
        return r;
    struct table t;
    table_init(&t, &s->c->arena, "PROXY\0VERSION\0SYNC\0CERTIFICATE\0LAST REJECTED\0");
    for (size_t i = 0; i < n; i++)
        if (s->c->opt[OPT_ALL_NAMESPACES] || !s->c->opt[OPT_NAMESPACE] || view_eq(pods[i].ns, s->c->ns))
            row(s, &t, &pods[i]);
    if (s->c->output != OUTPUT_JSON)
        table_print(&t, stdout);
    return EXIT_OK;
}

int verb_status(struct cli *c)
{
    struct statuses s = {.c = c, .rows = node_new(&c->arena, NODE_SEQ)};
    struct node *objects = NULL;
    int r = EXIT_OK;
    if (c->cluster)
        r = cluster_analyze(c, &objects);
    else
        objects = client_get(c, c->color_out ? VIEW("/weft/v1/analyze?color=1") : VIEW("/weft/v1/analyze"), &r);
    if (r)
        return r;
    s.synced = ask_control(c);
    r = proxies(&s);
    if (r)
        return r;
    const struct node *diagnostics = node_get(objects, VIEW("diagnostics"));
    for (uint32_t i = 0; node_is(diagnostics, NODE_SEQ) && i < diagnostics->n; i++)
        s.bad = s.bad || view_is(node_text_at(diagnostics->items[i], "severity"), "error");
    if (c->output == OUTPUT_JSON) {
        struct node *out = node_new(&c->arena, NODE_MAP);
        struct buf b = {0};
        node_set(&c->arena, out, VIEW("proxies"), s.rows);
        if (diagnostics)
            node_set(&c->arena, out, VIEW("diagnostics"), node_copy(&c->arena, diagnostics));
        node_print_json_pretty(out, &b);
        fputs(buf_cstr(&b), stdout);
        buf_done(&b);
    } else {
        struct view text = node_text_at(objects, "text");
        printf("%s%.*s", text.n ? "\n" : "", VIEW_ARGS(text));
    }
    return s.bad ? EXIT_FAILED : EXIT_OK;
}
