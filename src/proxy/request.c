// SPDX-License-Identifier: Apache-2.0
/* What becomes of a request's headers (stream.h): admission at the door, changes of the route, what each try adds.
 * Headers are changed in place: the request that goes up is the request that came, with some entries replaced.
 * Follows Envoy's connection manager and router where a header is named x-envoy- or x-forwarded-.
 */
#include <string.h>

#include "base/must.h"
#include "net/loop.h"
#include "net/tls.h"
#include "plan/listener.h"
#include "plan/match.h"
#include "proxy/connection.h"
#include "proxy/path.h"
#include "proxy/stream.h"
#include "proxy/text.h"
#include "proxy/worker.h"
#include "wire/grpc.h"

/* A request may not become larger than what a list of headers holds: then it goes on without the addition. */
static void put(struct headers *h, enum header_id id, struct view value)
{
    int r = headers_set(h, id, value);
    odd(r == 0);
}

/* ---- facts for matching ---- */

static bool find_header(const void *headers, struct view name, struct view *ret_value)
{
    const struct stream *s = headers;
    struct http_stream *down = s->down;
    struct view v = headers_joined(&down->in, header_id_of(name), name, &down->arena);
    if (!v.p)
        return false;
    *ret_value = v;
    return true;
}

struct match_request request_facts(const struct stream *s)
{
    const struct headers *h = &s->down->in;
    return (struct match_request){
        .host = headers_value(h, HEADER_AUTHORITY),
        .path = headers_value(h, HEADER_PATH),
        .method = headers_value(h, HEADER_METHOD),
        .scheme = headers_value(h, HEADER_SCHEME),
        .tls = s->connection->tls,
        .header = find_header,
        .headers = s,
    };
}

static bool find_cookie(const void *headers, struct view name, struct view *ret_value)
{
    const struct stream *s = headers;
    const struct headers *h = &s->down->in;
    for (const struct header *e = headers_find(h, HEADER_COOKIE); e; e = headers_next_same(h, e)) {
        struct view rest = header_value(e), pair;
        while (view_cut(&rest, ';', &pair)) {
            pair = view_trim(pair);
            size_t eq = view_find(pair, '=');
            if (eq < pair.n && view_eq(view_head(pair, eq), name)) {
                *ret_value = view_from(pair, eq + 1);
                return true;
            }
        }
    }
    return false;
}

void request_hash(struct stream *s, struct pick *pick)
{
    const struct route_forward *f = &s->route->forward;
    if (!f->n_hash)
        return;
    struct match_request request = request_facts(s);
    struct plan_addr source = plan_addr_from(&s->connection->remote);
    if (!s->cookie_value)
        s->cookie_value = rng_next(loop_rng(s->worker->loop));
    struct hash_facts facts = {&request, &source, find_cookie, s->cookie_value};
    pick->has_hash = hash_request(f->hash, f->n_hash, &facts, &pick->hash, &s->new_cookie);
}

/* ---- admission ---- */

/* Private and loopback addresses, which Envoy takes for "internal". */
static bool ip_internal(struct view ip)
{
    struct addr a;
    if (addr_parse_ip(ip, 0, &a) < 0)
        return false;
    if (a.family == ADDR_V4)
        return a.ip[0] == 10 || a.ip[0] == 127 || (a.ip[0] == 192 && a.ip[1] == 168) ||
               (a.ip[0] == 172 && (a.ip[1] & 0xf0) == 16);
    return addr_is_loopback(&a) || (a.ip[0] & 0xfe) == 0xfc;
}

