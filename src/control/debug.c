// SPDX-License-Identifier: Apache-2.0
/* See debug.h; /metrics is debug_metrics.c's. */
#include "control/debug.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "compile/compile.h"
#include "control/debug_metrics.h"
#include "control/push.h"
#include "control/reply.h"
#include "control/source.h"
#include "control/status/status.h"
#include "control/status/peers.h"
#include "control/store.h"
#include "http/stream.h"
#include "net/loop.h"
#include "plan/print.h"
#include "telemetry/metrics.h"
#include "xds/server.h"
#include "xds/types.h"

#define JSON VIEW("application/json")
#define TEXT VIEW("text/plain; charset=utf-8")

struct debug {
    struct debug_config config;
    uint64_t started;
};

struct debug *debug_new(const struct debug_config *config)
{
    struct debug *d = calloc(1, sizeof(*d));

    must(d != NULL);
    d->config = *config;
    d->started = loop_now(config->loop);
    return d;
}

struct debug *debug_free(struct debug *d)
{
    free(d);
    return NULL;
}

/* ---- proxies ---- */

static void print_time(struct buf *out, const char *key, uint64_t wall)
{
    buf_printf(out, ",\"%s\":\"", key);
    clock_print_time(out, wall);
    buf_char(out, '"');
}

static void print_str(struct buf *out, const char *key, struct view v)
{
    buf_printf(out, ",\"%s\":", key);
    buf_json_str(out, v);
}

static const char *const istio_names[RESOURCE_KINDS] = {[RESOURCE_CLUSTER] = "cluster",
                                                        [RESOURCE_ENDPOINTS] = "endpoint",
                                                        [RESOURCE_LISTENER] = "listener",
                                                        [RESOURCE_ROUTES] = "route",
                                                        [RESOURCE_SECRET] = "secret"};

static void print_types(struct buf *out, const struct xds_proxy *p)
{
    const char *comma = "";

    buf_str(out, ",\"types\":{");
    for (int i = 0; i < RESOURCE_KINDS; i++) {
        const struct xds_type_state *t = &p->types[xds_types[i].kind];
        if (!t->asked)
            continue;
        buf_printf(out, "%s\"%s\":{\"state\":\"%s\",\"resources\":%u,\"nonceSent\":%llu,\"nonceAcked\":%llu", comma,
                   xds_types[i].name, xds_sync_name(t->sync), t->n_sent, (unsigned long long)t->nonce_sent,
                   (unsigned long long)t->nonce_acked);
        comma = ",";
        print_time(out, "since", t->since);
        if (t->nack.n) {
            print_str(out, "rejected", t->nack);
            print_time(out, "rejectedAt", t->nack_at);
        }
        buf_char(out, '}');
    }
    buf_char(out, '}');
}

static void print_proxy(struct buf *out, const struct debug *d, const struct xds_proxy *p)
{
    bool synced = true;
    uint64_t since = p->connected_at, nack_at = 0;
    struct view nack = VIEW_NONE;

    for (int i = 0; i < RESOURCE_KINDS; i++) {
        const struct xds_type_state *t = &p->types[i];
        bool bad = t->asked && t->sync != XDS_SYNCED && t->sync != XDS_NOT_SENT;
        if (bad && (synced || t->since < since))
            since = t->since;
        else if (!bad && synced && t->since > since)
            since = t->since;
        synced = synced && !bad;
        if (t->nack.n && t->nack_at >= nack_at) {
            nack = t->nack;
            nack_at = t->nack_at;
        }
    }
    synced = synced && p->types[RESOURCE_CLUSTER].nonce_acked && p->types[RESOURCE_LISTENER].nonce_acked;
    buf_printf(out, "{\"proxy\":\"%.*s.%.*s\"", VIEW_ARGS(p->node.pod), VIEW_ARGS(p->node.ns));
    print_str(out, "proxy_type", p->node.type);
    print_str(out, "cluster_id", p->node.cluster_id.n ? p->node.cluster_id : d->config.cluster_id);
    print_str(out, "istio_version", p->node.version);
    print_str(out, "version", p->node.build.n ? p->node.build : p->node.version);
    print_str(out, "ip", p->node.ip);
    print_time(out, "connected", p->connected_at);
    buf_printf(out, ",\"synced\":%s", synced ? "true" : "false");
    print_time(out, "since", since);
    print_str(out, "config_version", p->version);
    if (nack.n) {
        print_str(out, "rejected", nack);
        print_time(out, "rejected_at", nack_at);
    }
    for (int i = 0; i < RESOURCE_KINDS; i++) {
        const struct xds_type_state *t = &p->types[i];
        if (!t->asked)
            continue;
        buf_printf(out, ",\"%s_sent\":", istio_names[i]);
        buf_json_str(out, t->version_sent);
        buf_printf(out, ",\"%s_acked\":", istio_names[i]);
        buf_json_str(out, t->version_acked);
    }
    print_types(out, p);
    buf_char(out, '}');
}

