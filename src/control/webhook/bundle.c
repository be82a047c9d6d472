// SPDX-License-Identifier: Apache-2.0
/* See bundle.h. Of each configuration only what we may have to change is kept; one call to the API server at a time. What the
 * watch says is the truth: after a patch nothing is assumed until it comes back from there.
 */
#include "control/webhook/bundle.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "control/identity/authority.h"
#include "control/webhook/stats.h"
#include "control/webhook/validate.h"
#include "kube/client.h"
#include "kube/watch.h"
#include "net/loop.h"
#include "net/timer.h"
#include "wire/base64.h"
#include "wire/node.h"

enum { EVENT_ROOTS = 1, EVENT_AGAIN = 2 }; /* and KUBE_WAKE */
enum { MUTATING, VALIDATING, KINDS };

#define FIRST_PAUSE NS_PER_S
#define LONGEST_PAUSE (60 * NS_PER_S)
#define AFTER_FORBIDDEN (60 * NS_PER_S)
#define PEACE (60 * NS_PER_S) /* after so long the next overwriting is the first again */
enum { FREE_PATCHES = 3 };    /* in a row, without a pause */

static const struct {
    struct kube_resource resource;
    const char *app;
} kinds[KINDS] = {
    {{{"admissionregistration.k8s.io", 28}, {"v1", 2}, {"mutatingwebhookconfigurations", 29}, false},
     "sidecar-injector"},
    {{{"admissionregistration.k8s.io", 28}, {"v1", 2}, {"validatingwebhookconfigurations", 31}, false}, "istiod"},
};
static const struct kube_resource gateways = {
    .group = {"networking.istio.io", 19}, .version = {"v1", 2}, .plural = {"gateways", 8}, .namespaced = true};

struct hook { /* an entry of a configuration that is ours */
    uint32_t index;
    struct view name, bundle;
    bool fails; /* failurePolicy: Fail */
};

struct conf {
    struct arena arena;
    int kind;
    struct view name;
    struct hook *hooks;
    uint32_t n_hooks;
    uint64_t not_before, patched_at; /* loop time */
    unsigned in_a_row;
    bool failed; /* the last patch */
    bool gone;   /* while a call about it runs */
};

struct bundle {
    struct bundle_config config;
    struct task task;
    struct timer again;
    struct authority_watch roots_watch;
    struct kube_watch *watches[KINDS];
    struct map confs[KINDS]; /* name → struct conf */
    struct buf wanted;       /* base64 of the roots; empty: none yet */
    struct kube_call *call;
    struct conf *now; /* that the call patches; NULL: the call is a probe */
    bool complained[KINDS], probe_complained;
    bool answers; /* the validating webhook was seen to refuse */
    uint64_t probe_not_before, probe_pause;
};

static struct conf *conf_free(struct conf *c)
{
    arena_done(&c->arena);
    free(c);
    return NULL;
}

/* ---- what the watches say ---- */

static bool is_hook_ours(const struct bundle *b, const struct node *hook)
{
    const struct node *client = node_get(hook, VIEW("clientConfig"));
    return view_eq(node_text_at(client, "service.namespace"), b->config.ns) || node_text_at(client, "url").n;
}

static void read_hooks(struct bundle *b, struct conf *c, const struct node *list)
{
    for (uint32_t i = 0; node_is(list, NODE_SEQ) && i < list->n; i++) {
        const struct node *n = list->items[i];
        if (!is_hook_ours(b, n))
            continue;
        struct hook *h = ARENA_PUSH(&c->arena, c->hooks, c->n_hooks);
        h->index = i;
        h->name = arena_view(&c->arena, node_text_at(n, "name"));
        h->bundle = arena_view(&c->arena, node_text_at(n, "clientConfig.caBundle"));
        h->fails = !view_is(node_text_at(n, "failurePolicy"), "Ignore");
    }
}

static void forget(struct bundle *b, int kind, struct view name)
{
    struct conf *c = map_del(&b->confs[kind], name);
    if (c && b->now == c)
        c->gone = true;
    else if (c)
        conf_free(c);
}

