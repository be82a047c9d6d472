// SPDX-License-Identifier: Apache-2.0
/* Single calls on objects (client.h): each a small task around one exchange, with a deadline. */
#include "kube/client.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "http/conn.h"
#include "kube/exec.h"
#include "kube/fetch.h"
#include "net/loop.h"
#include "net/timer.h"
#include "wire/node.h"
#include "wire/uri.h"

enum { CALL_FETCH = 1, CALL_LATE = 2, KUBE_CALL_S = 10 };

struct kube_call {
    struct task task;
    struct timer deadline;
    struct fetch fetch;
    struct task *wake;
    struct arena arena; /* of what was decoded */
    struct view why;
    bool done;
    int status;
};

/* ---- the client ---- */

static void copy_config(struct kube_client *c, const struct kube_config *g)
{
    struct kube_config *o = &c->config;
    const struct {
        struct view from, *to;
    } texts[] = {
        {g->unix_path, &o->unix_path}, {g->server, &o->server},         {g->ca_pem, &o->ca_pem},
        {g->ca_file, &o->ca_file},     {g->cert_pem, &o->cert_pem},     {g->cert_file, &o->cert_file},
        {g->key_pem, &o->key_pem},     {g->key_file, &o->key_file},     {g->server_name, &o->server_name},
        {g->token, &o->token},         {g->token_file, &o->token_file},
    };
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        *texts[i].to = arena_view(&c->texts, texts[i].from);
    o->agent = g->agent.n ? arena_view(&c->texts, g->agent) : VIEW("weft/" WEFT_VERSION);
    o->insecure = g->insecure;
    o->exec = g->exec ? kube_exec_copy(&c->texts, g->exec) : NULL;
}

/* https://host:port/prefix into its parts. */
static void take_server(struct kube_client *c)
{
    struct view path;

    if (uri_absolute_split(c->config.server, &c->scheme, &c->authority, &path) || !c->authority.n) {
        c->bad = "the server is not a URL like https://host:443";
        return;
    }
    c->tls = view_is(c->scheme, "https");
    while (view_ends(path, VIEW("/")))
        path.n--;
    c->prefix = path;
    uri_authority_split(c->authority, &c->host, &c->port);
    c->port = c->port ? c->port : c->tls ? 443 : 80;
    if (addr_parse_ip(c->host, c->port, &c->to))
        c->to = (struct addr){0};
    struct view name = c->config.server_name.n ? c->config.server_name : c->host;
    struct addr ip;
    char text[ADDR_TEXT];
    bool literal = !addr_parse_ip(name, 0, &ip);
    c->san.kind = literal ? TLS_SAN_ANY : TLS_SAN_DNS;
    c->san.text = literal ? arena_view(&c->texts, addr_print_ip(&ip, text)) : name; /* as certificates are printed */
}

struct kube_client *kube_client_new(struct loop *loop, const struct kube_config *config)
{
    struct kube_client *c = mem_alloc(sizeof(*c));
    c->loop = loop;
    c->http = http_shared_new(loop);
    arena_init(&c->texts, 1024);
    list_init(&c->links);
    list_init(&c->waiting);
    list_init(&c->pausing);
    copy_config(c, config);
    c->scheme = VIEW("http");
    c->authority = VIEW("kubernetes.default.svc");
    if (c->config.unix_path.n) {
        struct view path = arena_printf(&c->texts, "unix:%.*s", VIEW_ARGS(c->config.unix_path));
        c->h1 = true;
        if (addr_parse(path, &c->to))
            c->bad = "the path of the Unix socket is too long";
    } else {
        take_server(c);
    }
    if (c->bad)
        snprintf(c->why, sizeof(c->why), "%s", c->bad);
    return c;
}

bool kube_client_local(const struct kube_client *c)
{
    return c->config.unix_path.n > 0;
}

static void wipe(struct view v)
{
    if (v.n)
        explicit_bzero((char *)(uintptr_t)v.p, v.n);
}

struct kube_client *kube_client_free(struct kube_client *c)
{
    if (!c)
        return NULL;
    kube_link_close(c);
    credential_done(c);
    http_shared_free(c->http);
    wipe(c->config.token);
    wipe(c->config.key_pem);
    arena_done(&c->texts);
    mem_free(c);
    return NULL;
}

/* ---- calls ---- */

void kube_path(struct buf *out, const struct kube_resource *r, struct view ns, struct view name,
               struct view subresource)
{
    if (r->group.n)
        buf_printf(out, "/apis/%.*s/%.*s", VIEW_ARGS(r->group), VIEW_ARGS(r->version));
    else
        buf_printf(out, "/api/%.*s", VIEW_ARGS(r->version));
    if (r->namespaced && ns.n)
        buf_printf(out, "/namespaces/%.*s", VIEW_ARGS(ns));
    buf_printf(out, "/%.*s", VIEW_ARGS(r->plural));
    if (name.n)
        buf_printf(out, "/%.*s", VIEW_ARGS(name));
    if (subresource.n)
        buf_printf(out, "/%.*s", VIEW_ARGS(subresource));
}

static void finish(struct kube_call *c, int status)
{
    c->done = true;
    c->status = status;
    timer_clear(&c->deadline);
    if (status < 0)
        c->why =
            arena_view(&c->arena, c->fetch.client->why[0] ? view_of(c->fetch.client->why) : view_of(strerror(-status)));
    if (c->wake)
        task_wake(c->wake, KUBE_WAKE);
}

