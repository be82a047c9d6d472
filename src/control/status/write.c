// SPDX-License-Identifier: Apache-2.0
/* See status/write.h. A queue, a token bucket and a few calls; a task that is woken by calls that end and by one timer. */
#include "control/status/write.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "net/loop.h"
#include "net/timer.h"
#include "wire/node.h"

enum { EVENT_TURN = 1 }; /* and KUBE_WAKE */

#define EACH (NS_PER_S / LIMIT_STATUS_WRITES_S)
#define MOST_BACKOFF (60 * NS_PER_S)
#define FORBIDDEN_PAUSE (60 * NS_PER_S)

struct status_writer {
    struct task task;
    struct timer turn;
    struct loop *loop;
    struct kube_client *api;
    status_prepare_fn prepare;
    status_answer_fn answer;
    void *arg;
    struct list waiting, under_way; /* of struct status_item */
    uint32_t n_under_way;
    uint64_t full_at;      /* when the bucket is full again: (full_at - now) / EACH tokens are missing */
    uint64_t paused_until; /* after a 403 */
    bool complained;
    struct status_writer_stats stats;
};

void status_item_init(struct status_item *i)
{
    *i = (struct status_item){0};
    list_init(&i->link);
}

static void queue(struct status_writer *w, struct status_item *i, uint64_t not_before)
{
    i->not_before = not_before;
    i->queued = true;
    list_push(&w->waiting, &i->link);
    w->stats.waiting++;
}

static void take_out(struct status_writer *w, struct status_item *i)
{
    list_del(&i->link);
    if (i->queued)
        w->stats.waiting--;
    else if (i->call)
        w->n_under_way--;
    i->queued = false;
    i->call = kube_call_free(i->call);
}

void status_writer_want(struct status_writer *w, struct status_item *i)
{
    if (i->queued || i->call)
        return; /* its text is made when it is sent; what is under way is looked at again when it ends */
    queue(w, i, 0);
    task_wake(&w->task, EVENT_TURN);
}

void status_writer_drop(struct status_writer *w, struct status_item *i)
{
    take_out(w, i);
    i->stale = i->refused = false;
    i->failures = 0;
}

/* ---- answers ---- */

static void again_later(struct status_writer *w, struct status_item *i, struct kube_call *call)
{
    uint64_t wait = NS_PER_S << (i->failures < 6 ? i->failures : 6);

    if (!i->failures++)
        log_debug("a status was not written (%d) and will be written again", kube_call_status(call));
    w->stats.failures++;
    queue(w, i, loop_now(w->loop) + (wait < MOST_BACKOFF ? wait : MOST_BACKOFF));
}

static void forbidden(struct status_writer *w, struct status_item *i, struct kube_call *call)
{
    struct view why = kube_call_why(call);

    if (!w->complained)
        log_warn(
            "statuses of objects cannot be written: %.*s; what the mesh does is not affected, tried again every minute",
            VIEW_ARGS(why));
    w->complained = true;
    w->stats.failures++;
    w->paused_until = loop_now(w->loop) + FORBIDDEN_PAUSE;
    queue(w, i, 0);
}

static void good(struct status_writer *w, struct status_item *i, struct kube_call *call)
{
    enum status_answer what = i->stale ? STATUS_READ : STATUS_WRITTEN;
    struct node *node = NULL;
    struct arena a;

    if (w->complained)
        log_info("statuses of objects can be written again");
    w->complained = false;
    i->stale = i->refused = false;
    i->failures = 0;
    arena_init(&a, 0);
    if (node_parse(&a, kube_call_body(call), &node, NULL) < 0 || !node_is(node, NODE_MAP))
        node = NULL;
    if (what == STATUS_WRITTEN)
        w->stats.writes++;
    else
        w->stats.reads++;
    w->answer(w->arg, i, what, node);
    arena_done(&a);
}

