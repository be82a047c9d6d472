// SPDX-License-Identifier: Apache-2.0
/* Waiting (install_wait.h): one look at the objects, again and again until it is content or the time is over. A look that is
 * not content says why in the words of whoever knows: a container's reason, the scheduler, the last warning about the pod. */
#include "cli/install_wait.h"

#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"

#define PAUSE_US (200 * 1000)

static struct view find_event(struct cli *c, struct arena *a, struct view ns, struct view name)
{
    struct node *list;
    struct view path = arena_printf(a, "/api/v1/namespaces/%.*s/events?fieldSelector=involvedObject.name%%3D%.*s",
                                    VIEW_ARGS(ns), VIEW_ARGS(name));
    struct view last = VIEW_NONE;
    if (object_call(c, a, "GET", path, NULL, &list) != 200)
        return last;
    const struct node *items = node_get(list, VIEW("items"));
    for (uint32_t i = 0; node_is(items, NODE_SEQ) && i < items->n; i++)
        if (view_is(node_text_at(items->items[i], "type"), "Warning"))
            last = node_text_at(items->items[i], "message");
    return last;
}

/* Why a container does not run, in the kubelet's words. */
static bool container_trouble(struct arena *a, const struct node *pod, const char *list, struct view *ret_why)
{
    const struct node *all = node_at(pod, list);
    for (uint32_t i = 0; node_is(all, NODE_SEQ) && i < all->n; i++) {
        const struct node *s = all->items[i];
        struct view reason = node_text_at(s, "state.waiting.reason"),
                    message = node_text_at(s, "state.waiting.message");
        if (!reason.n || view_is(reason, "PodInitializing") || view_is(reason, "ContainerCreating"))
            continue;
        *ret_why = arena_printf(a, "container %.*s: %.*s%s%.*s", VIEW_ARGS(node_text_at(s, "name")), VIEW_ARGS(reason),
                                message.n ? ": " : "", VIEW_ARGS(message));
        return true;
    }
    return false;
}

/* The first container that does not run yet, without a reason: usually its image is being fetched. */
static struct view being_made(struct arena *a, const struct node *pod)
{
    const struct node *all = node_at(pod, "status.containerStatuses");
    for (uint32_t i = 0; node_is(all, NODE_SEQ) && i < all->n; i++)
        if (node_at(all->items[i], "state.waiting"))
            return arena_printf(a, "container %.*s is being made, image %.*s",
                                VIEW_ARGS(node_text_at(all->items[i], "name")),
                                VIEW_ARGS(node_text_at(all->items[i], "image")));
    return VIEW_NONE;
}

/* The pod that holds a Deployment up. */
static struct view pod_trouble(struct cli *c, struct arena *a, struct view ns, const struct node *deployment)
{
    struct buf selector = {0};
    const struct node *labels = node_at(deployment, "spec.selector.matchLabels");
    for (uint32_t i = 0; node_is(labels, NODE_MAP) && i < labels->n; i++)
        buf_printf(&selector, "%s%.*s=%.*s", i ? "," : "", VIEW_ARGS(labels->fields[i].key),
                   VIEW_ARGS(node_text(labels->fields[i].value)));
    struct view query = client_escape(a, buf_read(&selector)), why = VIEW_NONE;
    buf_done(&selector);
    struct node *list;
    struct view path =
        arena_printf(a, "/api/v1/namespaces/%.*s/pods?labelSelector=%.*s", VIEW_ARGS(ns), VIEW_ARGS(query));
    if (object_call(c, a, "GET", path, NULL, &list) != 200)
        return VIEW_NONE;
    const struct node *items = node_get(list, VIEW("items"));
    for (uint32_t i = 0; node_is(items, NODE_SEQ) && i < items->n; i++) {
        const struct node *pod = items->items[i];
        struct view name = node_text_at(pod, "metadata.name"), message = VIEW_NONE;
        if (object_condition(pod, "Ready", &message))
            continue;
        if (!container_trouble(a, pod, "status.initContainerStatuses", &why) &&
            !container_trouble(a, pod, "status.containerStatuses", &why)) {
            object_condition(pod, "PodScheduled", &why);
            why = why.n ? why : find_event(c, a, ns, name);
            why = why.n ? why : being_made(a, pod);
            why = why.n ? why : message;
        }
        return arena_printf(a, "pod %.*s/%.*s: %.*s", VIEW_ARGS(ns), VIEW_ARGS(name),
                            VIEW_ARGS(why.n ? why : VIEW("not ready yet")));
    }
    return VIEW_NONE;
}

