// SPDX-License-Identifier: Apache-2.0
/* weft inject -f: the manifests with the sidecar added to Pods and pod templates, offline, as the webhook would do it in
 * a namespace that is labelled for injection. Other objects pass through unchanged.
 *
 * A template gets the owner that its pods will have, so that names and metadata come out as on the cluster. Settings are
 * those of a fresh installation, or from files as the cluster holds them: --valuesFile and --injectConfigFile (ConfigMap
 * istio-sidecar-injector, keys values and config), --meshConfigFile (ConfigMap istio, key mesh).
 */
#include "inject/inject.h"

#include <stdio.h>

#include "cli/cli.h"
#include "cli/files.h"
#include "inject/settings.h"
#include "mesh/core.h"
#include "wire/node.h"
#include "wire/yaml.h"

struct injecting {
    struct cli *c;
    struct inject_config config;
    struct diags diags;
    struct node *docs; /* what will be printed */
    bool explain;
};

/* Where the pod template of a kind is, when it is not spec.template. */
static const char *template_path(struct view kind)
{
    return view_is(kind, "CronJob") ? "spec.jobTemplate.spec.template" : "spec.template";
}

static void explain(const struct injecting *x, struct view kind, struct view ns, struct view name, bool yes,
                    const char *why)
{
    if (x->explain)
        fprintf(stderr, "%.*s %.*s/%.*s: %s: %s\n", VIEW_ARGS(kind), VIEW_ARGS(ns), VIEW_ARGS(name),
                yes ? "injected" : "not injected", why);
}

/* The pod as its controller will make it: owned by doc. */
static struct node *with_owner(struct arena *a, const struct node *doc, const struct node *template)
{
    struct node *pod = node_copy(a, template), *owner = node_new(a, NODE_MAP);
    node_set_str(a, owner, "apiVersion", node_text_at(doc, "apiVersion"));
    node_set_str(a, owner, "kind", node_text_at(doc, "kind"));
    node_set_str(a, owner, "name", node_text_at(doc, "metadata.name"));
    node_set_bool(a, owner, "controller", true);
    node_push(a, node_make(a, node_make(a, pod, "metadata", NODE_MAP), "ownerReferences", NODE_SEQ), owner);
    return pod;
}

/* Injects into `pod`; NULL when it is left as it is. */
static struct node *inject_one(struct injecting *x, const struct node *doc, const struct node *pod, struct view ns)
{
    struct node *out = NULL;
    struct view kind = node_text_at(doc, "kind"), name = node_text_at(doc, "metadata.name");
    struct inject_decision why = inject_required(ns, pod, &x->config);
    if (why.inject && annotation_has(pod, ANNOTATION_STATUS))
        why = (struct inject_decision){.why = "it is injected already"};
    else if (why.inject)
        why.why = "its namespace is taken as labelled for injection";
    explain(x, kind, ns, name, why.inject, why.why);
    if (!why.inject)
        return NULL;
    return inject_pod(&x->c->arena, &x->diags, pod, ns, &x->config, &out) ? NULL : out;
}

static struct node *inject_doc(struct injecting *x, const struct node *doc)
{
    struct arena *a = &x->c->arena;
    struct node *all = node_copy(a, doc), *items = node_get(all, VIEW("items"));
    struct view kind = node_text_at(all, "kind"), ns = node_text_at(all, "metadata.namespace");
    ns = ns.n ? ns : x->c->ns;
    if (view_ends(kind, VIEW("List")) && node_is(items, NODE_SEQ)) {
        for (uint32_t i = 0; i < items->n; i++)
            items->items[i] = inject_doc(x, items->items[i]);
        return all;
    }
    if (view_is(kind, "Pod")) {
        struct node *pod = inject_one(x, all, all, ns);
        return pod ? pod : all;
    }
    struct node *template = node_at(all, template_path(kind));
    if (!node_is(node_at(template, "spec.containers"), NODE_SEQ))
        return all;
    struct node *pod = inject_one(x, all, with_owner(a, all, template), ns);
    if (pod) {
        node_del(node_get(pod, VIEW("metadata")), VIEW("ownerReferences"));
        *template = *pod;
    }
    return all;
}

/* ---- settings from files ---- */

