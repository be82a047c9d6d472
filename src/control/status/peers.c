// SPDX-License-Identifier: Apache-2.0
/* See status/peers.h. Each replica is asked through a client of its own (kube/client.h: a Kubernetes-like path over plain HTTP,
 * with its time limits and its bounds); its last answer is a map in an arena.
 */
#include "control/status/peers.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/map.h"
#include "kube/client.h"
#include "net/loop.h"
#include "wire/node.h"

static const struct kube_resource counts = {
    .group = {"status.weft.io", 14}, .version = {"v1", 2}, .plural = {"counts", 6}};

struct count {
    int64_t generation;
    uint32_t acked, proxies;
    struct view waiting, refused_by, nack;
};

struct peer {
    struct kube_client *client;
    struct kube_call *call;
    uint64_t asked_at, as_of; /* of the call; of the answer: it knows nothing newer. 0: none yet */
    bool seen, complained;
    struct arena arena; /* of the answer */
    struct map objects; /* key → struct count */
    size_t n_name;
    char text[]; /* the pod's name and its address */
};

struct status_peers {
    struct loop *loop;
    struct task *wake;
    struct view own;
    struct map peers; /* "pod ip" → struct peer */
};

static struct view name_of(const struct peer *p)
{
    return view_make(p->text, p->n_name);
}

static void peer_free(struct peer *p)
{
    kube_call_free(p->call);
    kube_client_free(p->client);
    arena_done(&p->arena);
    free(p);
}

/* ---- who they are ---- */

static struct peer *peer_new(struct status_peers *s, struct view key, struct view pod, struct view ip)
{
    struct peer *p = calloc(1, sizeof(*p) + key.n + 1);
    bool v6 = view_find(ip, ':') < ip.n;
    struct buf url = {0};

    must(p != NULL);
    memcpy(p->text, key.p, key.n);
    p->n_name = pod.n;
    arena_init(&p->arena, 4096);
    map_init(&p->objects, &p->arena);
    buf_printf(&url, "http://%s%.*s%s:15014", v6 ? "[" : "", VIEW_ARGS(ip), v6 ? "]" : "");
    p->client = kube_client_new(s->loop, &(struct kube_config){.server = buf_read(&url)});
    buf_done(&url);
    map_put(&s->peers, view_make(p->text, key.n), p);
    return p;
}

static void find_endpoint(struct status_peers *s, const struct slice_endpoint *e)
{
    struct buf key = {0};
    struct peer *p;

    if (view_eq(e->target.name, s->own) || (e->ready.set && !e->ready.value) || !e->addresses.n)
        return;
    buf_printf(&key, "%.*s %.*s", VIEW_ARGS(e->target.name), VIEW_ARGS(e->addresses.list[0]));
    p = map_get(&s->peers, buf_read(&key));
    if (!p && map_size(&s->peers) < LIMIT_STATUS_PEERS)
        p = peer_new(s, buf_read(&key), e->target.name, e->addresses.list[0]);
    if (p)
        p->seen = true;
    buf_done(&key);
}

static bool is_ours(const struct status_peers *s, const struct endpoint_slice *slice)
{
    for (uint32_t i = 0; i < slice->n_endpoints; i++)
        if (view_is(slice->endpoints[i].target.kind, "Pod") && view_eq(slice->endpoints[i].target.name, s->own))
            return true;
    return false;
}

void status_peers_find(struct status_peers *s, const struct mesh_snapshot *snap)
{
    if (!s->own.n)
        return;
    MAP_EACH (&s->peers, it) {
        ((struct peer *)it->value)->seen = false;
    }
    SNAPSHOT_EACH(snap, ENDPOINT_SLICE, endpoint_slice, slice)
    {
        if (!view_eq(slice->o.meta.ns, snap->config->root_ns) || !is_ours(s, slice))
            continue;
        for (uint32_t i = 0; i < slice->n_endpoints; i++)
            find_endpoint(s, &slice->endpoints[i]);
    }
    MAP_EACH (&s->peers, it) {
        struct peer *p = it->value;
        if (!p->seen) {
            map_del(&s->peers, it->key);
            peer_free(p);
        }
    }
}

bool status_peers_any(const struct status_peers *s)
{
    return map_size(&s->peers) > 0;
}

/* ---- asking ---- */

void status_peers_ask(struct status_peers *s)
{
    MAP_EACH (&s->peers, it) {
        struct peer *p = it->value;
        if (p->call)
            continue;
        p->asked_at = loop_now(s->loop);
        p->call = kube_call_new(p->client, &(struct kube_request){.verb = KUBE_GET, .resource = counts}, s->wake);
    }
}

