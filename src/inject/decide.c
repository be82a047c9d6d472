// SPDX-License-Identifier: Apache-2.0
/* Whether a pod is injected (inject.h): first what the webhooks' selectors let through, by the labels of the namespace
 * and the pod, then what the injector asks of the pod itself. Each answer names what decided.
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
        if (!view_eq(rev, c->revision))
            return say(false, "the namespace has istio.io/rev of another revision");
        if (view_is(pod_inject, "false"))
            return say(false, "the pod has label sidecar.istio.io/inject=false");
        return say(true, "the namespace has istio.io/rev of this revision");
    }
    if (pod_rev.n) {
        if (!view_eq(pod_rev, c->revision))
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

struct inject_decision inject_decide(const struct labels *ns_labels, struct view ns, const struct node *pod,
                                     const struct inject_config *c)
{
    struct inject_decision first = webhook(ns_labels, ns, pod, c);
    if (!first.inject)
        return first;
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
    return c->default_policy ? first : say(false, "the default policy is not to inject");
}