/* What a client outside must not tell us (Envoy's cleanInternalHeaders). */
static void distrust(struct headers *h)
{
    static const enum header_id internal[] = {
        HEADER_X_ENVOY_DECORATOR_OPERATION,
        HEADER_X_ENVOY_DOWNSTREAM_SERVICE_CLUSTER,
        HEADER_X_ENVOY_DOWNSTREAM_SERVICE_NODE,
        HEADER_X_ENVOY_RETRIABLE_STATUS_CODES,
        HEADER_X_ENVOY_RETRIABLE_HEADER_NAMES,
        HEADER_X_ENVOY_RETRY_ON,
        HEADER_X_ENVOY_RETRY_GRPC_ON,
        HEADER_X_ENVOY_MAX_RETRIES,
        HEADER_X_ENVOY_UPSTREAM_ALT_STAT_NAME,
        HEADER_X_ENVOY_UPSTREAM_RQ_TIMEOUT_MS,
        HEADER_X_ENVOY_UPSTREAM_RQ_PER_TRY_TIMEOUT_MS,
        HEADER_X_ENVOY_UPSTREAM_RQ_TIMEOUT_ALT_RESPONSE,
        HEADER_X_ENVOY_EXPECTED_RQ_TIMEOUT_MS,
        HEADER_X_ENVOY_FORCE_TRACE,
        HEADER_X_ENVOY_IP_TAGS,
        HEADER_X_ENVOY_ORIGINAL_PATH,
        HEADER_X_ENVOY_ORIGINAL_HOST,
        HEADER_X_ENVOY_HEDGE_ON_PER_TRY_TIMEOUT,
    };
    for (size_t i = 0; i < COUNT_OF(internal); i++)
        headers_del(h, internal[i]);
}

/* The last field of a comma list, and whether it is the only one. */
static struct view last_of(struct view list, bool *ret_only)
{
    size_t at = list.n;
    while (at && list.p[at - 1] != ',')
        at--;
    *ret_only = at == 0;
    return view_trim(view_from(list, at));
}

/* x-forwarded-for, x-forwarded-proto, x-envoy-internal, x-envoy-external-address. */
static void forwarded(struct stream *s)
{
    const struct http_manager *m = s->http;
    struct headers *h = &s->down->in;
    struct view ip = connection_remote_ip(s->connection);
    struct view proto = s->connection->tls ? VIEW("https") : VIEW("http");
    headers_del(h, HEADER_X_ENVOY_INTERNAL);
    if (!m->use_remote_address) {
        if (!headers_has(h, HEADER_X_FORWARDED_PROTO))
            put(h, HEADER_X_FORWARDED_PROTO, proto);
        return;
    }
    struct view before = headers_value(h, HEADER_X_FORWARDED_FOR);
    bool edge = !ip_internal(ip) || (before.n && m->xff_trusted_hops == 0);
    if (!m->skip_xff_append)
        put(h, HEADER_X_FORWARDED_FOR,
            before.n ? arena_printf(&s->down->arena, "%.*s,%.*s", VIEW_ARGS(before), VIEW_ARGS(ip)) : ip);
    if (m->xff_trusted_hops == 0 || !headers_has(h, HEADER_X_FORWARDED_PROTO))
        put(h, HEADER_X_FORWARDED_PROTO, proto);
    bool only;
    struct view client = last_of(headers_value(h, HEADER_X_FORWARDED_FOR), &only);
    if (!ip_internal(ip)) {
        distrust(h);
        if (m->xff_trusted_hops == 0)
            put(h, HEADER_X_ENVOY_EXTERNAL_ADDRESS, client);
    } else if (only && ip_internal(client)) {
        put(h, HEADER_X_ENVOY_INTERNAL, VIEW("true"));
    }
    if (edge && !m->keep_request_id && !ip_internal(ip))
        headers_del(h, HEADER_X_REQUEST_ID);
}

static void xfcc_field(struct buf *b, const char *name, struct view value, bool quoted)
{
    if (!value.n)
        return;
    if (buf_len(b))
        buf_char(b, ';');
    buf_str(b, name);
    if (!quoted) {
        buf_view(b, value);
        return;
    }
    buf_char(b, '"');
    for (size_t i = 0; i < value.n; i++) {
        if (value.p[i] == '"' || value.p[i] == '\\')
            buf_char(b, '\\');
        buf_char(b, value.p[i]);
    }
    buf_char(b, '"');
}

/* This hop's element of x-forwarded-client-cert; the same for all requests of a connection. */
static struct view xfcc_element(struct connection *c, uint32_t details)
{
    const struct tls_info *t = c->tls ? tls_info(http_conn_below(c->http)) : NULL;
    if (c->xfcc.p || !t || !t->verified)
        return c->xfcc;
    struct buf b = {0};
    xfcc_field(&b, "By=", t->local, false);
    xfcc_field(&b, "Hash=", t->hash, false);
    if (details & XFCC_SUBJECT)
        xfcc_field(&b, "Subject=", t->subject.n ? t->subject : VIEW(" "), true);
    if (details & XFCC_URI)
        xfcc_field(&b, "URI=", t->n_uris ? t->uris[0] : VIEW_NONE, false);
    for (size_t i = 0; (details & XFCC_DNS) && i < t->n_dns; i++)
        xfcc_field(&b, "DNS=", t->dns[i], false);
    c->xfcc = arena_view(&c->arena, buf_read(&b));
    buf_done(&b);
    return c->xfcc;
}

