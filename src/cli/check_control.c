// SPDX-License-Identifier: Apache-2.0
/* Checks of the control plane: what is installed, whether it runs, reads, leads; the mesh's root; its webhooks. */
#include <string.h>

#include "base/clock.h"
#include "cli/check.h"
#include "cli/install_wait.h"
#include "trust/roots.h"
#include "wire/base64.h"

#define ROOT_LEFT (60 * 24 * 3600 * NS_PER_S)
#define LEASE_OLD (30 * NS_PER_S) /* twice its duration */

/* What needs a running istiod is not asked without one: WC022 is the reason, and one is enough. */
static bool without_istiod(struct check *k)
{
    if (!k->istiod)
        skip(k, "weft is not installed");
    else if (!k->istiod_runs)
        skip(k, "istiod is not ready (WC022)");
    return k->skipped.n > 0;
}

static struct view named(struct check *k, const char *what)
{
    return arena_printf(k->a, "%s%s%.*s", what, k->revision.n ? "-" : "", VIEW_ARGS(k->revision));
}

/* An object of istio-system by kind and name. */
static const struct node *get_home(struct check *k, const char *kind, struct view name)
{
    const struct installed_kind *i = object_kind(kind);
    return check_get(k, object_path(k->a, i, i->namespaced ? k->home : VIEW_NONE, name));
}

void check_installed(struct check *k)
{
    struct view name = named(k, "istiod");
    k->istiod = get_home(k, "Deployment", name);
    if (!k->istiod) {
        if (!k->n_found)
            found(k, "there is no Deployment %.*s/%.*s", VIEW_ARGS(k->home), VIEW_ARGS(name));
    } else if (!object_is_wefts(k->istiod)) {
        found(k, "Deployment %.*s/%.*s is not weft's but another Istio's", VIEW_ARGS(k->home), VIEW_ARGS(name));
        k->istiod = NULL;
    } else {
        note(k, "by %.*s", VIEW_ARGS(object_label(k->istiod, "app.kubernetes.io/managed-by")));
    }
}

void check_definitions(struct check *k)
{
    const struct node *all = check_items(k, "/apis/apiextensions.k8s.io/v1/customresourcedefinitions");
    struct chart chart;
    struct view why;
    if (!all || chart_render(k->a, NULL, NULL, 0, &chart, &why) < 0)
        return;
    for (size_t i = 0; i < chart.n; i++) {
        const struct chart_object *o = &chart.objects[i];
        const struct node *crd = NULL;
        if (strcmp(o->kind->kind, "CustomResourceDefinition") != 0)
            continue;
        for (uint32_t n = 0; n < all->n && !crd; n++)
            if (view_eq(name_of(all->items[n]), o->name))
                crd = all->items[n];
        if (!crd)
            found(k, "CustomResourceDefinition %.*s is missing", VIEW_ARGS(o->name));
        else if (node_text_at(crd, "metadata.deletionTimestamp").n)
            found(k, "CustomResourceDefinition %.*s is being deleted", VIEW_ARGS(o->name));
        else if (!object_condition(crd, "Established", NULL))
            found(k, "CustomResourceDefinition %.*s is not established", VIEW_ARGS(o->name));
    }
    k->definitions_missing = k->n_found > 0;
}

/* The roles and bindings of this revision, as the chart makes them. */
void check_granted(struct check *k)
{
    static const char *const parts[] = {"rules", "roleRef", "subjects"};
    struct view set = arena_printf(k->a, "revision=%.*s,global.istioNamespace=%.*s", VIEW_ARGS(k->revision),
                                   VIEW_ARGS(k->home)),
                why;
    struct chart chart;
    if (!k->istiod) {
        skip(k, "weft is not installed");
        return;
    }
    if (chart_render(k->a, NULL, &set, 1, &chart, &why) < 0)
        return;
    for (size_t i = 0; i < chart.n; i++) {
        const struct chart_object *o = &chart.objects[i];
        if (strcmp(o->kind->group, "rbac.authorization.k8s.io") != 0)
            continue;
        const struct node *now = check_get(k, object_path(k->a, o->kind, o->ns, o->name));
        if (!now) {
            found(k, "%s %.*s is missing", o->kind->kind, VIEW_ARGS(o->name));
            continue;
        }
        for (size_t p = 0; p < COUNT_OF(parts); p++) {
            const struct node *want = node_get(o->tree, view_of(parts[p])), *have = node_get(now, view_of(parts[p]));
            if (want && (!have || !node_eq(want, have)))
                found(k, "%s %.*s: its %s are not those of this version", o->kind->kind, VIEW_ARGS(o->name), parts[p]);
        }
    }
}

