// SPDX-License-Identifier: Apache-2.0
/* HTTP/2 on libnghttp2: see h2.h. This file owns the session and its options, turns nghttp2's callbacks into our handlers,
 * and keeps the budgets. Building and checking header blocks is in h2_headers.c.
 *
 * Choices, measured in instructions per hop: memory from free lists, header bytes not copied by nghttp2 (they are encoded
 * before the call that sends them returns), values that differ in each request not indexed, no closed streams kept, no
 * RFC 7540 priorities. Windows open only when an owner has consumed bytes: that is the back-pressure.
 */
#include "wire/h2.h"

#include <errno.h>

#include "base/limits.h"
#include "wire/h2_headers.h"
#include "wire/h2_memory.h"
#include "wire/h2_session.h"

static int spend(struct h2 *h, enum h2_cost cost)
{
    if (h2_budget_spend(&h->budget, cost, h->now))
        return 0;
    h->flood = true;
    h->detail = cost == H2_COST_RESET ? "h2.reset_flood" : "h2.control_flood";
    return NGHTTP2_ERR_CALLBACK_FAILURE;
}

static void *stream_of(struct h2 *h, int32_t id)
{
    return id ? nghttp2_session_get_stream_user_data(h->session, id) : NULL;
}

/* RST_STREAM for a message that breaks a rule; `closed` follows with the detail. */
static int refuse_stream(struct h2 *h, int32_t id, uint32_t code, const char *detail)
{
    h->reset_id = id;
    h->reset_detail = detail;
    nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, id, code);
    return spend(h, H2_COST_RESET);
}

static enum h2_block block_of(const nghttp2_frame *frame)
{
    switch (frame->headers.cat) {
    case NGHTTP2_HCAT_REQUEST:
        return H2_REQUEST;
    case NGHTTP2_HCAT_RESPONSE:
    case NGHTTP2_HCAT_PUSH_RESPONSE:
        return H2_RESPONSE;
    case NGHTTP2_HCAT_HEADERS:
        break;
    }
    return H2_TRAILERS; /* or the head after a 1xx: block_end finds :status */
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct h2 *h = (struct h2 *)arg;
    void *stream;
    h->block = NULL;
    if (frame->hd.type != NGHTTP2_HEADERS)
        return 0;
    enum h2_block kind = block_of(frame);
    if (kind == H2_REQUEST) {
        stream = h->handler->stream_new(h->arg, frame->hd.stream_id);
        if (!stream)
            return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
        nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, stream);
    } else {
        stream = stream_of(h, frame->hd.stream_id);
    }
    if (stream)
        h->block = h->handler->block_begin(h->arg, stream, kind);
    h->block_decoded = 0;
    h->block_bad = NULL;
    return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_n,
                     const uint8_t *value, size_t value_n, uint8_t flags, void *arg)
{
    struct h2 *h = (struct h2 *)arg;
    if (!h->block || h->block_bad)
        return 0;
    h->block_decoded += name_n + value_n + 32;
    if (h->block_decoded > LIMIT_HTTP_HEADER_BYTES || h->block->n >= LIMIT_HTTP_HEADER_COUNT + 6)
        h->block_bad = "h2.headers_too_large";
    else if (h2_block_add(h->block, (struct view){(const char *)name, name_n},
                          (struct view){(const char *)value, value_n}) < 0)
        h->block_bad = "h2.headers_too_many";
    return 0;
}

static int block_complete(struct h2 *h, const nghttp2_frame *frame)
{
    int32_t id = frame->hd.stream_id;
    void *stream = stream_of(h, id);
    struct headers *block = h->block;
    enum h2_block kind = block_of(frame);
    bool end = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    h->block = NULL;
    if (!stream || !block)
        return 0;
    if (kind != H2_REQUEST && headers_has(block, HEADER_STATUS))
        kind = headers_status(block) / 100 == 1 ? H2_INFORMATIONAL : H2_RESPONSE;
    if (!h->block_bad)
        h->block_bad = h2_block_check(block, kind);
    if (h->block_bad)
        return refuse_stream(h, id, NGHTTP2_PROTOCOL_ERROR, h->block_bad);
    h->handler->block_end(h->arg, stream, kind, end, frame->hd.length + 9);
    if (end && (stream = stream_of(h, id)))
        h->handler->end(h->arg, stream);
    return 0;
}

