// SPDX-License-Identifier: Apache-2.0
/* See webhook.h. A call receives its body, is answered in one go and hands stream and answer to reply.h; the port's
 * certificate follows the CA. What a call costs beyond its body dies with its arena before the next one is looked at.
 */
#include "control/webhook/webhook.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "control/identity/authority.h"
#include "control/port.h"
#include "control/reply.h"
#include "control/webhook/bundle.h"
#include "control/webhook/settings.h"
#include "control/webhook/stats.h"
#include "control/webhook/validate.h"
#include "http/stream.h"
#include "inject/settings.h"
#include "net/loop.h"
#include "net/timer.h"
#include "net/tls.h"

enum { EVENT_CA = 1, EVENT_RENEW = 2 };
enum { EVENT_STREAM = 1, EVENT_LATE = 2, EVENT_TURN = 4 };

#define CERT_TTL (24 * 3600 * NS_PER_S)
#define AFTER_FAILURE (10 * NS_PER_S)
#define CALL_TIMEOUT (10 * NS_PER_S) /* the API server's own default */
#define COMPLAINTS_PER_S 10
/* The analyzers may take a tenth of the time: a pipeline that applies a thousand objects must not stop xDS. What is beyond is
 * checked by itself, as a proxy-less `weft analyze` of one file would. */
#define ANALYZE_SHARE 10
/* Whoever reaches the port may send megabytes: of those one is looked at after the other, for a fifth of the time. */
#define LARGE_BYTES (512 * 1024)
#define LARGE_SHARE 4
#define ANALYZE_FREE (20 * NS_PER_MS)

struct webhook {
    struct webhook_config config;
    struct task task;
    struct timer renew;
    struct authority_watch ca_watch;
    struct tls_context *tls;
    struct port *port;
    struct bundle *bundle;
    struct settings *settings;
    const struct mesh_snapshot *snapshot;
    struct list calls;
    size_t pending; /* bytes that calls hold */
    struct webhook_stats stats;
    uint64_t analyze_after; /* loop time: not before */
    uint64_t large_after;   /* the same for the next large request */
    uint64_t window;        /* of complaints: the second, and how many */
    unsigned complaints;
};

struct call {
    struct task task;
    struct timer late, turn;
    struct list link;
    struct webhook *webhook;
    struct http_stream *stream;
    struct view path; /* in the stream's arena */
    struct buf body;
};

/* ---- our certificate ---- */

/* istiod.<ns>.svc and what else people write for it; a revision's Service has its name at the end. */
size_t webhook_service_names(struct arena *a, struct view ns, struct view rev, struct view names[SERVICE_NAMES])
{
    bool named = !view_is(rev, "default");
    size_t n = 0;
    names[n++] = arena_printf(a, "istiod.%.*s.svc", VIEW_ARGS(ns));
    names[n++] = arena_printf(a, "istiod.%.*s", VIEW_ARGS(ns));
    names[n++] = arena_printf(a, "istiod.%.*s.svc.cluster.local", VIEW_ARGS(ns));
    if (named) {
        names[n++] = arena_printf(a, "istiod-%.*s.%.*s.svc", VIEW_ARGS(rev), VIEW_ARGS(ns));
        names[n++] = arena_printf(a, "istiod-%.*s.%.*s", VIEW_ARGS(rev), VIEW_ARGS(ns));
        names[n++] = arena_printf(a, "istiod-%.*s.%.*s.svc.cluster.local", VIEW_ARGS(rev), VIEW_ARGS(ns));
    }
    names[n++] = VIEW("localhost");
    return n;
}

static int issue(const struct webhook *w, struct ca *ca, struct tls_identity **ret, const char **ret_why)
{
    struct view names[SERVICE_NAMES];
    struct arena a;
    struct buf chain = {0}, key = {0};
    arena_init(&a, 1024);
    struct ca_grant grant = {.dns = names, .ttl = CERT_TTL};
    grant.n_dns = webhook_service_names(&a, w->config.ns, w->config.revision, names);
    int r = ca_issue(ca, &grant, loop_wall(w->config.loop), &chain, &key, ret_why);
    if (r == 0)
        r = tls_identity_new(buf_read(&chain), buf_read(&key), ret, ret_why);
    buf_done(&chain);
    buf_wipe(&key);
    arena_done(&a);
    return r;
}

static void serve(void *arg, const struct port_request *q);

