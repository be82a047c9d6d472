// SPDX-License-Identifier: Apache-2.0
/* Sending and receiving on a stream that link.c gives (fetch.h). */
#include "kube/fetch.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "http/conn.h"
#include "net/conn.h"

static void fail(struct fetch *f, int err)
{
    f->over = true;
    f->error = err;
}

void kube_fetch_start(struct fetch *f, struct kube_client *client, const struct fetch_request *r, struct task *task,
                      uint32_t bits)
{
    kube_fetch_done(f);
    *f = (struct fetch){.client = client,
                        .task = task,
                        .bits = bits,
                        .method = r->method,
                        .content_type = r->content_type,
                        .active = true};
    f->accept = r->metadata_only ? "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1, application/json"
                                 : "application/json";
    list_init(&f->wait);
    f->path = mem_alloc(client->prefix.n + r->path.n + 1);
    if (client->prefix.n)
        memcpy(f->path, client->prefix.p, client->prefix.n);
    memcpy(f->path + client->prefix.n, r->path.p, r->path.n);
    buf_view(&f->out, r->body);
    task_wake(task, bits);
}

static int add_headers(struct fetch *f, struct headers *h, struct view authorization, struct buf *number)
{
    int err = headers_add(h, HEADER_METHOD, view_of(f->method));
    err = err ? err : headers_add(h, HEADER_SCHEME, f->client->scheme);
    err = err ? err : headers_add(h, HEADER_PATH, view_of(f->path));
    err = err ? err : headers_add(h, HEADER_AUTHORITY, f->client->authority);
    err = err ? err : headers_add(h, HEADER_USER_AGENT, f->client->config.agent);
    err = err ? err : headers_add(h, HEADER_ACCEPT, view_of(f->accept));
    if (authorization.n)
        err = err ? err : headers_add(h, HEADER_AUTHORIZATION, authorization);
    if (buf_len(&f->out)) {
        buf_u64(number, buf_len(&f->out));
        err = err ? err : headers_add(h, HEADER_CONTENT_TYPE, f->content_type);
        err = err ? err : headers_add(h, HEADER_CONTENT_LENGTH, buf_read(number));
    }
    return err;
}

static void send_head(struct fetch *f)
{
    struct view authorization;
    int err = credential_header(f->client, &authorization);
    if (err == -EAGAIN && list_empty(&f->wait))
        list_push(&f->client->waiting, &f->wait);
    if (!err)
        err = kube_link_stream(f);
    if (err == -EAGAIN)
        return;
    if (err) {
        fail(f, err);
        return;
    }
    struct headers h;
    struct buf number = {0};
    f->generation = f->client->credential.generation;
    headers_init(&h, &f->stream->arena);
    err = add_headers(f, &h, authorization, &number);
    if (!err)
        err = http_stream_headers(f->stream, &h, buf_len(&f->out) == 0);
    buf_done(&number);
    f->sent = buf_len(&f->out) == 0;
    if (err)
        fail(f, err);
}

static void send_body(struct fetch *f)
{
    ssize_t n = http_stream_data(f->stream, view_from(buf_read(&f->out), f->out_at), true);
    if (n == -EPIPE)
        return; /* answered or reset before all was read: receive() finds out which */
    if (n < 0) {
        fail(f, (int)n);
        return;
    }
    f->out_at += (size_t)n;
    f->sent = f->out_at == buf_len(&f->out);
}

static void head_came(struct fetch *f)
{
    uint64_t seconds;
    f->status = headers_status(&f->stream->in);
    if (!view_u64(headers_value(&f->stream->in, HEADER_RETRY_AFTER), &seconds) && seconds < 3600)
        f->retry_after_s = (unsigned)seconds;
}

static void try_again(struct fetch *f)
{
    f->stream = http_stream_free(f->stream);
    kube_link_forget(f);
    buf_clear(&f->body);
    f->out_at = f->status = 0;
    f->sent = false;
    f->again = true;
    task_wake(f->task, f->bits);
}

/* Nothing came, and nothing can have happened: the connection had died while nobody used it. */
static bool may_repeat(const struct fetch *f)
{
    return !f->status && !f->again && (strcmp(f->method, "GET") == 0 || f->stream->reset_code == HTTP_REFUSED_STREAM);
}

static void receive(struct fetch *f)
{
    struct http_stream *s = f->stream;
    struct view v;
    if ((s->ready & HTTP_HEADERS) && !f->status)
        head_came(f);
    if (f->status == 401 && !f->again && credential_refused(f->client, f->generation)) {
        try_again(f);
        return;
    }
    while (!f->hold && http_stream_peek(s, &v)) {
        buf_view(&f->body, v);
        http_stream_consume(s, v.n);
        if (buf_len(&f->body) > LIMIT_KUBE_ANSWER_BYTES) {
            fail(f, -EMSGSIZE);
            return;
        }
    }
    if (s->ready & HTTP_END)
        f->over = true;
    else if ((s->ready & HTTP_RESET) && may_repeat(f))
        try_again(f);
    else if (s->ready & HTTP_RESET)
        fail(f, -ECONNRESET);
}

void kube_fetch_parameter(struct buf *path, char *mark, const char *name, struct view value)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    if (!value.n)
        return;
    buf_printf(path, "%c%s=", *mark, name);
    *mark = '&';
    for (size_t i = 0; i < value.n; i++)
        if (memchr(plain, value.p[i], sizeof(plain) - 1))
            buf_char(path, value.p[i]);
        else
            buf_printf(path, "%%%02X", (unsigned char)value.p[i]);
}

void kube_fetch_run(struct fetch *f)
{
    if (!f->active || f->over)
        return;
    if (!f->stream)
        send_head(f);
    if (!f->over && f->stream && !f->sent)
        send_body(f);
    if (!f->over && f->stream)
        receive(f);
}

void kube_fetch_done(struct fetch *f)
{
    if (!f->active)
        return;
    f->stream = http_stream_free(f->stream);
    kube_link_forget(f);
    buf_wipe(&f->out);
    buf_wipe(&f->body);
    mem_free(f->path);
    *f = (struct fetch){0};
}
