// SPDX-License-Identifier: Apache-2.0
/* Golden files of the compiler: compile/<case>/input.yaml in, one <name>.plan for each proxy out.
 *
 *   test-golden-compile <folder>            compares; prints the first differing line of each file
 *   test-golden-compile <folder> --update   writes what the compiler says now; review it as a diff
 *
 * What to do stands in comments at the top of input.yaml:
 *   # base: bookinfo.yaml                   objects of every case of this kind, read first (next to the cases)
 *   # sidecar: productpage-1.default        a proxy; its pod gives labels and address (also # gateway: …)
 *   # show: routes 9080                     only these resources; the name may end in *; without any: all of them
 *   # ask: GET http://ratings:9080/x a=b    ask the plan what it would do with such a request (header a with value b);
 *                                           also https, tcp and tls; sni=, alpn=a,b and via=LISTENER say more
 * The answers to # ask follow the resources: virtual host, route, destinations, and NC, UH or NR where they fail.
 * Every plan is also checked: what it names exists, its tables build, and over xDS it arrives as it was sent.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/limits.h"
#include "compile/compile.h"
#include "mesh/parse.h"
#include "plan/print.h"
#include "xds/codec.h"

struct request {
    struct view method, url;
    struct view headers[8][2];
    uint32_t n_headers;
    struct view line;
};

struct proxy_line {
    struct view pod, ns;
    enum proxy_kind kind;
};

struct test_case {
    struct arena a;
    struct view name, dir, base;
    struct proxy_line proxies[8];
    struct view shows[32];
    struct request asks[32];
    uint32_t n_proxies, n_shows, n_asks;
    bool update;
};

static int failures;

static void fail(const struct test_case *t, const char *what, struct view detail)
{
    fprintf(stderr, "FAIL %.*s: %s: %.*s\n", VIEW_ARGS(t->name), what, VIEW_ARGS(detail));
    failures++;
}

static int read_file(struct arena *a, struct view path, struct view *ret)
{
    struct buf b = {0};
    int err = file_read(path, LIMIT_YAML_BYTES, &b);
    if (!err)
        *ret = arena_view(a, buf_read(&b));
    buf_done(&b);
    return err;
}

/* --- directives --- */

static struct request parse_ask(struct view line)
{
    struct request q = {.line = line};
    struct view word;
    view_cut(&line, ' ', &q.method);
    view_cut(&line, ' ', &q.url);
    while (q.n_headers < 8 && view_cut(&line, ' ', &word)) {
        size_t eq = view_find(word, '=');
        q.headers[q.n_headers][0] = view_head(word, eq);
        q.headers[q.n_headers++][1] = view_from(word, eq + 1);
    }
    return q;
}

static void add_proxy(struct test_case *t, enum proxy_kind kind, struct view value)
{
    size_t dot = view_find(value, '.');
    t->proxies[t->n_proxies++] = (struct proxy_line){view_head(value, dot), view_from(value, dot + 1), kind};
}

static void parse_directives(struct test_case *t, struct view text)
{
    struct view line;
    while (view_cut(&text, '\n', &line) && view_starts(line, VIEW("#"))) {
        size_t colon = view_find(line, ':');
        struct view key = view_trim(view_from(view_head(line, colon), 1)),
                    value = view_trim(view_from(line, colon + 1));
        if (view_is(key, "base"))
            t->base = value;
        else if (view_is(key, "sidecar") && t->n_proxies < COUNT_OF(t->proxies))
            add_proxy(t, PROXY_SIDECAR, value);
        else if (view_is(key, "gateway") && t->n_proxies < COUNT_OF(t->proxies))
            add_proxy(t, PROXY_GATEWAY, value);
        else if (view_is(key, "show") && t->n_shows < COUNT_OF(t->shows))
            t->shows[t->n_shows++] = value;
        else if (view_is(key, "ask") && t->n_asks < COUNT_OF(t->asks))
            t->asks[t->n_asks++] = parse_ask(value);
    }
}

/* --- output --- */

