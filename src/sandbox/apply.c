// SPDX-License-Identifier: Apache-2.0
/* Manifests into the store and out of it: `weft apply`, `weft delete -f`, and files of the watched directory (admit.h).
 * Every document stands alone. What is written is the three-way merge of what was applied last, what the manifest says
 * now and what is there, so that labels and annotations set by others (a rollout restart) survive an apply.
 */
#include <errno.h>

#include "mesh/analyze.h"
#include "mesh/parse.h"
#include "mesh/snapshot.h"
#include "sandbox/admit.h"
#include "wire/node.h"
#include "wire/yaml.h"

struct applying {
    struct cluster *c;
    struct arena *a;
    struct diags *d;
    struct manifest *manifest;
    struct apply_result *results;
    size_t n;
};

static const char *const verb_names[] = {[APPLY_CREATED] = "created",
                                         [APPLY_CONFIGURED] = "configured",
                                         [APPLY_UNCHANGED] = "unchanged",
                                         [APPLY_DELETED] = "deleted",
                                         [APPLY_REJECTED] = "rejected"};

const char *apply_verb_name(enum apply_verb v)
{
    return verb_names[v];
}

static void add_result(struct applying *x, enum apply_verb verb, enum mesh_kind kind, struct view ns, struct view name)
{
    struct apply_result *r = ARENA_PUSH(x->a, x->results, x->n);
    *r = (struct apply_result){verb, kind, arena_view(x->a, ns), arena_view(x->a, name)};
}

/* What the manifest says, without what only the store says. */
static struct node *wish_of(struct applying *x, const struct object *o)
{
    struct node *now = node_copy(x->a, o->node);
    node_del(now, VIEW("status"));
    struct node *meta = node_get(now, VIEW("metadata"));
    static const char *const owned[] = {"uid", "resourceVersion", "creationTimestamp", "generation", "managedFields"};
    for (size_t i = 0; meta && i < COUNT_OF(owned); i++)
        node_del(meta, view_of(owned[i]));
    if (meta && mesh_kinds[o->kind].namespaced)
        node_set_str(x->a, meta, "namespace", o->meta.ns);
    return now;
}

static uint32_t metadata_fields(const struct node *tree)
{
    const struct node *meta = node_get(tree, VIEW("metadata"));
    return meta ? meta->n : 0;
}

/* Equal but for resourceVersion. */
static bool same_object(struct arena *a, const struct node *x, const struct node *y)
{
    if (metadata_fields(x) != metadata_fields(y))
        return false;
    struct node *p = node_copy(a, x), *q = node_copy(a, y);
    node_del(node_get(p, VIEW("metadata")), VIEW("resourceVersion"));
    node_del(node_get(q, VIEW("metadata")), VIEW("resourceVersion"));
    return node_eq(p, q);
}

static int apply_one(struct applying *x, const struct object *o)
{
    struct record *old = record_ref(store_get(x->c->store, o->kind, o->meta.ns, o->meta.name)), *now = NULL;
    struct node *wish = wish_of(x, o), *last = NULL, *tree = wish;
    if (old && old->applied.n && node_parse(x->a, old->applied, &last, NULL))
        last = NULL;
    if (old) {
        /* A pod's spec was completed by admission; the same wish means the same spec. */
        if (o->kind == KIND_POD && last && node_eq(node_get(last, VIEW("spec")), node_get(wish, VIEW("spec")))) {
            tree = node_copy(x->a, wish);
            node_del(tree, VIEW("spec"));
            node_del(last, VIEW("spec"));
        }
        tree = merge_three(x->a, last, tree, old->tree);
    }
    struct buf json = {0};
    node_print_json(wish, &json);
    struct store_put put = {.tree = tree, .applied = buf_read(&json), .manifest = x->manifest};
    int err = admit_write(x->c, &put, x->d, &now);
    buf_done(&json);
    if (err == 0)
        add_result(x,
                   !old                                      ? APPLY_CREATED
                   : same_object(x->a, old->tree, now->tree) ? APPLY_UNCHANGED
                                                             : APPLY_CONFIGURED,
                   o->kind, o->meta.ns, o->meta.name);
    else
        add_result(x, APPLY_REJECTED, o->kind, o->meta.ns, o->meta.name);
    record_unref(old);
    return err;
}