static void take(struct bundle *b, int kind, const struct node *n)
{
    const struct node *labels = node_at(n, "metadata.labels");
    struct view name = node_text_at(n, "metadata.name");
    struct conf *old = map_get(&b->confs[kind], name), *c;
    if (!view_is(node_text(node_get(labels, VIEW("app"))), kinds[kind].app) ||
        !view_eq(node_text(node_get(labels, VIEW("istio.io/rev"))), b->config.revision)) {
        forget(b, kind, name);
        return;
    }
    c = calloc(1, sizeof(*c));
    must(c != NULL);
    arena_init(&c->arena, 512);
    c->kind = kind;
    c->name = arena_view(&c->arena, name);
    if (old) {
        c->not_before = old->not_before;
        c->patched_at = old->patched_at;
        c->in_a_row = old->in_a_row;
        c->failed = old->failed;
    }
    read_hooks(b, c, node_get(n, VIEW("webhooks")));
    forget(b, kind, name);
    map_put(&b->confs[kind], c->name, c);
}

static void drain(struct bundle *b, int kind)
{
    struct kube_event e;
    while (kube_watch_next(b->watches[kind], &e)) {
        if (e.type == KUBE_SET)
            take(b, kind, e.node);
        else if (e.type == KUBE_GONE)
            forget(b, kind, e.name);
    }
    bool broken = !kube_watch_connected(b->watches[kind]) && kube_watch_error(b->watches[kind]).n;
    if (broken && !b->complained[kind])
        log_warn("watch of %.*s: %.*s; their caBundle is not kept right meanwhile",
                 VIEW_ARGS(kinds[kind].resource.plural), VIEW_ARGS(kube_watch_error(b->watches[kind])));
    b->complained[kind] = broken;
}

/* ---- what must change ---- */

static bool has_right_bundle(const struct bundle *b, const struct conf *c)
{
    for (uint32_t i = 0; i < c->n_hooks; i++)
        if (!view_eq(c->hooks[i].bundle, buf_read(&b->wanted)))
            return false;
    return true;
}

static bool wants_fail(const struct bundle *b, const struct conf *c, const struct hook *h)
{
    return c->kind == VALIDATING && b->answers && !h->fails;
}

static bool is_right(const struct bundle *b, const struct conf *c)
{
    for (uint32_t i = 0; i < c->n_hooks; i++)
        if (wants_fail(b, c, &c->hooks[i]))
            return false;
    return has_right_bundle(b, c);
}

/* A JSON Patch that does nothing when entries moved meanwhile: each is first tested by its name. */
static void print_patch(const struct bundle *b, const struct conf *c, struct buf *out)
{
    buf_char(out, '[');
    for (uint32_t i = 0; i < c->n_hooks; i++) {
        const struct hook *h = &c->hooks[i];
        buf_printf(out, "%s{\"op\":\"test\",\"path\":\"/webhooks/%u/name\",\"value\":", i ? "," : "", h->index);
        buf_json_str(out, h->name);
        buf_printf(out, "},{\"op\":\"add\",\"path\":\"/webhooks/%u/clientConfig/caBundle\",\"value\":\"", h->index);
        buf_view(out, buf_read(&b->wanted));
        buf_str(out, "\"}");
        if (wants_fail(b, c, h))
            buf_printf(out, ",{\"op\":\"add\",\"path\":\"/webhooks/%u/failurePolicy\",\"value\":\"Fail\"}", h->index);
    }
    buf_char(out, ']');
}

static void patch(struct bundle *b, struct conf *c)
{
    struct buf body = {0};
    uint64_t now = loop_now(b->config.loop);
    print_patch(b, c, &body);
    c->in_a_row = c->patched_at && now - c->patched_at < PEACE ? c->in_a_row + 1 : 1;
    c->patched_at = now;
    b->config.stats->patch_attempts++;
    b->config.stats->patch_retries += c->failed;
    b->now = c;
    b->call = kube_call_new(
        b->config.kube,
        &(struct kube_request){
            .verb = KUBE_JSON_PATCH, .resource = kinds[c->kind].resource, .name = c->name, .body = buf_read(&body)},
        &b->task);
    buf_done(&body);
}

