// SPDX-License-Identifier: Apache-2.0
/* What a sandbox's daemon does with whole manifests, done by the client of a cluster (cluster.h): decode, analyze together
 * with what is there, then apply what is good. The server's own webhook says the same once more; here the picture of the
 * line can be shown, because the file is here.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/cluster.h"
#include "cli/files.h"
#include "mesh/analyze.h"
#include "mesh/parse.h"
#include "mesh/snapshot.h"
#include "wire/node.h"

/* Kinds that the checks look at; what the user may not read is left out. */
static const enum mesh_kind analyzed[] = {
    KIND_NAMESPACE, KIND_SERVICE,         KIND_POD,           KIND_DEPLOYMENT,       KIND_SECRET,
    KIND_GATEWAY,   KIND_VIRTUAL_SERVICE, KIND_SERVICE_ENTRY, KIND_DESTINATION_RULE, KIND_PEER_AUTHENTICATION,
};

/* Objects of one kind into the list; false: no answer at all. */
static bool fetch(struct cli *c, enum mesh_kind kind, struct diags *d, struct object_list *all)
{
    struct answer a = {0};
    struct node *n = NULL;
    int err = client_try(c, "GET", client_path(c, kind, VIEW_NONE, VIEW_NONE), VIEW_NONE, &a);
    if (!err && a.status == 200 && node_parse(&c->arena, arena_view(&c->arena, buf_read(&a.body)), &n, NULL) == 0) {
        const struct node *items = node_get(n, VIEW("items"));
        for (uint32_t i = 0; node_is(items, NODE_SEQ) && i < items->n; i++) {
            struct object *o;
            if (mesh_decode(&c->arena, d, NULL, items->items[i], &o) == 0)
                *ARENA_PUSH(&c->arena, all->list, all->n) = o;
        }
    }
    answer_done(&a);
    return !err;
}

static int fetch_all(struct cli *c, struct diags *d, struct object_list *all)
{
    for (size_t i = 0; i < COUNT_OF(analyzed); i++)
        if (!fetch(c, analyzed[i], d, all))
            return client_away(c, -EIO);
    return EXIT_OK;
}

int cluster_analyze(struct cli *c, struct node **ret_answer)
{
    struct diags d;
    struct object_list all = {0};
    diags_init(&d, &c->arena);
    int r = fetch_all(c, &d, &all);
    if (r)
        return r;
    mesh_analyze(snapshot_new(&c->arena, &d, all.list, all.n), &d);
    struct buf text = {0}, json = {0};
    struct node *list = NULL, *n = node_new(&c->arena, NODE_MAP);
    diags_print(&d, &text, c->color_out);
    diags_print_json(&d, &json);
    if (node_parse(&c->arena, arena_view(&c->arena, buf_read(&json)), &list, NULL) == 0)
        node_set(&c->arena, n, VIEW("diagnostics"), list);
    node_set_str(&c->arena, n, "text", arena_view(&c->arena, buf_read(&text)));
    buf_done(&text);
    buf_done(&json);
    *ret_answer = n;
    return EXIT_OK;
}

static struct view path_of(struct cli *c, const struct object *o)
{
    return client_path(c, o->kind, o->meta.ns, o->meta.name);
}

static int apply_one(struct cli *c, const struct object *o)
{
    struct answer before = {0}, a = {0};
    struct buf body = {0};
    struct view label = client_label(c, o->kind, o->meta.name), path = path_of(c, o);
    int r = client_call(c, "GET", path, VIEW_NONE, &before);
    node_print_json(o->node, &body);
    if (r == EXIT_OK)
        r = client_call(c, "APPLY", path, buf_read(&body), &a);
    if (r == EXIT_OK && a.status != 200 && a.status != 201)
        r = client_refused(c, &a);
    else if (r == EXIT_OK && c->output != OUTPUT_JSON) {
        struct node *was, *is;
        bool same =
            before.status == 200 &&
            node_parse(&c->arena, arena_view(&c->arena, buf_read(&before.body)), &was, NULL) == 0 &&
            node_parse(&c->arena, arena_view(&c->arena, buf_read(&a.body)), &is, NULL) == 0 &&
            view_eq(node_text_at(was, "metadata.resourceVersion"), node_text_at(is, "metadata.resourceVersion"));
        printf("%.*s %s\n", VIEW_ARGS(label), same ? "unchanged" : a.status == 201 ? "created" : "configured");
    }
    buf_done(&body);
    answer_done(&before);
    answer_done(&a);
    return r;
}