/* Is the diagnostic about one of the objects that were just applied? */
static bool about_results(const struct origin *at, void *arg)
{
    const struct applying *x = arg;
    for (size_t i = 0; i < x->n; i++) {
        const struct apply_result *r = &x->results[i];
        bool same_ns = !mesh_kinds[r->kind].namespaced || view_eq(r->ns, at->ns);
        if (view_eq(mesh_kinds[r->kind].kind, at->kind) && view_eq(r->name, at->name) && same_ns)
            return r->verb != APPLY_REJECTED;
    }
    return false;
}

void admit_analyze(struct cluster *c, struct arena *a, struct diags *d,
                   bool (*about)(const struct origin *at, void *arg), void *arg)
{
    struct object **objects = NULL;
    uint32_t n = 0;
    for (int kind = 0; kind < MESH_KINDS; kind++) {
        size_t found;
        struct record **all = store_list(c->store, (enum mesh_kind)kind, VIEW_NONE, a, &found);
        for (size_t i = 0; i < found; i++)
            *ARENA_PUSH(a, objects, n) = all[i]->object;
    }
    struct diags found;
    diags_init(&found, a);
    struct mesh_snapshot *snap = snapshot_new(a, &found, objects, n);
    mesh_analyze(snap, &found);
    LIST_EACH (&found.all, struct diag, link, one) {
        if (about && !about(&one->at, arg))
            continue;
        list_del(&one->link);
        list_push(&d->all, &one->link);
        d->n_errors += one->severity == DIAG_ERROR;
        d->n_warnings += one->severity == DIAG_WARNING;
    }
}

int admit_apply(struct cluster *c, struct view file, struct view text, struct view ns, struct arena *a, struct diags *d,
                struct apply_result **ret_results, size_t *ret_n)
{
    struct applying x = {.c = c, .a = a, .d = d, .manifest = manifest_new(file, text)};
    struct object_list objects = {0};
    struct mesh_source src = {.file = arena_view(a, file), .text = arena_view(a, text), .default_ns = ns};
    int err = mesh_parse(a, d, &src, &objects);
    for (int pass = 0; pass < 2; pass++)
        for (uint32_t i = 0; i < objects.n; i++) {
            bool space = objects.list[i]->kind == KIND_NAMESPACE;
            if (space == (pass == 0) && apply_one(&x, objects.list[i]))
                err = -EINVAL;
        }
    admit_analyze(c, a, d, about_results, &x);
    manifest_unref(x.manifest);
    *ret_results = x.results;
    *ret_n = x.n;
    return err;
}

static int delete_tree(struct applying *x, const struct node *tree, struct view ns)
{
    const struct node *items = node_get(tree, VIEW("items"));
    if (view_ends(node_text_at(tree, "kind"), VIEW("List")) && node_is(items, NODE_SEQ)) {
        int err = 0;
        for (uint32_t i = 0; i < items->n; i++)
            if (delete_tree(x, items->items[i], ns))
                err = -EINVAL;
        return err;
    }
    struct object_key key;
    enum mesh_kind kind;
    if (mesh_key(tree, &key) || mesh_kind_of(key.api_version, key.kind, &kind))
        return -EINVAL;
    struct view space = !mesh_kinds[kind].namespaced ? VIEW_NONE : node_text_at(tree, "metadata.namespace");
    if (mesh_kinds[kind].namespaced && !space.n)
        space = ns.n ? ns : VIEW("default");
    if (cluster_delete(x->c, kind, space, key.name, -1) == 0)
        add_result(x, APPLY_DELETED, kind, space, key.name);
    return 0;
}

int admit_delete(struct cluster *c, struct view file, struct view text, struct view ns, struct arena *a,
                 struct diags *d, struct apply_result **ret_results, size_t *ret_n)
{
    struct applying x = {.c = c, .a = a, .d = d};
    struct pull *in = yaml_pull(a, arena_view(a, text), 1);
    struct node *doc;
    int err, bad = 0;
    while (!(err = node_read(a, in, &doc)) && doc)
        if (!node_is(doc, NODE_NULL) && delete_tree(&x, doc, ns))
            bad = -EINVAL;
    if (err) {
        struct origin at = {.file = arena_view(a, file), .line = in->error.line, .col = in->error.col};
        struct diag *one = diag_add(d, DIAG_ERROR, "IST0106", &at);
        one->title = diag_text(d, "not readable: %.*s", VIEW_ARGS(in->error.text));
    }
    *ret_results = x.results;
    *ret_n = x.n;
    return err ? err : bad;
}