void check_istiod_ready(struct check *k)
{
    struct view why = VIEW_NONE;
    if (!k->sandbox && !k->istiod) {
        skip(k, "weft is not installed");
        return;
    }
    if (k->istiod && object_count(k->istiod, "spec.replicas", 1) == 0) {
        found(k, "Deployment %.*s/%.*s is scaled to 0", VIEW_ARGS(k->home), VIEW_ARGS(name_of(k->istiod)));
        return;
    }
    k->istiod_runs = deployment_ready(k->c, k->a, k->home, named(k, "istiod"), &why);
    if (!k->istiod_runs)
        found(k, "%.*s", VIEW_ARGS(why));
}

void check_replicas(struct check *k)
{
    int64_t n = object_count(k->istiod, "spec.replicas", 1);
    if (!k->istiod)
        skip(k, "weft is not installed");
    else if (n == 1)
        found(k, "Deployment %.*s/%.*s has %lld replica", VIEW_ARGS(k->home), VIEW_ARGS(name_of(k->istiod)),
              (long long)n);
    else
        note(k, "%lld", (long long)n);
}

static const struct node *home_pods(struct check *k)
{
    return check_items(k, "/api/v1/pods");
}

void check_versions(struct check *k)
{
    const struct node *pods = home_pods(k);
    for (uint32_t i = 0; i < check_count(pods); i++) {
        if (!check_is_istiod(k, pods->items[i]))
            continue;
        const struct node *n = check_ask(k, pods->items[i], "/version");
        struct view version = node_text_at(n, "version");
        if (version.n && !view_is(version, WEFT_VERSION))
            found(k, "pod %.*s/%.*s is %.*s, this command is " WEFT_VERSION, VIEW_ARGS(k->home),
                  VIEW_ARGS(name_of(pods->items[i])), VIEW_ARGS(version));
        else if (version.n)
            note(k, "%.*s", VIEW_ARGS(version));
    }
    if (!k->note.n && !k->n_found)
        skip(k, "istiod does not answer");
}

void check_problems(struct check *k)
{
    const struct node *pods = home_pods(k);
    unsigned answered = 0;
    for (uint32_t i = 0; i < check_count(pods); i++) {
        if (!check_is_istiod(k, pods->items[i]))
            continue;
        const struct node *list = check_ask(k, pods->items[i], "/debug/problemz");
        answered += list != NULL;
        for (uint32_t n = 0; n < check_count(list); n++) {
            const struct node *p = list->items[n];
            if (k->definitions_missing && view_is(node_text_at(p, "reason"), "CRDMissing"))
                continue; /* WC021 said so */
            struct view hint = node_text_at(p, "hint");
            found(k, "pod %.*s: %.*s: %.*s: %.*s%s%.*s", VIEW_ARGS(name_of(pods->items[i])),
                  VIEW_ARGS(node_text_at(p, "resource")), VIEW_ARGS(node_text_at(p, "reason")),
                  VIEW_ARGS(node_text_at(p, "message")), hint.n ? "; " : "", VIEW_ARGS(hint));
        }
    }
    if (!answered && !k->n_found)
        skip(k, "istiod does not answer");
}

static bool pod_exists(struct check *k, struct view name)
{
    const struct node *pods = home_pods(k);
    for (uint32_t i = 0; i < check_count(pods); i++)
        if (view_eq(name_of(pods->items[i]), name) && view_eq(ns_of(pods->items[i]), k->home))
            return true;
    return false;
}

void check_leader(struct check *k)
{
    struct view path =
        arena_printf(k->a, "/apis/coordination.k8s.io/v1/namespaces/%.*s/leases/weft-leader", VIEW_ARGS(k->home));
    const struct node *lease = check_get(k, path);
    struct view holder = node_text_at(lease, "spec.holderIdentity");
    uint64_t at = 0;
    if (without_istiod(k))
        return;
    if (!lease || !holder.n) {
        if (!k->n_found)
            found(k, "Lease %.*s/weft-leader: nobody holds it", VIEW_ARGS(k->home));
        return;
    }
    bool dated = clock_parse_time(node_text_at(lease, "spec.renewTime"), &at) == 0;
    if (!pod_exists(k, holder))
        found(k, "Lease %.*s/weft-leader: its holder %.*s is no pod of istio-system", VIEW_ARGS(k->home),
              VIEW_ARGS(holder));
    else if (!dated || at + LEASE_OLD < clock_wall())
        found(k, "Lease %.*s/weft-leader: %.*s renewed it last at %.*s", VIEW_ARGS(k->home), VIEW_ARGS(holder),
              VIEW_ARGS(node_text_at(lease, "spec.renewTime")));
    note(k, "%.*s", VIEW_ARGS(holder));
}