static bool shown(const struct test_case *t, const struct resource *r)
{
    for (uint32_t i = 0; i < t->n_shows; i++) {
        struct view rest = t->shows[i], kind;
        view_cut(&rest, ' ', &kind);
        bool star = rest.n && rest.p[rest.n - 1] == '*';
        if (!view_is(kind, resource_kind_name(r->kind)))
            continue;
        if (star ? view_starts(r->name, view_head(rest, rest.n - 1)) : view_eq(rest, r->name))
            return true;
    }
    return t->n_shows == 0;
}

static bool header_of(const void *headers, struct view name, struct view *ret)
{
    const struct request *q = headers;
    for (uint32_t i = 0; i < q->n_headers; i++)
        if (view_eq(q->headers[i][0], name)) {
            *ret = q->headers[i][1];
            return true;
        }
    return false;
}

static const char *cluster_state(const struct plan *p, const struct name_ref *name)
{
    const struct cluster *c = plan_cluster(p, name);
    if (!c)
        return "503 NC";
    if (c->type == CLUSTER_ORIGINAL_DST)
        return "original destination";
    const struct endpoint_set *s = c->endpoints ? c->endpoints : plan_endpoints(p, &c->eds_name);
    return s && endpoint_set_size(s) ? "ok" : "503 UH";
}

static void answer_route(struct buf *out, const struct plan *p, const struct route *r, const struct match_request *m)
{
    struct arena a;
    arena_init(&a, 0);
    buf_printf(out, "  route %.*s", VIEW_ARGS(r->name));
    if (plan_origin_known(&r->origin)) {
        buf_str(out, "  by ");
        plan_origin_print(out, &r->origin);
    }
    buf_char(out, '\n');
    switch (r->action) {
    case ROUTE_FORWARD:
        for (uint32_t i = 0; i < r->forward.n_clusters; i++)
            buf_printf(out, "  %u/%llu %.*s: %s\n", r->forward.clusters[i].weight,
                       (unsigned long long)r->forward.total_weight, VIEW_ARGS(r->forward.clusters[i].cluster.name),
                       cluster_state(p, &r->forward.clusters[i].cluster));
        buf_printf(out, "  path upstream %.*s\n", VIEW_ARGS(route_rewrite_path(r, &a, m->path)));
        for (uint32_t i = 0; i < r->forward.n_mirrors; i++)
            buf_printf(out, "  mirror %.*s: %s\n", VIEW_ARGS(r->forward.mirrors[i].cluster.name),
                       cluster_state(p, &r->forward.mirrors[i].cluster));
        break;
    case ROUTE_REDIRECT:
        buf_printf(out, "  %u %.*s\n", r->redirect->status, VIEW_ARGS(route_redirect_location(r, &a, m)));
        break;
    case ROUTE_DIRECT:
        buf_printf(out, "  %u\n", r->direct->status);
        break;
    }
    arena_done(&a);
}

struct asked { /* a request, taken apart */
    struct view scheme, host, name, path;
    uint16_t port;
    struct view alpn[8];
    struct connection_facts facts;
};

static struct view option(const struct request *q, const char *name)
{
    struct view v = VIEW_NONE;
    header_of(q, view_of(name), &v);
    return v;
}

static struct asked take_apart(const struct request *q)
{
    struct asked k = {.scheme = view_head(q->url, view_find(q->url, ':'))};
    struct view rest = view_from(q->url, k.scheme.n + 3);
    uint64_t port = view_is(k.scheme, "https") ? 443 : 80;
    k.host = view_head(rest, view_find(rest, '/'));
    k.name = view_head(k.host, view_find(k.host, ':'));
    k.path = view_from(rest, k.host.n);
    if (k.name.n < k.host.n && view_u64(view_from(k.host, k.name.n + 1), &port) < 0)
        port = 0;
    k.port = (uint16_t)port;
    k.facts.tls = view_is(k.scheme, "https") || view_is(k.scheme, "tls");
    k.facts.server_name = option(q, "sni").n ? option(q, "sni") : k.facts.tls ? k.name : VIEW_NONE;
    if (plan_addr_parse_ip(k.name, k.port, &k.facts.destination) < 0)
        (void)!plan_addr_parse_ip(VIEW("203.0.113.9"), k.port, &k.facts.destination); /* an address nobody knows */
    struct view list = option(q, "alpn");
    if (!list.n && view_starts(k.scheme, VIEW("http")))
        list = VIEW("http/1.1");
    while (k.facts.n_alpn < 8 && view_cut(&list, ',', &k.alpn[k.facts.n_alpn]))
        k.facts.n_alpn++;
    return k;
}