static void take_answer(struct status_writer *w, struct status_item *i)
{
    struct kube_call *call = i->call;
    int status = kube_call_status(call);

    i->call = NULL;
    w->n_under_way--;
    list_del(&i->link);
    if (status >= 200 && status < 300) {
        good(w, i, call);
    } else if (status == 409 && !i->stale) {
        i->stale = true;
        queue(w, i, 0);
    } else if (status == 404) {
        i->stale = false;
        w->answer(w->arg, i, STATUS_GONE, NULL);
    } else if (status == 401 || status == 403) {
        forbidden(w, i, call);
    } else if (status < 400 || status == 408 || status == 409 || status == 429 || status >= 500) {
        again_later(w, i, call);
    } else {
        if (!i->refused) {
            struct view why = kube_call_why(call);
            log_warn("the API server refuses a status (%d): %.*s; it is not written until it changes", status,
                     VIEW_ARGS(why));
        }
        i->refused = true;
        w->stats.failures++;
        w->answer(w->arg, i, STATUS_REFUSED, NULL);
    }
    kube_call_free(call);
}

/* ---- turns ---- */

/* false: no token now; *ret_when: when there is one. */
static bool take_token(struct status_writer *w, uint64_t now, uint64_t *ret_when)
{
    uint64_t room = (LIMIT_STATUS_WRITES_S - 1) * EACH;

    if (w->full_at < now)
        w->full_at = now;
    if (w->full_at - now > room) {
        *ret_when = w->full_at - room;
        return false;
    }
    w->full_at += EACH;
    return true;
}

static void start(struct status_writer *w, struct status_item *i)
{
    struct kube_request q = {.verb = KUBE_PATCH, .subresource = VIEW("status")};
    struct buf body = {0};

    take_out(w, i);
    if (w->prepare(w->arg, i, &q, &body)) {
        q.body = buf_read(&body);
        if (i->stale) {
            q.verb = KUBE_GET;
            q.subresource = q.body = VIEW_NONE;
        }
        i->call = kube_call_new(w->api, &q, &w->task);
        w->n_under_way++;
        list_push(&w->under_way, &i->link);
    } else {
        i->stale = false;
    }
    buf_done(&body);
}

static void writer_run(struct task *t, uint32_t events)
{
    struct status_writer *w = CONTAINER_OF(t, struct status_writer, task);
    uint64_t now = loop_now(w->loop), next = TIMER_NEVER;

    LIST_EACH (&w->under_way, struct status_item, link, i) {
        if (kube_call_done(i->call))
            take_answer(w, i);
    }
    LIST_EACH (&w->waiting, struct status_item, link, i) {
        uint64_t when = i->not_before > w->paused_until ? i->not_before : w->paused_until;
        if (w->n_under_way >= LIMIT_STATUS_CALLS)
            break; /* woken when one ends */
        if (when > now) {
            next = when < next ? when : next;
            continue;
        }
        if (!take_token(w, now, &when)) {
            next = when < next ? when : next;
            break;
        }
        start(w, i);
    }
    if (next != TIMER_NEVER)
        timer_set(&w->turn, next);
    else
        timer_rest(&w->turn);
}

struct status_writer *status_writer_new(struct loop *loop, struct kube_client *api, status_prepare_fn prepare,
                                        status_answer_fn answer, void *arg)
{
    struct status_writer *w = calloc(1, sizeof(*w));

    must(w != NULL);
    w->loop = loop;
    w->api = api;
    w->prepare = prepare;
    w->answer = answer;
    w->arg = arg;
    list_init(&w->waiting);
    list_init(&w->under_way);
    task_init(&w->task, loop, writer_run, "status writer");
    timer_init(&w->turn, &w->task, EVENT_TURN);
    return w;
}

struct status_writer *status_writer_free(struct status_writer *w)
{
    if (!w)
        return NULL;
    must(list_empty(&w->waiting) && list_empty(&w->under_way));
    timer_done(&w->turn);
    task_done(&w->task);
    free(w);
    return NULL;
}

const struct status_writer_stats *status_writer_stats(const struct status_writer *w)
{
    return &w->stats;
}
