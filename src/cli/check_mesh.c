// SPDX-License-Identifier: Apache-2.0
/* Checks of the data plane: which pods should have a sidecar, whether proxies run, are connected and current. */
#include "cli/check.h"

static const struct node *find_namespace(struct check *k, struct view name)
{
    const struct node *all = check_items(k, "/api/v1/namespaces");
    for (uint32_t i = 0; i < check_count(all); i++)
        if (view_eq(name_of(all->items[i]), name))
            return all->items[i];
    return NULL;
}

/* By the namespace's labels: is it ours to inject? */
static bool injects(const struct check *k, const struct node *ns)
{
    struct view plain = object_label(ns, "istio-injection"), rev = object_label(ns, "istio.io/rev");
    if (plain.n)
        return view_is(plain, "enabled") && !k->revision.n;
    return rev.n && view_eq(rev, k->revision.n ? k->revision : VIEW("default"));
}

static const struct node *proxy_status(const struct node *pod)
{
    static const char *const lists[] = {"status.containerStatuses", "status.initContainerStatuses"};
    for (size_t l = 0; l < COUNT_OF(lists); l++) {
        const struct node *all = node_at(pod, lists[l]);
        for (uint32_t i = 0; i < check_count(all); i++)
            if (view_is(node_text_at(all->items[i], "name"), "istio-proxy"))
                return all->items[i];
    }
    return NULL;
}

static bool has_proxy(const struct node *pod)
{
    static const char *const lists[] = {"spec.containers", "spec.initContainers"};
    for (size_t l = 0; l < COUNT_OF(lists); l++) {
        const struct node *all = node_at(pod, lists[l]);
        for (uint32_t i = 0; i < check_count(all); i++)
            if (view_is(node_text_at(all->items[i], "name"), "istio-proxy"))
                return true;
    }
    return false;
}

static bool is_over(const struct node *pod)
{
    struct view phase = node_text_at(pod, "status.phase");
    return view_is(phase, "Succeeded") || view_is(phase, "Failed") || node_text_at(pod, "metadata.deletionTimestamp").n;
}

void check_without_sidecar(struct check *k)
{
    const struct node *pods = check_items(k, "/api/v1/pods");
    unsigned with = 0;
    for (uint32_t i = 0; i < check_count(pods); i++) {
        const struct node *pod = pods->items[i];
        if (is_over(pod))
            continue;
        if (has_proxy(pod)) {
            with++;
            continue;
        }
        bool refused =
            view_is(object_label(pod, "sidecar.istio.io/inject"), "false") ||
            view_is(node_text(node_get(node_at(pod, "metadata.annotations"), VIEW("sidecar.istio.io/inject"))),
                    "false") ||
            node_bool(node_at(pod, "spec.hostNetwork"), false);
        if (!refused && injects(k, find_namespace(k, ns_of(pod))))
            found(k, "pod %.*s/%.*s has none: it is older than the namespace's label, or injection failed",
                  VIEW_ARGS(ns_of(pod)), VIEW_ARGS(name_of(pod)));
    }
    note(k, "proxies: %u", with);
}

void check_refused_pods(struct check *k)
{
    const struct node *all = check_items(k, "/api/v1/namespaces");
    for (uint32_t i = 0; i < check_count(all); i++) {
        struct view level = object_label(all->items[i], "pod-security.kubernetes.io/enforce");
        if ((view_is(level, "restricted") || view_is(level, "baseline")) && injects(k, all->items[i]))
            found(k, "namespace %.*s enforces the Pod Security Standard `%.*s`: injected pods are refused",
                  VIEW_ARGS(name_of(all->items[i])), VIEW_ARGS(level));
    }
}

void check_sidecars_ready(struct check *k)
{
    const struct node *pods = check_items(k, "/api/v1/pods");
    for (uint32_t i = 0; i < check_count(pods); i++) {
        const struct node *pod = pods->items[i], *status;
        if (is_over(pod) || !has_proxy(pod))
            continue;
        status = proxy_status(pod);
        if (node_bool(node_get(status, VIEW("ready")), false))
            continue;
        struct view why = node_text_at(status, "state.waiting.reason"),
                    message = node_text_at(status, "state.waiting.message");
        why = why.n ? why : node_text_at(status, "state.terminated.reason");
        why = why.n ? why : status ? VIEW("not ready") : VIEW("not started");
        found(k, "pod %.*s/%.*s: its proxy: %.*s%s%.*s", VIEW_ARGS(ns_of(pod)), VIEW_ARGS(name_of(pod)), VIEW_ARGS(why),
              message.n ? ": " : "", VIEW_ARGS(message));
    }
}