static const struct listener *listener_of(const struct plan *p, const struct request *q, const struct asked *k)
{
    struct name_ref via = name_ref(option(q, "via"));
    const struct listener *l = via.hash ? plan_listener(p, &via) : plan_listener_for(p, &k->facts.destination);
    if (l)
        return l;
    PLAN_EACH(p, RESOURCE_LISTENER, r)
    {
        const struct listener *bound = (const struct listener *)r;
        if (bound->bind_to_port && bound->address.port == k->port)
            return bound;
    }
    return plan_listener(p, &(struct name_ref){VIEW("virtualOutbound"), name_ref(VIEW("virtualOutbound")).hash});
}

static void answer_http(struct buf *out, const struct plan *p, const struct request *q, const struct asked *k,
                        const struct http_manager *http)
{
    const struct route_table *t = http->routes ? http->routes : plan_routes(p, &http->rds);
    struct match_request m = {.host = k->host,
                              .path = k->path,
                              .method = q->method,
                              .scheme = k->scheme,
                              .tls = k->facts.tls,
                              .header = header_of,
                              .headers = q};
    const struct virtual_host *vh = route_table_find(t, k->host);
    buf_printf(out, "  routes %.*s, virtual host %.*s\n", VIEW_ARGS(t->res.name), vh ? (int)vh->name.n : 4,
               vh ? vh->name.p : "none");
    const struct route *r = vh ? virtual_host_find(vh, &m) : NULL;
    if (vh && vh->require_tls == REQUIRE_TLS_ALL && !k->facts.tls)
        buf_printf(out, "  301 https://%.*s%.*s\n", VIEW_ARGS(k->name), VIEW_ARGS(k->path));
    else if (r)
        answer_route(out, p, r, &m);
    else
        buf_str(out, "  404 NR\n");
}

/* The whole way: listener, filter chain, then route or TCP destination. */
static void answer(struct buf *out, const struct plan *p, const struct request *q)
{
    struct asked k = take_apart(q);
    k.facts.alpn = k.alpn;
    buf_printf(out, "ask %.*s\n", VIEW_ARGS(q->line));
    const struct listener *l = listener_of(p, q, &k);
    if (!l) {
        buf_str(out, "  no listener\n");
        return;
    }
    const struct filter_chain *c = listener_find_chain(l, &k.facts);
    buf_printf(out, "  listener %.*s", VIEW_ARGS(l->res.name));
    if (!c) {
        buf_str(out, ": no filter chain, closed\n");
        return;
    }
    buf_printf(out, ", chain %.*s%s%s\n", c->name.n ? (int)c->name.n : 1, c->name.n ? c->name.p : "-",
               c->tls ? ", TLS ends here" : "",
               c->tls && c->tls->require_client_cert ? " with client certificate" : "");
    if (c->http) {
        answer_http(out, p, q, &k, c->http);
        return;
    }
    for (uint32_t i = 0; i < c->tcp->n_clusters; i++)
        buf_printf(out, "  tcp %u/%llu %.*s: %s\n", c->tcp->clusters[i].weight,
                   (unsigned long long)c->tcp->total_weight, VIEW_ARGS(c->tcp->clusters[i].cluster.name),
                   cluster_state(p, &c->tcp->clusters[i].cluster));
}

/* --- checks that hold for every plan --- */