/* Pods that cannot even be made: the ReplicaSet knows why, and its Deployment repeats it. */
static struct view deployment_trouble(const struct node *o)
{
    struct view why = VIEW_NONE;
    if (object_condition(o, "ReplicaFailure", &why))
        return why;
    return VIEW_NONE;
}

bool deployment_ready(struct cli *c, struct arena *a, struct view ns, struct view name, struct view *ret_why)
{
    struct node *o;
    int status = object_call(c, a, "GET", object_path(a, object_kind("Deployment"), ns, name), NULL, &o);
    if (status != 200) {
        *ret_why = arena_printf(a, "deployment %.*s/%.*s: %.*s", VIEW_ARGS(ns), VIEW_ARGS(name),
                                VIEW_ARGS(object_why(a, o, status)));
        return false;
    }
    int64_t wanted = object_count(o, "spec.replicas", 1), updated = object_count(o, "status.updatedReplicas", 0),
            available = object_count(o, "status.availableReplicas", 0), all = object_count(o, "status.replicas", 0);
    bool seen = object_count(o, "status.observedGeneration", 0) >= object_count(o, "metadata.generation", 0);
    if (seen && updated >= wanted && all <= updated && available >= wanted)
        return true;
    struct view trouble = deployment_trouble(o);
    trouble = trouble.n ? trouble : pod_trouble(c, a, ns, o);
    if (!seen)
        trouble = VIEW("no controller has seen it: does kube-controller-manager run?");
    *ret_why = arena_printf(a, "deployment %.*s/%.*s: %lld of %lld replicas are available%s%.*s", VIEW_ARGS(ns),
                            VIEW_ARGS(name), (long long)(available < updated ? available : updated), (long long)wanted,
                            trouble.n ? "; " : "", VIEW_ARGS(trouble));
    return false;
}

/* Calls look() until it is content or the time is over. */
static bool wait_until(struct cli *c, uint64_t until, struct view *ret_why,
                       bool (*look)(struct cli *c, struct arena *a, const void *arg, struct view *ret_why),
                       const void *arg)
{
    for (;;) {
        struct arena a;
        struct view why = VIEW_NONE;
        arena_init(&a, 0);
        bool fine = look(c, &a, arg, &why), over = clock_mono() >= until;
        if (!fine && over)
            *ret_why = arena_view(&c->arena, why);
        arena_done(&a);
        if (fine || over)
            return fine;
        usleep(PAUSE_US);
    }
}

struct named {
    struct view ns, name;
};

static bool look_deployment(struct cli *c, struct arena *a, const void *arg, struct view *ret_why)
{
    const struct named *n = arg;
    return deployment_ready(c, a, n->ns, n->name, ret_why);
}

bool wait_deployment(struct cli *c, struct view ns, struct view name, uint64_t until, struct view *ret_why)
{
    return wait_until(c, until, ret_why, look_deployment, &(struct named){ns, name});
}

