// SPDX-License-Identifier: Apache-2.0
/* LIST, WATCH, resume, list again (watch.h). One task: it has at most one exchange at a time, and what it tells its owner
 * goes through seen.h.
 *
 * A deletion of a custom resource is believed only after a look at its definition. When somebody deletes that, the server
 * first marks it, then deletes its objects one by one: the marked definition says that nobody meant the objects. While we
 * look, what the watch says waits; one look counts for all that had come before it was sent.
 */
#include "kube/watch.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "kube/fetch.h"
#include "kube/seen.h"
#include "net/loop.h"
#include "net/timer.h"
#include "wire/node.h"

enum { WATCH_FETCH = 1, WATCH_AGAIN = 2, WATCH_SILENT = 4 }; /* and KUBE_WAKE, from the look at the definition */
enum { FIRST_PAUSE_MS = 200, LONGEST_PAUSE_MS = 10000, MISSING_PAUSE_MS = 15000, DOOMED_PAUSE_MS = 4000 };
#define YOUNG (60 * NS_PER_S) /* a definition that came back: its objects are on their way */
enum { WATCH_S = 120, PAGE = 500, SILENT_S = 30 };

struct kube_watch {
    struct kube_client *client;
    struct kube_resource resource; /* version: several, with ',' */
    struct arena texts;
    struct kube_watch_options options;
    struct task task;
    struct task *wake;
    struct timer pause, silent;
    struct kube_retry retry;
    struct fetch fetch;
    struct seen seen;
    struct kube_call *look; /* at the definition */
    size_t trusted;         /* bytes at the front of fetch.body that a look has covered */
    size_t looked;          /* how many it will cover */
    struct buf more;        /* the list goes on from here */
    char version[24];       /* of the last list, event or bookmark; empty: list */
    uint32_t api, n_tried;  /* which of the versions; how many were not there, one after the other */
    uint32_t page;
    uint64_t pause_ms, since;
    enum kube_trouble trouble;
    bool watching, connected, synced, empty; /* empty: told as such, for it is not there */
    bool sweeping; /* a list is complete; whether what is missing in it is gone is not clear yet */
    bool doomed;   /* the definition is being deleted: deletions mean nothing until the next list */
    char error[256];
};

static const char *const names[] = {
#define TROUBLE(name, text) [KUBE_TROUBLE_##name] = (text),
#include "kube/trouble.def"
#undef TROUBLE
};

const char *kube_trouble_name(enum kube_trouble t)
{
    return names[t];
}

static void watch_run(struct task *t, uint32_t events);

struct kube_watch *kube_watch_with(struct kube_client *client, const struct kube_resource *r,
                                   const struct kube_watch_options *o, struct task *wake)
{
    struct kube_watch *w = mem_alloc(sizeof(*w));
    w->client = client;
    w->wake = wake;
    arena_init(&w->texts, 256);
    w->resource = (struct kube_resource){arena_view(&w->texts, r->group), arena_view(&w->texts, r->version),
                                         arena_view(&w->texts, r->plural), r->namespaced};
    w->options = *o;
    w->options.ns = arena_view(&w->texts, o->ns);
    w->options.fields = arena_view(&w->texts, o->fields);
    w->options.labels = arena_view(&w->texts, o->labels);
    w->options.custom = o->custom && !client->config.unix_path.n; /* a sandbox has no definitions */
    w->page = PAGE;
    w->trouble = KUBE_TROUBLE_CONNECTING;
    w->since = loop_wall(client->loop);
    seen_init(&w->seen, o);
    task_init(&w->task, client->loop, watch_run, "kube watch");
    timer_init(&w->pause, &w->task, WATCH_AGAIN);
    timer_init(&w->silent, &w->task, WATCH_SILENT);
    w->retry = (struct kube_retry){.task = &w->task, .bits = WATCH_AGAIN};
    list_init(&w->retry.link);
    task_wake(&w->task, WATCH_AGAIN);
    return w;
}

struct kube_watch *kube_watch_new(struct kube_client *client, const struct kube_resource *r, struct view ns,
                                  struct task *wake)
{
    return kube_watch_with(client, r, &(struct kube_watch_options){.ns = ns}, wake);
}