/* plan → xDS → plan is the identity, by the printed form. */
static void check_wire(const struct test_case *t, const struct resource *r)
{
    struct xds_codec *codec = xds_codec_new();
    struct buf bytes = {0}, sent = {0}, arrived = {0};
    struct resource *there;
    struct view why, a, b, x, y;
    xds_encode(r, &bytes);
    if (xds_decode(codec, r->kind, buf_read(&bytes), &there, &why) < 0) {
        fail(t, "refused over xDS", why);
    } else {
        resource_print(&sent, r);
        resource_print(&arrived, there);
        for (a = buf_read(&sent), b = buf_read(&arrived); view_cut(&a, '\n', &x) && view_cut(&b, '\n', &y);)
            if (!view_eq(x, y)) {
                fprintf(stderr, "%.*s\n  sent:    %.*s\n  arrived: %.*s\n", VIEW_ARGS(r->name), VIEW_ARGS(x),
                        VIEW_ARGS(y));
                fail(t, "changed over xDS", r->name);
                break;
            }
        if (buf_len(&sent) != buf_len(&arrived))
            fail(t, "not the same length over xDS", r->name);
        resource_unref(there);
    }
    buf_done(&bytes);
    buf_done(&sent);
    buf_done(&arrived);
    xds_codec_free(codec);
}

static void check_resource(const struct test_case *t, const struct plan *p, const struct resource *r)
{
    struct view error;
    if (r->hash == 0)
        fail(t, "not sealed", r->name);
    if (resource_prepare((struct resource *)r, &error) < 0)
        fail(t, "does not prepare", error);
    check_wire(t, r);
    if (r->kind != RESOURCE_LISTENER)
        return;
    const struct listener *l = (const struct listener *)r;
    for (uint32_t i = 0; i <= l->n_chains; i++) {
        const struct filter_chain *c = i < l->n_chains ? &l->chains[i] : l->default_chain;
        if (!c)
            continue;
        if (!c->http == !c->tcp)
            fail(t, "a chain without exactly one manager in", r->name);
        if (c->http && c->http->rds.hash && !plan_routes(p, &c->http->rds))
            fail(t, "route table does not exist", c->http->rds.name);
        for (uint32_t k = 0; c->tcp && k < c->tcp->n_clusters; k++)
            if (!plan_cluster(p, &c->tcp->clusters[k].cluster) && !plan_origin_known(&c->origin))
                fail(t, "cluster does not exist", c->tcp->clusters[k].cluster.name);
    }
}

static void check_plan(const struct test_case *t, const struct plan *p)
{
    for (int k = 0; k < RESOURCE_KINDS; k++)
        PLAN_EACH(p, k, r)
    check_resource(t, p, r);
}

static void print_plan(const struct test_case *t, struct buf *out, const struct plan *p)
{
    struct arena a;
    arena_init(&a, 0);
    for (int k = 0; k < RESOURCE_KINDS; k++) {
        const struct resource **all = plan_sorted(p, (enum resource_kind)k, &a);
        for (uint32_t i = 0; i < plan_count(p, (enum resource_kind)k); i++) {
            if (!shown(t, all[i]))
                continue;
            resource_print(out, all[i]);
            buf_char(out, '\n');
        }
    }
    for (uint32_t i = 0; i < t->n_asks; i++)
        answer(out, p, &t->asks[i]);
    arena_done(&a);
}

/* --- cases --- */

static void compare(struct test_case *t, struct view path, struct view made)
{
    struct view wanted;
    if (t->update) {
        FILE *f = fopen(arena_str(&t->a, path), "w");
        if (!f || fwrite(made.p, 1, made.n, f) != made.n)
            fail(t, "cannot write", path);
        if (f)
            fclose(f);
        return;
    }
    if (read_file(&t->a, path, &wanted) < 0) {
        fail(t, "no golden file, run with --update", path);
        return;
    }
    struct view a, b;
    uint32_t line = 1;
    for (;; line++) {
        bool more_a = view_cut(&wanted, '\n', &a), more_b = view_cut(&made, '\n', &b);
        if (!more_a && !more_b)
            return;
        if (more_a == more_b && view_eq(a, b))
            continue;
        fprintf(stderr, "FAIL %.*s:%u\n  golden: %.*s\n  made:   %.*s\n", VIEW_ARGS(path), line, VIEW_ARGS(a),
                VIEW_ARGS(b));
        failures++;
        return;
    }
}

