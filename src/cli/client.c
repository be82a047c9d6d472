// SPDX-License-Identifier: Apache-2.0
/* Requests to the daemon (client.h): written by hand, read with the strict parser of wire/. */
#include "cli/client.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/limits.h"
#include "cli/cluster.h"
#include "sandbox/daemon.h"
#include "wire/h1.h"
#include "wire/node.h"

void answer_done(struct answer *a)
{
    buf_done(&a->body);
}

int client_connect(const struct cli *c, const char *suffix)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    int n = snprintf(to.sun_path + 1, sizeof(to.sun_path) - 1, "weft-%.*s%s", VIEW_ARGS(c->sandbox), suffix);
    if (n < 0 || (size_t)n >= sizeof(to.sun_path) - 1)
        return -ENAMETOOLONG;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
    if (connect(fd, (struct sockaddr *)&to, len)) {
        int err = -errno;
        close(fd);
        return err;
    }
    return fd;
}

int client_away(const struct cli *c, int err)
{
    if (c->cluster)
        cli_fail(c, "the cluster `%s`: %s", cluster_name(c->cluster), cluster_why(c->cluster));
    else if (err == -ECONNREFUSED || err == -ENOENT)
        cli_fail(c, "no sandbox `%.*s` is running: start one with `weft up DIR`%s", VIEW_ARGS(c->sandbox),
                 c->opt[OPT_SANDBOX] ? "" : ", name another with -s, or a cluster with --kubeconfig");
    else
        cli_fail(c, "the sandbox `%.*s` does not answer: %s", VIEW_ARGS(c->sandbox), strerror(-err));
    return EXIT_AWAY;
}

static int send_all(int fd, struct view v)
{
    while (v.n) {
        ssize_t n = send(fd, v.p, v.n, MSG_NOSIGNAL);
        if (n < 0 && errno != EINTR)
            return -errno;
        v = view_from(v, n > 0 ? (size_t)n : 0);
    }
    return 0;
}

static int send_request(int fd, const char *method, struct view path, struct view body)
{
    struct buf b = {0};
    bool patch = strcmp(method, "PATCH") == 0;
    buf_printf(&b,
               "%s %.*s HTTP/1.1\r\nhost: weft\r\nconnection: close\r\ncontent-type: %s\r\ncontent-length: %zu\r\n\r\n",
               method, VIEW_ARGS(path), patch ? "application/merge-patch+json" : "application/json", body.n);
    int err = send_all(fd, buf_read(&b));
    buf_done(&b);
    return err ? err : send_all(fd, body);
}

struct receiving {
    int fd;
    struct buf in;
    struct h1 h1;
    bool ended;
};

/* More bytes from the daemon; 0 at the end too. */
static int receive(struct receiving *r)
{
    size_t room;
    char *to = buf_room(&r->in, 64 * 1024, &room);
    ssize_t n = recv(r->fd, to, room, 0);
    if (n < 0)
        return errno == EINTR ? 0 : -errno;
    r->ended = n == 0;
    buf_added(&r->in, (size_t)n);
    return 0;
}

static int receive_head(struct receiving *r, struct arena *a, unsigned *ret_status)
{
    struct headers h;
    size_t n = 0;
    int err;
    h1_init(&r->h1, H1_RESPONSE);
    for (;;) {
        headers_init(&h, a);
        err = h1_head(&r->h1, &h, buf_read(&r->in), &n);
        if (err != -EAGAIN)
            break;
        if (r->ended)
            return -ECONNRESET;
        h1_init(&r->h1, H1_RESPONSE);
        err = receive(r);
        if (err)
            return err;
    }
    if (err)
        return err;
    *ret_status = headers_status(&h);
    buf_drop(&r->in, n);
    return 0;
}

static int receive_body(struct receiving *r, struct arena *a, void (*fn)(void *arg, struct view piece), void *arg)
{
    while (!h1_done(&r->h1)) {
        size_t n = 0;
        struct headers trailers;
        headers_init(&trailers, a);
        int err = h1_frame(&r->h1, buf_read(&r->in), &trailers, &n);
        if (err && err != -EAGAIN)
            return err;
        buf_drop(&r->in, n);
        struct view v = buf_read(&r->in);
        v = view_head(v, r->h1.run < v.n ? (size_t)r->h1.run : v.n);
        if (v.n) {
            fn(arg, v);
            h1_took(&r->h1, v.n);
            buf_drop(&r->in, v.n);
            continue;
        }
        if (h1_done(&r->h1))
            break;
        if (r->ended)
            return h1_eof(&r->h1) ? -ECONNRESET : 0;
        err = receive(r);
        if (err)
            return err;
    }
    return 0;
}