struct kube_watch *kube_watch_free(struct kube_watch *w)
{
    if (!w)
        return NULL;
    kube_call_free(w->look);
    kube_fetch_done(&w->fetch);
    list_del(&w->retry.link);
    timer_done(&w->pause);
    timer_done(&w->silent);
    task_done(&w->task);
    seen_done(&w->seen);
    buf_done(&w->more);
    arena_done(&w->texts);
    mem_free(w);
    return NULL;
}

/* ---- Asking. */

static struct view version_at(const struct kube_watch *w, uint32_t i)
{
    struct view rest = w->resource.version;
    while (i-- > 0)
        rest = view_from(rest, view_find(rest, ',') + 1);
    return view_head(rest, view_find(rest, ','));
}

static uint32_t n_versions(const struct kube_watch *w)
{
    uint32_t n = 1;
    for (size_t i = 0; i < w->resource.version.n; i++)
        n += w->resource.version.p[i] == ',';
    return n;
}

static void ask(struct kube_watch *w)
{
    struct buf path = {0};
    struct kube_resource r = w->resource;
    uint64_t seconds = WATCH_S + rng_below(loop_rng(w->task.loop), WATCH_S);
    char mark = '?';

    r.version = version_at(w, w->api);
    kube_path(&path, &r, w->options.ns, VIEW_NONE, VIEW_NONE);
    w->watching = w->version[0] != 0;
    if (w->watching) {
        buf_printf(&path, "?watch=1&allowWatchBookmarks=true&timeoutSeconds=%d&resourceVersion=%s", (int)seconds,
                   w->version);
        mark = '&';
    } else {
        buf_printf(&path, "?limit=%u", w->page);
        mark = '&';
        kube_fetch_parameter(&path, &mark, "continue", buf_read(&w->more));
        if (!buf_len(&w->more))
            seen_list(&w->seen);
    }
    kube_fetch_parameter(&path, &mark, "fieldSelector", w->options.fields);
    kube_fetch_parameter(&path, &mark, "labelSelector", w->options.labels);
    list_del(&w->retry.link);
    timer_clear(&w->pause);
    timer_in(&w->silent, (w->watching ? seconds + SILENT_S : SILENT_S) * NS_PER_S);
    w->trusted = w->looked = 0;
    kube_fetch_start(&w->fetch, w->client, &(struct fetch_request){.method = "GET", .path = buf_read(&path)}, &w->task,
                     WATCH_FETCH);
    buf_done(&path);
}

static void list_anew(struct kube_watch *w)
{
    w->version[0] = 0;
    w->sweeping = false;
    buf_clear(&w->more);
}

/* ---- Trouble. */

static void troubled(struct kube_watch *w, enum kube_trouble t)
{
    if (w->trouble != t) { /* a server that is back but not ready is asked again soon */
        w->since = loop_wall(w->task.loop);
        w->pause_ms = 0;
    }
    w->trouble = t;
    if (w->wake)
        task_wake(w->wake, KUBE_WAKE);
}

static void fine(struct kube_watch *w)
{
    w->connected = true;
    w->pause_ms = 0;
    w->n_tried = 0;
    if (w->doomed || w->trouble == KUBE_TROUBLE_NONE)
        return;
    w->error[0] = 0;
    w->trouble = KUBE_TROUBLE_NONE;
    w->since = 0;
    if (w->wake)
        task_wake(w->wake, KUBE_WAKE);
}

static void stop(struct kube_watch *w)
{
    kube_fetch_done(&w->fetch);
    w->look = kube_call_free(w->look);
    timer_clear(&w->silent);
    w->connected = w->sweeping = false;
}

static void pause_for(struct kube_watch *w, uint64_t ms)
{
    uint64_t jitter = rng_below(loop_rng(w->task.loop), ms / 2 + 1);
    timer_in(&w->pause, (ms / 2 + jitter) * NS_PER_MS);
}

static void back_off(struct kube_watch *w, uint64_t at_least_ms)
{
    w->pause_ms = w->pause_ms ? w->pause_ms * 2 : FIRST_PAUSE_MS;
    if (w->pause_ms > LONGEST_PAUSE_MS)
        w->pause_ms = LONGEST_PAUSE_MS;
    pause_for(w, w->pause_ms > at_least_ms ? w->pause_ms : at_least_ms);
}

