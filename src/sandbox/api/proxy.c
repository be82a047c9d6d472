// SPDX-License-Identifier: Apache-2.0
/* …/pods/<name>:<port>/proxy/<path>: a GET from a port of the pod, asked on 127.0.0.1 inside of it. It is how the CLI
 * reads proxies' admin pages and metrics, and how a person looks at a pod without being in the pod network (api.h).
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "http/conn.h"
#include "mesh/pod.h"
#include "net/conn.h"
#include "net/timer.h"
#include "sandbox/api/api.h"
#include "sandbox/runtime.h"

enum { PROXY_CONN = 1, PROXY_STREAM = 2, PROXY_LATE = 4, PROXY_DEADLINE_S = 10 };

struct proxy_call {
    struct api_stream stream;
    struct task task;
    struct timer deadline;
    struct arena arena;
    struct view target, authority;
    struct http_conn *conn;
    struct http_stream *http;
    struct buf got;
    const char *failed;
    bool over;
};

static void finish(struct proxy_call *p, const char *failed)
{
    p->over = true;
    p->failed = failed;
    if (failed && !p->stream.status)
        p->stream.status = 502;
}

static void start(struct proxy_call *p)
{
    if (http_conn_open(p->conn, &p->task, PROXY_STREAM, &p->http))
        return;
    struct headers h;
    headers_init(&h, &p->arena);
    int err = headers_add(&h, HEADER_METHOD, VIEW("GET"));
    err = err ? err : headers_add(&h, HEADER_SCHEME, VIEW("http"));
    err = err ? err : headers_add(&h, HEADER_PATH, p->target);
    err = err ? err : headers_add(&h, HEADER_AUTHORITY, p->authority);
    err = err ? err : http_stream_headers(p->http, &h, true);
    if (err)
        finish(p, "the request could not be sent");
}

static void receive(struct proxy_call *p)
{
    struct http_stream *s = p->http;
    if ((s->ready & HTTP_HEADERS) && !p->stream.status)
        p->stream.status = headers_status(&s->in);
    struct view v;
    while (http_stream_peek(s, &v)) {
        buf_view(&p->got, v);
        http_stream_consume(s, v.n);
    }
    if (buf_len(&p->got) > LIMIT_CONTROL_SOCKET_BYTES)
        finish(p, "the answer is too large");
    else if (s->ready & HTTP_END)
        finish(p, NULL);
    else if (s->ready & HTTP_RESET)
        finish(p, "the connection ended in the middle");
}

static void proxy_run(struct task *t, uint32_t events)
{
    struct proxy_call *p = CONTAINER_OF(t, struct proxy_call, task);
    if (!p->over && !p->http && (http_conn_ready(p->conn) & HTTP_CONN_CAPACITY))
        start(p);
    if (!p->over && p->http)
        receive(p);
    if (!p->over && !p->http && (http_conn_ready(p->conn) & HTTP_CONN_CLOSED))
        finish(p, "no connection to the pod");
    if (!p->over && (events & PROXY_LATE))
        finish(p, "the pod does not answer");
    if (p->stream.task)
        task_wake(p->stream.task, p->stream.bits);
}

static int proxy_more(struct api_stream *s, struct buf *out)
{
    struct proxy_call *p = CONTAINER_OF(s, struct proxy_call, stream);
    buf_view(out, buf_read(&p->got));
    buf_clear(&p->got);
    if (p->over && p->failed)
        buf_printf(out, "%s\n", p->failed);
    return p->over;
}

static void proxy_free(struct api_stream *s)
{
    struct proxy_call *p = CONTAINER_OF(s, struct proxy_call, stream);
    timer_done(&p->deadline);
    http_stream_free(p->http);
    http_conn_free(p->conn);
    task_done(&p->task);
    buf_done(&p->got);
    arena_done(&p->arena);
    mem_free(p);
}

/* "reviews-v1-abc:15090": name and port. */
static int split(struct view text, struct view *ret_name, uint16_t *ret_port)
{
    size_t colon = view_find(text, ':');
    uint64_t port;
    *ret_name = view_head(text, colon);
    if (view_u64(view_from(text, colon + 1), &port) || !port || port > 65535)
        return -EINVAL;
    *ret_port = (uint16_t)port;
    return 0;
}

static int connect_to(struct api *api, struct proxy_call *p, struct view uid, uint16_t port)
{
    struct conn *conn;
    int fd = -1, err = runtime_pod_connect(api->runtime, uid, port, &fd);
    if (err)
        return err;
    err = conn_adopt(api->loop, fd, &conn);
    if (err) {
        close(fd);
        return err;
    }
    struct http_conn_config config = {.role = HTTP_CLIENT, .version = HTTP_1, .scheme = VIEW("http")};
    p->conn = http_conn_new(api->shared, conn, &config, &p->task, PROXY_CONN);
    return 0;
}

void api_proxy(struct api *api, const struct api_target *t, const struct api_request *req, struct api_response *resp)
{
    struct view name;
    uint16_t port;
    if (t->kind != KIND_POD || split(t->name, &name, &port)) {
        api_fail(resp, 400, "BadRequest", "say which port: pods/NAME:PORT/proxy/PATH");
        return;
    }
    const struct record *r = store_get(api->cluster->store, KIND_POD, t->ns, name);
    if (!r || !api->runtime) {
        api_fail(resp, 404, "NotFound", "pods \"%.*s\" not found", VIEW_ARGS(name));
        return;
    }
    struct proxy_call *p = mem_alloc(sizeof(*p));
    arena_init(&p->arena, 1024);
    p->stream = (struct api_stream){.more = proxy_more, .free = proxy_free, .type = "text/plain", .late_head = true};
    p->target =
        arena_printf(&p->arena, "/%.*s%s%.*s", VIEW_ARGS(t->rest), req->query.n ? "?" : "", VIEW_ARGS(req->query));
    p->authority = arena_printf(&p->arena, "localhost:%u", port);
    task_init(&p->task, api->loop, proxy_run, "api proxy");
    timer_init(&p->deadline, &p->task, PROXY_LATE);
    int err = connect_to(api, p, r->uid, port);
    if (err) {
        proxy_free(&p->stream);
        api_fail(resp, 502, "BadGateway", "no connection to port %u of pod %.*s: %s", port, VIEW_ARGS(name),
                 strerror(-err));
        return;
    }
    timer_in(&p->deadline, PROXY_DEADLINE_S * NS_PER_S);
    resp->stream = &p->stream;
}