static int open_port(struct webhook *w, struct tls_identity *id, const char **ret_why)
{
    static const struct view alpn[] = {{"http/1.1", 8}};
    int r =
        tls_context_new(w->config.loop, &(struct tls_config){.server = true, .identity = id, .alpn = alpn, .n_alpn = 1},
                        &w->tls, ret_why);
    if (r < 0)
        return r;
    *ret_why = "the port cannot be opened";
    r = port_open(&(struct port_config){.loop = w->config.loop,
                                        .http = w->config.http,
                                        .at = w->config.at,
                                        .tls = w->tls,
                                        .version = HTTP_1,
                                        .serve = serve,
                                        .arg = w},
                  &w->port);
    if (r < 0)
        w->tls = tls_context_free(w->tls);
    return r;
}

/* A new certificate of the CA that signs now, and with the first one the port. */
static void renew(struct webhook *w)
{
    struct ca *ca = authority_ca(w->config.authority);
    struct tls_identity *id = NULL;
    const char *why = "it could not be issued";
    if (!ca) /* we are woken when there is one */
        return;
    int r = issue(w, ca, &id, &why);
    if (r == 0)
        r = w->tls ? tls_context_set_identity(w->tls, id) : open_port(w, id, &why);
    if (r < 0)
        log_error("webhook: no %s: %s: %s; trying again in %u s", w->tls ? "new certificate" : "port", why,
                  strerror(-r), (unsigned)(AFTER_FAILURE / NS_PER_S));
    uint64_t left = r < 0 ? 0 : tls_identity_not_after(id) - loop_wall(w->config.loop);
    timer_in(&w->renew, r < 0 ? AFTER_FAILURE : left > CERT_TTL ? CERT_TTL / 2 : left / 2);
    tls_identity_unref(id);
}

/* ---- calls ---- */

static void call_free(struct call *c)
{
    list_del(&c->link);
    c->webhook->pending -= buf_len(&c->body);
    http_stream_free(c->stream);
    buf_done(&c->body);
    timer_done(&c->late);
    timer_done(&c->turn);
    task_done(&c->task);
    free(c);
}

/* Ends a call with a text; the stream is the reply's from here. */
static void call_reply(struct call *c, unsigned status, struct view type, struct buf *body)
{
    struct http_stream *s = c->stream;
    struct webhook *w = c->webhook;
    c->stream = NULL;
    call_free(c);
    reply_send(w->config.loop, s, status, type, body);
}

static void complain(struct webhook *w, const char *what, struct view ns, struct view name, struct view why)
{
    uint64_t second = loop_now(w->config.loop) / NS_PER_S;
    if (second != w->window) {
        w->window = second;
        w->complaints = 0;
    }
    if (w->complaints++ < COMPLAINTS_PER_S)
        log_warn("%s %.*s%s%.*s: %.*s", what, VIEW_ARGS(view_head(ns, 63)), ns.n ? "/" : "",
                 VIEW_ARGS(view_head(name, 253)), VIEW_ARGS(view_head(why, 1024)));
}

static void call_refuse(struct call *c, unsigned status, struct view why)
{
    struct buf text = {0};
    c->webhook->stats.http_errors++;
    complain(c->webhook, "webhook: a request was refused at", VIEW_NONE, c->path, why);
    buf_view(&text, why);
    buf_char(&text, '\n');
    call_reply(c, status, VIEW("text/plain; charset=utf-8"), &text);
}

static int answer_inject(struct call *c, struct arena *a, struct buf *out, struct view *ret_why)
{
    struct webhook *w = c->webhook;
    const struct inject_config *now = settings_now(w->settings);
    struct inject_outcome o;
    uint64_t began = clock_mono();
    if (!now) {
        *ret_why = VIEW("the injection settings are not here yet");
        return 503;
    }
    struct inject_config config = *now;
    if (inject_settings_path(a, view_from(c->path, sizeof("/inject/") - 1), &config) < 0) {
        *ret_why = VIEW("the path behind /inject/ must be names of variables and values: /inject/cluster/c1/net/n1");
        return 404;
    }
    int status = inject_review(a, buf_read(&c->body), &config, out, &o);
    stats_injected(&w->stats, &o, clock_mono() - began);
    *ret_why = o.why;
    if (status)
        return status;
    if (o.result == INJECT_FAILED)
        complain(w, "injection refused for", o.ns, o.name, o.why);
    else
        log_debug("%s %.*s/%.*s: %.*s", o.result == INJECT_DONE ? "injected" : "not injected", VIEW_ARGS(o.ns),
                  VIEW_ARGS(o.name), VIEW_ARGS(o.why));
    return 0;
}