static uint32_t number_at(const struct node *list, uint32_t i)
{
    int64_t n = 0;

    return i < list->n && node_i64(list->items[i], &n) == 0 && n >= 0 && n <= UINT32_MAX ? (uint32_t)n : 0;
}

static struct view text_at(struct arena *a, const struct node *list, uint32_t i)
{
    struct view v = i < list->n ? view_head(node_text(list->items[i]), LIMIT_XDS_NACK_BYTES) : VIEW_NONE;

    return v.n ? arena_view(a, v) : VIEW_NONE;
}

static void take_object(struct peer *p, const struct node *o)
{
    struct count *c;

    if (!node_is(o, NODE_SEQ) || o->n < 4)
        return;
    c = ARENA_NEW(&p->arena, struct count);
    if (node_i64(o->items[1], &c->generation) < 0)
        return;
    c->acked = number_at(o, 2);
    c->proxies = number_at(o, 3);
    if (c->acked > c->proxies)
        return;
    c->waiting = text_at(&p->arena, o, 4);
    c->refused_by = text_at(&p->arena, o, 5);
    c->nack = text_at(&p->arena, o, 6);
    map_put(&p->objects, text_at(&p->arena, o, 0), c);
}

static bool take_answer(struct peer *p, struct view body)
{
    struct node *tree = NULL;
    const struct node *list;
    struct arena a;
    bool good;

    arena_init(&a, 0);
    good = node_parse(&a, body, &tree, NULL) == 0 && node_is(node_get(tree, VIEW("objects")), NODE_SEQ);
    if (good) {
        list = node_get(tree, VIEW("objects"));
        arena_clear(&p->arena);
        map_init(&p->objects, &p->arena);
        for (uint32_t i = 0; i < list->n; i++)
            take_object(p, list->items[i]);
    }
    arena_done(&a);
    return good;
}

bool status_peers_drain(struct status_peers *s)
{
    bool any = false;

    MAP_EACH (&s->peers, it) {
        struct peer *p = it->value;
        if (!p->call || !kube_call_done(p->call))
            continue;
        if (kube_call_status(p->call) == 200 && take_answer(p, kube_call_body(p->call))) {
            if (p->complained)
                log_info("replica %.*s says again what its proxies have", VIEW_ARGS(name_of(p)));
            p->as_of = p->asked_at;
            p->complained = false;
            any = true;
        } else if (!p->complained) {
            struct view why = kube_call_why(p->call);
            log_warn("replica %.*s does not say what its proxies have: %.*s; statuses do not count them",
                     VIEW_ARGS(name_of(p)), VIEW_ARGS(why.n ? why : VIEW("its answer is not understood")));
            p->complained = true;
        }
        p->call = kube_call_free(p->call);
    }
    return any;
}

/* ---- adding up ---- */

void status_peers_add(const struct status_peers *s, struct view key, int64_t generation, uint64_t changed,
                      struct status_facts *f)
{
    MAP_EACH (&s->peers, it) {
        const struct peer *p = it->value;
        const struct count *c = map_get(&p->objects, key);
        if (p->as_of < changed || !p->as_of || !c) {
            f->silent = name_of(p);
            continue;
        }
        f->proxies += c->proxies;
        if (c->generation != generation) { /* its watch is behind ours */
            f->waiting = name_of(p);
            continue;
        }
        f->acked += c->acked;
        if (c->waiting.n)
            f->waiting = c->waiting;
        if (c->refused_by.n) {
            f->refused_by = c->refused_by;
            f->nack = c->nack;
        }
    }
}

void status_peers_print(struct buf *out, struct view key, int64_t generation, const struct status_facts *f)
{
    buf_char(out, '[');
    buf_json_str(out, key);
    buf_printf(out, ",%lld,%u,%u,", (long long)generation, f->acked, f->proxies);
    buf_json_str(out, f->waiting);
    buf_char(out, ',');
    buf_json_str(out, f->refused_by);
    buf_char(out, ',');
    buf_json_str(out, f->nack);
    buf_char(out, ']');
}

/* ---- life ---- */

struct status_peers *status_peers_new(struct loop *loop, struct view own_pod, struct task *wake)
{
    struct status_peers *s = calloc(1, sizeof(*s));

    must(s != NULL);
    s->loop = loop;
    s->own = own_pod;
    s->wake = wake;
    map_init(&s->peers, NULL);
    return s;
}

struct status_peers *status_peers_free(struct status_peers *s)
{
    if (!s)
        return NULL;
    MAP_EACH (&s->peers, it) {
        peer_free(it->value);
    }
    map_done(&s->peers);
    free(s);
    return NULL;
}
