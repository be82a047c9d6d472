// SPDX-License-Identifier: Apache-2.0
/* Many simulated proxies in one process: real delta xDS streams that subscribe, follow references and acknowledge as
 * weft-proxy does (xds/state.c), but keep four bytes a resource instead of a plan. For measuring a control plane.
 *
 *   xds_fleet --server 127.0.0.1:15010 --proxies 1000 --namespaces 10
 *   xds_fleet --server 127.0.0.1:15012 --ca root.pem --sign-key key.pem …      TLS, with tokens as a kubelet's
 *
 * Proxy i is the pod app-<i>-0 in namespace bench-<i mod namespaces>, labels app=app-<i>, account `default`, or what
 * --pods FILE lists (lines of: namespace pod ip account label=value…). It prints one JSON object a line:
 *   synced   all proxies have everything that they asked for (again after a lost connection)
 *   burst    what came since it was quiet: proxies, responses by type, resources, bytes; CLOCK_MONOTONIC ns of the first
 *            response and of the last acknowledgement handed to the kernel
 *   lost     connections that ended, with the reason of the last
 * It ends when its standard input does. Load is bounded: so many connections, nothing sent but requests and answers.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "fleet_book.h"
#include "http/conn.h"
#include "http/grpc_call.h"
#include "net/conn.h"
#include "net/fd_watch.h"
#include "net/loop.h"
#include "net/timer.h"
#include "net/tls.h"
#include "trust/token.h"
#include "xds/discovery.h"
#include "xds/node_pb.h"
#include "xds/types.h"

enum { EVENT_CONN = 1, EVENT_CALL = 2, EVENT_RETRY = 4 };
enum { EVENT_STDIN = 1, EVENT_QUIET = 2 };

#define QUIET (60 * NS_PER_MS)
#define BACKOFF_FIRST (200 * NS_PER_MS)
#define BACKOFF_MOST (10 * NS_PER_S)
#define ASKED 1 /* in have[]: subscribed, nothing received; above: version number + ABSENT */
#define ABSENT 2

struct fleet;

struct held {
    uint32_t *have; /* by name number: 0, ASKED, ABSENT, or ABSENT + version */
    uint32_t n;
};

struct fake {
    struct task task;
    struct timer retry;
    struct fleet *fleet;
    struct http_conn *http;
    struct grpc_call *call;
    struct held held[RESOURCE_KINDS];
    struct buf out; /* requests that wait, each behind its length */
    uint32_t number, pending;
    bool seen[RESOURCE_KINDS], in_burst, synced, up;
    uint64_t backoff;
    struct view ns, pod, ip, account, labels;
};

struct fleet {
    struct task task;
    struct timer quiet;
    struct fd_watch input;
    struct loop *loop;
    struct http_shared *http;
    struct tls_context *tls;
    struct token_key *key;
    struct book *book;
    struct arena arena;
    struct addr server;
    struct tls_san san;
    struct fake *fakes;
    uint32_t n, n_synced, n_started, namespaces;
    struct view token, revision;
    uint64_t begin, connects;
    bool told;
    struct {
        uint32_t proxies, responses[RESOURCE_KINDS], resources, removed, nacks;
        uint64_t bytes, first, last;
        char version[96];
    } burst;
    uint32_t n_lost;
    char lost[200];
};

static void fake_run(struct task *t, uint32_t events);

/* ---- what a proxy holds ---- */

static uint32_t *held_at(struct held *h, uint32_t name)
{
    if (name >= h->n) {
        uint32_t n = name + 64;
        h->have = realloc(h->have, n * sizeof(*h->have));
        must(h->have != NULL);
        memset(h->have + h->n, 0, (n - h->n) * sizeof(*h->have));
        h->n = n;
    }
    return &h->have[name];
}

static void pending_change(struct fake *f, int by)
{
    struct fleet *fl = f->fleet;
    bool now;

    f->pending = (uint32_t)((int)f->pending + by);
    now = !f->pending && f->seen[RESOURCE_CLUSTER] && f->seen[RESOURCE_LISTENER];
    if (now == f->synced)
        return;
    f->synced = now;
    fl->n_synced += now ? 1 : (uint32_t)-1;
}

