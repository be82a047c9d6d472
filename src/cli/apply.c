// SPDX-License-Identifier: Apache-2.0
/* weft apply -f: manifests to the sandbox or the cluster, file by file; "TYPE/name verbed" to stdout, diagnostics to stderr.
 * Exits 1 when something was rejected: the mesh keeps the last good one of it.
 */
#include "cli/apply.h"

#include <stdio.h>

#include "cli/client.h"
#include "cli/cluster.h"
#include "cli/files.h"
#include "wire/node.h"

static void print_objects(struct cli *c, const struct node *objects)
{
    for (uint32_t i = 0; node_is(objects, NODE_SEQ) && i < objects->n; i++) {
        const struct node *o = objects->items[i];
        struct view verb = node_text_at(o, "verb");
        enum mesh_kind kind;
        if (mesh_kind_find(node_text_at(o, "kind"), &kind) || view_is(verb, "rejected"))
            continue;
        struct view label = client_label(c, kind, node_text_at(o, "name"));
        printf("%.*s %.*s\n", VIEW_ARGS(label), VIEW_ARGS(verb));
    }
}

/* A line a file as data; else objects to stdout, what is to be said of them to stderr. */
static void print_answer(struct cli *c, const struct node *n)
{
    struct buf json = {0};
    if (c->output == OUTPUT_JSON) {
        node_print_json(n, &json);
        puts(buf_cstr(&json));
    } else {
        struct view text = node_text_at(n, "text");
        print_objects(c, node_get(n, VIEW("objects")));
        fflush(stdout);
        fwrite(text.p, 1, text.n, stderr);
    }
    buf_done(&json);
}

/* To the sandbox's daemon, which knows what to do with all of it. */
static int send_file(struct cli *c, const char *what, const struct input_file *f, struct node **ret_answer)
{
    bool color = c->color_err && c->output != OUTPUT_JSON;
    struct view path = arena_printf(&c->arena, "/weft/v1/%s?file=%.*s%s", what,
                                    VIEW_ARGS(client_escape(&c->arena, f->name)), color ? "&color=1" : "");
    if (c->opt[OPT_NAMESPACE])
        path =
            arena_printf(&c->arena, "%.*s&namespace=%.*s", VIEW_ARGS(path), VIEW_ARGS(client_escape(&c->arena, c->ns)));
    struct answer a = {0};
    int r = client_call(c, "POST", path, f->text, &a);
    if (r == EXIT_OK && a.status != 200 && a.status != 422)
        r = client_refused(c, &a);
    else if (r == EXIT_OK && node_parse(&c->arena, arena_view(&c->arena, buf_read(&a.body)), ret_answer, NULL))
        r = cli_fail(c, "the sandbox's answer cannot be read");
    else if (r == EXIT_OK && a.status == 422)
        r = EXIT_FAILED;
    answer_done(&a);
    return r;
}

int apply_files(struct cli *c, const char *what)
{
    struct input_file *files;
    size_t n;
    int worst = files_read(c, c->files, c->n_files, &files, &n);
    if (worst)
        return worst;
    for (size_t i = 0; i < n && worst != EXIT_AWAY; i++) {
        struct node *answer = NULL;
        int r = (c->cluster ? cluster_send_file : send_file)(c, what, &files[i], &answer);
        if (answer)
            print_answer(c, answer);
        worst = r ? r : worst;
    }
    return worst;
}

int verb_apply(struct cli *c)
{
    return apply_files(c, "apply");
}
