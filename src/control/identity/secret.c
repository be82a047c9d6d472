// SPDX-License-Identifier: Apache-2.0
/* See identity/secret.h. One call at a time; what the Secret holds comes back through the watch, also what we wrote ourselves. */
#include "control/identity/secret.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "kube/client.h"
#include "kube/watch.h"
#include "net/loop.h"
#include "net/timer.h"
#include "trust/roots.h"
#include "wire/base64.h"
#include "wire/node.h"

enum { EVENT_AGAIN = 1, EVENT_CHECK = 2 }; /* and KUBE_WAKE */

#define AGAIN (5 * NS_PER_S)

static const struct kube_resource secrets = {.version = {"v1", 2}, .plural = {"secrets", 7}, .namespaced = true};

struct ca_secret {
    struct ca_secret_config config;
    struct task task, *wake;
    struct timer again, check;
    struct kube_watch *watch;
    struct kube_call *call;
    struct ca *now;     /* what it held last, when that was good */
    struct buf version; /* its resourceVersion; empty: it is not there */
    struct buf extra;   /* roots to be added */
    const char *why;    /* it cannot be used; NULL: it can, or there is none yet */
    bool synced, fresh, renewing;
    uint64_t renewals;
};

bool ca_root_is_due(const struct ca *ca, unsigned percent, uint64_t wall_ns)
{
    uint64_t from = ca_root_not_before(ca), until = ca_root_not_after(ca);

    return wall_ns + (until - from) / 100 * percent >= until;
}

/* ---- reading ---- */

static void take_key(const struct node *data, const char *key, struct buf *out)
{
    struct view text = node_text(node_get(data, view_of(key)));

    if (text.n > 2 * LIMIT_CERT_CHAIN_BYTES || base64_read(out, BASE64_LINES, text) < 0)
        buf_clear(out);
}

static int read_ca(const struct ca_secret *s, const struct node *object, struct ca **ret, const char **ret_why)
{
    const struct node *data = node_get(object, VIEW("data"));
    struct buf cert = {0}, key = {0}, root = {0}, chain = {0};
    int r;

    take_key(data, "ca-cert.pem", &cert);
    take_key(data, "ca-key.pem", &key);
    take_key(data, "root-cert.pem", &root); /* Istio leaves it and the chain out, or empty */
    take_key(data, "cert-chain.pem", &chain);
    r = ca_from_pem(buf_read(&cert), buf_read(&key), buf_read(buf_len(&root) ? &root : &cert), buf_read(&chain),
                    &s->config.ca, ret, ret_why);
    buf_done(&cert);
    buf_wipe(&key);
    buf_done(&root);
    buf_done(&chain);
    return r;
}

static void take_secret(struct ca_secret *s, const struct kube_event *e)
{
    struct ca *ca = NULL;

    s->why = NULL;
    s->fresh = true;
    buf_clear(&s->version);
    buf_view(&s->version, e->resource_version);
    if (read_ca(s, e->node, &ca, &s->why) < 0)
        return;
    ca_unref(s->now);
    s->now = ca;
}

/* ---- writing ---- */

static void print_key(struct buf *out, const char *key, struct view value, const char *comma)
{
    buf_printf(out, "%s\"%s\":\"", comma, key);
    base64_write(out, BASE64_STANDARD, value);
    buf_char(out, '"');
}

/* As a whole when it is not there, else its data under its version: labels that others put on it stay. */
static void write_secret(struct ca_secret *s, const struct ca *ca, struct view roots)
{
    bool there = buf_len(&s->version) > 0;
    struct kube_request q = {.verb = there ? KUBE_PATCH : KUBE_CREATE,
                             .resource = secrets,
                             .ns = s->config.ns,
                             .name = there ? VIEW(CA_SECRET_NAME) : VIEW_NONE};
    struct buf body = {0}, key = {0};

    if (ca_key_pem(ca, &key) == 0) {
        if (there) {
            buf_str(&body, "{\"metadata\":{\"resourceVersion\":");
            buf_json_str(&body, buf_read(&s->version));
        } else {
            buf_str(&body, "{\"apiVersion\":\"v1\",\"kind\":\"Secret\",\"type\":\"" CA_SECRET_TYPE "\",\"metadata\":{"
                           "\"name\":\"" CA_SECRET_NAME "\",\"namespace\":");
            buf_json_str(&body, s->config.ns);
        }
        buf_str(&body, "},\"data\":{");
        print_key(&body, "ca-cert.pem", ca_cert_pem(ca), "");
        print_key(&body, "ca-key.pem", buf_read(&key), ",");
        print_key(&body, "root-cert.pem", roots, ",");
        print_key(&body, "cert-chain.pem", VIEW_NONE, ",");
        buf_str(&body, "}}");
        q.body = buf_read(&body);
        s->call = kube_call_new(s->config.kube, &q, &s->task);
    }
    buf_wipe(&body);
    buf_wipe(&key);
}

static void make(struct ca_secret *s)
{
    const char *why = "";

    if (!s->now && ca_new(&s->config.ca, loop_wall(s->config.loop), &s->now, &why) < 0) {
        log_error("no root could be made: %s", why);
        timer_in(&s->again, AGAIN);
        return;
    }
    write_secret(s, s->now, ca_root_pem(s->now));
}