static int answer_validate(struct call *c, struct arena *a, struct buf *out, struct view *ret_why)
{
    struct webhook *w = c->webhook;
    struct validate_outcome o;
    uint64_t began = clock_mono();
    bool analyze = loop_now(w->config.loop) >= w->analyze_after;
    int status = validate_review(a, buf_read(&c->body), analyze ? w->snapshot : NULL, out, &o);
    uint64_t took = clock_mono() - began;
    if (took > ANALYZE_FREE)
        w->analyze_after = loop_now(w->config.loop) + took * ANALYZE_SHARE;
    *ret_why = o.why;
    if (status)
        return status;
    if (!o.probe)
        stats_validated(&w->stats, o.group, o.version, o.resource, o.allowed ? NULL : "invalid_resource");
    if (!o.allowed && !o.probe)
        complain(w, "object refused:", o.ns, o.name, o.why);
    return 0;
}

static void call_answer(struct call *c)
{
    struct webhook *w = c->webhook;
    bool large = buf_len(&c->body) > LARGE_BYTES;
    uint64_t began = clock_mono();
    struct buf out = {0};
    struct view why = VIEW_NONE;
    struct arena a;
    arena_init(&a, 64 * 1024);
    bool injects = view_starts(c->path, VIEW("/inject"));
    int status = injects ? answer_inject(c, &a, &out, &why) : answer_validate(c, &a, &out, &why);
    if (large)
        w->large_after = loop_now(w->config.loop) + (clock_mono() - began) * LARGE_SHARE;
    if (status)
        call_refuse(c, (unsigned)status, why);
    else
        call_reply(c, 200, VIEW("application/json"), &out);
    buf_done(&out);
    arena_done(&a);
}

static void call_run(struct task *t, uint32_t events)
{
    struct call *c = CONTAINER_OF(t, struct call, task);
    struct view bytes;
    while (http_stream_peek(c->stream, &bytes) && buf_len(&c->body) <= LIMIT_ADMISSION_BYTES) {
        buf_view(&c->body, bytes);
        c->webhook->pending += bytes.n;
        http_stream_consume(c->stream, bytes.n);
    }
    if (buf_len(&c->body) > LIMIT_ADMISSION_BYTES)
        call_refuse(c, 413, VIEW("the AdmissionReview is too large"));
    else if (c->stream->ready & HTTP_RESET)
        call_free(c);
    else if (events & EVENT_LATE)
        call_refuse(c, c->stream->ready & HTTP_END ? 503 : 408,
                    VIEW("the request came too slowly, or too many at once"));
    else if ((c->stream->ready & HTTP_END) && buf_len(&c->body) > LARGE_BYTES &&
             c->webhook->large_after > loop_now(c->webhook->config.loop))
        timer_set(&c->turn, c->webhook->large_after);
    else if (c->stream->ready & HTTP_END)
        call_answer(c);
    else if (c->webhook->pending > LIMIT_ADMISSION_PENDING_BYTES)
        call_refuse(c, 503, VIEW("too many AdmissionReviews at once; try again"));
}

/* ---- requests ---- */

static bool is_json(struct view type)
{
    struct view kind = view_trim(view_head(type, view_find(type, ';')));
    return view_ieq(kind, VIEW("application/json"));
}

static bool is_at(struct view path, struct view root)
{
    return view_eq(path, root) || (view_starts(path, root) && path.p[root.n] == '/');
}

static void receive(struct webhook *w, const struct port_request *q)
{
    struct call *c = calloc(1, sizeof(*c));
    struct headers h;
    must(c != NULL);
    c->webhook = w;
    c->stream = q->stream;
    c->path = q->path;
    task_init(&c->task, w->config.loop, call_run, "webhook call");
    timer_init(&c->late, &c->task, EVENT_LATE);
    timer_init(&c->turn, &c->task, EVENT_TURN);
    timer_in(&c->late, CALL_TIMEOUT);
    list_push(&w->calls, &c->link);
    http_stream_own(q->stream, &c->task, EVENT_STREAM);
    if (q->stream->content_length_known && q->stream->content_length > LIMIT_ADMISSION_BYTES) {
        call_refuse(c, 413, VIEW("the AdmissionReview is too large"));
        return;
    }
    headers_init(&h, NULL);
    if (q->stream->expect_continue && headers_add(&h, HEADER_STATUS, VIEW("100")) == 0 &&
        http_stream_inform(q->stream, &h) < 0)
        log_debug("webhook: 100 Continue could not be sent");
    task_wake(&c->task, EVENT_STREAM);
}