static void client_cert(struct stream *s)
{
    const struct http_manager *m = s->http;
    struct headers *h = &s->down->in;
    if (m->xfcc == XFCC_ALWAYS_FORWARD_ONLY)
        return;
    struct view mine = s->connection->tls ? xfcc_element(s->connection, m->xfcc_details) : VIEW_NONE;
    if (m->xfcc == XFCC_SANITIZE || !mine.p) {
        headers_del(h, HEADER_X_FORWARDED_CLIENT_CERT);
        return;
    }
    if (m->xfcc == XFCC_FORWARD_ONLY)
        return;
    struct view before = headers_value(h, HEADER_X_FORWARDED_CLIENT_CERT);
    if (m->xfcc == XFCC_APPEND_FORWARD && before.n)
        mine = arena_printf(&s->down->arena, "%.*s,%.*s", VIEW_ARGS(before), VIEW_ARGS(mine));
    put(h, HEADER_X_FORWARDED_CLIENT_CERT, mine);
}

static enum end_reason upgrade(struct stream *s)
{
    struct headers *h = &s->down->in;
    struct view to = headers_value(h, HEADER_UPGRADE);
    if (view_ieq(to, VIEW("websocket")) && s->http->websocket) {
        s->upgrade = true;
        return END_OK;
    }
    if (view_istarts(to, VIEW("h2c"))) { /* an offer that we may leave unanswered */
        headers_del(h, HEADER_UPGRADE);
        headers_del(h, HEADER_HTTP2_SETTINGS);
        return END_OK;
    }
    return END_UPGRADE_REFUSED;
}

static enum end_reason clean_path(struct stream *s)
{
    const struct http_manager *m = s->http;
    if (!m->normalize_path && !m->merge_slashes)
        return END_OK;
    struct view path = headers_value(&s->down->in, HEADER_PATH), clean;
    if (!path_needs_cleaning(path))
        return END_OK;
    if (path_clean(&s->down->arena, path, m->normalize_path, m->merge_slashes, m->decode_slashes, &clean) < 0)
        return END_BAD_PATH;
    put(&s->down->in, HEADER_PATH, clean);
    return END_OK;
}

enum end_reason request_admit(struct stream *s)
{
    struct http_stream *down = s->down;
    struct headers *h = &down->in;
    const struct http_manager *m = s->http;
    s->received = s->started;
    s->path = headers_value(h, HEADER_PATH);
    if (down->version == 10 && !m->accept_http10)
        return END_LOW_VERSION;
    if (!headers_value(h, HEADER_AUTHORITY).n)
        return END_MISSING_HOST;
    if (!s->path.n || view_is(headers_value(h, HEADER_METHOD), "CONNECT"))
        return END_MISSING_PATH;
    struct view type = headers_value(h, HEADER_CONTENT_TYPE);
    s->grpc_request = type.n && grpc_content_type(type);
    s->count_messages = s->grpc_request && (s->connection->filters & 1u << HTTP_FILTER_GRPC_STATS);
    enum end_reason reason = clean_path(s);
    if (reason == END_OK && headers_has(h, HEADER_UPGRADE))
        reason = upgrade(s);
    if (reason != END_OK)
        return reason;
    if (down->expect_continue && !m->proxy_100_continue) {
        struct headers hundred;
        headers_init(&hundred, NULL);
        put(&hundred, HEADER_STATUS, VIEW("100"));
        if (http_stream_inform(down, &hundred) == 0)
            headers_del(h, HEADER_EXPECT);
    }
    forwarded(s);
    client_cert(s);
    if (m->request_id && !headers_has(h, HEADER_X_REQUEST_ID)) {
        char *id = arena_alloc_raw(&down->arena, UUID_TEXT, 1);
        put(h, HEADER_X_REQUEST_ID, text_uuid(id, loop_rng(s->worker->loop)));
    }
    return END_OK;
}