static int read_option(struct cli *c, enum option_id id, struct view *ret)
{
    *ret = VIEW_NONE;
    return c->opt[id] ? files_read_one(c, c->opt[id], ret) : EXIT_OK;
}

/* MeshConfig by itself, as `kubectl get cm istio -o jsonpath={.data.mesh}` prints it. */
static int read_mesh(struct injecting *x, struct view text)
{
    struct arena *a = &x->c->arena;
    struct label data = {VIEW("mesh"), text};
    struct config_map cm = {.data = {&data, 1}};
    struct mesh_config *mesh = NULL;
    cm.o.at = (struct origin){.file = view_of(x->c->opt[OPT_MESH_CONFIG_FILE]), .kind = VIEW("ConfigMap")};
    if (text.n && mesh_config_parse(a, &x->diags, &cm, &mesh) < 0)
        return EXIT_FAILED;
    x->config.mesh = mesh;
    return EXIT_OK;
}

static int read_settings(struct injecting *x)
{
    struct cli *c = x->c;
    struct view values, config = VIEW_NONE, mesh = VIEW_NONE;
    const char *file = c->opt[OPT_VALUES_FILE] ? c->opt[OPT_VALUES_FILE] : c->opt[OPT_INJECT_CONFIG_FILE];
    struct origin at = {.file = view_of(file), .kind = VIEW("ConfigMap"), .name = VIEW("istio-sidecar-injector")};
    int r = read_option(c, OPT_VALUES_FILE, &values);
    if (!r)
        r = read_option(c, OPT_INJECT_CONFIG_FILE, &config);
    if (!r)
        r = read_option(c, OPT_MESH_CONFIG_FILE, &mesh);
    struct inject_settings text = {values, config, view_of(c->opt[OPT_REVISION])};
    if (!r && inject_settings_read(&c->arena, &x->diags, &at, &text, &x->config) < 0)
        r = EXIT_FAILED;
    return r ? r : read_mesh(x, mesh);
}

/* ---- output ---- */

static void print(const struct injecting *x)
{
    struct arena *a = &x->c->arena;
    struct buf b = {0};
    if (x->c->output == OUTPUT_JSON) {
        struct node *one = x->docs->n == 1 ? x->docs->items[0] : node_new(a, NODE_MAP);
        if (x->docs->n != 1) {
            node_set_str(a, one, "apiVersion", VIEW("v1"));
            node_set_str(a, one, "kind", VIEW("List"));
            node_set(a, one, VIEW("items"), x->docs);
        }
        node_print_json_pretty(one, &b);
    }
    for (uint32_t i = 0; x->c->output != OUTPUT_JSON && i < x->docs->n; i++) {
        buf_str(&b, i ? "---\n" : "");
        node_print_yaml(x->docs->items[i], &b);
    }
    fputs(buf_cstr(&b), stdout);
    buf_clear(&b);
    diags_print(&x->diags, &b, x->c->color_err);
    fputs(buf_cstr(&b), stderr);
    buf_done(&b);
}

int verb_inject(struct cli *c)
{
    struct input_file *files;
    size_t n;
    if (c->output != OUTPUT_TABLE && c->output != OUTPUT_JSON && c->output != OUTPUT_YAML)
        return cli_usage(c, "`weft inject` prints yaml or json");
    int r = files_read(c, c->files, c->n_files, &files, &n);
    if (r)
        return r;
    struct injecting x = {.c = c, .docs = node_new(&c->arena, NODE_SEQ), .explain = c->opt[OPT_EXPLAIN] != NULL};
    diags_init(&x.diags, &c->arena);
    r = read_settings(&x);
    for (size_t i = 0; !r && i < n; i++) {
        struct pull *in = yaml_pull(&c->arena, files[i].text, 1);
        struct node *doc;
        int err;
        while (!(err = node_read(&c->arena, in, &doc)) && doc)
            if (!node_is(doc, NODE_NULL))
                node_push(&c->arena, x.docs, inject_doc(&x, doc));
        if (err)
            r = cli_fail(c, "%.*s:%u:%u: %.*s", VIEW_ARGS(files[i].name), in->error.line, in->error.col,
                         VIEW_ARGS(in->error.text));
    }
    print(&x);
    return x.diags.n_errors ? EXIT_FAILED : r;
}
