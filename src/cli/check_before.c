// SPDX-License-Identifier: Apache-2.0
/* Checks before an installation: rights, and what is there already. */
#include <string.h>

#include "cli/check.h"

/* SelfSubjectAccessReview: may I? true when it could not be asked (then found() said so). */
static bool may(struct check *k, struct view verb, struct view group, struct view resource, struct view ns,
                struct view name)
{
    struct node *body = node_new(k->a, NODE_MAP), *answer, *attributes;
    size_t slash = view_find(resource, '/');
    node_set_str(k->a, body, "apiVersion", VIEW("authorization.k8s.io/v1"));
    node_set_str(k->a, body, "kind", VIEW("SelfSubjectAccessReview"));
    attributes = node_make(k->a, node_make(k->a, body, "spec", NODE_MAP), "resourceAttributes", NODE_MAP);
    node_set_str(k->a, attributes, "verb", verb);
    node_set_str(k->a, attributes, "group", group);
    node_set_str(k->a, attributes, "resource", view_head(resource, slash));
    if (slash < resource.n)
        node_set_str(k->a, attributes, "subresource", view_from(resource, slash + 1));
    if (ns.n)
        node_set_str(k->a, attributes, "namespace", ns);
    if (name.n)
        node_set_str(k->a, attributes, "name", name);
    int status =
        object_call(k->c, k->a, "POST", VIEW("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"), body, &answer);
    if (status == 201)
        return node_bool(node_at(answer, "status.allowed"), false);
    found(k, "the API server does not say what you may do: %.*s", VIEW_ARGS(object_why(k->a, answer, status)));
    return true;
}

void check_rights(struct check *k)
{
    static const char *const verbs[] = {"get", "list", "create", "patch", "delete"};
    if (may(k, VIEW("*"), VIEW("*"), VIEW("*"), VIEW_NONE, VIEW_NONE)) {
        if (!k->n_found)
            note(k, "you may do everything");
        return;
    }
    for (size_t i = 0; i < installed_kinds_n && k->n_found < 50; i++) {
        const struct installed_kind *kind = &installed_kinds[i];
        struct buf missing = {0};
        for (size_t v = 0; v < COUNT_OF(verbs); v++)
            if (!may(k, view_of(verbs[v]), view_of(kind->group), view_of(kind->plural),
                     kind->namespaced ? k->home : VIEW_NONE, VIEW_NONE))
                buf_printf(&missing, "%s%s", buf_len(&missing) ? ", " : "", verbs[v]);
        if (buf_len(&missing))
            found(k, "%s%s%s: you may not %s", kind->plural, kind->group[0] ? "." : "", kind->group,
                  buf_cstr(&missing));
        buf_done(&missing);
    }
}

static const struct right {
    const char *group, *resources, *verbs, *names;
    bool home;
} rights[] = {
#define CLUSTER false
#define HOME true
#define RIGHT(group, resources, verbs, names, where, why) {group, resources, verbs, names, where},
#include "control/rights.def"
#undef RIGHT
#undef HOME
#undef CLUSTER
};

static void check_right(struct check *k, const struct right *r)
{
    struct view resources = view_of(r->resources), resource, verb;
    while (view_cut(&resources, ',', &resource)) {
        struct view verbs = view_of(r->verbs);
        while (view_cut(&verbs, ',', &verb))
            if (!may(k, verb, view_of(r->group), resource, r->home ? k->home : VIEW_NONE, view_of(r->names)))
                found(k, "%.*s of %.*s%s%s", VIEW_ARGS(verb), VIEW_ARGS(resource), r->group[0] ? "." : "", r->group);
    }
}

void check_grants(struct check *k)
{
    struct view group = VIEW("rbac.authorization.k8s.io"), roles = VIEW("clusterroles");
    if (may(k, VIEW("escalate"), group, roles, VIEW_NONE, VIEW_NONE))
        return;
    for (size_t i = 0; i < COUNT_OF(rights); i++)
        check_right(k, &rights[i]);
}

