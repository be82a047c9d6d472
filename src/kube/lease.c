// SPDX-License-Identifier: Apache-2.0
/* Leader election (lease.h): read, decide, write, every two seconds; one call at a time.
 *
 * What was seen last is kept whole, so that the holder's renewal is one write without a read before it; a 409 says that
 * what we know is old and is answered with a read. All decisions are functions of what was seen and when we saw it.
 */
#include "kube/lease.h"

#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/rng.h"
#include "kube/link.h"
#include "net/loop.h"
#include "net/timer.h"
#include "wire/node.h"

enum { LEASE_TICK = 1, LEASE_LAPSE = 2 }; /* and KUBE_WAKE */
#define KUBE_LEASE_RETRY (2 * NS_PER_S)
#define KUBE_LEASE_CALL (4 * NS_PER_S)
#define KUBE_LEASE_DURATION (15 * NS_PER_S)
#define KUBE_LEASE_GIVE_UP (1 * NS_PER_S)

static const struct kube_resource leases = {{"coordination.k8s.io", 19}, {"v1", 2}, {"leases", 6}, true};

struct kube_lease {
    struct kube_client *client;
    struct kube_lease_config config;
    struct arena texts, seen; /* seen: of the tree */
    struct task task;
    struct task *wake;
    struct timer tick, lapse;
    struct kube_call *call;
    bool writing;
    uint64_t asked_at;       /* loop time at which the call was made */
    const struct node *tree; /* the Lease as last seen; NULL: not known, or there is none */
    uint64_t changed_at;     /* loop time at which we saw it change last */
    uint64_t held_until;     /* loop time; 0: not held */
    bool told;               /* what the owner was told last */
    bool leaving;
};

/* ---- what is seen ---- */

static struct view holder_of(const struct kube_lease *l)
{
    return node_text_at(l->tree, "spec.holderIdentity");
}

static int64_t number_of(const struct kube_lease *l, const char *path)
{
    int64_t n;
    return node_i64(node_at(l->tree, path), &n) ? 0 : n;
}

/* Changed by somebody: holder, time of renewal or number of transitions. */
static bool differs(const struct node *a, const struct node *b)
{
    return !a || !b || !node_eq(node_get(a, VIEW("spec")), node_get(b, VIEW("spec")));
}

static void see(struct kube_lease *l, struct view json)
{
    struct arena a;
    struct node *tree = NULL;

    arena_init(&a, 2048);
    if (node_parse(&a, arena_view(&a, json), &tree, NULL) || !node_is(tree, NODE_MAP)) {
        arena_done(&a);
        return;
    }
    if (differs(l->tree, tree))
        l->changed_at = loop_now(l->task.loop);
    arena_done(&l->seen);
    l->seen = a;
    l->tree = tree;
}

static void unsee(struct kube_lease *l)
{
    arena_clear(&l->seen);
    l->tree = NULL;
}

static bool ours(const struct kube_lease *l)
{
    return l->tree && view_eq(holder_of(l), l->config.holder);
}

/* Nobody's, or its holder has not renewed it for as long as it promised. */
static bool free_to_take(const struct kube_lease *l)
{
    int64_t s = number_of(l, "spec.leaseDurationSeconds");
    uint64_t promised = s > 0 && s < 3600 ? (uint64_t)s * NS_PER_S : l->config.duration_ns;
    return !holder_of(l).n || loop_now(l->task.loop) - l->changed_at >= promised;
}

bool kube_lease_held(const struct kube_lease *l)
{
    return !l || loop_now(l->task.loop) < l->held_until;
}

struct view kube_lease_holder(const struct kube_lease *l)
{
    return holder_of(l);
}

uint64_t kube_lease_transitions(const struct kube_lease *l)
{
    int64_t n = number_of(l, "spec.leaseTransitions");
    return n > 0 ? (uint64_t)n : 0;
}

static void tell(struct kube_lease *l)
{
    bool held = kube_lease_held(l);
    if (held != l->told && l->wake)
        task_wake(l->wake, KUBE_WAKE);
    l->told = held;
}

/* ---- what is written ---- */

/* MicroTime wants six digits behind the point, always. */
static void print_time(struct buf *out, const char *key, uint64_t wall)
{
    struct buf t = {0};
    clock_print_time(&t, wall);
    buf_printf(out, ",\"%s\":\"%.*s000Z\"", key, VIEW_ARGS(view_head(buf_read(&t), buf_len(&t) - 1)));
    buf_done(&t);
}

static void print_meta(const struct kube_lease *l, struct buf *out)
{
    buf_str(out, "{\"apiVersion\":\"coordination.k8s.io/v1\",\"kind\":\"Lease\",\"metadata\":");
    if (l->tree) { /* resourceVersion and whatever others wrote on it */
        node_print_json(node_get(l->tree, VIEW("metadata")), out);
    } else {
        buf_str(out, "{\"name\":");
        buf_json_str(out, l->config.name);
        buf_str(out, ",\"namespace\":");
        buf_json_str(out, l->config.ns);
        buf_char(out, '}');
    }
}