static void put(struct fake *f, enum resource_kind kind, uint32_t name, uint32_t state)
{
    uint32_t *at = held_at(&f->held[kind], name);
    int by = (state == ASKED) - (*at == ASKED);

    *at = state;
    if (by)
        pending_change(f, by);
}

/* ---- requests ---- */

static size_t request_begin(struct fake *f)
{
    buf_be32(&f->out, 0);
    return buf_len(&f->out);
}

static void request_end(struct fake *f, size_t at)
{
    uint32_t n = (uint32_t)(buf_len(&f->out) - at);
    unsigned char *p = (unsigned char *)f->out.data + f->out.at + at - 4;

    p[0] = (unsigned char)(n >> 24);
    p[1] = (unsigned char)(n >> 16);
    p[2] = (unsigned char)(n >> 8);
    p[3] = (unsigned char)n;
}

static void write_node(struct fake *f, struct buf *out)
{
    struct xds_node n = {.type = VIEW("sidecar"),
                         .ip = f->ip,
                         .pod = f->pod,
                         .ns = f->ns,
                         .service_account = f->account,
                         .cluster_id = VIEW("Kubernetes"),
                         .mesh_id = VIEW("cluster.local"),
                         .version = VIEW("1.29.0"),
                         .interception = VIEW("REDIRECT"),
                         .build = VIEW("fleet"),
                         .ips = f->ip};
    struct xds_label labels[16];
    struct view rest = f->labels;
    struct arena a;
    struct buf packed = {0};

    arena_init(&a, 1024);
    n.domain = arena_printf(&a, "%.*s.svc.cluster.local", VIEW_ARGS(f->ns));
    n.cluster = arena_printf(&a, "%.*s.%.*s", VIEW_ARGS(f->pod), VIEW_ARGS(f->ns));
    n.workload_name = f->pod;
    n.revision = f->fleet->revision;
    n.labels = labels;
    while (rest.n && n.n_labels < 16) {
        struct view one = view_head(rest, view_find(rest, ' '));
        size_t eq = view_find(one, '=');
        rest = view_from(rest, one.n + 1);
        if (eq < one.n)
            labels[n.n_labels++] = (struct xds_label){view_head(one, eq), view_from(one, eq + 1)};
    }
    xds_node_encode(&packed, &n);
    discovery_write_node(out, buf_read(&packed));
    buf_done(&packed);
    arena_done(&a);
}

static void first_requests(struct fake *f)
{
    struct book *b = f->fleet->book;
    bool first = true;

    for (int i = 0; i < RESOURCE_KINDS; i++) {
        const struct xds_type *t = &xds_types[i];
        struct held *h = &f->held[t->kind];
        uint32_t names = 0;
        size_t at;

        for (uint32_t k = 1; k < h->n; k++)
            names += h->have[k] != 0;
        if (!t->wildcard && !names)
            continue;
        at = request_begin(f);
        if (first)
            write_node(f, &f->out);
        first = false;
        discovery_write_type(&f->out, t->url);
        for (uint32_t k = 1; k < h->n; k++) {
            if (h->have[k] && !t->wildcard)
                discovery_write_name(&f->out, REQUEST_SUBSCRIBE, book_name_text(b, t->kind, k));
            if (h->have[k] > ABSENT)
                discovery_write_initial(&f->out, book_name_text(b, t->kind, k),
                                        book_version_text(b, h->have[k] - ABSENT));
        }
        request_end(f, at);
    }
}

static void answer(struct fake *f, const struct discovery_response *r, struct view error)
{
    size_t at = request_begin(f);

    discovery_write_type(&f->out, r->type_url);
    discovery_write_nonce(&f->out, r->nonce);
    if (error.n)
        discovery_write_error(&f->out, GRPC_INVALID_ARGUMENT, error);
    request_end(f, at);
}

/* ---- responses ---- */