/* ---- after routing ---- */

void headers_mutate(struct stream *s, struct headers *h, const struct header_mutations *m)
{
    for (uint32_t i = 0; i < m->n_remove; i++)
        headers_del_name(h, header_id_of(m->remove[i]), m->remove[i]);
    for (uint32_t i = 0; i < m->n_set; i++) {
        const struct header_value *v = &m->set[i];
        struct view value = text_format(s, v->value);
        enum header_id id = header_id_of(v->name);
        if (id == HEADER_HOST)
            id = HEADER_AUTHORITY;
        int r = v->append ? headers_add_name(h, id, v->name, value) : headers_set_name(h, id, v->name, value);
        odd(r == 0);
    }
}

static void host_to(struct headers *h, struct view host)
{
    struct view before = headers_value(h, HEADER_AUTHORITY);
    if (!host.n || view_eq(before, host))
        return;
    if (!headers_has(h, HEADER_X_ENVOY_ORIGINAL_HOST))
        put(h, HEADER_X_ENVOY_ORIGINAL_HOST, before);
    put(h, HEADER_AUTHORITY, host);
}

/* A header that asks for a time-out in milliseconds; it is taken out. 0: none. */
static uint64_t take_ms(struct headers *h, enum header_id id)
{
    uint64_t ms = 0;
    struct view v = headers_value(h, id);
    if (!v.p)
        return 0;
    if (view_u64(v, &ms) < 0 || ms > UINT32_MAX)
        ms = 0;
    headers_del(h, id);
    return ms * NS_PER_MS;
}

static void timeouts(struct stream *s)
{
    const struct route_forward *f = &s->route->forward;
    struct headers *h = &s->down->in;
    uint64_t asked;
    s->timeout = f->timeout;
    if (f->has_max_grpc_timeout && s->grpc_request &&
        grpc_timeout_parse(headers_value(h, HEADER_GRPC_TIMEOUT), &asked) == 0)
        s->timeout = f->max_grpc_timeout && asked > f->max_grpc_timeout ? f->max_grpc_timeout : asked;
    if ((asked = take_ms(h, HEADER_X_ENVOY_UPSTREAM_RQ_TIMEOUT_MS)))
        s->timeout = asked;
    if ((asked = take_ms(h, HEADER_X_ENVOY_UPSTREAM_RQ_PER_TRY_TIMEOUT_MS)))
        s->try_timeout = asked;
    else if (f->retry)
        s->try_timeout = f->retry->per_try_timeout;
    if (s->timeout) {
        char *text = arena_alloc_raw(&s->down->arena, TEXT_U64, 1);
        put(h, HEADER_X_ENVOY_EXPECTED_RQ_TIMEOUT_MS, text_u64(text, s->timeout / NS_PER_MS));
    }
    s->idle = f->idle_timeout ? f->idle_timeout : s->http->stream_idle_timeout;
    if (s->upgrade)
        s->timeout = 0;
}

void request_prepare(struct stream *s)
{
    struct headers *h = &s->down->in;
    const struct route *r = s->route;
    timeouts(s);
    headers_mutate(s, h, &s->weighted->headers.request);
    headers_mutate(s, h, &r->changes.request);
    host_to(h, s->weighted->host_rewrite.n ? s->weighted->host_rewrite : r->forward.host_rewrite);
    if (r->forward.prefix_rewrite.n || r->forward.regex_rewrite.pattern.n) {
        struct view before = headers_value(h, HEADER_PATH);
        struct view after = route_rewrite_path(r, &s->down->arena, before);
        if (after.p != before.p) {
            put(h, HEADER_X_ENVOY_ORIGINAL_PATH, before);
            put(h, HEADER_PATH, after);
        }
    }
}

void request_attempt(struct stream *s)
{
    struct headers *h = &s->down->in;
    if (s->host->include_attempt_count) {
        char *text = arena_alloc_raw(&s->down->arena, TEXT_U64, 1);
        put(h, HEADER_X_ENVOY_ATTEMPT_COUNT, text_u64(text, s->attempts));
    }
    if (s->route->forward.auto_host_rewrite)
        host_to(h, s->endpoint->endpoint->hostname);
}