static void print_syncz(struct debug *d, struct buf *out)
{
    const char *comma = "\n";

    buf_char(out, '[');
    LIST_EACH (xds_server_proxies(d->config.xds), struct xds_proxy, link, p) {
        buf_str(out, comma);
        comma = ",\n";
        print_proxy(out, d, p);
    }
    buf_str(out, "\n]\n");
}

static bool print_dump(struct debug *d, struct view query, struct buf *out)
{
    struct buf id = {0};
    bool found = false;

    if (!view_starts(query, VIEW("proxyID=")))
        return false;
    LIST_EACH (xds_server_proxies(d->config.xds), struct xds_proxy, link, p) {
        buf_clear(&id);
        buf_printf(&id, "%.*s.%.*s", VIEW_ARGS(p->node.pod), VIEW_ARGS(p->node.ns));
        if (!found && view_eq(buf_read(&id), view_from(query, 8)) && xds_proxy_plan(p)) {
            plan_print(out, xds_proxy_plan(p));
            found = true;
        }
    }
    buf_done(&id);
    return found;
}

/* ---- paths ---- */

static bool ready(const struct debug *d)
{
    return store_ready(d->config.store) && push_now(d->config.push);
}

void debug_serve(void *debug, const struct port_request *q)
{
    struct debug *d = debug;
    struct loop *l = d->config.loop;
    struct view method = headers_value(&q->stream->in, HEADER_METHOD);
    struct buf out = {0};

    if (!view_is(method, "GET") && !view_is(method, "HEAD")) {
        reply_text(l, q->stream, 405, "only GET\n");
    } else if (view_is(q->path, "/ready") || view_is(q->path, "/healthz")) {
        if (ready(d) || view_is(q->path, "/healthz"))
            reply_text(l, q->stream, 200, "ok\n");
        else
            reply_text(l, q->stream, 503, "not ready: the objects are not all here yet\n");
    } else if (view_is(q->path, "/version")) {
        buf_printf(&out, "{\"version\":\"%s\",\"component\":\"weft-control\"}\n", WEFT_VERSION);
        reply_send(l, q->stream, 200, JSON, &out);
    } else if (view_is(q->path, "/metrics")) {
        debug_metrics_print(&d->config, d->started, &out);
        reply_send(l, q->stream, 200, VIEW(METRICS_CONTENT_TYPE), &out);
    } else if (view_is(q->path, "/debug/syncz")) {
        print_syncz(d, &out);
        reply_send(l, q->stream, 200, JSON, &out);
    } else if (view_is(q->path, "/debug/configz")) {
        store_print_json(d->config.store, &out);
        reply_send(l, q->stream, 200, JSON, &out);
    } else if (view_is(q->path, "/debug/diagz")) {
        store_print_rejected(d->config.store, &out);
        reply_send(l, q->stream, 200, JSON, &out);
    } else if (view_is(q->path, STATUS_PEERS_PATH) && d->config.status) {
        status_print_counts(d->config.status, &out);
        reply_send(l, q->stream, 200, JSON, &out);
    } else if (view_is(q->path, "/debug/problemz")) {
        source_kube_print_problems(d->config.kube, &out);
        reply_send(l, q->stream, 200, JSON, &out);
    } else if (view_is(q->path, "/debug/config_dump")) {
        if (print_dump(d, q->query, &out))
            reply_send(l, q->stream, 200, TEXT, &out);
        else
            reply_text(l, q->stream, 404, "no such proxy: ?proxyID=name.namespace\n");
    } else {
        reply_text(l, q->stream, 404, "not found\n");
    }
    buf_done(&out);
}
