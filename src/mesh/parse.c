// SPDX-License-Identifier: Apache-2.0
/* Files and trees into typed objects (parse.h): cutting a file into documents, opening lists, finding the kind, and
 * running its table.
 *
 * A YAML file is cut at lines that begin with `---`, as kubectl does, before libyaml sees it: a syntax error costs its
 * own document and no other.
 */
#include "mesh/parse.h"

#include <errno.h>

#include "mesh/mesh_config.h"
#include "mesh/messages.h"
#include "wire/json.h"
#include "wire/yaml.h"

enum { MANY_KINDS = 128 };

static const struct message *const kind_messages[MESH_KINDS] = {
#define KIND(symbol, kind, group, versions, plural, shorts, namespaced, type) [KIND_##symbol] = &type##_message,
#include "mesh/kinds.def"
};

static const struct {
    struct view kind, group;
} refused_kinds[] = {
#define REFUSED(kind, group) {{kind, sizeof(kind) - 1}, {group, sizeof(group) - 1}},
#include "mesh/kinds.def"
};

struct reader {
    struct arena *arena;
    struct diags *diags;
    struct mesh_source src;
    struct object_list *objects;
    unsigned errors;
};

static struct view line_of(struct view text, uint32_t line)
{
    struct object o = {.source = text, .source_line = 1};
    return object_line(&o, line);
}

static struct diag *tell(struct reader *r, const char *code, const struct node *n, const struct object_key *key)
{
    struct origin at = {.file = r->src.file};
    if (n && n->line) {
        at.line = n->line;
        at.col = n->col;
        at.span = n->type == NODE_MAP || n->type == NODE_SEQ ? 1 : n->span;
    }
    if (key) {
        at.api_version = key->api_version;
        at.kind = key->kind;
        at.ns = key->ns;
        at.name = key->name;
    }
    struct diag *d = diag_add(r->diags, DIAG_ERROR, code, &at);
    d->source_line = line_of(r->src.text, at.line);
    d->effect = VIEW("the object is rejected; what was applied before stays in force");
    r->errors++;
    return d;
}

int mesh_key(const struct node *tree, struct object_key *ret_key)
{
    struct object_key k = {.api_version = node_text_at(tree, "apiVersion"),
                           .kind = node_text_at(tree, "kind"),
                           .ns = node_text_at(tree, "metadata.namespace"),
                           .name = node_text_at(tree, "metadata.name")};
    if (!k.api_version.n || !k.kind.n)
        return -EINVAL;
    *ret_key = k;
    return 0;
}

static struct view group_of(struct view api_version)
{
    size_t slash = view_find(api_version, '/');
    return slash < api_version.n ? view_head(api_version, slash) : VIEW_NONE;
}

static void unknown_version(struct reader *r, const struct node *tree, const struct object_key *key,
                            const struct mesh_kind_info *info)
{
    struct diag *d = tell(r, "WEFT0002", node_get(tree, VIEW("apiVersion")), key);
    struct view first = view_head(info->versions, view_find(info->versions, ','));
    d->title = diag_text(r->diags, "%.*s has no apiVersion `%.*s`", VIEW_ARGS(key->kind), VIEW_ARGS(key->api_version));
    d->label = diag_text(r->diags, "known: %s%.*s%s%.*s", info->versions.n == first.n ? "" : "one of ",
                         VIEW_ARGS(info->group), info->group.n ? "/" : "", VIEW_ARGS(info->versions));
    d->hint = diag_text(r->diags, "write `apiVersion: %.*s%s%.*s`", VIEW_ARGS(info->group), info->group.n ? "/" : "",
                        VIEW_ARGS(first));
}

