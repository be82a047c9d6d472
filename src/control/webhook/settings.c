// SPDX-License-Identifier: Apache-2.0
/* See settings.h. The texts of the ConfigMap are compared by hash, so that a snapshot that changes something else costs two of
 * them.
 */
#include "control/webhook/settings.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/map.h"
#include "inject/settings.h"
#include "kube/watch.h"
#include "mesh/snapshot.h"
#include "net/loop.h"
#include "net/task.h"

enum { NATIVE_SINCE = 33 }; /* kubelet 1.33: sidecars are stable there */

static const struct kube_resource nodes = {.version = {"v1", 2}, .plural = {"nodes", 5}};

struct kubelet {
    unsigned minor;
    size_t n;
    char name[];
};

struct settings {
    struct settings_config config;
    struct task task;
    struct kube_watch *watch;
    struct map kubelets; /* of Nodes */
    unsigned n_old;      /* kubelets without native sidecars */
    bool complained;
    struct arena arena; /* of `inject` */
    struct inject_config inject;
    uint64_t read; /* hash of the texts that `inject` comes from, or that were refused */
    bool ready;
};

/* ---- Nodes ---- */

/* "v1.34.4+k3s1": 34; major 2 and later are newer than everything. */
static unsigned minor_of(struct view version)
{
    struct view part = view_starts(version, VIEW("v")) ? view_from(version, 1) : version;
    uint64_t major = 0, minor = 0;
    size_t dot = view_find(part, '.'), n = 0;
    struct view rest = view_from(part, dot + 1);
    if (view_u64(view_head(part, dot), &major) < 0 || major < 1)
        return 0;
    while (n < rest.n && rest.p[n] >= '0' && rest.p[n] <= '9')
        n++;
    if (view_u64(view_head(rest, n), &minor) < 0 || minor > 1000)
        return 0;
    return major > 1 ? 1000 : (unsigned)minor;
}

static void forget(struct settings *s, struct view name)
{
    struct kubelet *k = map_del(&s->kubelets, name);
    if (k)
        s->n_old -= k->minor < NATIVE_SINCE;
    free(k);
}

static void see(struct settings *s, const struct kube_event *e)
{
    struct kubelet *k = malloc(sizeof(*k) + e->name.n);
    must(k != NULL);
    forget(s, e->name);
    *k = (struct kubelet){.minor = minor_of(node_text_at(e->node, "status.nodeInfo.kubeletVersion")), .n = e->name.n};
    memcpy(k->name, e->name.p, e->name.n);
    map_put(&s->kubelets, view_make(k->name, k->n), k);
    s->n_old += k->minor < NATIVE_SINCE;
}

/* Only the kubelet's version is read: what else changes on a Node is not even compared. */
static void trim(struct node *object)
{
    struct node *status = node_get(object, VIEW("status")), *info = node_get(status, VIEW("nodeInfo"));
    node_del(object, VIEW("spec"));
    for (uint32_t i = node_is(status, NODE_MAP) ? status->n : 0; i-- > 0;)
        if (!view_is(status->fields[i].key, "nodeInfo"))
            node_del(status, status->fields[i].key);
    for (uint32_t i = node_is(info, NODE_MAP) ? info->n : 0; i-- > 0;)
        if (!view_is(info->fields[i].key, "kubeletVersion"))
            node_del(info, info->fields[i].key);
}

static void settings_run(struct task *t, uint32_t events)
{
    struct settings *s = CONTAINER_OF(t, struct settings, task);
    struct kube_event e;
    while (kube_watch_next(s->watch, &e)) {
        if (e.type == KUBE_SET)
            see(s, &e);
        else if (e.type == KUBE_GONE)
            forget(s, e.name);
    }
    bool broken = !kube_watch_synced(s->watch) && kube_watch_error(s->watch).n;
    if (broken && !s->complained)
        log_warn("watch of nodes: %.*s; sidecars are classic until it is known that every kubelet runs native ones",
                 VIEW_ARGS(kube_watch_error(s->watch)));
    s->complained = s->complained || broken;
}