static void serve(void *arg, const struct port_request *q)
{
    struct webhook *w = arg;
    struct loop *l = w->config.loop;
    struct view method = headers_value(&q->stream->in, HEADER_METHOD);
    struct view type = headers_value(&q->stream->in, HEADER_CONTENT_TYPE);
    if (view_is(q->path, "/ready")) {
        if (settings_now(w->settings) && w->snapshot)
            reply_text(l, q->stream, 200, "ok\n");
        else
            reply_text(l, q->stream, 503, "not ready: the objects are not all here yet\n");
    } else if (!is_at(q->path, VIEW("/inject")) && !view_is(q->path, "/validate")) {
        reply_text(l, q->stream, 404, "not found: /inject, /validate, /ready\n");
    } else if (!view_is(method, "POST")) {
        w->stats.http_errors++;
        reply_text(l, q->stream, 405, "only POST\n");
    } else if (!is_json(type)) {
        w->stats.http_errors++;
        reply_text(l, q->stream, 415, "Content-Type must be application/json\n");
    } else {
        receive(w, q);
    }
}

/* ---- life ---- */

static void webhook_run(struct task *t, uint32_t events)
{
    renew(CONTAINER_OF(t, struct webhook, task));
}

int webhook_new(const struct webhook_config *config, struct webhook **ret, const char **ret_why)
{
    const char *text = getenv("ENABLE_NATIVE_SIDECARS");
    struct view native = view_of(text ? text : "");
    if (native.n && !view_is(native, "auto") && !view_is(native, "true") && !view_is(native, "false")) {
        *ret_why = "ENABLE_NATIVE_SIDECARS must be auto, true or false";
        return -EINVAL;
    }
    struct webhook *w = calloc(1, sizeof(*w));
    must(w != NULL);
    w->config = *config;
    list_init(&w->calls);
    task_init(&w->task, config->loop, webhook_run, "webhooks");
    timer_init(&w->renew, &w->task, EVENT_RENEW);
    w->settings = settings_new(&(struct settings_config){.loop = config->loop,
                                                         .kube = config->kube,
                                                         .revision = config->revision,
                                                         .ns = config->ns,
                                                         .cluster_id = config->cluster_id,
                                                         .native = text});
    if (config->kube)
        w->bundle = bundle_new(&(struct bundle_config){.loop = config->loop,
                                                       .kube = config->kube,
                                                       .authority = config->authority,
                                                       .stats = &w->stats,
                                                       .revision = config->revision,
                                                       .ns = config->ns});
    authority_watch(config->authority, &w->ca_watch, &w->task, EVENT_CA);
    *ret = w;
    return 0;
}

struct webhook *webhook_free(struct webhook *w)
{
    if (!w)
        return NULL;
    LIST_EACH (&w->calls, struct call, link, c) {
        call_free(c);
    }
    authority_unwatch(&w->ca_watch);
    bundle_free(w->bundle);
    settings_free(w->settings);
    port_free(w->port);
    tls_context_free(w->tls);
    timer_done(&w->renew);
    task_done(&w->task);
    free(w);
    return NULL;
}

void webhook_snapshot(struct webhook *w, const struct mesh_snapshot *snapshot)
{
    w->snapshot = snapshot;
    settings_snapshot(w->settings, snapshot);
}

void webhook_print_metrics(const struct webhook *w, struct buf *out)
{
    unsigned known = 0, right = 0;
    stats_print(&w->stats, out);
    if (w->bundle)
        bundle_state(w->bundle, &known, &right);
    buf_printf(out,
               "# HELP weft_webhook_configurations Webhook configurations of this revision, and those with the right "
               "caBundle.\n# TYPE weft_webhook_configurations gauge\n"
               "weft_webhook_configurations{state=\"known\"} %u\nweft_webhook_configurations{state=\"right\"} %u\n",
               known, right);
}

const struct addr *webhook_addr(const struct webhook *w)
{
    return w->port ? port_addr(w->port) : NULL;
}
