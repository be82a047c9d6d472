// SPDX-License-Identifier: Apache-2.0
/* Access log lines (log.h): what a stream or a relay knows, put into the words of telemetry/access_log.h. */
#include "proxy/log.h"

#include "base/log.h"
#include "base/must.h"
#include "http/conn.h"
#include "net/loop.h"
#include "net/tls.h"
#include "proxy/connection.h"
#include "proxy/relay.h"
#include "proxy/report.h"
#include "proxy/stream.h"
#include "proxy/worker.h"
#include "telemetry/access_log.h"
#include "telemetry/peer_metadata.h"

struct worker_log {
    struct list link;
    struct arena arena;
    struct access_log plan;       /* copied */
    struct access_logger *logger; /* NULL: cannot be written; said once */
};

void log_worker_init(struct worker *w)
{
    list_init(&w->loggers);
    report_init(w);
}

void log_worker_done(struct worker *w)
{
    LIST_EACH (&w->loggers, struct worker_log, link, l) {
        access_logger_free(l->logger);
        arena_done(&l->arena);
        mem_free(l);
    }
    list_init(&w->loggers);
    report_done(w);
}

void log_forget_upstream(struct worker *w, const struct upstream *u)
{
    report_forget(w, u);
}

static bool same_log(const struct access_log *a, const struct access_log *b)
{
    if (!view_eq(a->path, b->path) || !view_eq(a->text, b->text) || a->n_fields != b->n_fields)
        return false;
    for (uint32_t i = 0; i < a->n_fields; i++)
        if (!view_eq(a->fields[i].key, b->fields[i].key) || !view_eq(a->fields[i].format, b->fields[i].format))
            return false;
    return true;
}

static struct access_logger *logger_of(struct worker *w, const struct access_log *log)
{
    LIST_EACH (&w->loggers, struct worker_log, link, l)
        if (same_log(&l->plan, log))
            return l->logger;
    struct worker_log *l = mem_alloc(sizeof(*l));
    arena_init(&l->arena, 1024);
    struct arena *a = &l->arena;
    l->plan = (struct access_log){.path = arena_view(a, log->path), .text = arena_view(a, log->text)};
    for (uint32_t i = 0; i < log->n_fields; i++) {
        struct access_log_field *f = ARENA_PUSH(a, l->plan.fields, l->plan.n_fields);
        *f = (struct access_log_field){arena_view(a, log->fields[i].key), arena_view(a, log->fields[i].format)};
    }
    list_push_front(&w->loggers, &l->link);
    struct log_format *format;
    struct buf why = {0};
    if (log_format_of(&l->plan, &format, &why) < 0)
        log_warn("access log %.*s: %.*s: nothing is logged there", VIEW_ARGS(log->path), VIEW_ARGS(buf_read(&why)));
    else if (!(l->logger = access_logger_new(w->loop, format, l->plan.path)))
        log_warn("access log %.*s cannot be opened: nothing is logged there", VIEW_ARGS(log->path));
    buf_done(&why);
    return l->logger;
}

static void open_logs(struct connection *c, const struct access_log *logs, uint32_t n)
{
    for (uint32_t i = 0; i < n && c->n_loggers < CONNECTION_LOGS; i++) {
        struct access_logger *l = logs[i].only_no_route ? NULL : logger_of(c->worker, &logs[i]);
        if (l)
            c->loggers[c->n_loggers++] = l;
    }
}

void log_connection_open(struct connection *c)
{
    const struct http_manager *m = c->chain->http;
    for (uint32_t i = 0; m && i < m->n_filters; i++)
        c->filters |= 1u << m->filters[i].kind;
    if (m)
        open_logs(c, m->logs, m->n_logs);
    else
        open_logs(c, c->chain->tcp->logs, c->chain->tcp->n_logs);
}

void log_connection_peer_done(struct connection *c)
{
    peer_unref(c->peer);
    c->peer = NULL;
}

static void write_all(const struct connection *c, const struct access_entry *e)
{
    for (uint32_t i = 0; i < c->n_loggers; i++)
        access_logger_write(c->loggers[i], e);
}

static uint64_t wall_at(const struct worker *w, uint64_t mono)
{
    return loop_wall(w->loop) - (loop_now(w->loop) - mono);
}

static void entry_of_connection(struct connection *c, struct access_entry *e)
{
    struct conn *below = c->http ? http_conn_below(c->http) : c->relay ? c->relay->down : c->conn;
    e->grpc_status = -1;
    e->downstream_local = &c->destination;
    e->downstream_remote = e->downstream_direct = &c->remote;
    e->downstream_tls = c->tls && below ? tls_info(below) : NULL;
    e->sni = c->sni.n ? c->sni : e->downstream_tls ? e->downstream_tls->sni : VIEW_NONE;
}

/* Which object and rule decided: "VirtualService default/reviews http[1] (reviews.yaml:14): cluster … does not exist". */
static void weft_reason(struct buf *b, enum end_reason reason, const struct plan_origin *rule, struct view cluster)
{
    const struct end_reason_info *info = end_reason_info(reason);
    if (rule && plan_origin_known(rule)) {
        plan_origin_print(b, rule);
        buf_str(b, ": ");
    }
    buf_str(b, info->text);
    if (cluster.n && reason != END_NO_ROUTE) {
        buf_str(b, " (");
        buf_view(b, cluster);
        buf_char(b, ')');
    }
}

