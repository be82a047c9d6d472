// SPDX-License-Identifier: Apache-2.0
/* One watch for each kind that plans are made of; see source.h. */
#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "control/source.h"
#include "control/store.h"
#include "kube/watch.h"
#include "net/loop.h"

/* ConfigMaps: only those of istio-system, where MeshConfig is. */
static const struct watched {
    enum mesh_kind kind;
    const char *ns;
} kinds[] = {
    {KIND_NAMESPACE, ""},
    {KIND_CONFIG_MAP, "istio-system"},
    {KIND_SERVICE, ""},
    {KIND_ENDPOINT_SLICE, ""},
    {KIND_POD, ""},
    {KIND_SECRET, ""},
    {KIND_GATEWAY, ""},
    {KIND_VIRTUAL_SERVICE, ""},
    {KIND_DESTINATION_RULE, ""},
    {KIND_SERVICE_ENTRY, ""},
    {KIND_PEER_AUTHENTICATION, ""},
};
enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

struct source_kube {
    struct task task;
    struct store *store;
    struct kube_watch *watches[KINDS];
    uint64_t events;
    bool complaining[KINDS];
    bool synced;
};

static void drain(struct source_kube *k, int i)
{
    struct kube_event e;

    while (kube_watch_next(k->watches[i], &e)) {
        k->events++;
        if (e.type == KUBE_SET)
            store_put_json(k->store, e.json);
        else if (e.type == KUBE_GONE)
            store_del(k->store, kinds[i].kind, e.ns, e.name);
    }
}

/* One line when a watch breaks and one when it is back. */
static void complain(struct source_kube *k, int i)
{
    struct view why = kube_watch_error(k->watches[i]);
    bool broken = !kube_watch_connected(k->watches[i]) && why.n;

    if (broken && !k->complaining[i])
        log_warn("watch of %.*s: %.*s; what is known stays", VIEW_ARGS(mesh_kinds[kinds[i].kind].plural),
                 VIEW_ARGS(why));
    else if (!broken && k->complaining[i])
        log_info("watch of %.*s is back", VIEW_ARGS(mesh_kinds[kinds[i].kind].plural));
    k->complaining[i] = broken;
}

static void source_run(struct task *t, uint32_t events)
{
    struct source_kube *k = CONTAINER_OF(t, struct source_kube, task);
    bool all = true;

    for (int i = 0; i < KINDS; i++) {
        drain(k, i);
        complain(k, i);
        all = all && kube_watch_synced(k->watches[i]);
    }
    if (all && !k->synced) {
        k->synced = true;
        store_synced(k->store);
    }
}

struct source_kube *source_kube_new(struct loop *loop, struct kube_client *api, struct store *store)
{
    struct source_kube *k = calloc(1, sizeof(*k));

    must(k != NULL);
    k->store = store;
    task_init(&k->task, loop, source_run, "kubernetes source");
    store_expect(store);
    for (int i = 0; i < KINDS; i++) {
        const struct mesh_kind_info *info = &mesh_kinds[kinds[i].kind];
        struct kube_resource r = {.group = info->group, .plural = info->plural, .namespaced = info->namespaced};

        r.version = view_head(info->versions, view_find(info->versions, ','));
        k->watches[i] = kube_watch_new(api, &r, view_of(kinds[i].ns), &k->task);
    }
    return k;
}

struct source_kube *source_kube_free(struct source_kube *k)
{
    if (!k)
        return NULL;
    for (int i = 0; i < KINDS; i++)
        kube_watch_free(k->watches[i]);
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