/* ---- identity ---- */

static struct view canonical(struct check *k, struct view pem)
{
    struct buf b = {0};
    const char *why;
    struct view text = roots_read(pem, &b, &why) == 0 ? arena_view(k->a, buf_read(&b)) : VIEW_NONE;
    buf_done(&b);
    return text;
}

static struct view root_of(const struct node *config_map)
{
    return node_text(node_get(node_get(config_map, VIEW("data")), VIEW("root-cert.pem")));
}

/* Namespaces of the cluster itself: istiod writes nothing there, as Istio's does not. */
static bool is_clusters_own(struct view ns)
{
    return view_is(ns, "kube-system") || view_is(ns, "kube-public") || view_is(ns, "kube-node-lease") ||
           view_is(ns, "local-path-storage");
}

void check_roots(struct check *k)
{
    const struct node *maps = check_items(k, "/api/v1/configmaps?fieldSelector=metadata.name%3Distio-ca-root-cert"),
                      *spaces = check_items(k, "/api/v1/namespaces");
    for (uint32_t i = 0; i < check_count(maps); i++)
        if (view_eq(ns_of(maps->items[i]), k->home))
            k->roots = canonical(k, root_of(maps->items[i]));
    if (!maps || !spaces || (!k->roots.n && without_istiod(k)))
        return;
    if (!k->roots.n) {
        found(k, "ConfigMap %.*s/istio-ca-root-cert is missing or holds no certificate", VIEW_ARGS(k->home));
        return;
    }
    for (uint32_t i = 0; i < spaces->n; i++) {
        struct view ns = name_of(spaces->items[i]);
        const struct node *map = NULL;
        if (view_is(node_text_at(spaces->items[i], "status.phase"), "Terminating") || is_clusters_own(ns))
            continue;
        for (uint32_t n = 0; n < maps->n && !map; n++)
            if (view_eq(ns_of(maps->items[n]), ns))
                map = maps->items[n];
        if (!map)
            found(k, "namespace %.*s has no ConfigMap istio-ca-root-cert", VIEW_ARGS(ns));
        else if (!view_eq(canonical(k, root_of(map)), k->roots))
            found(k, "ConfigMap %.*s/istio-ca-root-cert is not the mesh's root", VIEW_ARGS(ns));
    }
}

void check_roots_valid(struct check *k)
{
    uint64_t end = k->roots.n ? roots_end(k->roots) : 0, now = clock_wall();
    struct buf b = {0};
    if (!end) {
        skip(k, "there is no root");
        return;
    }
    clock_print_time(&b, end);
    if (end < now)
        found(k, "the root in ConfigMap %.*s/istio-ca-root-cert ended at %s", VIEW_ARGS(k->home), buf_cstr(&b));
    else if (end < now + ROOT_LEFT)
        found(k, "the root in ConfigMap %.*s/istio-ca-root-cert ends at %s", VIEW_ARGS(k->home), buf_cstr(&b));
    else
        note(k, "until %.10s%s", buf_cstr(&b), roots_count(k->roots) > 1 ? ", several are trusted" : "");
    buf_done(&b);
}

/* A Secret's file, decoded. */
static struct view secret_file(struct check *k, const struct node *secret, const char *name)
{
    struct view text = node_text(node_get(node_get(secret, VIEW("data")), view_of(name)));
    struct buf b = {0};
    struct view out = text.n && base64_read(&b, BASE64_LINES, text) == 0 ? arena_view(k->a, buf_read(&b)) : VIEW_NONE;
    buf_done(&b);
    return out;
}

void check_plugged_in(struct check *k)
{
    struct view path = arena_printf(k->a, "/api/v1/namespaces/%.*s/secrets/cacerts", VIEW_ARGS(k->home));
    const struct node *secret = check_get(k, path);
    if (!secret) {
        if (!k->n_found)
            note(k, "there is no Secret cacerts: istiod made its own root");
        return;
    }
    struct view root = secret_file(k, secret, "root-cert.pem");
    root = canonical(k, root.n ? root : secret_file(k, secret, "ca.crt"));
    if (!root.n)
        found(k, "Secret %.*s/cacerts has no readable root-cert.pem (nor ca.crt)", VIEW_ARGS(k->home));
    else if (k->roots.n && !roots_contain(k->roots, root))
        found(k, "the root in Secret %.*s/cacerts is not what istiod gives to the mesh", VIEW_ARGS(k->home));
    else
        note(k, "Secret cacerts");
}