/* Is there a validating webhook that could be made strict? */
static bool wants_probe(const struct bundle *b)
{
    bool some = false;
    if (b->answers)
        return false;
    MAP_EACH (&b->confs[VALIDATING], it) {
        const struct conf *c = it->value;
        some = some || (c->n_hooks && has_right_bundle(b, c));
    }
    return some;
}

static void probe(struct bundle *b)
{
    struct buf body = {0};
    buf_str(&body, "{\"apiVersion\":\"networking.istio.io/v1\",\"kind\":\"Gateway\",\"metadata\":{\"generateName\":"
                   "\"weft-probe-\",\"annotations\":{\"" VALIDATE_PROBE "\":\"true\"},\"labels\":{\"istio.io/rev\":");
    buf_json_str(&body, b->config.revision); /* by which the webhook selects what it is asked about */
    buf_str(&body, "},\"namespace\":");
    buf_json_str(&body, b->config.ns);
    buf_str(&body,
            "},\"spec\":{\"selector\":{\"istio\":\"nobody\"},\"servers\":[{\"hosts\":[\"probe.invalid\"],\"port\":"
            "{\"number\":80,\"name\":\"http\",\"protocol\":\"HTTP\"}}]}}");
    b->now = NULL;
    b->call = kube_call_new(b->config.kube,
                            &(struct kube_request){.verb = KUBE_CREATE,
                                                   .resource = gateways,
                                                   .ns = b->config.ns,
                                                   .query = VIEW("dryRun=All"),
                                                   .body = buf_read(&body)},
                            &b->task);
    buf_done(&body);
}

static uint64_t longer(uint64_t pause)
{
    return !pause ? FIRST_PAUSE : pause * 2 > LONGEST_PAUSE ? LONGEST_PAUSE : pause * 2;
}

/* ---- answers ---- */

static void patched(struct bundle *b, struct conf *c, int status)
{
    uint64_t now = loop_now(b->config.loop), pause = c->in_a_row > FREE_PATCHES ? FIRST_PAUSE : 0;
    for (unsigned i = FREE_PATCHES + 1; i < c->in_a_row && pause < LONGEST_PAUSE; i++)
        pause = longer(pause);
    c->failed = status != 200;
    if (status == 200) {
        b->config.stats->bundle_updates++;
        log_info("%.*s %.*s: caBundle written%s", VIEW_ARGS(kinds[c->kind].resource.plural), VIEW_ARGS(c->name),
                 c->kind == VALIDATING && b->answers ? ", failurePolicy Fail" : "");
        /* The watch tells what it is now; meanwhile it counts as right. */
        for (uint32_t i = 0; i < c->n_hooks; i++) {
            c->hooks[i].bundle = arena_view(&c->arena, buf_read(&b->wanted));
            c->hooks[i].fails = c->hooks[i].fails || wants_fail(b, c, &c->hooks[i]);
        }
    } else if (!c->gone && status != 404) {
        b->config.stats->patch_failures++;
        pause = status == 403 ? AFTER_FORBIDDEN : pause ? pause : FIRST_PAUSE;
        log_warn(
            "%.*s %.*s: caBundle could not be written (status %d): the API server cannot trust our webhook; trying "
            "again in %u s",
            VIEW_ARGS(kinds[c->kind].resource.plural), VIEW_ARGS(c->name), status, (unsigned)(pause / NS_PER_S));
    }
    c->not_before = now + pause;
    if (c->gone)
        conf_free(c);
}

static void probed(struct bundle *b, int status, struct view body)
{
    if (status >= 400 && view_find_view(body, VIEW(VALIDATE_PROBE_ANSWER)) < body.n) {
        b->answers = true;
        log_info("the API server reaches our validating webhook: it becomes strict");
        return;
    }
    b->probe_pause = status == 403 ? AFTER_FORBIDDEN : longer(b->probe_pause);
    b->probe_not_before = loop_now(b->config.loop) + b->probe_pause;
    if (status == 403 && !b->probe_complained)
        log_warn("whether our validating webhook is reached cannot be asked: no right to create gateways (dry run) in "
                 "%.*s; its failurePolicy stays as it is",
                 VIEW_ARGS(b->config.ns));
    else if (b->probe_pause == LONGEST_PAUSE && !b->probe_complained)
        log_warn("the API server does not reach our validating webhook (a dry run was not refused: status %d): its "
                 "failurePolicy stays Ignore; is port 15017 open to it?",
                 status);
    b->probe_complained = b->probe_complained || status == 403 || b->probe_pause == LONGEST_PAUSE;
}