static void append(void *arg, struct view piece)
{
    buf_view(arg, piece);
}

static int exchange(const struct cli *c, const char *method, struct view path, struct view body,
                    void (*fn)(void *arg, struct view piece), void *arg, struct answer *ret)
{
    if (c->cluster) {
        int r = cluster_exchange(c->cluster, method, path, body, ret);
        if (r == 0 && fn && ret->status == 200)
            fn(arg, buf_read(&ret->body));
        return r;
    }
    struct receiving r = {.fd = client_connect(c, "")};
    if (r.fd < 0)
        return r.fd;
    struct arena a;
    arena_init(&a, 4096);
    int err = send_request(r.fd, method, path, body);
    if (!err)
        err = receive_head(&r, &a, &ret->status);
    bool streamed = fn && ret->status == 200;
    if (!err)
        err = receive_body(&r, &a, streamed ? fn : append, streamed ? arg : &ret->body);
    buf_done(&r.in);
    arena_done(&a);
    close(r.fd);
    return err;
}

int client_try(const struct cli *c, const char *method, struct view path, struct view body, struct answer *ret)
{
    return exchange(c, method, path, body, NULL, NULL, ret);
}

int client_call(const struct cli *c, const char *method, struct view path, struct view body, struct answer *ret)
{
    int err = client_try(c, method, path, body, ret);
    return err ? client_away(c, err) : EXIT_OK;
}

int client_stream(const struct cli *c, struct view path, void (*fn)(void *arg, struct view piece), void *arg,
                  struct answer *ret)
{
    int err = exchange(c, "GET", path, VIEW_NONE, fn, arg, ret);
    return err ? client_away(c, err) : EXIT_OK;
}

/* Diagnostics come as data; each is printed as title and hint. */
static void print_diagnostics(const struct node *list)
{
    for (uint32_t i = 0; node_is(list, NODE_SEQ) && i < list->n; i++) {
        const struct node *d = list->items[i];
        struct view hint = node_text_at(d, "hint"), code = node_text_at(d, "code"), path = node_text_at(d, "path");
        fprintf(stderr, "  %.*s %.*s%s%.*s\n", VIEW_ARGS(code), VIEW_ARGS(path), path.n ? ": " : "",
                VIEW_ARGS(node_text_at(d, "title")));
        if (hint.n)
            fprintf(stderr, "    help: %.*s\n", VIEW_ARGS(hint));
    }
}

int client_refused(const struct cli *c, const struct answer *a)
{
    struct arena arena;
    arena_init(&arena, 0);
    struct node *n = NULL;
    if (node_parse(&arena, buf_read(&a->body), &n, NULL) == 0 && node_is(n, NODE_MAP)) {
        struct view message = node_text_at(n, "message");
        cli_fail(c, "%.*s", VIEW_ARGS(message));
        print_diagnostics(node_at(n, "details.diagnostics"));
    } else {
        cli_fail(c, "the sandbox answered %u", a->status);
    }
    arena_done(&arena);
    return EXIT_FAILED;
}

struct node *client_get(struct cli *c, struct view path, int *ret_exit)
{
    struct answer a = {0};
    struct node *n = NULL;
    *ret_exit = client_call(c, "GET", path, VIEW_NONE, &a);
    if (*ret_exit == EXIT_OK && a.status != 200)
        *ret_exit = client_refused(c, &a);
    else if (*ret_exit == EXIT_OK && node_parse(&c->arena, arena_view(&c->arena, buf_read(&a.body)), &n, NULL))
        *ret_exit = cli_fail(c, "the sandbox's answer cannot be read");
    answer_done(&a);
    return *ret_exit == EXIT_OK ? n : NULL;
}

struct view client_path(struct cli *c, enum mesh_kind kind, struct view ns, struct view name)
{
    const struct mesh_kind_info *k = &mesh_kinds[kind];
    struct view version = view_head(k->versions, view_find(k->versions, ','));
    struct view base = k->group.n ? arena_printf(&c->arena, "/apis/%.*s/%.*s", VIEW_ARGS(k->group), VIEW_ARGS(version))
                                  : VIEW("/api/v1");
    if (k->namespaced && ns.n)
        base = arena_printf(&c->arena, "%.*s/namespaces/%.*s", VIEW_ARGS(base), VIEW_ARGS(ns));
    base = arena_printf(&c->arena, "%.*s/%.*s", VIEW_ARGS(base), VIEW_ARGS(k->plural));
    if (name.n)
        base = arena_printf(&c->arena, "%.*s/%.*s", VIEW_ARGS(base), VIEW_ARGS(name));
    return base;
}