static void follow(struct fake *f, const struct book_refs *refs, struct buf *wanted)
{
    for (uint32_t i = 0; refs && i < refs->n; i++) {
        const struct book_ref *ref = &refs->list[i];
        if (*held_at(&f->held[ref->kind], ref->name))
            continue;
        put(f, ref->kind, ref->name, ASKED);
        discovery_write_name(&wanted[ref->kind], REQUEST_SUBSCRIBE,
                             book_name_text(f->fleet->book, ref->kind, ref->name));
    }
}

static void subscribe(struct fake *f, struct buf *wanted)
{
    for (int i = 0; i < RESOURCE_KINDS; i++) {
        if (buf_len(&wanted[i])) {
            size_t at = request_begin(f);
            discovery_write_type(&f->out, xds_type_of(i)->url);
            buf_view(&f->out, buf_read(&wanted[i]));
            request_end(f, at);
        }
        buf_done(&wanted[i]);
    }
}

static void take_removed(struct fake *f, const struct xds_type *t, struct view bytes)
{
    struct discovery_walk walk = {.bytes = bytes};
    struct view name;

    while (discovery_next_name(&walk, RESPONSE_REMOVED, &name)) {
        put(f, t->kind, book_name(f->fleet->book, t->kind, name), t->wildcard ? 0 : ABSENT);
        f->fleet->burst.removed++;
    }
}

static void count(struct fake *f, const struct xds_type *t, const struct discovery_response *r)
{
    struct fleet *fl = f->fleet;

    if (!f->in_burst) {
        f->in_burst = true;
        if (!fl->burst.proxies++)
            fl->burst.first = clock_mono();
    }
    fl->burst.responses[t->kind]++;
    fl->burst.resources += r->n_resources;
    fl->burst.bytes += r->bytes.n;
    snprintf(fl->burst.version, sizeof(fl->burst.version), "%.*s", VIEW_ARGS(view_head(r->version, 90)));
    timer_in(&fl->quiet, QUIET);
}

static int take_response(struct fake *f, struct view bytes)
{
    struct book *b = f->fleet->book;
    struct discovery_walk walk = {.bytes = bytes};
    struct buf wanted[RESOURCE_KINDS] = {0};
    struct discovery_response r;
    struct discovery_resource d;
    const struct xds_type *t;
    struct view why = VIEW_NONE;

    if (discovery_read_response(bytes, &r) < 0 || !(t = xds_type_by_url(r.type_url)))
        return -EINVAL;
    count(f, t, &r);
    while (!why.n && discovery_next_resource(&walk, &d)) {
        uint32_t name = book_name(b, t->kind, d.name), version = book_version(b, d.version);
        const struct book_refs *refs = book_refs(b, t->kind, name, version, d.value, &why);
        put(f, t->kind, name, ABSENT + version);
        follow(f, refs, wanted);
    }
    take_removed(f, t, bytes);
    f->seen[t->kind] = true;
    pending_change(f, 0);
    f->fleet->burst.nacks += why.n != 0;
    answer(f, &r, why);
    subscribe(f, wanted);
    return 0;
}

/* ---- connections ---- */

static void hang_up(struct fake *f, const char *why)
{
    struct fleet *fl = f->fleet;

    f->call = grpc_call_free(f->call);
    f->http = http_conn_free(f->http);
    buf_clear(&f->out);
    if (f->up) {
        fl->n_lost++;
        snprintf(fl->lost, sizeof(fl->lost), "%s", why);
        fl->told = false;
        timer_in(&fl->quiet, QUIET);
    }
    f->up = false;
    for (int i = 0; i < RESOURCE_KINDS; i++)
        f->seen[i] = false;
    pending_change(f, 0);
    f->backoff = f->backoff ? f->backoff * 2 : BACKOFF_FIRST;
    if (f->backoff > BACKOFF_MOST)
        f->backoff = BACKOFF_MOST;
    timer_in(&f->retry, f->backoff / 2 + rng_below(loop_rng(fl->loop), f->backoff / 2 + 1));
}