static void origin_of_stream(const struct stream *s, const struct plan_origin **ret)
{
    *ret = s->route && plan_origin_known(&s->route->origin)   ? &s->route->origin
           : s->host && plan_origin_known(&s->host->origin)   ? &s->host->origin
           : plan_origin_known(&s->connection->chain->origin) ? &s->connection->chain->origin
                                                              : NULL;
}

static struct view more_flags(const struct stream *s)
{
    if (s->retry_exhausted)
        return s->delayed ? VIEW("URX,DI") : VIEW("URX");
    return s->delayed ? VIEW("DI") : VIEW_NONE;
}

static void write_stream(struct stream *s)
{
    struct connection *c = s->connection;
    struct http_stream *d = s->down;
    struct access_entry e = {
        .start_wall = wall_at(s->worker, s->started),
        .duration = s->ended - s->started,
        .request = &d->in,
        .response = s->up ? &s->up->in : NULL,
        .trailers = s->up ? s->up->trailers : NULL,
        .method = headers_value(&d->in, HEADER_METHOD),
        .path = s->path,
        .authority = headers_value(&d->in, HEADER_AUTHORITY),
        .protocol = d->version == 20   ? VIEW("HTTP/2")
                    : d->version == 10 ? VIEW("HTTP/1.0")
                                       : VIEW("HTTP/1.1"),
        .status = s->status,
        .reason = s->reason,
        .more_flags = more_flags(s),
        .upstream_failure = s->text,
        .bytes_received = d->body_in,
        .bytes_sent = d->body_out,
        .wire_received = d->wire_in,
        .wire_sent = d->wire_out,
        .upstream_time = s->first_up ? s->first_up - s->sent_up : 0,
        .attempts = s->attempts,
        .cluster = s->weighted ? s->weighted->cluster.name : VIEW_NONE,
        .route = s->route ? s->route->name : VIEW_NONE,
        .vhost = s->host ? s->host->name : VIEW_NONE,
        .upstream_host = s->upstream_addr.family ? &s->upstream_addr : NULL,
        .upstream_local = s->upstream_local.family ? &s->upstream_local : NULL,
    };
    entry_of_connection(c, &e);
    e.grpc_status = s->grpc;
    if (s->upstream && s->upstream->cluster->n_services)
        e.service = s->upstream->cluster->services[0].host;
    struct buf why = {0};
    if (s->reason != END_OK) {
        const struct plan_origin *rule;
        origin_of_stream(s, &rule);
        weft_reason(&why, s->reason, rule, e.cluster);
        e.weft_reason = buf_read(&why);
    }
    write_all(c, &e);
    buf_done(&why);
}

void log_stream(struct stream *s)
{
    if (!s->ended)
        s->ended = loop_now(s->worker->loop);
    report_stream(s);
    if (s->connection->n_loggers)
        write_stream(s);
}

void log_refused(struct connection *c)
{
    struct access_entry e = {
        .start_wall = loop_wall(c->worker->loop),
        .protocol = http_conn_version(c->http) == HTTP_2 ? VIEW("HTTP/2") : VIEW("HTTP/1.1"),
        .status = http_conn_version(c->http) == HTTP_2 ? 0 : 400,
        .reason = http_conn_fin(c->http) == HTTP_FIN_TOO_LARGE ? END_HEADERS_TOO_LARGE
                  : http_conn_version(c->http) == HTTP_2       ? END_DOWNSTREAM_PROTOCOL_H2
                                                               : END_DOWNSTREAM_PROTOCOL,
        .details = view_of(http_conn_detail(c->http)),
    };
    entry_of_connection(c, &e);
    e.weft_reason = e.details;
    write_all(c, &e);
}

static void write_tcp(struct connection *c, enum end_reason reason, struct access_entry *e)
{
    e->tcp = true;
    e->start_wall = wall_at(c->worker, c->opened);
    e->duration = loop_now(c->worker->loop) - c->opened;
    e->reason = reason;
    entry_of_connection(c, e);
    struct buf why = {0};
    if (reason != END_OK) {
        weft_reason(&why, reason, c->chain ? &c->chain->origin : &c->listener->origin, e->cluster);
        e->weft_reason = buf_read(&why);
        e->termination = view_of(end_reason_info(reason)->details);
    }
    write_all(c, e);
    buf_done(&why);
}

void log_connection(struct connection *c)
{
    struct access_entry e = {0};
    open_logs(c, c->listener->logs, c->listener->n_logs);
    for (uint32_t i = 0; i < c->listener->n_logs && c->reason == END_NO_FILTER_CHAIN; i++)
        if (c->listener->logs[i].only_no_route && c->n_loggers < CONNECTION_LOGS) {
            struct access_logger *l = logger_of(c->worker, &c->listener->logs[i]);
            if (l)
                c->loggers[c->n_loggers++] = l;
        }
    if (c->chain && !c->n_loggers)
        log_connection_open(c);
    if (c->conn && conn_error(c->conn))
        e.upstream_failure = conn_error_text(c->conn);
    else if (c->why)
        e.upstream_failure = view_of(c->why);
    write_tcp(c, c->reason, &e);
}

void log_relay(struct relay *r, bool ended)
{
    struct connection *c = r->connection;
    report_relay(r, ended);
    if (!ended)
        return;
    struct access_entry e = {
        .bytes_received = r->to_up.moved,
        .bytes_sent = r->to_down.moved,
        .upstream_failure = r->text,
        .cluster = r->cluster,
        .upstream_host = r->upstream_addr.family ? &r->upstream_addr : NULL,
        .upstream_local = r->upstream_local.family ? &r->upstream_local : NULL,
    };
    write_tcp(c, r->reason, &e);
}