static int window_update(struct h2 *h, int32_t id)
{
    int r = spend(h, H2_COST_WINDOW);
    if (r)
        return r;
    if (id) {
        void *stream = stream_of(h, id);
        if (stream)
            h->handler->writable(h->arg, stream);
    } else {
        h->handler->writable(h->arg, NULL);
    }
    return 0;
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct h2 *h = (struct h2 *)arg;
    void *stream;
    switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
        return block_complete(h, frame);
    case NGHTTP2_DATA:
        if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) {
            if ((stream = stream_of(h, frame->hd.stream_id)))
                h->handler->end(h->arg, stream);
        } else if (frame->hd.length == 0) {
            return spend(h, H2_COST_CONTROL);
        }
        return 0;
    case NGHTTP2_RST_STREAM:
        h->peer_reset_id = frame->hd.stream_id;
        return spend(h, H2_COST_RESET);
    case NGHTTP2_SETTINGS:
        if (frame->hd.flags & NGHTTP2_FLAG_ACK)
            return 0;
        h->settings_seen = true;
        h->handler->settings(h->arg);
        h->handler->writable(h->arg, NULL);
        return spend(h, H2_COST_CONTROL);
    case NGHTTP2_PING:
        if (frame->hd.flags & NGHTTP2_FLAG_ACK) {
            h->handler->ping_ack(h->arg);
            return 0;
        }
        return spend(h, H2_COST_CONTROL);
    case NGHTTP2_GOAWAY:
        h->handler->goaway(h->arg, frame->goaway.error_code);
        return spend(h, H2_COST_CONTROL);
    case NGHTTP2_WINDOW_UPDATE:
        return window_update(h, frame->hd.stream_id);
    case NGHTTP2_PRIORITY:
        return spend(h, H2_COST_CONTROL);
    }
    return 0;
}

static int on_invalid_frame(nghttp2_session *session, const nghttp2_frame *frame, int error, void *arg)
{
    struct h2 *h = (struct h2 *)arg;
    h->reset_id = frame->hd.stream_id;
    h->reset_detail = error == NGHTTP2_ERR_HTTP_MESSAGING ? "h2.message_malformed"
                      : error == NGHTTP2_ERR_HTTP_HEADER  ? "h2.header_invalid"
                      : error == NGHTTP2_ERR_FLOW_CONTROL ? "h2.flow_control"
                                                          : "h2.frame_invalid";
    return spend(h, H2_COST_RESET);
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes, size_t n, void *arg)
{
    struct h2 *h = (struct h2 *)arg;
    void *stream = stream_of(h, id);
    if (stream)
        h->handler->data(h->arg, stream, (struct view){(const char *)bytes, n});
    else
        h2_consumed(h, id, n); /* nobody reads it any more: the connection's window must not shrink for that */
    return 0;
}

static int on_close(nghttp2_session *session, int32_t id, uint32_t code, void *arg)
{
    struct h2 *h = (struct h2 *)arg;
    void *stream = stream_of(h, id);
    bool ours = h->reset_id == id;
    /* REFUSED_STREAM without RST_STREAM: nghttp2 closes what a GOAWAY says was not processed */
    bool by_peer = h->peer_reset_id == id || (!ours && code == NGHTTP2_REFUSED_STREAM);
    if (stream)
        h->handler->closed(h->arg, stream, code, by_peer, ours ? h->reset_detail : NULL);
    return 0;
}

static int on_frame_sent(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct h2 *h = (struct h2 *)arg;
    if (frame->hd.type == NGHTTP2_DATA)
        h2_budget_data_sent(&h->budget);
    return 0;
}

/* Body bytes that h2_data() offers. */
static ssize_t read_body(nghttp2_session *session, int32_t id, uint8_t *to, size_t room, uint32_t *flags,
                         nghttp2_data_source *source, void *arg)
{
    struct h2 *h = (struct h2 *)arg;
    if (id != h->offer_id || (h->offer.n == 0 && !h->offer_end))
        return NGHTTP2_ERR_DEFERRED;
    size_t n = h->offer.n < room ? h->offer.n : room;
    if (n)
        memcpy(to, h->offer.p, n);
    h->offer = view_from(h->offer, n);
    if (h->offer.n == 0 && h->offer_end) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        h->offer_end = false;
        h->offer_end_sent = true;
    }
    return (ssize_t)n;
}

