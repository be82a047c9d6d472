// SPDX-License-Identifier: Apache-2.0
/* One watch for each kind that plans are made of; see source.h.
 *
 * Only what plans are made of is kept. Of pods that is little, and the rest of them changes with every version of
 * Kubernetes. Of Secrets those that may hold a certificate: other types are not even asked for, other contents are dropped
 * here. Nodes are not watched: endpoints are balanced without regard to where they are.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "control/source.h"
#include "control/store.h"
#include "kube/watch.h"
#include "net/loop.h"
#include "net/timer.h"
#include "wire/node.h"

static void trim_pod(struct node *pod);

/* ConfigMaps: only those beside the control plane, where MeshConfig is. */
static const struct watched {
    enum mesh_kind kind;
    bool at_home;
    const char *fields;
    void (*trim)(struct node *object);
} kinds[] = {
    {KIND_NAMESPACE, false, "", NULL},
    {KIND_CONFIG_MAP, true, "", NULL},
    {KIND_SERVICE, false, "", NULL},
    {KIND_ENDPOINT_SLICE, false, "", NULL},
    {KIND_POD, false, "", trim_pod},
    {KIND_SECRET, false,
     "type!=helm.sh/release.v1,type!=kubernetes.io/service-account-token,type!=kubernetes.io/dockerconfigjson,"
     "type!=kubernetes.io/dockercfg,type!=kubernetes.io/basic-auth,type!=kubernetes.io/ssh-auth,"
     "type!=bootstrap.kubernetes.io/token,type!=istio.io/ca-root",
     NULL},
    {KIND_GATEWAY, false, "", NULL},
    {KIND_VIRTUAL_SERVICE, false, "", NULL},
    {KIND_DESTINATION_RULE, false, "", NULL},
    {KIND_SERVICE_ENTRY, false, "", NULL},
    {KIND_PEER_AUTHENTICATION, false, "", NULL},
};
enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

enum { SOURCE_GRACE = 1 };   /* and KUBE_WAKE */
#define GRACE (2 * NS_PER_S) /* what passes sooner is not worth a line: an API server that restarts says many things */

struct source_kube {
    struct task task;
    struct timer grace;
    struct store *store;
    struct kube_watch *watches[KINDS];
    uint64_t events;
    enum kube_trouble told[KINDS];
    bool away; /* the API server as a whole; told once, not for each kind */
    bool synced;
};

/* ---- what is kept of an object ---- */

static void keep_only(struct node *map, const char *const *keys)
{
    for (uint32_t i = 0; node_is(map, NODE_MAP) && i < map->n;) {
        struct view key = map->fields[i].key;
        bool keep = false;
        for (const char *const *k = keys; *k && !keep; k++)
            keep = view_is(key, *k);
        if (keep)
            i++;
        else
            node_del(map, key);
    }
}

static void trim_containers(struct node *list)
{
    static const char *const keys[] = {"name", "image", "ports", "restartPolicy", NULL};
    for (uint32_t i = 0; node_is(list, NODE_SEQ) && i < list->n; i++)
        keep_only(list->items[i], keys);
}

static void trim_pod(struct node *pod)
{
    static const char *const spec_keys[] = {"serviceAccountName", "nodeName",       "hostNetwork",
                                            "containers",         "initContainers", NULL};
    static const char *const status_keys[] = {"podIP", "phase", NULL};
    struct node *spec = node_get(pod, VIEW("spec"));
    keep_only(spec, spec_keys);
    trim_containers(node_get(spec, VIEW("containers")));
    trim_containers(node_get(spec, VIEW("initContainers")));
    keep_only(node_get(pod, VIEW("status")), status_keys);
}

/* May it hold a certificate that a Gateway or a DestinationRule names? */
static bool is_of_use(enum mesh_kind kind, const struct node *object)
{
    static const char *const keys[] = {"tls.crt", "tls.key", "ca.crt", "cert", "key", "cacert"};
    const struct node *data = node_get(object, VIEW("data"));
    if (kind != KIND_SECRET)
        return true;
    for (size_t i = 0; i < COUNT_OF(keys); i++)
        if (node_get(data, view_of(keys[i])))
            return true;
    return false;
}

/* ---- events ---- */