static int dial(struct fake *f)
{
    static const struct view h2[] = {{"h2", 2}};
    struct fleet *fl = f->fleet;
    const struct conn_options options = {.timeout = 5 * NS_PER_S};
    const struct http_conn_config http = {
        .role = HTTP_CLIENT, .version = HTTP_2, .scheme = fl->tls ? VIEW("https") : VIEW("http")};
    struct tls_options tls = {.sni = fl->san.text, .alpn = h2, .n_alpn = 1, .sans = &fl->san, .n_sans = 1};
    struct conn *c, *secure;
    int r = conn_connect(fl->loop, &fl->server, &options, &c);

    if (r == 0 && fl->tls) {
        r = tls_connect(fl->tls, c, &tls, &secure);
        if (r < 0)
            conn_close(c);
        c = secure;
    }
    if (r == 0)
        f->http = http_conn_new(fl->http, c, &http, &f->task, EVENT_CONN);
    return r;
}

static int token_of(const struct fake *f, struct buf *out)
{
    uint64_t now = clock_wall();
    struct token t = {.issuer = VIEW("fleet"),
                      .audience = VIEW("istio-ca"),
                      .ns = f->ns,
                      .sa = f->account,
                      .pod = f->pod,
                      .issued = now - NS_PER_S,
                      .expires = now + 3600 * NS_PER_S};

    buf_str(out, "Bearer ");
    if (f->fleet->token.n)
        buf_view(out, f->fleet->token);
    else if (f->fleet->key)
        return token_sign(f->fleet->key, &t, out);
    else
        buf_clear(out);
    return 0;
}

static int start_call(struct fake *f)
{
    struct buf authorization = {0};
    struct grpc_call_config config = {.path = VIEW(XDS_DELTA_PATH),
                                      .authority = VIEW("istiod.istio-system.svc"),
                                      .scheme = f->fleet->tls ? VIEW("https") : VIEW("http")};
    int r;

    if (!http_conn_capacity(f->http))
        return -EAGAIN;
    r = token_of(f, &authorization);
    config.authorization = buf_read(&authorization);
    if (r == 0)
        r = grpc_call_start(f->http, &config, &f->task, EVENT_CALL, &f->call);
    if (r == 0)
        first_requests(f);
    buf_wipe(&authorization);
    return r;
}

static int send_out(struct fake *f)
{
    int r = 0;

    while (r == 0 && buf_len(&f->out)) {
        struct view v = buf_read(&f->out);
        const unsigned char *p = (const unsigned char *)v.p;
        uint32_t n = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
        r = grpc_call_send(f->call, view_make(v.p + 4, n), false);
        if (r == 0)
            buf_drop(&f->out, 4 + n);
    }
    if (!buf_len(&f->out) && f->out.cap > 4096)
        buf_done(&f->out);
    return r == -EAGAIN ? 0 : r;
}

static int talk(struct fake *f)
{
    struct fleet *fl = f->fleet;
    struct view message;
    bool any = false;
    int r;

    while ((r = grpc_call_recv(f->call, &message)) == 0) {
        any = f->up = true;
        f->backoff = 0;
        if (take_response(f, message) < 0)
            return -EINVAL;
    }
    if (r == -EAGAIN)
        r = send_out(f);
    if (any)
        fl->burst.last = clock_mono();
    return r;
}

static void fake_run(struct task *t, uint32_t events)
{
    struct fake *f = CONTAINER_OF(t, struct fake, task);
    int r = 0;

    if (!f->http && !(events & EVENT_RETRY))
        return;
    if (!f->http) {
        f->fleet->connects++;
        r = dial(f);
    }
    if (r == 0 && !f->call)
        r = start_call(f);
    if (r == 0)
        r = talk(f);
    if (r == -EAGAIN && !(http_conn_ready(f->http) & HTTP_CONN_CLOSED))
        return;
    if (r < 0) {
        char why[180];
        struct view text = f->call ? grpc_call_message(f->call) : VIEW_NONE;
        snprintf(why, sizeof(why), "%.*s", VIEW_ARGS(text.n ? text : view_of(strerror(-r))));
        hang_up(f, why);
    }
}

/* ---- what it tells ---- */