/* Other roots of the bundle stay until they end; the one that is renewed is replaced by its successor. */
static void renew(struct ca_secret *s)
{
    uint64_t wall = loop_wall(s->config.loop);
    struct view rest = ca_root_pem(s->now), one;
    struct ca *young = NULL;
    const char *why = "";
    struct buf roots = {0};

    if (ca_renew(s->now, &s->config.ca, wall, &young, &why) < 0) {
        log_error("the root of Secret " CA_SECRET_NAME " is near its end and was not renewed: %s", why);
        return;
    }
    buf_view(&roots, ca_root_pem(young));
    while (ca_cut_pem(&rest, &one))
        if (!view_eq(one, ca_cert_pem(s->now)) && roots_end(one) > wall)
            roots_add(&roots, one);
    s->renewing = true;
    write_secret(s, young, buf_read(&roots));
    buf_done(&roots);
    ca_unref(young);
}

static void add_roots(struct ca_secret *s)
{
    struct buf roots = {0};

    buf_view(&roots, ca_root_pem(s->now));
    roots_add(&roots, buf_read(&s->extra));
    buf_clear(&s->extra);
    if (!view_eq(buf_read(&roots), ca_root_pem(s->now)))
        write_secret(s, s->now, buf_read(&roots));
    buf_done(&roots);
}

static void written(struct ca_secret *s)
{
    int status = kube_call_status(s->call);

    if (status == 201)
        log_info("made Secret " CA_SECRET_NAME " with a self-signed root");
    else if (status == 200 && s->renewing)
        log_info("renewed the root of Secret " CA_SECRET_NAME " with the same key");
    else if (status != 200 && status != 409) { /* 409: another replica was faster */
        struct view why = kube_call_why(s->call);
        log_warn("Secret " CA_SECRET_NAME " was not written: %.*s (status %d)", VIEW_ARGS(why), status);
        if (!buf_len(&s->version))
            s->why = "Secret " CA_SECRET_NAME " is not there and cannot be made: weft-control needs the right to "
                     "create Secrets in its namespace";
        s->fresh = s->fresh || s->why;
        timer_in(&s->again, AGAIN);
    }
    s->renewals += s->renewing && status == 200;
    s->renewing = false;
    s->call = kube_call_free(s->call);
}

/* ---- the task ---- */

static void drain(struct ca_secret *s)
{
    struct kube_event e;

    while (kube_watch_next(s->watch, &e)) {
        if (e.type == KUBE_SYNCED)
            s->synced = true;
        else if (!view_is(e.name, CA_SECRET_NAME))
            continue;
        else if (e.type == KUBE_SET)
            take_secret(s, &e);
        else if (e.type == KUBE_GONE)
            buf_clear(&s->version);
    }
}

/* In turn with the other replicas, unless it has ended already. */
static bool is_due(const struct ca_secret *s)
{
    uint64_t wall = loop_wall(s->config.loop);

    return ca_root_is_due(s->now, s->config.grace_percent, wall) &&
           (!timer_is_set(&s->check) || wall >= ca_root_not_after(s->now));
}

static void act(struct ca_secret *s)
{
    if (s->call || timer_is_set(&s->again) || !s->synced)
        return;
    if (!buf_len(&s->version))
        make(s);
    else if (s->now && !s->why && is_due(s))
        renew(s);
    else if (s->now && !s->why && buf_len(&s->extra))
        add_roots(s);
    if (!timer_is_set(&s->check))
        timer_in(&s->check, s->config.check);
}

static void secret_run(struct task *t, uint32_t events)
{
    struct ca_secret *s = CONTAINER_OF(t, struct ca_secret, task);

    if (s->call && kube_call_done(s->call))
        written(s);
    drain(s);
    act(s);
    if (s->fresh)
        task_wake(s->wake, KUBE_WAKE);
}

bool ca_secret_next(struct ca_secret *s, struct ca **ret_ca, const char **ret_why)
{
    if (!s->fresh)
        return false;
    s->fresh = false;
    *ret_why = s->why;
    *ret_ca = s->why || !s->now ? NULL : ca_ref(s->now);
    return true;
}

void ca_secret_keep_roots(struct ca_secret *s, struct view roots)
{
    roots_add(&s->extra, roots);
    task_wake(&s->task, EVENT_AGAIN);
}

uint64_t ca_secret_renewals(const struct ca_secret *s)
{
    return s->renewals;
}

struct ca_secret *ca_secret_new(const struct ca_secret_config *config, struct task *wake)
{
    struct ca_secret *s = calloc(1, sizeof(*s));

    must(s != NULL);
    s->config = *config;
    s->wake = wake;
    task_init(&s->task, config->loop, secret_run, "shared CA");
    timer_init(&s->again, &s->task, EVENT_AGAIN);
    timer_init(&s->check, &s->task, EVENT_CHECK);
    if (!config->no_jitter) /* replicas that start together should not look together */
        timer_in(&s->check, (uint64_t)((double)config->check * rng_unit(loop_rng(config->loop))));
    s->watch = kube_watch_with(
        config->kube, &secrets,
        &(struct kube_watch_options){.ns = config->ns, .fields = VIEW("metadata.name=" CA_SECRET_NAME)}, &s->task);
    return s;
}

struct ca_secret *ca_secret_free(struct ca_secret *s)
{
    if (!s)
        return NULL;
    kube_call_free(s->call);
    kube_watch_free(s->watch);
    timer_done(&s->again);
    timer_done(&s->check);
    task_done(&s->task);
    ca_unref(s->now);
    buf_done(&s->version);
    buf_done(&s->extra);
    free(s);
    return NULL;
}