/* No table for this apiVersion and kind: is it refused by name, misspelt, or of another version? */
static int unknown_kind(struct reader *r, const struct node *tree, const struct object_key *key)
{
    struct view known[MANY_KINDS], group = group_of(key->api_version);
    size_t n = 0;
    for (size_t i = 0; i < COUNT_OF(refused_kinds); i++) {
        if (view_eq(refused_kinds[i].kind, key->kind) && view_eq(refused_kinds[i].group, group)) {
            struct diag *d = tell(r, "WEFT0003", node_get(tree, VIEW("kind")), key);
            d->title = diag_text(r->diags, "%.*s `%.*s`: this kind is not supported yet", VIEW_ARGS(key->kind),
                                 VIEW_ARGS(key->name));
            d->label = diag_text(r->diags, "weft does not honour %.*s, so it does not accept it", VIEW_ARGS(key->kind));
            return -ENOTSUP;
        }
        if (n < MANY_KINDS)
            known[n++] = refused_kinds[i].kind;
    }
    for (int k = 0; k < MESH_KINDS; k++) {
        if (view_eq(mesh_kinds[k].kind, key->kind) && view_eq(mesh_kinds[k].group, group)) {
            unknown_version(r, tree, key, &mesh_kinds[k]);
            return -EINVAL;
        }
        if (n < MANY_KINDS)
            known[n++] = mesh_kinds[k].kind;
    }
    struct diag *d = tell(r, "WEFT0002", node_get(tree, VIEW("kind")), key);
    d->title = diag_text(r->diags, "unknown kind `%.*s` in apiVersion `%.*s`", VIEW_ARGS(key->kind),
                         VIEW_ARGS(key->api_version));
    struct view near = diag_nearest(key->kind, known, n);
    d->label = VIEW("no kind of this name");
    for (int k = 0; k < MESH_KINDS; k++)
        if (view_eq(mesh_kinds[k].kind, key->kind)) {
            struct view versions = mesh_kinds[k].versions, first = view_head(versions, view_find(versions, ','));
            d->label = VIEW("this kind belongs to another API group");
            d->hint = diag_text(r->diags, "write `apiVersion: %.*s%s%.*s`", VIEW_ARGS(mesh_kinds[k].group),
                                mesh_kinds[k].group.n ? "/" : "", VIEW_ARGS(first));
        }
    if (near.n && !view_eq(near, key->kind))
        d->hint = diag_text(r->diags, "did you mean `%.*s`?", VIEW_ARGS(near));
    return -EINVAL;
}

/* Labels and annotations may matter before the object is complete (origin), so the names are read first. */
static void begin_object(struct reader *r, struct object *o, const struct node *tree, const struct object_key *key,
                         enum mesh_kind kind)
{
    o->kind = kind;
    o->node = tree;
    o->api_version = key->api_version;
    o->source = r->src.text;
    o->source_line = 1;
    o->at = (struct origin){.file = r->src.file,
                            .line = tree->line,
                            .col = tree->col,
                            .span = 1,
                            .api_version = key->api_version,
                            .kind = key->kind,
                            .name = key->name};
    if (mesh_kinds[kind].namespaced)
        o->at.ns = key->ns.n ? key->ns : r->src.default_ns.n ? r->src.default_ns : VIEW("default");
}

/* Istio's settings are text inside a ConfigMap: a mistake in them is told when it is applied, not when it is used. */
static bool is_mesh_config(const struct object *o)
{
    return o->kind == KIND_CONFIG_MAP && view_is(o->meta.ns, "istio-system") && view_is(o->meta.name, "istio");
}

static int decode_object(struct reader *r, const struct node *tree, const struct object_key *key, enum mesh_kind kind,
                         struct object **ret)
{
    struct object *o = arena_alloc(r->arena, kind_messages[kind]->size);
    struct decoder d = {.arena = r->arena, .diags = r->diags, .object = o};
    begin_object(r, o, tree, key, kind);
    decode_message(&d, kind_messages[kind], o, tree, NULL);
    o->meta.ns = o->at.ns;
    if (!d.errors && !o->meta.name.n && !o->meta.generate_name.n) {
        struct place meta = {.key = VIEW("metadata")};
        decode_bad_field(&d, node_get(tree, VIEW("metadata")), &meta, "name", "`metadata.name` is required");
    }
    if (!d.errors && is_mesh_config(o)) {
        struct mesh_config *checked;
        d.errors += mesh_config_parse(r->arena, r->diags, (const struct config_map *)(const void *)o, &checked) < 0;
    }
    r->errors += d.errors;
    if (d.errors)
        return -EINVAL;
    *ret = o;
    return 0;
}

