// SPDX-License-Identifier: Apache-2.0
/* Checks of the cluster itself: whether it answers, who runs it, clocks, nodes, the pod network, webhooks of anybody that
 * block it. */
#include <stdlib.h>

#include "base/clock.h"
#include "cli/check.h"
#include "cli/cluster.h"

enum { OLDEST_MINOR = 29, NATIVE_MINOR = 33 };

#define CLOCK_APART (5 * NS_PER_S) /* certificates are backdated by more, but tokens and logs are not */
#define NODE_APART (60 * NS_PER_S) /* a kubelet renews its Lease each 10 s */

void check_api(struct check *k)
{
    struct node *n;
    int status = object_call(k->c, k->a, "GET", k->sandbox ? VIEW("/api/v1/namespaces") : VIEW("/version"), NULL, &n);
    if (status == 200) {
        struct view version = node_text_at(n, "gitVersion");
        if (version.n)
            note(k, "%.*s", VIEW_ARGS(version));
        return;
    }
    found(k, "%.*s",
          VIEW_ARGS(status ? object_why(k->a, n, status)
                           : view_of(k->sandbox ? "no answer" : cluster_why(k->c->cluster))));
    k->away = true;
}

void check_version(struct check *k)
{
    const struct node *n = check_get(k, VIEW("/version"));
    struct view minor = node_text_at(n, "minor");
    uint64_t number = 0;
    size_t digits = 0;
    while (digits < minor.n && minor.p[digits] >= '0' && minor.p[digits] <= '9') /* "34+" */
        digits++;
    if (n && (view_u64(view_head(minor, digits), &number) < 0 || number < OLDEST_MINOR))
        found(k, "the API server is %.*s", VIEW_ARGS(node_text_at(n, "gitVersion")));
}

static bool is_aks(const struct node *nodes)
{
    for (uint32_t i = 0; i < check_count(nodes); i++)
        if (view_starts(node_text_at(nodes->items[i], "spec.providerID"), VIEW("azure://")) &&
            node_field(node_at(nodes->items[i], "metadata.labels"), VIEW("kubernetes.azure.com/cluster")))
            return true;
    return false;
}

void check_platform(struct check *k)
{
    const struct node *nodes = check_items(k, "/api/v1/nodes"), *spaces = check_items(k, "/api/v1/namespaces");
    bool aks = is_aks(nodes);
    const struct node *hooks = check_items(k, "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations");
    if (aks)
        note(k, "AKS");
    for (uint32_t i = 0; i < check_count(spaces); i++) {
        struct view name = name_of(spaces->items[i]), rev = object_label(spaces->items[i], "istio.io/rev");
        if (view_is(name, "aks-istio-system"))
            found(k, "namespace %.*s: the managed Istio add-on of AKS is enabled", VIEW_ARGS(name));
        if (view_starts(rev, VIEW("asm-")))
            found(k, "namespace %.*s has label istio.io/rev=%.*s: its pods belong to the add-on", VIEW_ARGS(name),
                  VIEW_ARGS(rev));
    }
    for (uint32_t i = 0; aks && i < check_count(hooks); i++)
        if (object_is_wefts(hooks->items[i]) &&
            !view_is(object_label(hooks->items[i], "admissions.enforcer/disabled"), "true"))
            found(
                k,
                "MutatingWebhookConfiguration %.*s lacks label admissions.enforcer/disabled: AKS changes its selectors",
                VIEW_ARGS(name_of(hooks->items[i])));
}

static struct view apart(struct arena *a, uint64_t x, uint64_t y)
{
    struct buf b = {0};
    clock_print_duration(&b, (x > y ? x - y : y - x) / NS_PER_S * NS_PER_S);
    struct view text = arena_printf(a, "%.*s %s", VIEW_ARGS(buf_read(&b)), x > y ? "ahead" : "behind");
    buf_done(&b);
    return text;
}

/* The API server's clock: what it writes as creationTimestamp of a dry run. Whole seconds. */
static bool server_time(struct check *k, uint64_t *ret_ns)
{
    struct node *body, *answer;
    must(node_parse(
             k->a,
             VIEW("{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"generateName\":\"weft-check-\"}}"),
             &body, NULL) == 0);
    int status =
        object_call(k->c, k->a, "POST", VIEW("/api/v1/namespaces/default/configmaps?dryRun=All"), body, &answer);
    if (status == 201 && clock_parse_time(node_text_at(answer, "metadata.creationTimestamp"), ret_ns) == 0)
        return true;
    skip(k, "a dry run in namespace default was refused: %.*s", VIEW_ARGS(object_why(k->a, answer, status)));
    return false;
}

void check_clock(struct check *k)
{
    uint64_t theirs, before = clock_wall();
    if (!server_time(k, &theirs))
        return;
    uint64_t after = clock_wall();
    if (theirs + NS_PER_S + CLOCK_APART < before || theirs > after + CLOCK_APART)
        found(k, "this machine's clock is %.*s of the API server's",
              VIEW_ARGS(apart(k->a, theirs > after ? after : before, theirs)));
}

static void check_node_clock(struct check *k, const struct node *lease, uint64_t now)
{
    uint64_t at;
    if (clock_parse_time(node_text_at(lease, "spec.renewTime"), &at) < 0)
        return;
    if (at > now + NODE_APART)
        found(k, "node %.*s: its clock is %.*s of the API server's", VIEW_ARGS(name_of(lease)),
              VIEW_ARGS(apart(k->a, at, now)));
}

