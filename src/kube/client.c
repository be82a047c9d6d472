// SPDX-License-Identifier: Apache-2.0
/* Single calls on objects (client.h): each a small task around one exchange, with a deadline. */
#include "kube/client.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "http/conn.h"
#include "kube/fetch.h"
#include "net/loop.h"
#include "net/timer.h"
#include "wire/node.h"

enum { CALL_FETCH = 1, CALL_LATE = 2, KUBE_CALL_S = 10 };

struct kube_call {
    struct task task;
    struct timer deadline;
    struct fetch fetch;
    struct task *wake;
    struct arena arena; /* of the decoded TokenReview */
    bool done;
    int status;
};

struct kube_client *kube_client_new(struct loop *loop, const struct kube_config *config)
{
    struct kube_client *c = mem_alloc(sizeof(*c));
    struct view agent = config->agent.n ? config->agent : VIEW("weft/" WEFT_VERSION);
    c->loop = loop;
    c->http = http_shared_new(loop);
    c->path = mem_alloc(config->unix_path.n + sizeof("unix:"));
    memcpy(c->path, "unix:", 5);
    memcpy(c->path + 5, config->unix_path.p, config->unix_path.n);
    c->texts = mem_alloc(agent.n + config->token.n + sizeof("Bearer "));
    memcpy(c->texts, agent.p, agent.n);
    c->agent = view_make(c->texts, agent.n);
    if (config->token.n) {
        char *at = c->texts + agent.n;
        memcpy(at, "Bearer ", 7);
        memcpy(at + 7, config->token.p, config->token.n);
        c->token = view_make(at, 7 + config->token.n);
    }
    return c;
}

struct kube_client *kube_client_free(struct kube_client *c)
{
    if (!c)
        return NULL;
    http_shared_free(c->http);
    if (c->token.n)
        explicit_bzero((char *)(uintptr_t)c->token.p, c->token.n);
    mem_free(c->texts);
    mem_free(c->path);
    mem_free(c);
    return NULL;
}

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
    if (c->wake)
        task_wake(c->wake, KUBE_WAKE);
}

static void call_run(struct task *t, uint32_t events)
{
    struct kube_call *c = CONTAINER_OF(t, struct kube_call, task);
    if (c->done)
        return;
    kube_fetch_run(&c->fetch);
    if (c->fetch.over)
        finish(c, c->fetch.error ? c->fetch.error : (int)c->fetch.status);
    else if (events & CALL_LATE)
        finish(c, -ETIMEDOUT);
}

static struct kube_call *start(struct kube_client *client, const char *method, struct view path, struct view type,
                               struct view body, struct task *wake)
{
    struct kube_call *c = mem_alloc(sizeof(*c));
    c->wake = wake;
    arena_init(&c->arena, 1024);
    task_init(&c->task, client->loop, call_run, "kube call");
    timer_init(&c->deadline, &c->task, CALL_LATE);
    timer_in(&c->deadline, KUBE_CALL_S * NS_PER_S);
    kube_fetch_start(&c->fetch, client, method, path, type, body, &c->task, CALL_FETCH);
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
    kube_path(&path, &r->resource, r->ns, r->name, r->subresource);
    if (r->verb == KUBE_APPLY)
        buf_str(&path, "?fieldManager=weft&force=true");
    if (r->query.n)
        buf_printf(&path, "%c%.*s", r->verb == KUBE_APPLY ? '&' : '?', VIEW_ARGS(r->query));
    struct kube_call *c =
        start(client, verbs[r->verb].method, buf_read(&path), view_of(verbs[r->verb].type), r->body, wake);
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
    struct kube_call *c = start(client, "POST", VIEW("/apis/authentication.k8s.io/v1/tokenreviews"),
                                VIEW("application/json"), buf_read(&body), wake);
    if (buf_len(&body))
        explicit_bzero(body.data, body.cap); /* it held the token */
    buf_done(&body);
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
