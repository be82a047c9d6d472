// SPDX-License-Identifier: Apache-2.0
/* gRPC calls: see grpc_call.h. A call is a stream and two buffers: bytes received that are not a whole message yet, and
 * framed messages that the stream had no room for. Every call of the user moves both as far as they go, so that the
 * user's task, woken by the stream, needs to do nothing but recv (and send what it has).
 */
#include "http/grpc_call.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "net/loop.h"
#include "net/task.h"
#include "net/timer.h"

struct grpc_call {
    struct http_stream *stream;
    struct task *task; /* of the user: woken by the deadline */
    struct loop *loop;
    struct timer deadline;
    uint64_t due; /* loop time; 0: none */
    struct buf in, out;
    size_t lent;       /* bytes at the front of `in` that the user was shown by the last recv */
    struct buf detail; /* the status message, decoded */
    enum grpc_status status;
    bool server, done, end_out, ended_out, head_out;
    /* Server: the status that follows what is queued. */
    bool finishing;
    struct buf finish_message;
};

static struct grpc_call *call_new(struct http_stream *s, struct task *task, uint32_t bits)
{
    struct grpc_call *call = (struct grpc_call *)mem_alloc(sizeof(*call));
    call->stream = s;
    call->task = task;
    call->loop = task->loop;
    timer_init(&call->deadline, task, bits);
    http_stream_own(s, task, bits);
    return call;
}

static void set_deadline(struct grpc_call *call, uint64_t at)
{
    call->due = at;
    timer_set(&call->deadline, at);
}

static void finish_with(struct grpc_call *call, enum grpc_status status, struct view message)
{
    if (call->done)
        return;
    call->done = true;
    call->status = status;
    buf_clear(&call->detail);
    buf_view(&call->detail, message);
    timer_clear(&call->deadline);
}

static int add_all(struct headers *h, const struct grpc_call_config *config, struct buf *timeout)
{
    const struct {
        enum header_id id;
        struct view value;
    } all[] = {
        {HEADER_METHOD, VIEW("POST")},
        {HEADER_SCHEME, config->scheme.n ? config->scheme : VIEW("http")},
        {HEADER_PATH, config->path},
        {HEADER_AUTHORITY, config->authority},
        {HEADER_CONTENT_TYPE, VIEW("application/grpc")},
        {HEADER_TE, VIEW("trailers")},
        {HEADER_USER_AGENT, VIEW("weft/" WEFT_VERSION)},
        {HEADER_AUTHORIZATION, config->authorization},
        {HEADER_GRPC_TIMEOUT, buf_read(timeout)},
    };
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        int r = all[i].value.n ? headers_add(h, all[i].id, all[i].value) : 0;
        if (r < 0)
            return r;
    }
    return config->metadata ? headers_append(h, config->metadata) : 0;
}

int grpc_call_start(struct http_conn *conn, const struct grpc_call_config *config, struct task *task, uint32_t bits,
                    struct grpc_call **ret_call)
{
    struct http_stream *s;
    struct headers h;
    struct buf timeout = {0};
    int r = http_conn_open(conn, task, bits, &s);
    if (r < 0)
        return r;
    uint64_t now = loop_now(task->loop);
    if (config->deadline_ns)
        grpc_timeout_print(&timeout, config->deadline_ns > now ? config->deadline_ns - now : 1);
    headers_init(&h, &s->arena);
    r = add_all(&h, config, &timeout);
    if (r == 0)
        r = http_stream_headers(s, &h, false);
    buf_done(&timeout);
    if (r < 0) {
        http_stream_free(s);
        return r;
    }
    struct grpc_call *call = call_new(s, task, bits);
    call->head_out = true;
    if (config->deadline_ns)
        set_deadline(call, config->deadline_ns);
    *ret_call = call;
    return 0;
}

/* An answer without a call: no gRPC, or a broken request. */
static void reject(struct http_stream *s, unsigned status)
{
    struct headers h;
    headers_init(&h, &s->arena);
    if (headers_add(&h, HEADER_STATUS, header_status_text(status)) == 0 && http_stream_headers(s, &h, true) < 0)
        http_stream_reset(s, HTTP_INTERNAL_ERROR);
    http_stream_free(s);
}

struct grpc_call *grpc_call_accept(struct http_stream *s, struct task *task, uint32_t bits)
{
    uint64_t timeout;
    if (!view_is(headers_value(&s->in, HEADER_METHOD), "POST")) {
        reject(s, 405);
        return NULL;
    }
    if (!grpc_content_type(headers_value(&s->in, HEADER_CONTENT_TYPE))) {
        reject(s, 415);
        return NULL;
    }
    struct grpc_call *call = call_new(s, task, bits);
    call->server = true;
    if (headers_has(&s->in, HEADER_GRPC_TIMEOUT) &&
        grpc_timeout_parse(headers_value(&s->in, HEADER_GRPC_TIMEOUT), &timeout) == 0 && timeout < UINT64_MAX / 2)
        set_deadline(call, loop_now(call->loop) + timeout);
    return call;
}