static void call_run(struct task *t, uint32_t events)
{
    struct kube_call *c = CONTAINER_OF(t, struct kube_call, task);
    if (c->done)
        return;
    kube_fetch_run(&c->fetch);
    if (c->fetch.over) {
        finish(c, c->fetch.error ? c->fetch.error : (int)c->fetch.status);
    } else if (events & CALL_LATE) {
        kube_link_silent(&c->fetch);
        finish(c, -ETIMEDOUT);
    }
}

static struct kube_call *start(struct kube_client *client, const struct fetch_request *r, uint64_t timeout,
                               struct task *wake)
{
    struct kube_call *c = mem_alloc(sizeof(*c));
    c->wake = wake;
    arena_init(&c->arena, 1024);
    task_init(&c->task, client->loop, call_run, "kube call");
    timer_init(&c->deadline, &c->task, CALL_LATE);
    timer_in(&c->deadline, timeout ? timeout : KUBE_CALL_S * NS_PER_S);
    kube_fetch_start(&c->fetch, client, r, &c->task, CALL_FETCH);
    return c;
}

struct kube_call *kube_call_new(struct kube_client *client, const struct kube_request *r, struct task *wake)
{
    static const struct {
        const char *method, *type;
    } verbs[] = {
        [KUBE_GET] = {"GET", ""},
        [KUBE_CREATE] = {"POST", "application/json"},
        [KUBE_UPDATE] = {"PUT", "application/json"},
        [KUBE_PATCH] = {"PATCH", "application/merge-patch+json"},
        [KUBE_DELETE] = {"DELETE", "application/json"},
        [KUBE_APPLY] = {"PATCH", "application/apply-patch+yaml"},
        [KUBE_JSON_PATCH] = {"PATCH", "application/json-patch+json"},
    };
    struct buf path = {0};
    if (r->path.n)
        buf_view(&path, r->path);
    else
        kube_path(&path, &r->resource, r->ns, r->name, r->subresource);
    if (r->verb == KUBE_APPLY)
        buf_str(&path, "?fieldManager=weft&force=true");
    if (r->query.n)
        buf_printf(&path, "%c%.*s", r->verb == KUBE_APPLY ? '&' : '?', VIEW_ARGS(r->query));
    struct fetch_request f = {.method = verbs[r->verb].method,
                              .path = buf_read(&path),
                              .content_type = view_of(verbs[r->verb].type),
                              .body = r->body,
                              .metadata_only = r->metadata_only};
    struct kube_call *c = start(client, &f, r->timeout, wake);
    buf_done(&path);
    return c;
}

bool kube_call_done(const struct kube_call *c)
{
    return c->done;
}

int kube_call_status(const struct kube_call *c)
{
    return c->status;
}

struct view kube_call_body(const struct kube_call *c)
{
    return buf_read(&c->fetch.body);
}

struct view kube_call_why(struct kube_call *c)
{
    if (c->done && c->status >= 400 && !c->why.n) {
        struct node *n;
        if (!node_parse(&c->arena, kube_call_body(c), &n, NULL) && node_is(n, NODE_MAP))
            c->why = node_text_at(n, "message");
        if (!c->why.n)
            c->why = arena_printf(&c->arena, "HTTP status %d", c->status);
    }
    return c->why;
}

int kube_call_wait(struct kube_call *c)
{
    while (!c->done)
        loop_turn(c->task.loop, true);
    return c->status;
}

struct kube_call *kube_call_free(struct kube_call *c)
{
    if (!c)
        return NULL;
    kube_fetch_done(&c->fetch);
    timer_done(&c->deadline);
    task_done(&c->task);
    arena_done(&c->arena);
    mem_free(c);
    return NULL;
}

struct kube_call *kube_token_review(struct kube_client *client, struct view token, struct view audience,
                                    struct task *wake)
{
    struct buf body = {0};
    buf_str(&body, "{\"apiVersion\":\"authentication.k8s.io/v1\",\"kind\":\"TokenReview\",\"spec\":{\"token\":");
    buf_json_str(&body, token);
    buf_str(&body, ",\"audiences\":[");
    buf_json_str(&body, audience);
    buf_str(&body, "]}}");
    struct fetch_request r = {.method = "POST",
                              .path = VIEW("/apis/authentication.k8s.io/v1/tokenreviews"),
                              .content_type = VIEW("application/json"),
                              .body = buf_read(&body)};
    struct kube_call *c = start(client, &r, 0, wake);
    buf_wipe(&body); /* it held the token */
    return c;
}

int kube_token_review_result(struct kube_call *c, struct kube_identity *ret)
{
    struct node *n;
    if (!c->done || (c->status != 200 && c->status != 201))
        return c->status < 0 ? c->status : -EPROTO;
    if (node_parse(&c->arena, kube_call_body(c), &n, NULL) || !node_is(n, NODE_MAP))
        return -EPROTO;
    const struct node *status = node_get(n, VIEW("status"));
    *ret = (struct kube_identity){.authenticated = node_bool(node_get(status, VIEW("authenticated")), false)};
    ret->error = node_text_at(status, "error");
    if (!ret->authenticated)
        return 0;
    ret->username = node_text_at(status, "user.username");
    struct view rest = ret->username, prefix = VIEW("system:serviceaccount:");
    if (!view_starts(rest, prefix))
        return ret->username.n ? 0 : -EPROTO;
    rest = view_from(rest, prefix.n);
    size_t colon = view_find(rest, ':');
    ret->ns = view_head(rest, colon);
    ret->service_account = view_from(rest, colon + 1);
    return ret->ns.n && ret->service_account.n ? 0 : -EPROTO;
}
