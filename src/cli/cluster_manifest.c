// SPDX-License-Identifier: Apache-2.0
/* What a sandbox's daemon does with whole manifests, done by the client of a cluster (cluster.h): decode, analyze together
 * with what is there, then apply what is good. The server's own webhook says the same once more; here the picture of the
 * line can be shown, because the file is here.
 */
#include <errno.h>
#include <string.h>

#include "cli/cluster.h"
#include "cli/files.h"
#include "cli/objects.h"
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

/* As the daemon answers: api/weft.c of the sandbox has the same form. */
static struct node *answer_of(struct cli *c, struct node *objects, const struct diags *d, bool color)
{
    struct buf text = {0}, json = {0};
    struct node *list = NULL, *n = node_new(&c->arena, NODE_MAP);
    diags_print(d, &text, color);
    diags_print_json(d, &json);
    node_set(&c->arena, n, VIEW("objects"), objects);
    if (node_parse(&c->arena, arena_view(&c->arena, buf_read(&json)), &list, NULL) == 0)
        node_set(&c->arena, n, VIEW("diagnostics"), list);
    node_set_str(&c->arena, n, "text", arena_view(&c->arena, buf_read(&text)));
    buf_done(&text);
    buf_done(&json);
    return n;
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
    *ret_answer = answer_of(c, node_new(&c->arena, NODE_SEQ), &d, c->color_out);
    return EXIT_OK;
}

struct sending {
    struct cli *c;
    struct node *objects; /* what became of each */
    struct diags d;
    int worst; /* the exit code; EXIT_AWAY ends it */
};

static void add_result(struct sending *s, const struct object *o, const char *verb)
{
    const struct mesh_kind_info *k = &mesh_kinds[o->kind];
    struct arena *a = &s->c->arena;
    struct node *n = node_new(a, NODE_MAP);
    node_set_str(a, n, "verb", view_of(verb));
    node_set_str(a, n, "kind", k->kind);
    node_set_str(a, n, "group", k->group);
    node_set_str(a, n, "namespace", o->meta.ns);
    node_set_str(a, n, "name", o->meta.name);
    node_push(a, s->objects, n);
}

/* The server said no, or (status 0) nothing. */
static void add_refusal(struct sending *s, const struct object *o, const struct node *answer, int status)
{
    if (!status) {
        s->worst = object_away(s->c);
        return;
    }
    struct diag *one = diag_add(&s->d, DIAG_ERROR, "WEFT0010", &o->at);
    struct view why = object_why(s->d.arena, answer, status);
    one->title = diag_text(&s->d, "%.*s `%.*s`: the API server refuses it: %.*s", VIEW_ARGS(o->at.kind),
                           VIEW_ARGS(o->meta.name), VIEW_ARGS(why));
    one->effect = VIEW("nothing of this object is changed on the cluster");
    s->worst = EXIT_FAILED;
    add_result(s, o, "rejected");
}

static void apply_one(struct sending *s, const struct object *o)
{
    static const char version[] = "metadata.resourceVersion";
    struct cli *c = s->c;
    struct view path = client_path(c, o->kind, o->meta.ns, o->meta.name);
    struct node *was = NULL, *is = NULL;
    int before = object_call(c, &c->arena, "GET", path, NULL, &was);
    int status = before ? object_call(c, &c->arena, "APPLY", path, o->node, &is) : 0;
    if (status == 201)
        add_result(s, o, "created");
    else if (status != 200)
        add_refusal(s, o, is, status);
    else if (before == 200 && view_eq(node_text_at(was, version), node_text_at(is, version)))
        add_result(s, o, "unchanged");
    else
        add_result(s, o, "configured");
}

static void delete_one(struct sending *s, const struct object *o)
{
    struct cli *c = s->c;
    struct node *n = NULL;
    struct view path = client_path(c, o->kind, o->meta.ns, o->meta.name);
    int status = object_call(c, &c->arena, "DELETE", path, NULL, &n);
    if (status == 200 || status == 202) /* 202: it ends in its own time */
        add_result(s, o, "deleted");
    else
        add_refusal(s, o, n, status);
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

int cluster_send_file(struct cli *c, const char *verb, const struct input_file *f, struct node **ret_answer)
{
    bool applying = strcmp(verb, "apply") == 0;
    struct mesh_source src = {.file = f->name, .text = f->text, .default_ns = c->ns};
    struct sending s = {.c = c, .objects = node_new(&c->arena, NODE_SEQ)};
    struct object_list objects = {0};
    diags_init(&s.d, &c->arena);
    if (mesh_parse(&c->arena, &s.d, &src, &objects))
        s.worst = EXIT_FAILED;
    int r = applying ? analyze_with(c, &s.d, &objects) : EXIT_OK;
    if (r)
        return r;
    for (int pass = 0; pass < 2; pass++) /* namespaces first when they are made, last when they go */
        for (uint32_t i = 0; i < objects.n && s.worst != EXIT_AWAY; i++) {
            bool space = objects.list[i]->kind == KIND_NAMESPACE;
            if (space == ((pass == 0) == applying))
                (applying ? apply_one : delete_one)(&s, objects.list[i]);
        }
    *ret_answer = answer_of(c, s.objects, &s.d, c->color_err && c->output != OUTPUT_JSON);
    return s.worst;
}
