// SPDX-License-Identifier: Apache-2.0
/* Requests to an API server (cluster.h): paths as client.h makes them, taken apart for kube/client.h, one at a time. */
#include "cli/cluster.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kube/client.h"
#include "kube/config.h"
#include "net/loop.h"
#include "wire/node.h"

struct cli_cluster {
    struct loop *loop;
    struct kube_client *api;
    char name[256], why[512];
};

/* ---- which world ---- */

static bool has_kubeconfig(void)
{
    const char *named = getenv("KUBECONFIG"), *home = getenv("HOME");
    char path[4096];
    if (named && *named)
        return true;
    snprintf(path, sizeof(path), "%s/.kube/config", home ? home : "");
    return home && access(path, R_OK) == 0;
}

static bool sandbox_runs(const struct cli *c)
{
    int fd = client_connect(c, "");
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static bool wants_cluster(const struct cli *c)
{
    const char *sandbox = getenv("WEFT_SANDBOX");
    if (c->opt[OPT_KUBECONFIG] || c->opt[OPT_CONTEXT])
        return true;
    if (c->opt[OPT_SANDBOX] || (sandbox && *sandbox))
        return false;
    return has_kubeconfig() && !sandbox_runs(c);
}

int cluster_choose(struct cli *c)
{
    if (c->opt[OPT_SANDBOX] && (c->opt[OPT_KUBECONFIG] || c->opt[OPT_CONTEXT]))
        return cli_usage(c, "either a sandbox (-s) or a cluster (--kubeconfig, --context)");
    if (!wants_cluster(c))
        return EXIT_OK;
    struct kube_config config = {0};
    const char *why = "";
    if (kube_config_load(c->opt[OPT_KUBECONFIG], c->opt[OPT_CONTEXT], &config, &why) < 0) {
        cli_fail(c, "%s", why);
        kube_config_done(&config);
        return EXIT_AWAY;
    }
    struct cli_cluster *k = calloc(1, sizeof(*k));
    must(k != NULL);
    snprintf(k->name, sizeof(k->name), "%.*s", VIEW_ARGS(config.context));
    k->loop = loop_new(&(struct loop_options){.name = "cli"});
    must(k->loop != NULL);
    k->api = kube_client_new(k->loop, &config);
    if (config.ns.n && !c->opt[OPT_NAMESPACE])
        c->ns = arena_view(&c->arena, config.ns);
    kube_config_done(&config);
    c->cluster = k;
    return EXIT_OK;
}

struct cli_cluster *cluster_close(struct cli_cluster *k)
{
    if (!k)
        return NULL;
    kube_client_free(k->api);
    loop_free(k->loop);
    free(k);
    return NULL;
}

const char *cluster_name(const struct cli_cluster *k)
{
    return k->name;
}

const char *cluster_why(const struct cli_cluster *k)
{
    return k->why;
}

/* ---- calls ---- */

/* /api/v1/… or /apis/GROUP/VERSION/…, then [namespaces/NS/]PLURAL[/NAME[/SUBRESOURCE]]. */
static int take_path(struct view path, struct kube_request *q)
{
    size_t at = view_find(path, '?');
    struct view rest = view_head(path, at), word, none;
    q->query = at < path.n ? view_from(path, at + 1) : VIEW_NONE;
    view_cut(&rest, '/', &none); /* before the first slash */
    if (!view_cut(&rest, '/', &word) || (!view_is(word, "api") && !view_is(word, "apis"))) {
        q->path = view_head(path, at);
        return view_is(word, "version") ? 0 : -EINVAL;
    }
    if (view_is(word, "apis") && !view_cut(&rest, '/', &q->resource.group))
        return -EINVAL;
    if (!view_cut(&rest, '/', &q->resource.version) || !view_cut(&rest, '/', &q->resource.plural))
        return -EINVAL;
    struct view after = rest, second;
    bool scoped =
        view_is(q->resource.plural, "namespaces") && view_cut(&after, '/', &word) && view_cut(&after, '/', &second);
    if (scoped) {
        q->resource.namespaced = true;
        q->ns = word;
        q->resource.plural = second;
        rest = after;
    }
    if (view_cut(&rest, '/', &q->name))
        q->subresource = rest;
    return 0;
}

/* Items of a list come without apiVersion and kind. */
static void complete_items(struct arena *a, struct buf *body)
{
    struct node *n;
    struct view text = arena_view(a, buf_read(body));
    if (view_find_view(view_head(text, 256), VIEW("List\"")) >= 256 || node_parse(a, text, &n, NULL) ||
        !node_is(n, NODE_MAP))
        return;
    struct view kind = node_text_at(n, "kind"), version = node_text_at(n, "apiVersion");
    struct node *items = node_get(n, VIEW("items"));
    if (!view_ends(kind, VIEW("List")) || !node_is(items, NODE_SEQ))
        return;
    kind.n -= 4;
    for (uint32_t i = 0; i < items->n; i++) {
        if (node_get(items->items[i], VIEW("kind")))
            continue;
        node_set_str(a, items->items[i], "apiVersion", version);
        node_set_str(a, items->items[i], "kind", kind);
    }
    buf_clear(body);
    node_print_json(n, body);
}

int cluster_exchange(struct cli_cluster *k, const char *method, struct view path, struct view body, struct answer *ret)
{
    static const struct {
        const char *method;
        enum kube_verb verb;
    } verbs[] = {{"GET", KUBE_GET},     {"POST", KUBE_CREATE},   {"PUT", KUBE_UPDATE},
                 {"PATCH", KUBE_PATCH}, {"DELETE", KUBE_DELETE}, {"APPLY", KUBE_APPLY}};
    struct kube_request q = {.body = body};
    int r = take_path(path, &q);
    snprintf(k->why, sizeof(k->why), "this works in a sandbox only");
    if (r < 0)
        return r;
    for (size_t i = 0; i < COUNT_OF(verbs); i++)
        if (strcmp(verbs[i].method, method) == 0)
            q.verb = verbs[i].verb;
    struct kube_call *call = kube_call_new(k->api, &q, NULL);
    r = kube_call_wait(call);
    if (r < 0) {
        snprintf(k->why, sizeof(k->why), "%.*s", VIEW_ARGS(kube_call_why(call)));
    } else {
        struct arena a;
        arena_init(&a, 0);
        ret->status = (unsigned)r;
        buf_view(&ret->body, kube_call_body(call));
        if (q.verb == KUBE_GET && r == 200 && !q.name.n)
            complete_items(&a, &ret->body);
        arena_done(&a);
        r = 0;
    }
    kube_call_free(call);
    return r;
}