static void tell(struct fleet *fl)
{
    if (fl->n_lost)
        printf("{\"event\": \"lost\", \"connections\": %u, \"why\": \"%s\"}\n", fl->n_lost, fl->lost);
    fl->n_lost = 0;
    if (fl->burst.proxies) {
        printf("{\"event\": \"burst\", \"proxies\": %u, \"resources\": %u, \"removed\": %u, \"nacks\": %u, \"bytes\": "
               "%llu, "
               "\"first_ns\": %llu, \"last_ns\": %llu, \"version\": \"%s\"",
               fl->burst.proxies, fl->burst.resources, fl->burst.removed, fl->burst.nacks,
               (unsigned long long)fl->burst.bytes, (unsigned long long)fl->burst.first,
               (unsigned long long)fl->burst.last, fl->burst.version);
        for (int i = 0; i < RESOURCE_KINDS; i++)
            printf(", \"%s\": %u", xds_type_of(i)->name, fl->burst.responses[i]);
        puts("}");
    }
    if (fl->n_synced == fl->n && !fl->told) {
        printf("{\"event\": \"synced\", \"proxies\": %u, \"at_ns\": %llu, \"ms\": %llu, \"connects\": %llu}\n", fl->n,
               (unsigned long long)fl->burst.last, (unsigned long long)((fl->burst.last - fl->begin) / NS_PER_MS),
               (unsigned long long)fl->connects);
        fl->told = true;
    }
    fflush(stdout);
    memset(&fl->burst, 0, sizeof(fl->burst));
    for (uint32_t i = 0; i < fl->n; i++)
        fl->fakes[i].in_burst = false;
}

static void fleet_run(struct task *t, uint32_t events)
{
    struct fleet *fl = CONTAINER_OF(t, struct fleet, task);
    char text[256];

    if (events & EVENT_STDIN) {
        ssize_t n = read(0, text, sizeof(text));
        if (n == 0 || (n < 0 && errno != EAGAIN))
            loop_stop(fl->loop);
    }
    if (events & EVENT_QUIET)
        tell(fl);
}

/* ---- setting up ---- */

static int read_text(const char *path, struct buf *out)
{
    FILE *f = fopen(path, "re");
    size_t n = 1, room;

    if (!f) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return -1;
    }
    while (n) {
        char *to = buf_room(out, 16384, &room);
        n = fread(to, 1, room, f);
        buf_added(out, n);
    }
    fclose(f);
    return 0;
}

static void name_fakes(struct fleet *fl, struct view pods)
{
    for (uint32_t i = 0; i < fl->n; i++) {
        struct fake *f = &fl->fakes[i];
        struct view line = view_head(pods, view_find(pods, '\n')), *fields[] = {&f->ns, &f->pod, &f->ip, &f->account};

        pods = view_from(pods, line.n + 1);
        for (int k = 0; k < 4; k++) {
            *fields[k] = view_head(line, view_find(line, ' '));
            line = view_from(line, fields[k]->n + 1);
        }
        f->labels = line;
        if (f->account.n)
            continue;
        f->ns = arena_printf(&fl->arena, "bench-%u", i % fl->namespaces);
        f->pod = arena_printf(&fl->arena, "app-%u-0", i);
        f->ip = arena_printf(&fl->arena, "10.%u.%u.%u", 1 + (i >> 16), i >> 8 & 255, i & 255);
        f->account = VIEW("default");
        f->labels = arena_printf(&fl->arena, "app=app-%u version=v1", i);
    }
}

static int secure(struct fleet *fl, const char *ca, const char *key)
{
    struct buf text = {0};
    struct tls_trust *trust = NULL;
    const char *why = "";
    struct view pem;
    int r = 0;

    if (key) {
        r = read_text(key, &text);
        if (r == 0)
            r = token_key_from_pem(buf_read(&text), &fl->key);
        buf_wipe(&text);
    }
    if (r == 0 && ca) {
        r = read_text(ca, &text);
        pem = buf_read(&text);
        if (r == 0)
            r = tls_trust_new(&pem, 1, &trust, &why);
        if (r == 0)
            r = tls_context_new(fl->loop, &(struct tls_config){.trust = trust}, &fl->tls, &why);
        tls_trust_unref(trust);
        buf_done(&text);
    }
    if (r < 0)
        fprintf(stderr, "keys: %s %s\n", strerror(-r), why);
    return r;
}