void check_other_istio(struct check *k)
{
    const struct node *all = check_items(k, "/apis/apps/v1/deployments?labelSelector=app%3Distiod");
    struct view rev = k->revision.n ? k->revision : VIEW("default");
    for (uint32_t i = 0; i < check_count(all); i++) {
        const struct node *o = all->items[i];
        if (object_is_wefts(o)) {
            note(k, "weft is here already: `weft install` brings it up to date");
            continue;
        }
        struct view theirs = object_label(o, "istio.io/rev");
        if (!theirs.n || view_eq(theirs, rev))
            found(k, "Deployment %.*s/%.*s is an Istio of the same revision (%.*s)", VIEW_ARGS(ns_of(o)),
                  VIEW_ARGS(name_of(o)), VIEW_ARGS(rev));
    }
}

static bool serves(const struct node *crd, struct view version)
{
    const struct node *all = node_at(crd, "spec.versions");
    for (uint32_t i = 0; i < check_count(all); i++)
        if (view_eq(node_text_at(all->items[i], "name"), version))
            return node_bool(node_get(all->items[i], VIEW("served")), false);
    return false;
}

void check_definitions_before(struct check *k)
{
    const struct node *all = check_items(k, "/apis/apiextensions.k8s.io/v1/customresourcedefinitions");
    struct chart chart;
    struct view why;
    unsigned foreign = 0;
    if (!all || chart_render(k->a, NULL, NULL, 0, &chart, &why) < 0)
        return;
    for (size_t i = 0; i < chart.n; i++) {
        const struct chart_object *o = &chart.objects[i];
        if (strcmp(o->kind->kind, "CustomResourceDefinition") != 0)
            continue;
        for (uint32_t n = 0; n < check_count(all); n++) {
            if (!view_eq(name_of(all->items[n]), o->name) || object_is_wefts(all->items[n]))
                continue;
            foreign++;
            const struct node *versions = node_at(o->tree, "spec.versions");
            for (uint32_t v = 0; v < check_count(versions); v++) {
                const struct node *one = versions->items[v];
                if (!node_bool(node_get(one, VIEW("deprecated")), false) &&
                    !serves(all->items[n], node_text_at(one, "name")))
                    found(k, "CustomResourceDefinition %.*s does not serve version %.*s", VIEW_ARGS(o->name),
                          VIEW_ARGS(node_text_at(one, "name")));
            }
        }
    }
    if (foreign)
        note(k, "%u are there already and will be left alone", foreign);
}

/* A webhook that is called for new pods and changes them, by a name that says sidecar or proxy. */
void check_other_injectors(struct check *k)
{
    static const char *const words[] = {"sidecar-injector", "proxy-injector", "linkerd",
                                        "osm-webhook",      "kuma-",          "consul-connect"};
    const struct node *all = check_items(k, "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations");
    for (uint32_t i = 0; i < check_count(all); i++)
        for (size_t w = 0; w < COUNT_OF(words); w++)
            if (!object_is_wefts(all->items[i]) &&
                view_find_view(name_of(all->items[i]), view_of(words[w])) < name_of(all->items[i]).n) {
                found(k, "MutatingWebhookConfiguration %.*s", VIEW_ARGS(name_of(all->items[i])));
                break;
            }
}

static bool restricts(const struct node *policy, const char *what)
{
    const struct node *types = node_at(policy, "spec.policyTypes");
    for (uint32_t i = 0; i < check_count(types); i++)
        if (view_is(node_text(types->items[i]), what))
            return true;
    return false;
}

/* Policies that take everything away and give nothing back: in istio-system what comes in, anywhere what goes out. */
void check_policies(struct check *k)
{
    const struct node *all = check_items(k, "/apis/networking.k8s.io/v1/networkpolicies");
    for (uint32_t i = 0; i < check_count(all); i++) {
        const struct node *p = all->items[i];
        bool home = view_eq(ns_of(p), k->home) && !object_is_wefts(p);
        if (home && restricts(p, "Ingress") && !check_count(node_at(p, "spec.ingress")))
            found(k, "NetworkPolicy %.*s/%.*s lets nothing in", VIEW_ARGS(ns_of(p)), VIEW_ARGS(name_of(p)));
        if (restricts(p, "Egress") && !check_count(node_at(p, "spec.egress")))
            found(k, "NetworkPolicy %.*s/%.*s lets nothing out: proxies there do not reach istiod", VIEW_ARGS(ns_of(p)),
                  VIEW_ARGS(name_of(p)));
    }
}
