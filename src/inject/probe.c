// SPDX-License-Identifier: Apache-2.0
/* Probes through the proxy (parts.h). With captured traffic and strict mutual TLS the kubelet cannot reach an
 * application's ports; it asks the proxy on its status port instead, and the proxy asks the application as the original
 * says (JSON in ISTIO_KUBE_APP_PROBERS, keyed by the new path). exec probes stay as they are.
 */
#include "inject/parts.h"

static const struct {
    const char *probe, *path;
} probes[] = {{"readinessProbe", "readyz"}, {"livenessProbe", "livez"}, {"startupProbe", "startupz"}};

static const struct {
    const char *hook, *path;
} hooks[] = {{"preStop", "prestopz"}, {"postStart", "poststartz"}};

/* A named port becomes its number: the proxy does not know the container's names. */
static struct node *resolve_port(struct injection *x, const struct node *container, const struct node *port)
{
    const struct node *ports = node_get(container, VIEW("ports"));
    for (uint32_t i = 0; node_is(port, NODE_STR) && node_is(ports, NODE_SEQ) && i < ports->n; i++)
        if (node_get(ports->items[i], VIEW("containerPort")) &&
            view_eq(node_text_at(ports->items[i], "name"), port->text))
            return node_copy(x->arena, node_get(ports->items[i], VIEW("containerPort")));
    return node_copy(x->arena, port);
}

/* Takes the action out of a probe or hook and puts the proxy's URL in its place; what was there goes to the probers. */
static void rewrite(struct injection *x, const struct node *container, struct node *probe, struct view url)
{
    static const char *const actions[] = {"httpGet", "tcpSocket", "grpc"};
    const char *kind = NULL;
    for (size_t i = 0; i < COUNT_OF(actions) && !kind; i++)
        if (node_get(probe, view_of(actions[i])))
            kind = actions[i];
    if (!kind)
        return;
    const struct node *action = node_get(probe, view_of(kind));
    struct node *original = node_copy(x->arena, action);
    const struct node *port = node_get(action, VIEW("port"));
    int64_t number;
    if (!port || (node_i64(port, &number) == 0 && number == x->status_port))
        return;
    node_set(x->arena, original, VIEW("port"), resolve_port(x, container, port));
    struct node *entry = node_new(x->arena, NODE_MAP);
    node_set(x->arena, entry, view_of(kind), original);
    const struct node *timeout = node_get(probe, VIEW("timeoutSeconds"));
    if (timeout)
        node_set(x->arena, entry, VIEW("timeoutSeconds"), node_copy(x->arena, timeout));
    if (!x->probers)
        x->probers = node_new(x->arena, NODE_MAP);
    node_set(x->arena, x->probers, url, entry);

    struct node *get = view_is(view_of(kind), "httpGet") ? node_copy(x->arena, action) : node_new(x->arena, NODE_MAP);
    node_set_str(x->arena, get, "path", url);
    node_set_int(x->arena, get, "port", x->status_port);
    if (view_is(node_text_at(get, "scheme"), "HTTPS"))
        node_set_str(x->arena, get, "scheme", VIEW("HTTP"));
    node_del(probe, view_of(kind));
    node_set(x->arena, probe, VIEW("httpGet"), get);
}

static void rewrite_container(struct injection *x, struct node *container)
{
    struct view name = node_text_at(container, "name");
    if (view_is(name, "istio-proxy"))
        return;
    for (size_t i = 0; i < COUNT_OF(probes); i++) {
        struct node *probe = node_get(container, view_of(probes[i].probe));
        if (node_is(probe, NODE_MAP))
            rewrite(x, container, probe,
                    arena_printf(x->arena, "/app-health/%.*s/%s", VIEW_ARGS(name), probes[i].path));
    }
    for (size_t i = 0; i < COUNT_OF(hooks); i++) {
        struct node *hook = node_get(node_get(container, VIEW("lifecycle")), view_of(hooks[i].hook));
        if (node_is(hook, NODE_MAP))
            rewrite(x, container, hook,
                    arena_printf(x->arena, "/app-lifecycle/%.*s/%s", VIEW_ARGS(name), hooks[i].path));
    }
}

void rewrite_probes(struct injection *x)
{
    static const char *const lists[] = {"initContainers", "containers"};
    for (size_t l = 0; l < COUNT_OF(lists); l++) {
        struct node *list = node_get(x->spec, view_of(lists[l]));
        for (uint32_t i = 0; node_is(list, NODE_SEQ) && i < list->n; i++)
            rewrite_container(x, list->items[i]);
    }
}