static bool is_native(const struct settings *s)
{
    const char *order = s->config.native;
    if (order && (!strcmp(order, "true") || !strcmp(order, "false")))
        return !strcmp(order, "true");
    return s->watch && kube_watch_synced(s->watch) && !s->n_old;
}

/* ---- settings ---- */

static void tell(const struct diags *d)
{
    LIST_EACH (&d->all, struct diag, link, one) {
        if (one->severity == DIAG_ERROR)
            log_error("%.*s: %.*s%s%.*s; the last good injection settings stay", VIEW_ARGS(one->title),
                      VIEW_ARGS(one->label), one->hint.n ? ": " : "", VIEW_ARGS(one->hint));
        else
            log_warn("%.*s: %.*s%s%.*s", VIEW_ARGS(one->title), VIEW_ARGS(one->label), one->hint.n ? ": " : "",
                     VIEW_ARGS(one->hint));
    }
}

/* What the process knows better than any ConfigMap. */
static void overlay(struct settings *s)
{
    if (!s->inject.cluster_id.n || view_is(s->inject.cluster_id, "Kubernetes"))
        s->inject.cluster_id = s->config.cluster_id;
}

static void read_settings(struct settings *s, const struct object *o)
{
    const struct config_map *cm = OBJECT_AS((struct object *)(uintptr_t)o, CONFIG_MAP, config_map);
    struct view values = cm ? labels_get(&cm->data, VIEW("values")) : VIEW_NONE;
    struct view config = cm ? labels_get(&cm->data, VIEW("config")) : VIEW_NONE;
    uint64_t hash = view_hash(values) * 31 + view_hash(config);
    struct inject_config fresh;
    struct arena a;
    struct diags d;
    if (s->ready && (hash == s->read || !cm)) /* a ConfigMap that is gone leaves what it said */
        return;
    s->read = hash;
    arena_init(&a, 0);
    diags_init(&d, &a);
    struct origin at = {.kind = VIEW("ConfigMap"), .ns = s->config.ns, .name = VIEW("istio-sidecar-injector")};
    int err = inject_settings_read(&a, &d, &at, &(struct inject_settings){values, config, s->config.revision}, &fresh);
    tell(&d);
    if (!err || !s->ready) {
        if (err)
            fresh = inject_config_kubernetes(&a), fresh.revision = s->config.revision;
        arena_done(&s->arena);
        s->arena = a;
        s->inject = fresh;
        overlay(s);
        if (s->ready)
            log_info("injection settings changed: %.*s", VIEW_ARGS(s->inject.image_proxy));
    } else {
        arena_done(&a);
    }
    s->ready = true;
}

void settings_snapshot(struct settings *s, const struct mesh_snapshot *snapshot)
{
    char name[256] = "istio-sidecar-injector";
    if (!snapshot) {
        s->ready = false;
        return;
    }
    if (!view_is(s->config.revision, "default"))
        snprintf(name, sizeof(name), "istio-sidecar-injector-%.*s", VIEW_ARGS(s->config.revision));
    read_settings(s, snapshot_get(snapshot, KIND_CONFIG_MAP, s->config.ns, view_of(name)));
    s->inject.mesh = snapshot->config;
}

const struct inject_config *settings_now(struct settings *s)
{
    s->inject.native_sidecars = is_native(s);
    return s->ready ? &s->inject : NULL;
}

struct settings *settings_new(const struct settings_config *config)
{
    struct settings *s = calloc(1, sizeof(*s));
    must(s != NULL);
    s->config = *config;
    arena_init(&s->arena, 0);
    map_init(&s->kubelets, NULL);
    task_init(&s->task, config->loop, settings_run, "injection settings");
    if (config->kube)
        s->watch = kube_watch_with(config->kube, &nodes, &(struct kube_watch_options){.trim = trim}, &s->task);
    return s;
}

struct settings *settings_free(struct settings *s)
{
    if (!s)
        return NULL;
    kube_watch_free(s->watch);
    MAP_EACH (&s->kubelets, it) {
        free(it->value);
    }
    map_done(&s->kubelets);
    task_done(&s->task);
    arena_done(&s->arena);
    free(s);
    return NULL;
}