static int delete_one(struct cli *c, const struct object *o)
{
    struct answer a = {0};
    int r = client_call(c, "DELETE", path_of(c, o), VIEW_NONE, &a);
    if (r == EXIT_OK && a.status != 200 && a.status != 202)
        r = client_refused(c, &a);
    else if (r == EXIT_OK)
        printf("%.*s deleted\n", VIEW_ARGS(client_label(c, o->kind, o->meta.name)));
    answer_done(&a);
    return r;
}

/* What the analyzers say of these objects, together with what the cluster has. */
static int analyze_with(struct cli *c, struct diags *d, const struct object_list *mine)
{
    struct diags ignored, found;
    struct object_list all = {0};
    diags_init(&ignored, &c->arena);
    diags_init(&found, &c->arena);
    for (uint32_t i = 0; i < mine->n; i++)
        *ARENA_PUSH(&c->arena, all.list, all.n) = mine->list[i];
    struct object_list there = {0};
    int r = fetch_all(c, &ignored, &there);
    for (uint32_t i = 0; i < there.n; i++) {
        bool replaced = false;
        for (uint32_t k = 0; k < mine->n && !replaced; k++)
            replaced = mine->list[k]->kind == there.list[i]->kind &&
                       view_eq(mine->list[k]->meta.name, there.list[i]->meta.name) &&
                       view_eq(mine->list[k]->meta.ns, there.list[i]->meta.ns);
        if (!replaced)
            *ARENA_PUSH(&c->arena, all.list, all.n) = there.list[i];
    }
    if (r)
        return r;
    mesh_analyze(snapshot_new(&c->arena, &found, all.list, all.n), &found);
    LIST_EACH (&found.all, struct diag, link, one) {
        if (!one->at.file.n) /* of an object that was there before */
            continue;
        list_del(&one->link);
        list_push(&d->all, &one->link);
        d->n_errors += one->severity == DIAG_ERROR;
        d->n_warnings += one->severity == DIAG_WARNING;
    }
    return EXIT_OK;
}

static void print_diags(struct cli *c, const struct diags *d)
{
    struct buf text = {0};
    if (c->output == OUTPUT_JSON)
        diags_print_json(d, &text);
    else
        diags_print(d, &text, c->color_err);
    fflush(stdout);
    fputs(buf_cstr(&text), c->output == OUTPUT_JSON ? stdout : stderr);
    buf_done(&text);
}

int cluster_send_file(struct cli *c, const char *verb, const struct input_file *f)
{
    bool applying = strcmp(verb, "apply") == 0;
    struct mesh_source src = {.file = f->name, .text = f->text, .default_ns = c->ns};
    struct object_list objects = {0};
    struct diags d;
    diags_init(&d, &c->arena);
    int worst = mesh_parse(&c->arena, &d, &src, &objects) ? EXIT_FAILED : EXIT_OK;
    int r = applying ? analyze_with(c, &d, &objects) : EXIT_OK;
    if (r)
        return r;
    for (int pass = 0; pass < 2; pass++) /* namespaces first when they are made, last when they go */
        for (uint32_t i = 0; i < objects.n; i++) {
            bool space = objects.list[i]->kind == KIND_NAMESPACE;
            if (space != ((pass == 0) == applying))
                continue;
            r = applying ? apply_one(c, objects.list[i]) : delete_one(c, objects.list[i]);
            if (r == EXIT_AWAY)
                return r;
            worst = r ? r : worst;
        }
    print_diags(c, &d);
    return worst;
}