/* What all replicas say together, made once: one entry a connected proxy. NULL: none answers. */
static const struct node *synced(struct check *k)
{
    static const char key[] = "(syncz)";
    for (size_t i = 0; i < k->n_answers; i++)
        if (k->answers[i].path == key)
            return k->answers[i].items;
    const struct node *pods = check_items(k, "/api/v1/pods");
    struct node *all = NULL;
    for (uint32_t i = 0; i < check_count(pods); i++) {
        if (!view_is(object_label(pods->items[i], "app"), "istiod") || !view_eq(ns_of(pods->items[i]), k->home))
            continue;
        const struct node *list = check_ask(k, pods->items[i], "/debug/syncz");
        if (list && !all)
            all = node_new(k->a, NODE_SEQ);
        for (uint32_t n = 0; n < check_count(list); n++)
            node_push(k->a, all, list->items[n]);
    }
    *ARENA_PUSH(k->a, k->answers, k->n_answers) = (struct check_answer){.path = key, .items = all, .status = 200};
    return all;
}

static const struct node *entry_of(struct check *k, const struct node *pod)
{
    const struct node *all = synced(k);
    struct view id = arena_printf(k->a, "%.*s.%.*s", VIEW_ARGS(name_of(pod)), VIEW_ARGS(ns_of(pod)));
    for (uint32_t i = 0; i < check_count(all); i++)
        if (view_eq(node_text_at(all->items[i], "proxy"), id))
            return all->items[i];
    return NULL;
}

/* fn for each pod whose proxy runs. */
static void each_proxy(struct check *k, void (*fn)(struct check *k, const struct node *pod, const struct node *entry))
{
    const struct node *pods = check_items(k, "/api/v1/pods");
    if (!synced(k)) {
        skip(k, "istiod does not answer");
        return;
    }
    for (uint32_t i = 0; i < check_count(pods); i++) {
        const struct node *pod = pods->items[i];
        if (!is_over(pod) && has_proxy(pod) && node_field(node_get(proxy_status(pod), VIEW("state")), VIEW("running")))
            fn(k, pod, entry_of(k, pod));
    }
}

static void tell_connected(struct check *k, const struct node *pod, const struct node *entry)
{
    if (!entry)
        found(k, "pod %.*s/%.*s: its proxy is not connected", VIEW_ARGS(ns_of(pod)), VIEW_ARGS(name_of(pod)));
}

void check_connected(struct check *k)
{
    each_proxy(k, tell_connected);
    if (!k->skipped.n)
        note(k, "%u", check_count(synced(k)));
}

static void tell_sync(struct check *k, const struct node *pod, const struct node *entry)
{
    struct view rejected = node_text_at(entry, "rejected"), since = node_text_at(entry, "since");
    if (rejected.n)
        found(k, "pod %.*s/%.*s rejected its configuration: %.*s", VIEW_ARGS(ns_of(pod)), VIEW_ARGS(name_of(pod)),
              VIEW_ARGS(rejected));
    else if (entry && !node_bool(node_get(entry, VIEW("synced")), false))
        found(k, "pod %.*s/%.*s has not acknowledged what it was sent%s%.*s", VIEW_ARGS(ns_of(pod)),
              VIEW_ARGS(name_of(pod)), since.n ? " since " : "", VIEW_ARGS(since));
}

void check_in_sync(struct check *k)
{
    each_proxy(k, tell_sync);
}

static void tell_version(struct check *k, const struct node *pod, const struct node *entry)
{
    struct view version = node_text_at(entry, "version");
    if (view_starts(version, VIEW("weft ")))
        version = view_from(version, 5);
    if (version.n && !view_is(version, WEFT_VERSION))
        found(k, "pod %.*s/%.*s: its proxy is %.*s", VIEW_ARGS(ns_of(pod)), VIEW_ARGS(name_of(pod)),
              VIEW_ARGS(version));
}

void check_proxy_versions(struct check *k)
{
    each_proxy(k, tell_version);
}