static ssize_t body_room(nghttp2_session *session, uint8_t type, int32_t id, int32_t session_window,
                         int32_t stream_window, uint32_t max_frame, void *arg)
{
    struct h2 *h = (struct h2 *)arg;
    size_t most = (size_t)(session_window < stream_window ? session_window : stream_window);
    if (most > max_frame)
        most = max_frame;
    if (most > h->max_data)
        most = h->max_data;
    return (ssize_t)(most < h->room ? most : h->room);
}

static nghttp2_session_callbacks *callbacks_new(void)
{
    nghttp2_session_callbacks *cb;
    must(nghttp2_session_callbacks_new(&cb) == 0);
    nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame_recv);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(cb, on_invalid_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_close);
    nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_frame_sent);
    nghttp2_session_callbacks_set_data_source_read_length_callback(cb, body_room);
    return cb;
}

static nghttp2_option *options_new(void)
{
    nghttp2_option *o;
    must(nghttp2_option_new(&o) == 0);
    nghttp2_option_set_no_auto_window_update(o, 1);
    nghttp2_option_set_no_closed_streams(o, 1);
    nghttp2_option_set_max_settings(o, 32);
    nghttp2_option_set_max_outbound_ack(o, LIMIT_H2_CONTROL_PER_S);
    nghttp2_option_set_max_continuations(o, LIMIT_H2_CONTINUATIONS);
    nghttp2_option_set_stream_reset_rate_limit(o, LIMIT_H2_RESETS_PER_S * 10,
                                               LIMIT_H2_RESETS_PER_S * 10); /* ours is first */
    nghttp2_option_set_max_send_header_block_length(o, 2 * LIMIT_HTTP_HEADER_BYTES);
    return o;
}

static void send_settings(struct h2 *h, const struct h2_config *config)
{
    nghttp2_settings_entry all[] = {
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, LIMIT_H2_WINDOW_BYTES},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, LIMIT_HTTP_HEADER_BYTES},
        {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, config->max_streams ? config->max_streams : LIMIT_H2_STREAMS},
        {NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1},
    };
    nghttp2_settings_entry client[] = {all[0], all[1], all[2], {NGHTTP2_SETTINGS_ENABLE_PUSH, 0}};
    if (config->server)
        must(nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, all, COUNT_OF(all)) == 0);
    else
        must(nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, client, COUNT_OF(client)) == 0);
    must(nghttp2_session_set_local_window_size(h->session, NGHTTP2_FLAG_NONE, 0, LIMIT_H2_CONN_WINDOW_BYTES) == 0);
}

struct h2 *h2_new(struct h2_memory *memory, const struct h2_config *config, const struct h2_handler *handler, void *arg)
{
    nghttp2_mem *hooks = h2_memory_hooks(memory);
    struct h2 *h = (struct h2 *)hooks->calloc(1, sizeof(*h), hooks->mem_user_data);
    nghttp2_session_callbacks *cb = callbacks_new();
    nghttp2_option *option = options_new();
    h->hooks = hooks;
    h->handler = handler;
    h->arg = arg;
    h->room = SIZE_MAX;
    h->max_data = config->max_data ? config->max_data : SIZE_MAX;
    h->server = config->server;
    h2_budget_init(&h->budget, 0);
    if (config->server)
        must(nghttp2_session_server_new3(&h->session, cb, h, option, hooks) == 0);
    else
        must(nghttp2_session_client_new3(&h->session, cb, h, option, hooks) == 0);
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(cb);
    send_settings(h, config);
    return h;
}

void h2_free(struct h2 *h)
{
    if (!h)
        return;
    nghttp2_session_del(h->session);
    h->hooks->free(h, h->hooks->mem_user_data);
}

int h2_recv(struct h2 *h, struct view bytes, uint64_t now)
{
    h->now = now;
    ssize_t n = nghttp2_session_mem_recv(h->session, (const uint8_t *)bytes.p, bytes.n);
    if (n == (ssize_t)bytes.n)
        return 0;
    if (n == NGHTTP2_ERR_FLOODED) {
        h->flood = true;
        h->detail = "h2.flood";
    } else if (n == NGHTTP2_ERR_BAD_CLIENT_MAGIC) {
        h->detail = "h2.preface_invalid";
    } else if (!h->detail) {
        h->detail = "h2.protocol_error";
    }
    nghttp2_session_terminate_session(h->session, h->flood ? NGHTTP2_ENHANCE_YOUR_CALM : NGHTTP2_PROTOCOL_ERROR);
    return -EBADMSG;
}

const char *h2_detail(const struct h2 *h)
{
    return h->detail ? h->detail : h->reset_detail;
}

bool h2_flood(const struct h2 *h)
{
    return h->flood;
}