static void print_lease(const struct kube_lease *l, bool give_up, struct buf *out)
{
    uint64_t now = loop_wall(l->task.loop);
    struct view acquired = node_text_at(l->tree, "spec.acquireTime");

    print_meta(l, out);
    buf_str(out, ",\"spec\":{\"holderIdentity\":");
    buf_json_str(out, give_up ? VIEW("") : l->config.holder);
    buf_str(out, ",\"leaseDurationSeconds\":");
    buf_u64(out, give_up ? 1 : l->config.duration_ns / NS_PER_S);
    buf_str(out, ",\"leaseTransitions\":");
    buf_u64(out, kube_lease_transitions(l) + (l->tree && !ours(l)));
    print_time(out, "renewTime", now);
    if (ours(l) && acquired.n && !give_up) {
        buf_str(out, ",\"acquireTime\":");
        buf_json_str(out, acquired);
    } else {
        print_time(out, "acquireTime", now);
    }
    buf_str(out, "}}");
}

static void call(struct kube_lease *l, enum kube_verb verb, bool give_up)
{
    struct kube_request r = {.verb = verb, .resource = leases, .ns = l->config.ns, .timeout = KUBE_LEASE_CALL};
    struct buf body = {0};

    if (verb != KUBE_CREATE)
        r.name = l->config.name;
    if (verb != KUBE_GET)
        print_lease(l, give_up, &body);
    r.body = buf_read(&body);
    l->writing = verb != KUBE_GET;
    l->asked_at = loop_now(l->task.loop);
    kube_call_free(l->call);
    l->call = kube_call_new(l->client, &r, &l->task);
    buf_done(&body);
}

/* ---- the round ---- */

static void rest(struct kube_lease *l)
{
    timer_in(&l->tick, KUBE_LEASE_RETRY + rng_below(loop_rng(l->task.loop), KUBE_LEASE_RETRY / 5));
}

static void decide(struct kube_lease *l)
{
    if (!l->tree)
        call(l, KUBE_CREATE, false);
    else if (ours(l) || free_to_take(l))
        call(l, KUBE_UPDATE, false);
    else
        rest(l);
}

/* What the server says of a write of ours is what it was asked to be, so it counts from before the asking. */
static void written(struct kube_lease *l)
{
    see(l, kube_call_body(l->call));
    if (!ours(l))
        return;
    l->held_until = l->asked_at + l->config.duration_ns * 2 / 3;
    timer_set(&l->lapse, l->held_until);
}

static void answered(struct kube_lease *l)
{
    int status = kube_call_status(l->call);
    bool writing = l->writing, good = status == 200 || status == 201;

    if (writing && good)
        written(l);
    else if (!writing && good)
        see(l, kube_call_body(l->call));
    else if (status == 404 || status == 409)
        unsee(l); /* read it: somebody was faster, or removed it */
    l->call = kube_call_free(l->call);
    if (l->tree && !ours(l))
        l->held_until = 0;
    if (!writing && (good || status == 404))
        decide(l);
    else if (writing && status == 409)
        call(l, KUBE_GET, false);
    else
        rest(l);
}

static void lease_run(struct task *t, uint32_t events)
{
    struct kube_lease *l = CONTAINER_OF(t, struct kube_lease, task);

    if (l->leaving)
        return;
    if (l->call && kube_call_done(l->call))
        answered(l);
    else if (!l->call && (events & LEASE_TICK))
        call(l, l->tree && ours(l) && kube_lease_held(l) ? KUBE_UPDATE : KUBE_GET, false);
    tell(l);
}

struct kube_lease *kube_lease_new(struct kube_client *c, const struct kube_lease_config *config, struct task *wake)
{
    struct kube_lease *l = mem_alloc(sizeof(*l));
    l->client = c;
    l->wake = wake;
    arena_init(&l->texts, 256);
    arena_init(&l->seen, 2048);
    l->config = (struct kube_lease_config){arena_view(&l->texts, config->ns), arena_view(&l->texts, config->name),
                                           arena_view(&l->texts, config->holder),
                                           config->duration_ns ? config->duration_ns : KUBE_LEASE_DURATION};
    task_init(&l->task, c->loop, lease_run, "kube lease");
    timer_init(&l->tick, &l->task, LEASE_TICK);
    timer_init(&l->lapse, &l->task, LEASE_LAPSE);
    task_wake(&l->task, LEASE_TICK);
    return l;
}

static void give_up(struct kube_lease *l)
{
    struct loop *loop = l->task.loop;
    struct timer late;

    timer_init(&late, &l->task, LEASE_LAPSE);
    timer_in(&late, KUBE_LEASE_GIVE_UP);
    uint64_t end = loop_now(loop) + KUBE_LEASE_GIVE_UP;
    l->leaving = true;
    call(l, KUBE_UPDATE, true);
    timer_clear(&l->tick);
    while (!loop_simulated(loop) && !kube_call_done(l->call) && loop_now(loop) < end)
        loop_turn(loop, true); /* a simulation's loops are not ours to turn */
    timer_done(&late);
}

struct kube_lease *kube_lease_free(struct kube_lease *l)
{
    if (!l)
        return NULL;
    if (kube_lease_held(l) && ours(l))
        give_up(l);
    kube_call_free(l->call);
    timer_done(&l->tick);
    timer_done(&l->lapse);
    task_done(&l->task);
    arena_done(&l->seen);
    arena_done(&l->texts);
    mem_free(l);
    return NULL;
}