static void take_answer(struct bundle *b)
{
    int status = kube_call_status(b->call);
    struct conf *c = b->now;
    b->now = NULL;
    if (c)
        patched(b, c, status);
    else
        probed(b, status, kube_call_body(b->call));
    b->call = kube_call_free(b->call);
}

/* ---- the task ---- */

static void at_least(uint64_t *next, uint64_t when)
{
    if (when < *next)
        *next = when;
}

/* Starts the next call that is due, or sets the timer for the first that will be. */
static void next(struct bundle *b)
{
    uint64_t now = loop_now(b->config.loop), when = TIMER_NEVER;
    if (!buf_len(&b->wanted))
        return;
    for (int k = 0; k < KINDS; k++)
        MAP_EACH (&b->confs[k], it) {
            struct conf *c = it->value;
            if (b->call || !c->n_hooks || is_right(b, c))
                continue;
            if (c->not_before <= now)
                patch(b, c);
            else
                at_least(&when, c->not_before);
        }
    if (!b->call && wants_probe(b)) {
        if (b->probe_not_before <= now)
            probe(b);
        else
            at_least(&when, b->probe_not_before);
    }
    if (when != TIMER_NEVER)
        timer_set(&b->again, when);
}

static void take_roots(struct bundle *b)
{
    struct view roots = authority_roots(b->config.authority);
    if (!roots.n)
        return;
    buf_clear(&b->wanted);
    base64_write(&b->wanted, BASE64_STANDARD, roots);
}

static void bundle_run(struct task *t, uint32_t events)
{
    struct bundle *b = CONTAINER_OF(t, struct bundle, task);
    if (events & EVENT_ROOTS)
        take_roots(b);
    for (int k = 0; k < KINDS; k++)
        drain(b, k);
    if (events & EVENT_AGAIN)
        timer_rest(&b->again);
    do {
        if (b->call && kube_call_done(b->call))
            take_answer(b);
        if (!b->call)
            next(b);
    } while (b->call && kube_call_done(b->call));
}

struct bundle *bundle_new(const struct bundle_config *config)
{
    struct bundle *b = calloc(1, sizeof(*b));
    must(b != NULL);
    b->config = *config;
    task_init(&b->task, config->loop, bundle_run, "webhook configurations");
    timer_init(&b->again, &b->task, EVENT_AGAIN);
    for (int k = 0; k < KINDS; k++) {
        map_init(&b->confs[k], NULL);
        b->watches[k] = kube_watch_new(config->kube, &kinds[k].resource, VIEW_NONE, &b->task);
    }
    authority_watch(config->authority, &b->roots_watch, &b->task, EVENT_ROOTS);
    return b;
}

struct bundle *bundle_free(struct bundle *b)
{
    if (!b)
        return NULL;
    authority_unwatch(&b->roots_watch);
    kube_call_free(b->call);
    if (b->now && b->now->gone)
        conf_free(b->now);
    for (int k = 0; k < KINDS; k++) {
        kube_watch_free(b->watches[k]);
        MAP_EACH (&b->confs[k], it) {
            conf_free(it->value);
        }
        map_done(&b->confs[k]);
    }
    buf_done(&b->wanted);
    timer_done(&b->again);
    task_done(&b->task);
    free(b);
    return NULL;
}

void bundle_state(const struct bundle *b, unsigned *ret_known, unsigned *ret_right)
{
    *ret_known = *ret_right = 0;
    for (int k = 0; k < KINDS; k++)
        MAP_EACH (&b->confs[k], it) {
            const struct conf *c = it->value;
            *ret_known += c->n_hooks > 0;
            *ret_right += c->n_hooks > 0 && buf_len(&b->wanted) && has_right_bundle(b, c);
        }
}