/* No answer, or a broken one. */
static void disconnected(struct kube_watch *w, int err)
{
    bool there = !w->client->why[0];
    stop(w);
    snprintf(w->error, sizeof(w->error), "%s",
             err == -EPROTO   ? "an answer that was not understood"
             : there          ? strerror(-err)
             : w->client->bad ? w->client->bad
                              : w->client->why);
    if (err == -EPROTO)
        list_anew(w);
    if (!w->doomed)
        troubled(w, err == -EPROTO ? KUBE_TROUBLE_NOT_UNDERSTOOD : KUBE_TROUBLE_UNREACHABLE);
    list_del(&w->retry.link);
    if (!there)
        list_push(&w->client->pausing, &w->retry.link);
    back_off(w, 0);
}

static void keep_message(struct kube_watch *w)
{
    struct arena a;
    struct node *n;
    arena_init(&a, 1024);
    struct view text = VIEW_NONE;
    if (!node_parse(&a, buf_read(&w->fetch.body), &n, NULL) && node_is(n, NODE_MAP))
        text = node_text_at(n, "message");
    if (text.n)
        snprintf(w->error, sizeof(w->error), "%.*s", VIEW_ARGS(text));
    else
        snprintf(w->error, sizeof(w->error), "HTTP status %u", w->fetch.status);
    arena_done(&a);
}

/* The server does not know the resource: another version of it? Otherwise it is empty until somebody defines it. */
static void not_there(struct kube_watch *w)
{
    uint32_t n = n_versions(w);
    stop(w);
    list_anew(w);
    w->api = (w->api + 1) % n;
    if (++w->n_tried < n) {
        ask(w);
        return;
    }
    w->n_tried = 0;
    snprintf(w->error, sizeof(w->error), "%s",
             map_size(&w->seen.known) ? "its CustomResourceDefinition was deleted" : "the server does not know it");
    w->doomed = w->doomed || map_size(&w->seen.known);
    troubled(w, w->doomed ? KUBE_TROUBLE_CRD_DELETED : KUBE_TROUBLE_CRD_MISSING);
    if (!w->empty && !w->doomed)
        seen_synced(&w->seen);
    w->empty = true;
    pause_for(w, MISSING_PAUSE_MS);
}

static void refused(struct kube_watch *w)
{
    unsigned status = w->fetch.status, after = w->fetch.retry_after_s;
    if (status == 404) {
        not_there(w);
        return;
    }
    keep_message(w);
    stop(w);
    if (status == 410 || status == 400)
        list_anew(w);
    if (status == 410) { /* nothing is wrong: our version, or that of a page, is too old */
        back_off(w, 0);
        return;
    }
    troubled(w, status == 401   ? KUBE_TROUBLE_UNAUTHORIZED
                : status == 403 ? KUBE_TROUBLE_FORBIDDEN
                                : KUBE_TROUBLE_SERVER_ERROR);
    back_off(w, (uint64_t)after * 1000);
}

/* ---- The definition. */

static void look(struct kube_watch *w)
{
    static const struct kube_resource definitions = {
        {"apiextensions.k8s.io", 20}, {"v1", 2}, {"customresourcedefinitions", 25}, false};
    char name[256];
    if (w->look)
        return;
    int n = snprintf(name, sizeof(name), "%.*s.%.*s", VIEW_ARGS(w->resource.plural), VIEW_ARGS(w->resource.group));
    w->looked = buf_len(&w->fetch.body);
    w->look = kube_call_new(
        w->client,
        &(struct kube_request){
            .verb = KUBE_GET, .resource = definitions, .name = view_make(name, (size_t)n), .metadata_only = true},
        &w->task);
}

/* What became of it: being deleted, and how long it has been there (0: unknown). */
static bool is_being_deleted(const struct kube_watch *w, uint64_t *ret_age)
{
    struct arena a;
    struct node *n;
    uint64_t made, now = loop_wall(w->task.loop);
    arena_init(&a, 4096);
    n = node_parse(&a, kube_call_body(w->look), &n, NULL) ? NULL : n;
    bool r = node_text_at(n, "metadata.deletionTimestamp").n > 0;
    struct view created = node_text_at(n, "metadata.creationTimestamp");
    if (created.n && !clock_parse_time(created, &made) && made < now)
        *ret_age = now - made;
    arena_done(&a);
    return r;
}

static void doom(struct kube_watch *w)
{
    w->doomed = true;
    snprintf(w->error, sizeof(w->error), "its CustomResourceDefinition is being deleted");
    troubled(w, KUBE_TROUBLE_CRD_DELETED);
}