static void drain(struct source_kube *k, int i)
{
    struct kube_event e;

    while (kube_watch_next(k->watches[i], &e)) {
        k->events++;
        if (e.type == KUBE_SET && is_of_use(kinds[i].kind, e.node))
            store_put_json(k->store, e.json);
        else if (e.type != KUBE_SYNCED)
            store_del(k->store, kinds[i].kind, e.ns, e.name);
    }
}

/* ---- problems ---- */

static bool is_problem(enum kube_trouble t)
{
    return t != KUBE_TROUBLE_NONE && t != KUBE_TROUBLE_CONNECTING;
}

static struct view resource_of(int i, char text[128])
{
    const struct mesh_kind_info *info = &mesh_kinds[kinds[i].kind];
    int n =
        snprintf(text, 128, "%.*s%s%.*s", VIEW_ARGS(info->plural), info->group.n ? "." : "", VIEW_ARGS(info->group));
    return view_make(text, (size_t)n);
}

static const char *hint_of(enum kube_trouble t)
{
    switch (t) {
    case KUBE_TROUBLE_NONE:
    case KUBE_TROUBLE_CONNECTING:
        break;
    case KUBE_TROUBLE_UNREACHABLE:
        return "is the API server up, and may this pod reach it (network policies)?";
    case KUBE_TROUBLE_UNAUTHORIZED:
        return "is the service account still there? A token that was rotated is read again by itself";
    case KUBE_TROUBLE_FORBIDDEN:
        return "restore the ClusterRole and its binding: weft install writes them again";
    case KUBE_TROUBLE_CRD_MISSING:
        return "weft install brings the definitions; this kind counts as empty until then";
    case KUBE_TROUBLE_CRD_DELETED:
        return "define it again (weft install), then apply its objects: those that are not applied within a minute go "
               "then";
    case KUBE_TROUBLE_SERVER_ERROR:
    case KUBE_TROUBLE_NOT_UNDERSTOOD:
        return "see the log of the API server";
    }
    return "";
}

/* Whether it has lasted; if not, we look again. */
static bool lasted(struct source_kube *k, const struct kube_watch *w)
{
    uint64_t now = loop_wall(k->task.loop), since = kube_watch_trouble_since(w);
    if (now - since >= GRACE)
        return true;
    timer_in(&k->grace, GRACE);
    return false;
}

static void tell_away(struct source_kube *k)
{
    bool away = false;
    struct view why = VIEW_NONE;

    for (int i = 0; i < KINDS; i++)
        if (kube_watch_trouble(k->watches[i]) == KUBE_TROUBLE_UNREACHABLE && (k->away || lasted(k, k->watches[i]))) {
            away = true;
            why = kube_watch_error(k->watches[i]);
        }
    if (away && !k->away)
        log_warn("the API server cannot be reached: %.*s; what is known stays in use", VIEW_ARGS(why));
    else if (!away && k->away)
        log_info("the API server is back");
    k->away = away;
}

/* One line when it begins and one when it is over. */
static void tell_kind(struct source_kube *k, int i)
{
    enum kube_trouble now = kube_watch_trouble(k->watches[i]), before = k->told[i];
    char text[128];
    struct view name = resource_of(i, text), why = kube_watch_error(k->watches[i]);

    if (now == before || now == KUBE_TROUBLE_CONNECTING || now == KUBE_TROUBLE_UNREACHABLE)
        return;
    if (now != KUBE_TROUBLE_NONE && !lasted(k, k->watches[i]))
        return;
    k->told[i] = now;
    if (now == KUBE_TROUBLE_NONE && is_problem(before))
        log_info("%.*s are watched again", VIEW_ARGS(name));
    else if (now == KUBE_TROUBLE_CRD_MISSING)
        log_info("%.*s: %.*s. %s", VIEW_ARGS(name), VIEW_ARGS(why), hint_of(now));
    else if (now != KUBE_TROUBLE_NONE)
        log_warn("%.*s: %s: %.*s. What is known of them stays in use (%u). %s", VIEW_ARGS(name), kube_trouble_name(now),
                 VIEW_ARGS(why), kube_watch_known(k->watches[i]), hint_of(now));
}