void check_nodes(struct check *k)
{
    const struct node *nodes = check_items(k, "/api/v1/nodes"),
                      *leases = check_items(k, "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases");
    unsigned native = 0, linux_nodes = 0;
    uint64_t now;
    for (uint32_t i = 0; i < check_count(nodes); i++) {
        const struct node *n = nodes->items[i];
        struct view kubelet = node_text_at(n, "status.nodeInfo.kubeletVersion"), why = VIEW_NONE;
        if (view_is(node_text_at(n, "status.nodeInfo.operatingSystem"), "windows")) {
            found(k, "node %.*s runs Windows: pods there get no sidecar", VIEW_ARGS(name_of(n)));
            continue;
        }
        linux_nodes++;
        native += kubelet.n > 3 && atoi(kubelet.p + 3) >= NATIVE_MINOR; /* v1.34.4 */
        if (!object_condition(n, "Ready", &why))
            found(k, "node %.*s is not ready: %.*s", VIEW_ARGS(name_of(n)), VIEW_ARGS(why));
        if (atoi(arena_str(k->a, node_text_at(n, "status.nodeInfo.kernelVersion"))) < 4)
            found(k, "node %.*s: kernel %.*s is too old", VIEW_ARGS(name_of(n)),
                  VIEW_ARGS(node_text_at(n, "status.nodeInfo.kernelVersion")));
    }
    if (check_count(leases) && server_time(k, &now))
        for (uint32_t i = 0; i < leases->n; i++)
            check_node_clock(k, leases->items[i], now);
    if (linux_nodes)
        note(k, "%u; %s", check_count(nodes),
             native == linux_nodes ? "sidecars are native" : "some kubelet is older than 1.33: classic sidecars");
}

void check_network(struct check *k)
{
    static const char *const names[] = {"cilium", "calico-node", "azure-cns", "kube-flannel-ds", "aws-node", "kindnet"};
    const struct node *sets = check_items(k, "/apis/apps/v1/daemonsets");
    bool cilium = false;
    for (uint32_t i = 0; i < check_count(sets); i++)
        for (size_t n = 0; n < COUNT_OF(names); n++)
            if (view_is(name_of(sets->items[i]), names[n])) {
                note(k, "%s", names[n]);
                cilium = cilium || n == 0;
            }
    if (!cilium)
        return;
    const struct node *config = check_get(k, VIEW("/api/v1/namespaces/kube-system/configmaps/cilium-config"));
    const struct node *data = node_get(config, VIEW("data"));
    struct view replace = node_text(node_get(data, VIEW("kube-proxy-replacement")));
    if (config && (view_is(replace, "true") || view_is(replace, "strict")) &&
        !view_is(node_text(node_get(data, VIEW("bpf-lb-sock-hostns-only"))), "true"))
        found(k,
              "ConfigMap kube-system/cilium-config: kube-proxy-replacement=%.*s without bpf-lb-sock-hostns-only=true",
              VIEW_ARGS(replace));
}

/* ---- webhooks that block ---- */

static bool service_serves(struct check *k, struct view ns, struct view name)
{
    const struct node *slices = check_items(k, "/apis/discovery.k8s.io/v1/endpointslices");
    if (!slices)
        return true; /* not known: no accusation */
    for (uint32_t i = 0; i < slices->n; i++) {
        const struct node *s = slices->items[i], *ends = node_get(s, VIEW("endpoints"));
        if (!view_eq(ns_of(s), ns) || !view_eq(object_label(s, "kubernetes.io/service-name"), name))
            continue;
        for (uint32_t e = 0; e < check_count(ends); e++)
            if (node_bool(node_at(ends->items[e], "conditions.ready"), true))
                return true;
    }
    return false;
}

/* Weft's own are WC041's. */
static void check_configuration(struct check *k, const char *kind, const struct node *o)
{
    const struct node *hooks = node_get(o, VIEW("webhooks"));
    for (uint32_t i = 0; i < check_count(hooks); i++) {
        struct view ns = node_text_at(hooks->items[i], "clientConfig.service.namespace"),
                    name = node_text_at(hooks->items[i], "clientConfig.service.name");
        if (!name.n || object_is_wefts(o) || !view_is(node_text_at(hooks->items[i], "failurePolicy"), "Fail") ||
            service_serves(k, ns, name))
            continue;
        found(k, "%s %.*s (%.*s): Service %.*s/%.*s has no ready endpoint, and failurePolicy is Fail", kind,
              VIEW_ARGS(name_of(o)), VIEW_ARGS(node_text_at(hooks->items[i], "name")), VIEW_ARGS(ns), VIEW_ARGS(name));
        return; /* one line a configuration */
    }
}

void check_stuck_webhooks(struct check *k)
{
    const struct node *all = check_items(k, "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations");
    for (uint32_t i = 0; i < check_count(all); i++)
        check_configuration(k, "MutatingWebhookConfiguration", all->items[i]);
    all = check_items(k, "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations");
    for (uint32_t i = 0; i < check_count(all); i++)
        check_configuration(k, "ValidatingWebhookConfiguration", all->items[i]);
}