static int send_head(struct grpc_call *call)
{
    struct headers h;
    headers_init(&h, &call->stream->arena);
    int r = headers_add(&h, HEADER_STATUS, VIEW("200"));
    if (r == 0)
        r = headers_add(&h, HEADER_CONTENT_TYPE, VIEW("application/grpc"));
    if (r == 0)
        r = http_stream_headers(call->stream, &h, false);
    call->head_out = r == 0;
    return r;
}

static int add_status(struct headers *h, const struct grpc_call *call, struct buf *number, struct buf *message)
{
    buf_u64(number, call->status);
    int r = headers_add(h, HEADER_GRPC_STATUS, buf_read(number));
    if (r < 0 || buf_len(&call->finish_message) == 0)
        return r;
    grpc_message_encode(message, buf_read(&call->finish_message));
    return headers_add(h, HEADER_GRPC_MESSAGE, buf_read(message));
}

/* Trailers; or the short form, one head with everything, when nothing was sent yet. */
static void send_status(struct grpc_call *call)
{
    struct headers h;
    struct buf number = {0}, message = {0};
    int r = 0;
    headers_init(&h, &call->stream->arena);
    if (!call->head_out) {
        r = headers_add(&h, HEADER_STATUS, VIEW("200"));
        if (r == 0)
            r = headers_add(&h, HEADER_CONTENT_TYPE, VIEW("application/grpc"));
    }
    if (r == 0)
        r = add_status(&h, call, &number, &message);
    if (r == 0)
        r = call->head_out ? http_stream_trailers(call->stream, &h) : http_stream_headers(call->stream, &h, true);
    if (r < 0)
        http_stream_reset(call->stream, HTTP_INTERNAL_ERROR);
    call->ended_out = true;
    buf_done(&number);
    buf_done(&message);
}

/* A call that lives for days is silent for most of them and does not keep the memory of a message. */
static void shrink(struct buf *b)
{
    if (buf_len(b) == 0)
        buf_done(b);
}

/* Sends what waits, as far as the stream takes it. */
static void push(struct grpc_call *call)
{
    if (!call->stream || call->ended_out || (call->stream->ready & HTTP_RESET))
        return;
    if (call->server && !call->head_out && buf_len(&call->out) && send_head(call) < 0)
        return;
    bool end = call->end_out && !call->server;
    if (buf_len(&call->out) || end) {
        ssize_t n = http_stream_data(call->stream, buf_read(&call->out), end);
        if (n < 0)
            return;
        buf_drop(&call->out, (size_t)n);
        shrink(&call->out);
        if (end && buf_len(&call->out) == 0)
            call->ended_out = true;
    }
    if (call->finishing && buf_len(&call->out) == 0)
        send_status(call);
}

int grpc_call_send(struct grpc_call *call, struct view message, bool end)
{
    uint8_t head[GRPC_FRAME_BYTES];
    size_t waiting = buf_len(&call->out);
    if (!call->stream || call->end_out || call->finishing || (call->done && !call->server) ||
        (call->stream->ready & HTTP_RESET))
        return -EPIPE;
    if (message.n > LIMIT_GRPC_MESSAGE_BYTES)
        return -EMSGSIZE;
    if (waiting && waiting + message.n > LIMIT_GRPC_PENDING_BYTES) {
        push(call);
        return -EAGAIN;
    }
    grpc_frame_write(head, (uint32_t)message.n);
    buf_view(&call->out, view_make(head, sizeof(head)));
    buf_view(&call->out, message);
    call->end_out = end && !call->server;
    push(call);
    return 0;
}

int grpc_call_begin(struct grpc_call *call, size_t n)
{
    uint8_t head[GRPC_FRAME_BYTES];

    if (!call->stream || call->end_out || call->finishing || (call->done && !call->server) ||
        (call->stream->ready & HTTP_RESET))
        return -EPIPE;
    if (n > LIMIT_GRPC_MESSAGE_BYTES)
        return -EMSGSIZE;
    if (buf_len(&call->out)) {
        push(call);
        if (buf_len(&call->out))
            return -EAGAIN;
    }
    grpc_frame_write(head, (uint32_t)n);
    buf_view(&call->out, view_make(head, sizeof(head)));
    push(call);
    return 0;
}

ssize_t grpc_call_write(struct grpc_call *call, struct view bytes)
{
    if (!call->stream || (call->stream->ready & HTTP_RESET))
        return -EPIPE;
    push(call);
    return buf_len(&call->out) ? 0 : http_stream_data(call->stream, bytes, false);
}

int grpc_call_end(struct grpc_call *call)
{
    if (!call->stream || (call->stream->ready & HTTP_RESET))
        return -EPIPE;
    call->end_out = true;
    push(call);
    return 0;
}

size_t grpc_call_pending(const struct grpc_call *call)
{
    return buf_len(&call->out);
}

static enum grpc_status status_of_fin(const struct http_stream *s)
{
    if (s->fin == HTTP_FIN_PEER_RESET && s->reset_code == HTTP_CANCEL)
        return GRPC_CANCELLED;
    if (s->fin == HTTP_FIN_PEER_RESET && s->reset_code == HTTP_ENHANCE_YOUR_CALM)
        return GRPC_RESOURCE_EXHAUSTED;
    if (s->fin == HTTP_FIN_PROTOCOL || s->fin == HTTP_FIN_TOO_LARGE)
        return GRPC_INTERNAL;
    return GRPC_UNAVAILABLE;
}

