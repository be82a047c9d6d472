// SPDX-License-Identifier: Apache-2.0
/* Labels and series (report.h). A series is looked up by what it depends on: direction, cluster, peer, both identities,
 * status, reason. The last SERIES_CACHED answers are kept by a hash of these.
 */
#include "proxy/report.h"

#include "base/must.h"
#include "http/conn.h"
#include "net/loop.h"
#include "net/tls.h"
#include "plan/listener.h"
#include "proxy/connection.h"
#include "proxy/relay.h"
#include "proxy/stream.h"
#include "proxy/text.h"
#include "proxy/worker.h"
#include "telemetry/metrics.h"
#include "telemetry/peer_metadata.h"

enum { SERIES_CACHED = 256 }; /* a power of two */

struct series_key { /* without padding: compared and hashed as bytes */
    const struct upstream *upstream;
    uint64_t peer;     /* hash of what it says it is; pointers may be used again */
    uint64_t security; /* hash of its identity, 0: plaintext */
    uint32_t status;
    int16_t grpc;
    uint8_t reason, flags;
};
_Static_assert(sizeof(struct series_key) == 32, "padding");

struct series_cache {
    struct series_key keys[SERIES_CACHED];
    struct series *series[SERIES_CACHED];
};

void report_init(struct worker *w)
{
    w->series = mem_alloc(sizeof(*w->series));
}

void report_done(struct worker *w)
{
    mem_free(w->series);
    w->series = NULL;
}

void report_forget(struct worker *w, const struct upstream *u)
{
    if (w->series)
        for (uint32_t i = 0; i < SERIES_CACHED; i++)
            if (w->series->keys[i].upstream == u)
                w->series->series[i] = NULL;
}

static struct view or_unknown(struct view v)
{
    return v.n ? v : VIEW("unknown");
}

/* The labels of one side. */
static void side(struct metric_labels *l, bool source, const struct peer *p, struct view principal)
{
    l->value[source ? LABEL_SOURCE_WORKLOAD : LABEL_DESTINATION_WORKLOAD] = or_unknown(p->workload);
    l->value[source ? LABEL_SOURCE_WORKLOAD_NAMESPACE : LABEL_DESTINATION_WORKLOAD_NAMESPACE] = or_unknown(p->ns);
    l->value[source ? LABEL_SOURCE_APP : LABEL_DESTINATION_APP] = or_unknown(p->app);
    l->value[source ? LABEL_SOURCE_VERSION : LABEL_DESTINATION_VERSION] = or_unknown(p->version);
    l->value[source ? LABEL_SOURCE_CLUSTER : LABEL_DESTINATION_CLUSTER] = or_unknown(p->cluster);
    l->value[source ? LABEL_SOURCE_CANONICAL_SERVICE : LABEL_DESTINATION_CANONICAL_SERVICE] =
        or_unknown(p->canonical_service);
    l->value[source ? LABEL_SOURCE_CANONICAL_REVISION : LABEL_DESTINATION_CANONICAL_REVISION] =
        p->canonical_revision.n ? p->canonical_revision : VIEW("latest");
    l->value[source ? LABEL_SOURCE_PRINCIPAL : LABEL_DESTINATION_PRINCIPAL] = or_unknown(principal);
}

/* Namespace of spiffe://domain/ns/NAMESPACE/sa/account, which nobody can make up. */
static struct view namespace_of(struct view spiffe)
{
    size_t at = view_find_view(spiffe, VIEW("/ns/"));
    struct view rest = view_from(spiffe, at + 4);
    return view_head(rest, view_find(rest, '/'));
}

static void service(struct metric_labels *l, const struct upstream *u, struct view cluster, struct view host,
                    const struct peer *destination)
{
    struct view name = VIEW_NONE, ns = VIEW_NONE, full = VIEW_NONE;
    if (u && u->cluster->n_services) {
        full = u->cluster->services[0].host;
        name = u->cluster->services[0].name;
        ns = u->cluster->services[0].ns;
    } else if (view_is(cluster, "PassthroughCluster") || view_is(cluster, "BlackHoleCluster") ||
               view_starts(cluster, VIEW("InboundPassthroughCluster"))) {
        full = host;
        name = view_starts(cluster, VIEW("Inbound")) ? VIEW("InboundPassthroughCluster") : cluster;
    } else if (host.n) {
        full = host;
        name = view_head(host, view_find(host, host.p[0] >= '0' && host.p[0] <= '9' ? ':' : '.'));
        name = view_head(name, view_find(name, ':'));
    }
    l->value[LABEL_DESTINATION_SERVICE] = or_unknown(full);
    l->value[LABEL_DESTINATION_SERVICE_NAME] = or_unknown(name);
    l->value[LABEL_DESTINATION_SERVICE_NAMESPACE] = or_unknown(ns.n ? ns : destination->ns);
}

static bool inbound(const struct connection *c)
{
    return c->listener->direction == TRAFFIC_INBOUND;
}

struct parties {
    const struct peer *peer; /* the other side */
    const struct tls_info *down, *up;
};

static void sides(struct metric_labels *l, const struct connection *c, const struct parties *p)
{
    const struct peer *self = c->worker->self ? &c->worker->self->peer : &peer_unknown;
    struct peer other = *p->peer;
    if (inbound(c)) {
        struct view peer_id = p->down ? p->down->spiffe : VIEW_NONE;
        if (peer_id.n)
            other.ns = namespace_of(peer_id);
        side(l, true, &other, peer_id);
        side(l, false, self, p->down ? p->down->local : VIEW_NONE);
        l->value[LABEL_REPORTER] = VIEW("destination");
        l->value[LABEL_CONNECTION_SECURITY_POLICY] = peer_id.n && p->down->local.n ? VIEW("mutual_tls") : VIEW("none");
    } else {
        side(l, true, self, p->up ? p->up->local : VIEW_NONE);
        side(l, false, &other, p->up ? p->up->spiffe : VIEW_NONE);
        l->value[LABEL_REPORTER] = VIEW("source");
        l->value[LABEL_CONNECTION_SECURITY_POLICY] = VIEW("unknown");
    }
}