uint32_t source_kube_problems(const struct source_kube *k, struct source_problem *ret, uint32_t room)
{
    uint32_t n = 0;

    for (int i = 0; k && i < KINDS; i++) {
        const struct kube_watch *w = k->watches[i];
        enum kube_trouble t = kube_watch_trouble(w);
        if (!is_problem(t))
            continue;
        if (n < room) {
            struct source_problem *p = &ret[n];
            *p = (struct source_problem){.kind = kinds[i].kind,
                                         .reason = kube_trouble_name(t),
                                         .why = kube_watch_error(w),
                                         .hint = view_of(hint_of(t)),
                                         .kept = kube_watch_known(w),
                                         .since = kube_watch_trouble_since(w)};
            p->resource = resource_of(i, p->text);
        }
        n++;
    }
    return n;
}

uint32_t source_kube_in_trouble(const struct source_kube *k, const char *reason)
{
    uint32_t n = 0;
    for (int i = 0; k && i < KINDS; i++)
        n += view_is(view_of(reason), kube_trouble_name(kube_watch_trouble(k->watches[i])));
    return n;
}

static void print_text(struct buf *out, const char *key, struct view v)
{
    buf_printf(out, ",\"%s\":", key);
    buf_json_str(out, v);
}

void source_kube_print_problems(const struct source_kube *k, struct buf *out)
{
    struct source_problem p[KINDS];
    uint32_t n = source_kube_problems(k, p, KINDS);

    buf_char(out, '[');
    for (uint32_t i = 0; i < n; i++) {
        buf_printf(out, "%s{\"resource\":\"%.*s\"", i ? ",\n" : "\n", VIEW_ARGS(p[i].resource));
        print_text(out, "kind", mesh_kinds[p[i].kind].kind);
        print_text(out, "reason", view_of(p[i].reason));
        print_text(out, "message", p[i].why);
        print_text(out, "hint", p[i].hint);
        buf_printf(out, ",\"kept\":%u,\"since\":\"", p[i].kept);
        clock_print_time(out, p[i].since);
        buf_str(out, "\"}");
    }
    buf_str(out, "\n]\n");
}

/* ---- life ---- */

static void source_run(struct task *t, uint32_t events)
{
    struct source_kube *k = CONTAINER_OF(t, struct source_kube, task);
    bool all = true;

    for (int i = 0; i < KINDS; i++) {
        drain(k, i);
        tell_kind(k, i);
        all = all && kube_watch_synced(k->watches[i]);
    }
    tell_away(k);
    if (all && !k->synced) {
        k->synced = true;
        store_synced(k->store);
    }
}

struct source_kube *source_kube_new(struct loop *loop, struct kube_client *api, struct view home, struct store *store)
{
    struct source_kube *k = calloc(1, sizeof(*k));

    must(k != NULL);
    k->store = store;
    task_init(&k->task, loop, source_run, "kubernetes source");
    timer_init(&k->grace, &k->task, SOURCE_GRACE);
    store_expect(store);
    for (int i = 0; i < KINDS; i++) {
        const struct mesh_kind_info *info = &mesh_kinds[kinds[i].kind];
        struct kube_resource r = {.group = info->group, .version = info->versions, .plural = info->plural};
        struct kube_watch_options o = {.trim = kinds[i].trim};

        if (kinds[i].at_home)
            o.ns = home.n ? home : VIEW("istio-system");
        r.namespaced = info->namespaced;
        o.custom = view_ends(info->group, VIEW(".istio.io")) || view_is(info->group, "gateway.networking.k8s.io");
        o.no_status = o.custom;
        if (!kube_client_local(api))
            o.fields = view_of(kinds[i].fields);
        k->watches[i] = kube_watch_with(api, &r, &o, &k->task);
    }
    return k;
}

struct source_kube *source_kube_free(struct source_kube *k)
{
    if (!k)
        return NULL;
    for (int i = 0; i < KINDS; i++)
        kube_watch_free(k->watches[i]);
    timer_done(&k->grace);
    task_done(&k->task);
    free(k);
    return NULL;
}

bool source_kube_connected(const struct source_kube *k)
{
    for (int i = 0; i < KINDS; i++)
        if (!kube_watch_connected(k->watches[i]))
            return false;
    return true;
}

uint64_t source_kube_events(const struct source_kube *k)
{
    return k->events;
}