/* ---- webhooks ---- */

static void check_bundle(struct check *k, const char *kind, const struct node *o)
{
    const struct node *hooks = node_get(o, VIEW("webhooks"));
    for (uint32_t i = 0; i < check_count(hooks); i++) {
        struct view text = node_text_at(hooks->items[i], "clientConfig.caBundle"), name = name_of(o), roots = VIEW_NONE;
        struct buf b = {0};
        if (text.n && base64_read(&b, BASE64_LINES, text) == 0)
            roots = canonical(k, buf_read(&b));
        buf_done(&b);
        if (text.n && k->roots.n && roots.n && roots_share(k->roots, roots))
            continue;
        found(k, "%s %.*s (%.*s): its caBundle %s", kind, VIEW_ARGS(name),
              VIEW_ARGS(node_text_at(hooks->items[i], "name")),
              !text.n    ? "is empty"
              : !roots.n ? "is no certificate"
                         : "is not the mesh's root");
        return;
    }
}

/* Our configurations: fn for each; the number of them. */
static unsigned each_webhook(struct check *k, void (*fn)(struct check *k, const char *kind, const struct node *o))
{
    static const struct {
        const char *kind, *path;
    } kinds[] = {
        {"MutatingWebhookConfiguration", "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"},
        {"ValidatingWebhookConfiguration", "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"}};
    struct view rev = k->revision.n ? k->revision : VIEW("default");
    unsigned n = 0;
    for (size_t t = 0; t < COUNT_OF(kinds); t++) {
        const struct node *all = check_items(k, kinds[t].path);
        for (uint32_t i = 0; i < check_count(all); i++) {
            if (!object_is_wefts(all->items[i]) || !view_eq(object_label(all->items[i], "istio.io/rev"), rev))
                continue;
            n++;
            fn(k, kinds[t].kind, all->items[i]);
        }
    }
    return n;
}

void check_bundles(struct check *k)
{
    if (without_istiod(k))
        return;
    if (!each_webhook(k, check_bundle))
        found(k, "no webhook configuration of weft's is there: `weft install` brings them back");
}

void check_endpoints(struct check *k)
{
    const struct node *slices = check_items(k, "/apis/discovery.k8s.io/v1/endpointslices");
    struct view name = named(k, "istiod");
    unsigned ready = 0;
    for (uint32_t i = 0; i < check_count(slices); i++) {
        const struct node *s = slices->items[i], *ends = node_get(s, VIEW("endpoints"));
        if (!view_eq(ns_of(s), k->home) || !view_eq(object_label(s, "kubernetes.io/service-name"), name))
            continue;
        for (uint32_t e = 0; e < check_count(ends); e++)
            ready += node_bool(node_at(ends->items[e], "conditions.ready"), true);
    }
    if (!k->istiod)
        skip(k, "weft is not installed");
    else if (slices && !ready)
        found(k, "Service %.*s/%.*s has no ready endpoint: pods of injected namespaces are refused", VIEW_ARGS(k->home),
              VIEW_ARGS(name));
    note(k, "%u", ready);
}

void check_injection(struct check *k)
{
    struct view why = VIEW_NONE;
    if (!without_istiod(k) && !injection_works(k->c, k->a, k->home, k->revision, &why))
        found(k, "%.*s", VIEW_ARGS(why));
}

static void check_policy(struct check *k, const char *kind, const struct node *o)
{
    const struct node *hooks = node_get(o, VIEW("webhooks"));
    for (uint32_t i = 0; strstr(kind, "Validating") && i < check_count(hooks); i++)
        if (!view_is(node_text_at(hooks->items[i], "failurePolicy"), "Fail"))
            found(k, "%s %.*s (%.*s): failurePolicy is %.*s, istiod was not seen to answer yet", kind,
                  VIEW_ARGS(name_of(o)), VIEW_ARGS(node_text_at(hooks->items[i], "name")),
                  VIEW_ARGS(node_text_at(hooks->items[i], "failurePolicy")));
}

void check_validation(struct check *k)
{
    if (!without_istiod(k))
        each_webhook(k, check_policy);
}