static void run_proxy(struct test_case *t, struct compiler *c, const struct mesh_snapshot *snap,
                      const struct proxy_line *line)
{
    struct object *o = snapshot_get(snap, KIND_POD, line->ns, line->pod);
    const struct pod *pod = OBJECT_AS(o, POD, pod);
    if (!pod) {
        fail(t, "no such pod", line->pod);
        return;
    }
    struct proxy_facts facts = {.kind = line->kind,
                                .ns = line->ns,
                                .pod = line->pod,
                                .ip = pod->ip,
                                .labels = pod->o.meta.labels,
                                .cluster_id = VIEW("Kubernetes")};
    struct plan *p = compile_plan(c, &facts), *again = compile_plan(c, &facts);
    check_plan(t, p); /* prepares it, too: the questions below need the tables */
    for (int k = 0; k < RESOURCE_KINDS; k++)
        PLAN_EACH(again, k, r)
    if (plan_get(p, (enum resource_kind)k, &(struct name_ref){r->name, r->name_hash}) != r)
        fail(t, "a second compilation does not share", r->name);
    struct buf out = {0};
    print_plan(t, &out, p);
    compare(t, arena_printf(&t->a, "%.*s/%.*s.plan", VIEW_ARGS(t->dir), VIEW_ARGS(line->pod)), buf_read(&out));
    buf_done(&out);
    plan_unref(p);
    plan_unref(again);
}

static void parse_into(struct test_case *t, struct diags *diags, struct view path, struct view file,
                       struct object_list *objects)
{
    struct view text;
    if (read_file(&t->a, path, &text) < 0) {
        fail(t, "cannot read", path);
        return;
    }
    struct mesh_source src = {.file = file, .text = text};
    if (mesh_parse(&t->a, diags, &src, objects) == 0)
        return;
    struct buf b = {0};
    diags_print(diags, &b, false);
    fail(t, "rejected", buf_read(&b));
    buf_done(&b);
}

static void run_case(struct view root, const char *name, bool update)
{
    struct test_case *t = calloc(1, sizeof(*t));
    arena_init(&t->a, 64 * 1024);
    t->update = update;
    t->name = arena_view(&t->a, view_of(name));
    t->dir = arena_printf(&t->a, "%.*s/%s", VIEW_ARGS(root), name);
    struct view input = arena_printf(&t->a, "%.*s/input.yaml", VIEW_ARGS(t->dir)), text;
    struct diags diags;
    struct object_list objects = {0};
    diags_init(&diags, &t->a);
    if (read_file(&t->a, input, &text) < 0) {
        fail(t, "cannot read", input);
    } else {
        parse_directives(t, text);
        if (t->base.n)
            parse_into(t, &diags, arena_printf(&t->a, "%.*s/%.*s", VIEW_ARGS(root), VIEW_ARGS(t->base)), t->base,
                       &objects);
        parse_into(t, &diags, input, VIEW("input.yaml"), &objects);
        struct mesh_snapshot *snap = snapshot_new(&t->a, &diags, objects.list, objects.n);
        struct compiler *first = compiler_new(snap, NULL);
        for (uint32_t i = 0; i < t->n_proxies; i++)
            run_proxy(t, first, snap, &t->proxies[i]);
        struct compiler *c = compiler_new(snap, first); /* the same again through a successor */
        compiler_free(first);
        for (uint32_t i = 0; i < t->n_proxies; i++)
            run_proxy(t, c, snap, &t->proxies[i]);
        compiler_free(c);
        if (!t->n_proxies)
            fail(t, "names no proxy", input);
    }
    arena_done(&t->a);
    free(t);
}

static int is_case(const struct dirent *d)
{
    return d->d_name[0] != '.' && strchr(d->d_name, '.') == NULL;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: %s FOLDER [--update] [CASE]\n", argv[0]);
        return 2;
    }
    bool update = argc > 2 && strcmp(argv[2], "--update") == 0;
    const char *only = argc > 3 ? argv[3] : argc > 2 && !update ? argv[2] : NULL;
    struct dirent **list;
    int n = scandir(argv[1], &list, is_case, alphasort), ran = 0;
    for (int i = 0; i < n; i++) {
        if (!only || strcmp(only, list[i]->d_name) == 0) {
            run_case(view_of(argv[1]), list[i]->d_name, update);
            ran++;
        }
        free(list[i]);
    }
    if (n >= 0)
        free(list);
    printf("%d cases, %d failures\n", ran, failures);
    return failures || ran == 0;
}