int client_kind(const struct cli *c, struct view word, enum mesh_kind *ret_kind)
{
    struct view bare = view_head(word, view_find(word, '.')); /* deployment.apps */
    if (mesh_kind_find(bare, ret_kind) == 0)
        return EXIT_OK;
    struct view names[3 * MESH_KINDS];
    size_t n = 0;
    for (int i = 0; i < MESH_KINDS; i++) {
        names[n++] = mesh_kinds[i].kind;
        names[n++] = mesh_kinds[i].plural;
    }
    struct view near = diag_nearest(bare, names, n);
    if (near.n)
        return cli_usage(c, "no kind `%.*s`: did you mean `%.*s`?", VIEW_ARGS(word), VIEW_ARGS(near));
    return cli_usage(c, "no kind `%.*s`", VIEW_ARGS(word));
}

struct view client_label(struct cli *c, enum mesh_kind kind, struct view name)
{
    const struct mesh_kind_info *k = &mesh_kinds[kind];
    struct view word = arena_view(&c->arena, k->kind);
    for (size_t i = 0; i < word.n; i++)
        ((char *)(uintptr_t)word.p)[i] = (char)tolower((unsigned char)word.p[i]);
    if (k->group.n)
        return arena_printf(&c->arena, "%.*s.%.*s/%.*s", VIEW_ARGS(word), VIEW_ARGS(k->group), VIEW_ARGS(name));
    return arena_printf(&c->arena, "%.*s/%.*s", VIEW_ARGS(word), VIEW_ARGS(name));
}

struct view client_escape(struct arena *a, struct view text)
{
    struct buf b = {0};
    for (size_t i = 0; i < text.n; i++) {
        unsigned char ch = (unsigned char)text.p[i];
        if (isalnum(ch) || strchr("-._~", ch))
            buf_char(&b, (char)ch);
        else
            buf_printf(&b, "%%%02X", ch);
    }
    struct view v = arena_view(a, buf_read(&b));
    buf_done(&b);
    return v;
}

static bool is_ready(const struct node *pod)
{
    const struct node *all = node_at(pod, "status.conditions");
    for (uint32_t i = 0; node_is(all, NODE_SEQ) && i < all->n; i++)
        if (view_is(node_text_at(all->items[i], "type"), "Ready"))
            return view_is(node_text_at(all->items[i], "status"), "True");
    return false;
}

/* matchLabels or a Service's selector as a query. */
static struct view selector_of(struct cli *c, const struct node *object)
{
    const struct node *map = node_at(object, "spec.selector.matchLabels");
    if (!map)
        map = node_at(object, "spec.selector");
    struct buf b = {0};
    if (view_is(node_text_at(object, "kind"), "Job")) /* has no selector of its own as written */
        buf_printf(&b, "job-name=%.*s", VIEW_ARGS(node_text_at(object, "metadata.name")));
    for (uint32_t i = 0; node_is(map, NODE_MAP) && i < map->n; i++)
        buf_printf(&b, "%s%.*s=%.*s", buf_len(&b) ? "," : "", VIEW_ARGS(map->fields[i].key),
                   VIEW_ARGS(node_text(map->fields[i].value)));
    struct view v = client_escape(&c->arena, buf_read(&b));
    buf_done(&b);
    return v;
}

struct view client_pod(struct cli *c, struct view word, int *ret_exit)
{
    size_t slash = view_find(word, '/');
    enum mesh_kind kind;
    *ret_exit = EXIT_OK;
    if (slash == word.n)
        return word;
    struct view name = view_from(word, slash + 1);
    *ret_exit = client_kind(c, view_head(word, slash), &kind);
    if (*ret_exit || kind == KIND_POD)
        return *ret_exit ? VIEW_NONE : name;
    const struct node *object = client_get(c, client_path(c, kind, c->ns, name), ret_exit);
    if (!object)
        return VIEW_NONE;
    struct view query = selector_of(c, object), path = client_path(c, KIND_POD, c->ns, VIEW_NONE);
    const struct node *pods =
        client_get(c, arena_printf(&c->arena, "%.*s?labelSelector=%.*s", VIEW_ARGS(path), VIEW_ARGS(query)), ret_exit);
    const struct node *items = pods ? node_get(pods, VIEW("items")) : NULL, *best = NULL;
    for (uint32_t i = 0; node_is(items, NODE_SEQ) && i < items->n; i++) {
        const struct node *pod = items->items[i];
        if (!best || (is_ready(pod) && !node_at(pod, "metadata.deletionTimestamp")))
            best = pod;
    }
    if (best)
        return node_text_at(best, "metadata.name");
    if (*ret_exit == EXIT_OK)
        *ret_exit = cli_fail(c, "%.*s has no pod", VIEW_ARGS(word));
    return VIEW_NONE;
}