struct view h2_send(struct h2 *h, bool control_only)
{
    const uint8_t *bytes;
    if (control_only && nghttp2_session_get_outbound_queue_size(h->session) == 0)
        return VIEW_NONE;
    ssize_t n = nghttp2_session_mem_send(h->session, &bytes);
    return n > 0 ? (struct view){(const char *)bytes, (size_t)n} : VIEW_NONE;
}

bool h2_wants_send(const struct h2 *h)
{
    return nghttp2_session_want_write(h->session);
}

bool h2_finished(const struct h2 *h)
{
    return !nghttp2_session_want_read(h->session) && !nghttp2_session_want_write(h->session);
}

int h2_request(struct h2 *h, void *stream, const struct headers *headers, bool end, struct arena *scratch,
               int32_t *ret_id)
{
    nghttp2_nv nv[HEADERS_MOST];
    ssize_t n = h2_block_make(headers, nv, scratch, H2_REQUEST);
    if (n < 0)
        return (int)n;
    int32_t id = nghttp2_submit_headers(h->session, end ? NGHTTP2_FLAG_END_STREAM : NGHTTP2_FLAG_NONE, -1, NULL, nv,
                                        (size_t)n, stream);
    if (id < 0)
        return id == NGHTTP2_ERR_STREAM_ID_NOT_AVAILABLE ? -EPIPE : -EINVAL;
    *ret_id = id;
    return 0;
}

int h2_headers(struct h2 *h, int32_t id, const struct headers *headers, bool end, struct arena *scratch)
{
    nghttp2_nv nv[HEADERS_MOST];
    ssize_t n = h2_block_make(headers, nv, scratch, headers_has(headers, HEADER_STATUS) ? H2_RESPONSE : H2_TRAILERS);
    if (n < 0)
        return (int)n;
    int r = nghttp2_submit_headers(h->session, end ? NGHTTP2_FLAG_END_STREAM : NGHTTP2_FLAG_NONE, id, NULL, nv,
                                   (size_t)n, NULL);
    return r < 0 ? -EINVAL : 0;
}

int h2_data(struct h2 *h, int32_t id, struct view bytes, bool end)
{
    static const nghttp2_data_provider provider = {.read_callback = read_body};
    h->offer_id = id;
    h->offer = bytes;
    h->offer_end = end;
    h->offer_end_sent = false;
    /* The first offer makes the stream's source, later ones wake it; it may also still wait for a window. */
    if (nghttp2_session_resume_data(h->session, id) == 0)
        return 0;
    int r = nghttp2_submit_data(h->session, NGHTTP2_FLAG_END_STREAM, id, &provider);
    return r == 0 || r == NGHTTP2_ERR_DATA_EXIST ? 0 : -EPIPE;
}

void h2_data_room(struct h2 *h, size_t room)
{
    h->room = room;
}

size_t h2_data_left(struct h2 *h, bool *ret_end_sent)
{
    size_t left = h->offer.n;
    *ret_end_sent = h->offer_end_sent;
    h->offer = VIEW_NONE;
    h->offer_end = false;
    h->offer_id = 0;
    return left;
}

void h2_consumed(struct h2 *h, int32_t id, size_t n)
{
    nghttp2_session_consume(h->session, id, n);
}

void h2_reset(struct h2 *h, int32_t id, uint32_t code)
{
    nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, id, code);
}

void h2_forget(struct h2 *h, int32_t id)
{
    nghttp2_session_set_stream_user_data(h->session, id, NULL);
}

uint32_t h2_capacity(const struct h2 *h, uint32_t open)
{
    uint32_t most = nghttp2_session_get_remote_settings(h->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
    if (!h->settings_seen || !nghttp2_session_check_request_allowed(h->session))
        return 0;
    if (most > LIMIT_H2_STREAMS)
        most = LIMIT_H2_STREAMS;
    return most > open ? most - open : 0;
}

bool h2_peer_connect_protocol(const struct h2 *h)
{
    return h->settings_seen &&
           nghttp2_session_get_remote_settings(h->session, NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL) == 1;
}

void h2_shutdown_notice(struct h2 *h)
{
    nghttp2_submit_shutdown_notice(h->session);
    nghttp2_submit_ping(h->session, NGHTTP2_FLAG_NONE, NULL);
}

void h2_goaway(struct h2 *h, uint32_t code)
{
    nghttp2_submit_goaway(h->session, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(h->session), code,
                          NULL, 0);
}