static int decode_tree(struct reader *r, const struct node *tree, struct object **ret)
{
    struct object_key key = {0};
    enum mesh_kind kind;
    if (tree->type != NODE_MAP || mesh_key(tree, &key) < 0) {
        struct diag *d = tell(r, "WEFT0002", tree, NULL);
        d->title = VIEW("not a Kubernetes object");
        d->label = tree->type == NODE_MAP ? VIEW("needs `apiVersion` and `kind`")
                                          : VIEW("must be a map with `apiVersion` and `kind`");
        return -EINVAL;
    }
    if (mesh_kind_of(key.api_version, key.kind, &kind) < 0)
        return unknown_kind(r, tree, &key);
    return decode_object(r, tree, &key, kind, ret);
}

int mesh_decode(struct arena *a, struct diags *d, const struct mesh_source *src, const struct node *tree,
                struct object **ret_object)
{
    struct reader r = {.arena = a, .diags = d};
    if (src)
        r.src = *src;
    return decode_tree(&r, tree, ret_object);
}

/* A document: one object, or a list of them (`kind: List`, or `VirtualServiceList` as `kubectl get -o yaml` writes). */
static void read_document(struct reader *r, const struct node *tree)
{
    const struct node *items = node_get(tree, VIEW("items"));
    if (node_is(items, NODE_SEQ) && view_ends(node_text_at(tree, "kind"), VIEW("List"))) {
        for (uint32_t i = 0; i < items->n; i++)
            read_document(r, items->items[i]);
        return;
    }
    struct object *o;
    if (decode_tree(r, tree, &o) == 0)
        *ARENA_PUSH(r->arena, r->objects->list, r->objects->n) = o;
}

static void syntax_error(struct reader *r, const struct pull_error *e, const char *language)
{
    struct node at = {.line = e->line, .col = e->col, .span = 1, .type = NODE_STR};
    struct diag *d = tell(r, "WEFT0001", &at, NULL);
    d->title = diag_text(r->diags, "this cannot be read as %s", language);
    d->label = diag_text(r->diags, "%.*s", VIEW_ARGS(e->text));
    d->effect = VIEW("the document is skipped; other documents of the file are read");
    if (view_find_view(e->text, VIEW("tab character")) < e->text.n || view_find(d->source_line, '\t') == 0)
        d->hint = VIEW("YAML is indented with spaces, never with tabs");
    else if (view_find_view(e->text, VIEW("mapping values are not allowed")) < e->text.n)
        d->hint = VIEW("put a value that contains `: ` in quotes, or check the indentation of the line before");
}

static void read_documents(struct reader *r, struct pull *in, const char *language)
{
    struct node *tree;
    int err;
    while (!(err = node_read(r->arena, in, &tree)) && tree)
        if (tree->type != NODE_NULL)
            read_document(r, tree);
    if (err)
        syntax_error(r, &in->error, language);
}

static bool is_separator(struct view line)
{
    return view_starts(line, VIEW("---")) &&
           (line.n == 3 || line.p[3] == ' ' || line.p[3] == '\r' || line.p[3] == '\t');
}

static void read_yaml(struct reader *r)
{
    struct view rest = r->src.text, line;
    const char *start = rest.p;
    uint32_t number = 0, first = 1;
    while (view_cut(&rest, '\n', &line)) {
        number++;
        if (is_separator(line) && line.p > start) {
            read_documents(r, yaml_pull(r->arena, view_make(start, (size_t)(line.p - start)), first), "YAML");
            start = line.p;
            first = number;
        }
    }
    if (r->src.text.n)
        read_documents(r, yaml_pull(r->arena, view_make(start, (size_t)(r->src.text.p + r->src.text.n - start)), first),
                       "YAML");
}

int mesh_parse(struct arena *a, struct diags *d, const struct mesh_source *src, struct object_list *ret)
{
    struct reader r = {.arena = a, .diags = d, .objects = ret};
    r.src = (struct mesh_source){.file = arena_view(a, src->file),
                                 .text = arena_view(a, src->text),
                                 .default_ns = arena_view(a, src->default_ns)};
    if (node_looks_like_json(r.src.text))
        read_documents(&r, json_pull(a, r.src.text, 1), "JSON");
    else
        read_yaml(&r);
    return r.errors ? -EINVAL : 0;
}