static bool look_definitions(struct cli *c, struct arena *a, const void *arg, struct view *ret_why)
{
    const struct chart *chart = arg;
    for (size_t i = 0; i < chart->n; i++) {
        const struct chart_object *o = &chart->objects[i];
        struct node *n;
        if (strcmp(o->kind->kind, "CustomResourceDefinition") != 0)
            continue;
        if (object_call(c, a, "GET", object_path(a, o->kind, o->ns, o->name), NULL, &n) == 200 &&
            object_condition(n, "Established", NULL))
            continue;
        struct view why = VIEW_NONE;
        object_condition(n, "NamesAccepted", &why);
        *ret_why = arena_printf(a, "definition %.*s is not established: %.*s", VIEW_ARGS(o->name), VIEW_ARGS(why));
        return false;
    }
    return true;
}

bool wait_definitions(struct cli *c, const struct chart *chart, uint64_t until, struct view *ret_why)
{
    return wait_until(c, until, ret_why, look_definitions, chart);
}

static bool look_bundles(struct cli *c, struct arena *a, const void *arg, struct view *ret_why)
{
    const struct chart *chart = arg;
    for (size_t i = 0; i < chart->n; i++) {
        const struct chart_object *o = &chart->objects[i];
        struct node *n;
        if (!strstr(o->kind->kind, "WebhookConfiguration"))
            continue;
        int status = object_call(c, a, "GET", object_path(a, o->kind, o->ns, o->name), NULL, &n);
        const struct node *hooks = node_get(n, VIEW("webhooks"));
        for (uint32_t k = 0; node_is(hooks, NODE_SEQ) && k < hooks->n; k++)
            if (!node_text_at(hooks->items[k], "clientConfig.caBundle").n)
                status = 0;
        if (status == 200)
            continue;
        *ret_why = arena_printf(a, "%s %.*s: istiod has not written caBundle yet: see its log", o->kind->kind,
                                VIEW_ARGS(o->name));
        return false;
    }
    return true;
}

bool wait_bundles(struct cli *c, const struct chart *chart, uint64_t until, struct view *ret_why)
{
    return wait_until(c, until, ret_why, look_bundles, chart);
}

bool injection_works(struct cli *c, struct arena *a, struct view ns, struct view revision, struct view *ret_why)
{
    static const char text[] = "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"generateName\":\"weft-check-\","
                               "\"labels\":{}},\"spec\":{\"containers\":[{\"name\":\"app\",\"image\":\"none\","
                               "\"ports\":[{\"containerPort\":80}]}]}}";
    struct node *pod, *answer;
    must(node_parse(a, VIEW(text), &pod, NULL) == 0);
    pod = node_copy(a, pod);
    struct node *labels = node_make(a, node_get(pod, VIEW("metadata")), "labels", NODE_MAP);
    bool named = revision.n && !view_is(revision, "default");
    node_set_str(a, labels, "sidecar.istio.io/inject", VIEW("true"));
    if (named)
        node_set_str(a, labels, "istio.io/rev", revision);
    struct view path = arena_printf(a, "/api/v1/namespaces/%.*s/pods?dryRun=All", VIEW_ARGS(ns));
    int status = object_call(c, a, "POST", path, pod, &answer);
    if (status != 201) {
        *ret_why = arena_printf(a, "a dry run of a pod with a sidecar: %.*s", VIEW_ARGS(object_why(a, answer, status)));
        return false;
    }
    if (node_get(node_at(answer, "metadata.annotations"), VIEW("sidecar.istio.io/status")))
        return true;
    *ret_why = arena_printf(a,
                            "a dry run of a pod with label sidecar.istio.io/inject=true in namespace %.*s came back "
                            "without a sidecar: is the webhook called?",
                            VIEW_ARGS(ns));
    return false;
}

static bool look_injection(struct cli *c, struct arena *a, const void *arg, struct view *ret_why)
{
    const struct chart *chart = arg;
    return injection_works(c, a, chart->ns, chart->revision, ret_why);
}

bool wait_injection(struct cli *c, const struct chart *chart, uint64_t until, struct view *ret_why)
{
    return wait_until(c, until, ret_why, look_injection, chart);
}