static const struct tls_info *tls_of_try(const struct stream *s)
{
    struct pool_conn *pc = s->ask.conn;
    struct conn *below = pc && pc->http ? http_conn_below(pc->http) : NULL;
    return below ? tls_info(below) : NULL;
}

/* Who is at the other end when it did not say so itself: what EDS says of the endpoint. */
static const struct peer *peer_of(struct worker *w, const struct connection *c, const struct peer *told,
                                  const struct host *h)
{
    if (told && told->known)
        return told;
    if (!inbound(c) && h && h->endpoint && h->endpoint->workload.n && w->peers)
        return peer_cache_endpoint(w->peers, h->endpoint->workload);
    return &peer_unknown;
}

static struct series *find_stream(struct stream *s, const struct parties *p, struct view flags)
{
    char status[TEXT_U64], grpc[TEXT_U64];
    struct metric_labels l = {0};
    const struct connection *c = s->connection;
    sides(&l, c, p);
    service(&l, s->upstream, s->weighted ? s->weighted->cluster.name : VIEW_NONE,
            headers_value(&s->down->in, HEADER_AUTHORITY),
            inbound(c) && s->worker->self ? &s->worker->self->peer : p->peer);
    l.value[LABEL_REQUEST_PROTOCOL] = s->grpc_request ? VIEW("grpc") : VIEW("http");
    l.value[LABEL_RESPONSE_CODE] = text_u64(status, s->status);
    l.value[LABEL_GRPC_RESPONSE_STATUS] = s->grpc >= 0 ? text_u64(grpc, (uint64_t)s->grpc) : VIEW_NONE;
    l.value[LABEL_RESPONSE_FLAGS] = flags;
    return series_find(s->worker->metrics, &l);
}

/* All flags of the stream, comma-separated in the order of Envoy's list; "-" when there is none. */
static struct view flags_of(struct stream *s)
{
    struct view flag = view_of(end_reason_info(s->reason)->flag);
    if (!s->retry_exhausted && !s->delayed)
        return flag;
    bool own = !view_is(flag, "-");
    return arena_printf(&s->down->arena, "%.*s%s%s%s%s", own ? (int)flag.n : 0, flag.p,
                        own && s->retry_exhausted ? "," : "", s->retry_exhausted ? "URX" : "",
                        s->delayed && (own || s->retry_exhausted) ? "," : "", s->delayed ? "DI" : "");
}

void report_stream(struct stream *s)
{
    struct worker *w = s->worker;
    if (!w->metrics || !(s->connection->filters & 1u << HTTP_FILTER_STATS))
        return;
    struct parties p = {
        .peer = peer_of(w, s->connection, s->peer, s->endpoint),
        .down = s->connection->tls && s->connection->http ? tls_info(http_conn_below(s->connection->http)) : NULL,
        .up = tls_of_try(s),
    };
    const struct tls_info *other = inbound(s->connection) ? p.down : p.up;
    struct series_key key = {
        .upstream = s->upstream,
        .peer = view_hash(p.peer->id.n ? p.peer->id : p.peer->workload),
        .security = other ? view_hash(other->spiffe) : 0,
        .status = s->status,
        .grpc = s->grpc,
        .reason = (uint8_t)s->reason,
        .flags = (uint8_t)(s->delayed | s->retry_exhausted << 1 | s->grpc_request << 2 | inbound(s->connection) << 3),
    };
    struct series *series;
    if (s->upstream && s->upstream->cluster->n_services) {
        uint32_t at = (uint32_t)view_hash(view_make(&key, sizeof(key))) & (SERIES_CACHED - 1);
        if (!w->series->series[at] || memcmp(&w->series->keys[at], &key, sizeof(key)) != 0) {
            w->series->keys[at] = key;
            w->series->series[at] = find_stream(s, &p, flags_of(s));
        }
        series = w->series->series[at];
    } else {
        series = find_stream(s, &p, flags_of(s));
    }
    series_request(series, s->ended - s->started, s->down->wire_in, s->down->wire_out);
    if (s->count_messages)
        series_messages(series, s->messages_up.messages, s->messages_down.messages);
}

void report_relay(struct relay *r, bool ended)
{
    struct connection *c = r->connection;
    struct worker *w = c->worker;
    if (!w->metrics || !c->chain || !c->chain->stats)
        return;
    if (!r->series) {
        struct metric_labels l = {.tcp = true};
        struct parties p = {
            .peer = peer_of(w, c, inbound(c) ? c->peer : r->peer, r->endpoint),
            .down = c->tls ? tls_info(r->down) : NULL,
            .up = r->up ? tls_info(r->up) : NULL,
        };
        sides(&l, c, &p);
        service(&l, r->upstream, r->cluster, VIEW_NONE, inbound(c) && w->self ? &w->self->peer : p.peer);
        l.value[LABEL_REQUEST_PROTOCOL] = VIEW("tcp");
        l.value[LABEL_RESPONSE_FLAGS] = view_of(end_reason_info(r->reason)->flag);
        r->series = series_find(w->metrics, &l);
        series_tcp_opened(r->series);
    }
    series_tcp_bytes(r->series, r->to_down.moved - r->to_down.told, r->to_up.moved - r->to_up.told);
    r->to_down.told = r->to_down.moved;
    r->to_up.told = r->to_up.moved;
    if (ended)
        series_tcp_closed(r->series);
}