static void take_status(struct grpc_call *call, const struct headers *h)
{
    struct buf text = {0};
    grpc_message_decode(&text, headers_value(h, HEADER_GRPC_MESSAGE));
    finish_with(call, grpc_status_parse(headers_value(h, HEADER_GRPC_STATUS)), buf_read(&text));
    buf_done(&text);
}

/* The other side said all it had to say, or the stream broke. */
static void take_end(struct grpc_call *call)
{
    struct http_stream *s = call->stream;
    if (s->ready & HTTP_RESET) {
        finish_with(call, status_of_fin(s), view_of(s->detail ? s->detail : http_fin_text((enum http_fin)s->fin)));
        return;
    }
    if (call->server || !(s->ready & HTTP_END))
        return;
    const struct headers *from = s->trailers && headers_has(s->trailers, HEADER_GRPC_STATUS) ? s->trailers : &s->in;
    unsigned status = headers_status(&s->in);
    if (headers_has(from, HEADER_GRPC_STATUS))
        take_status(call, from);
    else if (status != 200)
        finish_with(call, grpc_status_of_http(status), VIEW("the answer is HTTP without a gRPC status"));
    else
        finish_with(call, GRPC_INTERNAL, VIEW("the answer ended without a gRPC status"));
}

/* The next message from `in`, else more bytes of the stream. */
static int pull(struct grpc_call *call, struct view *ret_message)
{
    struct view bytes;
    size_t need;
    for (;;) {
        int r = grpc_frame_read(buf_read(&call->in), LIMIT_GRPC_MESSAGE_BYTES, ret_message, &need);
        if (r == 0)
            call->lent = need;
        if (r != -EAGAIN)
            return r;
        if (!call->stream || !http_stream_peek(call->stream, &bytes))
            return -EAGAIN;
        buf_view(&call->in, bytes);
        http_stream_consume(call->stream, bytes.n);
    }
}

static int broken_frame(struct grpc_call *call, int error)
{
    enum grpc_status status = error == -EMSGSIZE     ? GRPC_RESOURCE_EXHAUSTED
                              : error == -EOPNOTSUPP ? GRPC_UNIMPLEMENTED
                                                     : GRPC_INTERNAL;
    struct view text = error == -EMSGSIZE     ? VIEW("message larger than the limit")
                       : error == -EOPNOTSUPP ? VIEW("compressed messages are not supported")
                                              : VIEW("malformed message frame");
    if (call->server)
        grpc_call_finish(call, status, text);
    else
        http_stream_reset(call->stream, HTTP_CANCEL);
    finish_with(call, status, text);
    return -ENODATA;
}

int grpc_call_recv(struct grpc_call *call, struct view *ret_message)
{
    if (call->lent) {
        buf_drop(&call->in, call->lent);
        shrink(&call->in);
        call->lent = 0;
    }
    if (call->done && !call->server)
        return -ENODATA;
    push(call);
    if (call->done)
        return -ENODATA;
    if (call->due && loop_now(call->loop) >= call->due && !call->finishing) {
        if (call->server)
            grpc_call_finish(call, GRPC_DEADLINE_EXCEEDED, VIEW_NONE);
        else
            http_stream_reset(call->stream, HTTP_CANCEL);
        finish_with(call, GRPC_DEADLINE_EXCEEDED, VIEW("deadline exceeded"));
        return -ENODATA;
    }
    bool answered = call->server || (call->stream->ready & HTTP_HEADERS);
    int r = answered ? pull(call, ret_message) : -EAGAIN;
    if (r == 0)
        return 0;
    if (r != -EAGAIN)
        return broken_frame(call, r);
    take_end(call);
    if (call->done || (call->server && (call->stream->ready & HTTP_END)))
        return -ENODATA;
    return -EAGAIN;
}

void grpc_call_finish(struct grpc_call *call, enum grpc_status status, struct view message)
{
    if (!call->server || call->finishing)
        return;
    call->finishing = true;
    call->status = status;
    buf_view(&call->finish_message, message);
    timer_clear(&call->deadline);
    push(call);
}

enum grpc_status grpc_call_status(const struct grpc_call *call)
{
    return call->status;
}

struct view grpc_call_message(const struct grpc_call *call)
{
    return buf_read(call->server ? &call->finish_message : &call->detail);
}

struct http_stream *grpc_call_stream(struct grpc_call *call)
{
    return call->stream;
}

bool grpc_call_done(const struct grpc_call *call)
{
    if (call->server)
        return call->ended_out || (call->stream->ready & HTTP_RESET) != 0;
    return call->done;
}

struct grpc_call *grpc_call_free(struct grpc_call *call)
{
    if (!call)
        return NULL;
    http_stream_free(call->stream);
    timer_done(&call->deadline);
    buf_done(&call->in);
    buf_done(&call->out);
    buf_done(&call->detail);
    buf_done(&call->finish_message);
    mem_free(call);
    return NULL;
}