/* 0: what it says is in w->doomed; -errno: it could not be had. Who has no right to look believes everything. */
static int looked(struct kube_watch *w)
{
    int status = kube_call_status(w->look);
    uint64_t age = 0;
    bool gone = status == 404 || (status == 200 && is_being_deleted(w, &age));
    bool young = w->doomed && status == 200 && !gone && age < YOUNG;

    w->look = kube_call_free(w->look);
    w->trusted = w->looked;
    if (gone && !w->doomed)
        doom(w);
    else if (status == 200 && !gone && !young)
        w->doomed = false;
    if (young)
        snprintf(w->error, sizeof(w->error), "its definition is back: objects that are not applied within a minute go");
    return status == 200 || status == 403 || status == 404 ? 0 : status < 0 ? status : -EIO;
}

/* ---- What the server said. */

static void set_version(struct kube_watch *w, struct view version)
{
    if (version.n && version.n < sizeof(w->version)) {
        memcpy(w->version, version.p, version.n);
        w->version[version.n] = 0;
    }
}

static void complete(struct kube_watch *w)
{
    bool gone = w->doomed;
    w->sweeping = false;
    if (!gone)
        seen_sweep(&w->seen);
    seen_synced(&w->seen);
    w->empty = false;
    fine(w);
    if (gone) { /* its objects are kept until it is clear whether somebody brings them again */
        stop(w);
        list_anew(w);
        pause_for(w, DOOMED_PAUSE_MS);
    } else {
        ask(w);
    }
}

/* 0, or -EPROTO. The last page: sweeping is set. */
static int take_page(struct kube_watch *w)
{
    struct arena a;
    struct node *list;
    arena_init(&a, 64 * 1024);
    int err = node_parse(&a, buf_read(&w->fetch.body), &list, NULL);
    const struct node *items = err ? NULL : node_get(list, VIEW("items"));
    struct view version = node_text_at(err ? NULL : list, "metadata.resourceVersion");
    if (err || !version.n) {
        arena_done(&a);
        return -EPROTO;
    }
    struct view kind = node_text_at(list, "kind"), api_version = node_text_at(list, "apiVersion");
    if (view_ends(kind, VIEW("List")))
        kind = view_head(kind, kind.n - 4);
    for (uint32_t i = 0; node_is(items, NODE_SEQ) && i < items->n; i++)
        seen_put(&w->seen, items->items[i], api_version, kind);
    buf_clear(&w->more);
    buf_view(&w->more, node_text_at(list, "metadata.continue"));
    w->sweeping = !buf_len(&w->more);
    if (w->sweeping)
        set_version(w, version);
    arena_done(&a);
    return 0;
}

static int take_error(struct kube_watch *w, const struct node *status)
{
    int64_t code;
    if (node_i64(node_get(status, VIEW("code")), &code) || code == 410)
        return -ESTALE;
    snprintf(w->error, sizeof(w->error), "%.*s", VIEW_ARGS(node_text_at(status, "message")));
    return -EIO;
}

/* 0; -EAGAIN: the definition has to be looked at first; -ESTALE: our version is forgotten; -EIO; -EPROTO. */
static int take_line(struct kube_watch *w, struct view line, bool trusted)
{
    struct arena a;
    arena_init(&a, 8192);
    struct node *n;
    int err = node_parse(&a, line, &n, NULL) || !node_is(n, NODE_MAP) ? -EPROTO : 0;
    const struct node *object = err ? NULL : node_get(n, VIEW("object"));
    struct view type = err ? VIEW_NONE : node_text_at(n, "type");
    if (view_is(type, "ADDED") || view_is(type, "MODIFIED"))
        seen_put(&w->seen, object, VIEW_NONE, VIEW_NONE);
    else if (view_is(type, "DELETED") && !trusted)
        err = -EAGAIN;
    else if (view_is(type, "DELETED") && !w->doomed)
        seen_del(&w->seen, node_text_at(object, "metadata.namespace"), node_text_at(object, "metadata.name"));
    else if (view_is(type, "ERROR"))
        err = take_error(w, object);
    else if (!view_is(type, "BOOKMARK") && !view_is(type, "DELETED"))
        err = -EPROTO;
    if (!err)
        set_version(w, node_text_at(object, "metadata.resourceVersion"));
    arena_done(&a);
    return err;
}