static void begin(struct fleet *fl)
{
    fl->begin = clock_mono();
    for (uint32_t i = 0; i < fl->n; i++) {
        struct fake *f = &fl->fakes[i];
        f->fleet = fl;
        f->number = i;
        task_init(&f->task, fl->loop, fake_run, "fake proxy");
        timer_init(&f->retry, &f->task, EVENT_RETRY);
        task_wake(&f->task, EVENT_RETRY);
    }
}

static void end(struct fleet *fl)
{
    for (uint32_t i = 0; i < fl->n; i++) {
        struct fake *f = &fl->fakes[i];
        grpc_call_free(f->call);
        http_conn_free(f->http);
        timer_done(&f->retry);
        task_done(&f->task);
        buf_done(&f->out);
        for (int k = 0; k < RESOURCE_KINDS; k++)
            free(f->held[k].have);
    }
    free(fl->fakes);
    timer_done(&fl->quiet);
    fd_watch_done(&fl->input);
    task_done(&fl->task);
    book_free(fl->book);
    tls_context_free(fl->tls);
    token_key_free(fl->key);
    http_shared_free(fl->http);
    loop_free(fl->loop);
    arena_done(&fl->arena);
}

static int usage(void)
{
    fputs("xds_fleet --server IP:PORT --proxies N [--namespaces N] [--pods FILE] [--ca PEM] [--sign-key PEM | "
          "--token-file FILE] [--revision NAME]\n",
          stderr);
    return 64;
}

int main(int argc, char **argv)
{
    static const struct option longs[] = {{"server", 1, 0, 's'},     {"proxies", 1, 0, 'n'},  {"namespaces", 1, 0, 'k'},
                                          {"pods", 1, 0, 'p'},       {"ca", 1, 0, 'c'},       {"sign-key", 1, 0, 'g'},
                                          {"token-file", 1, 0, 't'}, {"revision", 1, 0, 'r'}, {0, 0, 0, 0}};
    struct fleet fl = {.namespaces = 1, .input.fd = -1, .san = {TLS_SAN_DNS, VIEW("istiod.istio-system.svc")}};
    const char *opt[128] = {0};
    struct buf pods = {0}, token = {0};
    struct view server, host;
    uint64_t n = 0, spaces = 1, port;
    int c;

    while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        if (c == '?')
            return usage();
        opt[c] = optarg;
    }
    server = view_of(opt['s'] ? opt['s'] : "");
    host = view_head(server, view_find(server, ':'));
    if (view_u64(view_from(server, host.n + 1), &port) < 0 || addr_parse_ip(host, (uint16_t)port, &fl.server) < 0 ||
        view_u64(view_of(opt['n'] ? opt['n'] : ""), &n) < 0 || !n || n > 20000 ||
        (opt['k'] && (view_u64(view_of(opt['k']), &spaces) < 0 || !spaces)))
        return usage();
    fl.n = (uint32_t)n;
    fl.namespaces = (uint32_t)spaces;
    fl.revision = view_of(opt['r'] ? opt['r'] : "default");
    fl.loop = loop_new(&(struct loop_options){.name = "fleet"});
    fl.http = http_shared_new(fl.loop);
    fl.book = book_new();
    arena_init(&fl.arena, 4096);
    fl.fakes = calloc(fl.n, sizeof(*fl.fakes));
    must(fl.fakes != NULL);
    task_init(&fl.task, fl.loop, fleet_run, "fleet");
    timer_init(&fl.quiet, &fl.task, EVENT_QUIET);
    fd_watch_init(&fl.input, &fl.task, EVENT_STDIN);
    if (fd_watch_open(&fl.input, fl.loop, 0, FD_IN) < 0)
        fprintf(stderr, "standard input is not watched: end with a signal\n");
    if ((opt['p'] && read_text(opt['p'], &pods) < 0) || (opt['t'] && read_text(opt['t'], &token) < 0) ||
        secure(&fl, opt['c'], opt['g']) < 0)
        return 1;
    fl.token = view_trim(buf_read(&token));
    name_fakes(&fl, buf_read(&pods));
    begin(&fl);
    loop_run(fl.loop);
    end(&fl);
    buf_done(&pods);
    buf_wipe(&token);
    return 0;
}
