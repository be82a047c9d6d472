// SPDX-License-Identifier: Apache-2.0
/* weft label KIND NAME KEY=VALUE… KEY-…: sets and removes labels. A label that has another value changes only with
 * --overwrite, as kubectl has it.
 */
#include <stdio.h>

#include "cli/client.h"
#include "wire/node.h"

/* The merge patch; NULL with the complaint made. */
static struct node *make_patch(struct cli *c, const struct node *object, size_t first)
{
    struct arena *a = &c->arena;
    struct node *patch = node_new(a, NODE_MAP),
                *labels = node_make(a, node_make(a, patch, "metadata", NODE_MAP), "labels", NODE_MAP);
    const struct node *has = node_at(object, "metadata.labels");
    for (size_t i = first; i < c->n_args; i++) {
        struct view word = view_of(c->args[i]);
        size_t eq = view_find(word, '=');
        if (eq == word.n && word.n > 1 && word.p[word.n - 1] == '-') {
            node_set(a, labels, view_head(word, word.n - 1), node_new(a, NODE_NULL));
            continue;
        }
        if (eq == word.n || eq == 0) {
            cli_usage(c, "`%s` is neither KEY=VALUE nor KEY-", c->args[i]);
            return NULL;
        }
        struct view key = view_head(word, eq), value = view_from(word, eq + 1);
        const struct node *old = node_get(has, key);
        if (old && !view_eq(node_text(old), value) && !c->opt[OPT_OVERWRITE]) {
            cli_fail(c, "it has label %.*s=%.*s already: --overwrite changes it", VIEW_ARGS(key),
                     VIEW_ARGS(node_text(old)));
            return NULL;
        }
        node_set(a, labels, key, node_str(a, value));
    }
    return patch;
}

int verb_label(struct cli *c)
{
    struct view word = view_of(c->args[0]);
    size_t slash = view_find(word, '/'), first = slash < word.n ? 1 : 2;
    struct view name = slash < word.n ? view_from(word, slash + 1) : view_of(c->args[1]);
    enum mesh_kind kind;
    int r = client_kind(c, view_head(word, slash), &kind);
    if (r)
        return r;
    if (c->n_args <= first)
        return cli_usage(c, "say which labels: KEY=VALUE or KEY-");
    struct view path = client_path(c, kind, c->ns, name);
    const struct node *object = client_get(c, path, &r);
    const struct node *patch = object ? make_patch(c, object, first) : NULL;
    if (!patch)
        return r ? r : EXIT_FAILED;
    struct buf body = {0};
    node_print_json(patch, &body);
    struct answer a = {0};
    r = client_call(c, "PATCH", path, buf_read(&body), &a);
    if (r == EXIT_OK && a.status != 200)
        r = client_refused(c, &a);
    else if (r == EXIT_OK)
        printf("%.*s labeled\n", VIEW_ARGS(client_label(c, kind, name)));
    buf_done(&body);
    answer_done(&a);
    return r;
}
