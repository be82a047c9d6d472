// SPDX-License-Identifier: Apache-2.0
/* Whether a pod is injected (inject.h): first what the webhooks' selectors let through, by the labels of the namespace
 * and the pod, then what the injector asks of the pod itself. Each answer names what decided.
 *
 * On Kubernetes the first half is the API server's: it knows the namespace's labels of this very moment, the injector's
 * copy may be 100 ms old, so the webhook asks inject_required() alone. The entries of a MutatingWebhookConfiguration that
 * say the same (I: label istio-injection, R: istio.io/rev, J: the pod's sidecar.istio.io/inject; <rev> the revision or tag):
 *
 *   entry                                namespaceSelector                             objectSelector
 *   rev.namespace.sidecar-injector…      R In [<rev>], I DoesNotExist                  J NotIn [false]
 *   rev.object.sidecar-injector…         R DoesNotExist, I DoesNotExist                J NotIn [false], R In [<rev>]
 *   and for the default revision:
 *   namespace.sidecar-injector…          I In [enabled]                                J NotIn [false]
 *   object.sidecar-injector…             I DoesNotExist, R DoesNotExist                J In [true], R DoesNotExist
 *   auto.sidecar-injector… (enableNamespacesByDefault)
 *       I DoesNotExist, R DoesNotExist, kubernetes.io/metadata.name NotIn [system]     J DoesNotExist, R DoesNotExist
 */
#include "inject/inject.h"

#include "inject/annotations.h"

static const char *const system_namespaces[] = {"kube-system", "kube-public", "kube-node-lease", "local-path-storage"};

static bool is_system(struct view ns)
{
    for (size_t i = 0; i < COUNT_OF(system_namespaces); i++)
        if (view_is(ns, system_namespaces[i]))
            return true;
    return false;
}

static struct inject_decision say(bool inject, const char *why)
{
    return (struct inject_decision){inject, why};
}

static struct view label_of(const struct node *pod, const char *key)
{
    return node_text(node_get(node_get(node_get(pod, VIEW("metadata")), VIEW("labels")), view_of(key)));
}

static bool is_ours(struct view rev, const struct inject_config *c)
{
    return view_eq(rev, c->revision) || strings_has(&c->tags, rev);
}

/* What the selectors of the mutating webhooks decide: is the injector asked at all? */
static struct inject_decision webhook(const struct labels *ns_labels, struct view ns, const struct node *pod,
                                      const struct inject_config *c)
{
    struct view pod_inject = label_of(pod, "sidecar.istio.io/inject"), pod_rev = label_of(pod, "istio.io/rev");
    if (labels_has(ns_labels, VIEW("istio-injection"))) {
        if (!labels_is(ns_labels, "istio-injection", "enabled"))
            return say(false, "the namespace has istio-injection=disabled, which nothing overrides");
        if (view_is(pod_inject, "false"))
            return say(false, "the pod has label sidecar.istio.io/inject=false");
        return say(true, "the namespace has istio-injection=enabled");
    }
    if (labels_has(ns_labels, VIEW("istio.io/rev"))) {
        struct view rev = labels_get(ns_labels, VIEW("istio.io/rev"));
        if (!is_ours(rev, c))
            return say(false, "the namespace has istio.io/rev of another revision");
        if (view_is(pod_inject, "false"))
            return say(false, "the pod has label sidecar.istio.io/inject=false");
        return say(true, "the namespace has istio.io/rev of this revision");
    }
    if (pod_rev.n) {
        if (!is_ours(pod_rev, c))
            return say(false, "the pod has istio.io/rev of another revision");
        if (view_is(pod_inject, "false"))
            return say(false, "the pod has label sidecar.istio.io/inject=false");
        return say(true, "the pod has istio.io/rev of this revision");
    }
    if (view_is(pod_inject, "true"))
        return say(true, "the pod has label sidecar.istio.io/inject=true");
    if (c->every_namespace && !is_system(ns) && !view_is(pod_inject, "false"))
        return say(true, "namespaces are injected by default");
    return say(false, "neither the namespace nor the pod asks for injection");
}

static bool any_matches(const struct label_selector *list, uint32_t n, const struct labels *labels)
{
    for (uint32_t i = 0; i < n; i++)
        if (label_selector_match(&list[i], labels))
            return true;
    return false;
}

/* neverInjectSelector, alwaysInjectSelector, then the policy. */
static struct inject_decision by_rules(const struct node *pod, const struct inject_config *c,
                                       struct inject_decision first)
{
    struct label list[64];
    struct labels labels = {.list = list};
    const struct node *map = node_get(node_get(pod, VIEW("metadata")), VIEW("labels"));
    bool rules = c->n_never || c->n_always;
    for (uint32_t i = 0; rules && node_is(map, NODE_MAP) && i < map->n && labels.n < COUNT_OF(list); i++)
        list[labels.n++] = (struct label){map->fields[i].key, node_text(map->fields[i].value)};
    if (any_matches(c->never, c->n_never, &labels))
        return say(false, "neverInjectSelector of the injection settings matches the pod");
    if (any_matches(c->always, c->n_always, &labels))
        return say(true, "alwaysInjectSelector of the injection settings matches the pod");
    return c->default_policy ? first : say(false, "the default policy is not to inject");
}

static struct inject_decision required(struct view ns, const struct node *pod, const struct inject_config *c,
                                       struct inject_decision first)
{
    if (node_bool(node_at(pod, "spec.hostNetwork"), false))
        return say(false, "the pod uses the host's network");
    if (is_system(ns))
        return say(false, "namespaces of the system are never injected");
    struct view asked = label_of(pod, "sidecar.istio.io/inject");
    bool by_label = asked.n > 0;
    if (!by_label)
        asked = annotation_get(pod, ANNOTATION_INJECT, VIEW_NONE);
    if (view_is(asked, "true"))
        return first;
    if (view_is(asked, "false"))
        return say(false, by_label ? "the pod has label sidecar.istio.io/inject=false"
                                   : "the pod has annotation sidecar.istio.io/inject=false");
    return by_rules(pod, c, first);
}

struct inject_decision inject_required(struct view ns, const struct node *pod, const struct inject_config *c)
{
    return required(ns, pod, c, say(true, "the API server's selectors chose the pod"));
}

struct inject_decision inject_decide(const struct labels *ns_labels, struct view ns, const struct node *pod,
                                     const struct inject_config *c)
{
    struct inject_decision first = webhook(ns_labels, ns, pod, c);
    return first.inject ? required(ns, pod, c, first) : first;
}