static int take_lines(struct kube_watch *w)
{
    while (!w->look) {
        struct view got = buf_read(&w->fetch.body);
        size_t end = view_find(got, '\n');
        if (end == got.n)
            return 0;
        struct view line = view_trim(view_head(got, end));
        bool trusted = !w->options.custom || w->doomed || w->trusted > end;
        int err = line.n ? take_line(w, line, trusted) : 0;
        if (err == -EAGAIN)
            look(w);
        else if (err)
            return err;
        if (err)
            return 0;
        buf_drop(&w->fetch.body, end + 1);
        w->trusted -= w->trusted > end ? end + 1 : w->trusted;
        w->looked -= w->looked > end ? end + 1 : w->looked;
    }
    return 0;
}

/* ---- The task. */

static void list_ended(struct kube_watch *w)
{
    int err = w->fetch.error ? w->fetch.error : take_page(w);
    kube_fetch_done(&w->fetch);
    timer_clear(&w->silent);
    if (err == -EMSGSIZE && w->page > 1) { /* large objects: fewer at a time */
        w->page /= 2;
        list_anew(w);
        ask(w);
    } else if (err) {
        disconnected(w, err);
    } else if (!w->sweeping) {
        ask(w);
    } else if (w->options.custom && (w->doomed || seen_missing(&w->seen))) {
        look(w);
    } else {
        w->doomed = false;
        complete(w);
    }
}

static void watch_failed(struct kube_watch *w, int err)
{
    if (err == -EIO) { /* the server says what is wrong with it; our version is still good */
        stop(w);
        troubled(w, KUBE_TROUBLE_SERVER_ERROR);
        back_off(w, 0);
    } else if (err == -ESTALE) {
        stop(w);
        list_anew(w);
        back_off(w, 0);
    } else {
        disconnected(w, err);
    }
}

static void run_fetch(struct kube_watch *w)
{
    int err = 0;
    w->fetch.hold = w->look && buf_len(&w->fetch.body) > LIMIT_KUBE_ANSWER_BYTES / 4; /* the look's end wakes us */
    kube_fetch_run(&w->fetch);
    if (w->watching && w->fetch.status == 200) {
        fine(w);
        err = take_lines(w);
    }
    if (err)
        watch_failed(w, err);
    else if (!w->fetch.over || (w->look && w->watching && !w->fetch.error))
        return;
    else if (!w->fetch.error && w->fetch.status != 200)
        refused(w);
    else if (!w->watching)
        list_ended(w);
    else if (w->fetch.error)
        disconnected(w, w->fetch.error);
    else
        ask(w); /* its time was over */
}

static void watch_run(struct task *t, uint32_t events)
{
    struct kube_watch *w = CONTAINER_OF(t, struct kube_watch, task);
    bool quiet = list_empty(&w->seen.queue);
    int err = 0;

    if (w->look && kube_call_done(w->look))
        err = looked(w);
    if (err) {
        if (w->sweeping)
            list_anew(w);
        disconnected(w, err);
    } else if (w->sweeping && !w->look) {
        complete(w);
    } else if (w->fetch.active && (events & WATCH_SILENT)) {
        kube_link_silent(&w->fetch);
        disconnected(w, -ETIMEDOUT);
    } else if (!w->fetch.active && !w->sweeping && (events & WATCH_AGAIN)) {
        ask(w);
    }
    if (w->fetch.active)
        run_fetch(w);
    if (w->wake && quiet && !list_empty(&w->seen.queue))
        task_wake(w->wake, KUBE_WAKE);
}

/* ---- For the owner. */

bool kube_watch_next(struct kube_watch *w, struct kube_event *ret)
{
    if (!seen_next(&w->seen, ret))
        return false;
    w->synced = w->synced || ret->type == KUBE_SYNCED;
    return true;
}

bool kube_watch_synced(const struct kube_watch *w)
{
    return w->synced;
}

bool kube_watch_connected(const struct kube_watch *w)
{
    return w->connected;
}

struct view kube_watch_error(const struct kube_watch *w)
{
    return view_of(w->error);
}

enum kube_trouble kube_watch_trouble(const struct kube_watch *w)
{
    return w->trouble;
}

uint64_t kube_watch_trouble_since(const struct kube_watch *w)
{
    return w->since;
}

uint32_t kube_watch_known(const struct kube_watch *w)
{
    return map_size(&w->seen.known);
}
