// SPDX-License-Identifier: Apache-2.0
/* weft inject -f: the manifests with the sidecar added to Pods and pod templates, offline, as the webhook would do it in
 * a namespace that is labelled for injection. Other objects pass through unchanged.
 */
#include "inject/inject.h"

#include <stdio.h>

#include "cli/cli.h"
#include "cli/files.h"
#include "wire/node.h"
#include "wire/yaml.h"

struct injecting {
    struct cli *c;
    struct inject_config config;
    struct diags diags;
    bool first;
};

static void print_doc(struct injecting *x, const struct node *doc)
{
    struct buf b = {0};
    node_print_yaml(doc, &b);
    printf("%s%s", x->first ? "" : "---\n", buf_cstr(&b));
    x->first = false;
    buf_done(&b);
}

/* Injects into `pod` (a Pod or a template); NULL when it is left as it is. */
static struct node *inject_one(struct injecting *x, const struct node *pod, struct view ns)
{
    struct label on = {VIEW("istio-injection"), VIEW("enabled")};
    struct labels labels = {.list = &on, .n = 1};
    struct node *out = NULL;
    if (!inject_decide(&labels, ns, pod, &x->config).inject)
        return NULL;
    return inject_pod(&x->c->arena, &x->diags, pod, ns, &x->config, &out) ? NULL : out;
}

static void inject_doc(struct injecting *x, const struct node *doc)
{
    struct arena *a = &x->c->arena;
    struct view kind = node_text_at(doc, "kind"), ns = node_text_at(doc, "metadata.namespace");
    ns = ns.n ? ns : VIEW("default");
    const struct node *items = node_get(doc, VIEW("items")), *template = node_at(doc, "spec.template");
    if (view_is(kind, "List") && node_is(items, NODE_SEQ)) {
        for (uint32_t i = 0; i < items->n; i++)
            inject_doc(x, items->items[i]);
        return;
    }
    struct node *out = NULL;
    if (view_is(kind, "Pod")) {
        out = inject_one(x, doc, ns);
    } else if (node_get(template, VIEW("spec"))) {
        struct node *pod = inject_one(x, template, ns);
        if (pod) {
            out = node_copy(a, doc);
            node_set(a, node_get(out, VIEW("spec")), VIEW("template"), pod);
        }
    }
    print_doc(x, out ? out : doc);
}

int verb_inject(struct cli *c)
{
    struct input_file *files;
    size_t n;
    int r = files_read(c, c->files, c->n_files, &files, &n);
    if (r)
        return r;
    struct injecting x = {.c = c, .config = inject_config_default(), .first = true};
    diags_init(&x.diags, &c->arena);
    if (c->opt[OPT_REVISION])
        x.config.revision = view_of(c->opt[OPT_REVISION]);
    for (size_t i = 0; i < n; i++) {
        struct pull *in = yaml_pull(&c->arena, files[i].text, 1);
        struct node *doc;
        int err;
        while (!(err = node_read(&c->arena, in, &doc)) && doc)
            if (!node_is(doc, NODE_NULL))
                inject_doc(&x, doc);
        if (err)
            r = cli_fail(c, "%.*s:%u:%u: %.*s", VIEW_ARGS(files[i].name), in->error.line, in->error.col,
                         VIEW_ARGS(in->error.text));
    }
    struct buf text = {0};
    diags_print(&x.diags, &text, c->color_err);
    fputs(buf_cstr(&text), stderr);
    buf_done(&text);
    return x.diags.n_errors ? EXIT_FAILED : r;
}
