// SPDX-License-Identifier: Apache-2.0
/* The chart, rendered (chart.h). The templates see .Values, .Release {Name, Namespace, Service} and .Chart {Name, Version,
 * AppVersion}, as Helm gives them; Service is `weft` here and `Helm` there, so that the label
 * app.kubernetes.io/managed-by says who owns an object.
 */
#include "install/chart.h"

#include <errno.h>

#include "install/chart_files.h"
#include "install/template.h"
#include "install/values.h"
#include "wire/yaml.h"

const struct installed_kind installed_kinds[] = {
#define INSTALLED(kind, group, version, plural, namespaced) {kind, group, version, plural, namespaced},
#include "install/kinds.def"
#undef INSTALLED
};
const size_t installed_kinds_n = COUNT_OF(installed_kinds);

struct render {
    struct arena *arena;
    struct chart *chart;
    struct template_set set;
    struct node *root;
    struct view *ret_why;
};

struct view chart_text(const char *path)
{
    for (size_t i = 0; i < chart_files_n; i++)
        if (strcmp(chart_files[i].path, path) == 0)
            return view_make(chart_files[i].text, chart_files[i].n);
    return VIEW_NONE;
}

static int parse_file(struct render *r, const char *path, struct node **ret)
{
    struct pull_error why = {0};
    int err = node_parse(r->arena, chart_text(path), ret, &why);
    if (err)
        *r->ret_why = arena_printf(r->arena, "%s: cannot be read", path);
    return err;
}

static int make_values(struct render *r, const struct node *user, const struct view *sets, size_t n_sets)
{
    struct node *defaults, *schema, *all;
    int err = parse_file(r, "values.yaml", &defaults);
    if (err || (err = parse_file(r, "values.schema.json", &schema)))
        return err;
    if (user && user->type != NODE_NULL && user->type != NODE_MAP) {
        *r->ret_why = VIEW("the values are no map");
        return -EINVAL;
    }
    all = node_is(user, NODE_MAP) ? values_merge(r->arena, defaults, user) : node_copy(r->arena, defaults);
    for (size_t i = 0; i < n_sets && !err; i++)
        err = values_set(r->arena, all, sets[i], r->ret_why);
    if (!err)
        err = values_check(r->arena, schema, all, r->ret_why);
    r->chart->values = all;
    return err;
}

/* What the templates see as `.`. */
static int make_root(struct render *r)
{
    static const struct {
        const char *to, *from;
    } fields[] = {{"Name", "name"}, {"Version", "version"}, {"AppVersion", "appVersion"}};
    struct arena *a = r->arena;
    struct node *about, *chart = node_new(a, NODE_MAP), *release = node_new(a, NODE_MAP);
    int err = parse_file(r, "Chart.yaml", &about);
    if (err)
        return err;
    for (size_t i = 0; i < COUNT_OF(fields); i++)
        node_set_str(a, chart, fields[i].to, node_get(about, view_of(fields[i].from))->text);
    node_set_str(a, release, "Name", VIEW("istiod"));
    node_set_str(a, release, "Namespace", r->chart->ns);
    node_set_str(a, release, "Service", VIEW("weft"));
    r->root = node_new(a, NODE_MAP);
    node_set(a, r->root, VIEW("Values"), r->chart->values);
    node_set(a, r->root, VIEW("Release"), release);
    node_set(a, r->root, VIEW("Chart"), chart);
    return 0;
}

static int add_object(struct render *r, struct node *tree, struct view from)
{
    struct view kind = node_text_at(tree, "kind");
    for (size_t i = 0; i < installed_kinds_n; i++)
        if (view_is(kind, installed_kinds[i].kind)) {
            struct chart_object *o = ARENA_PUSH(r->arena, r->chart->objects, r->chart->n);
            *o = (struct chart_object){.kind = &installed_kinds[i],
                                       .ns = node_text_at(tree, "metadata.namespace"),
                                       .name = node_text_at(tree, "metadata.name"),
                                       .tree = tree};
            return 0;
        }
    *r->ret_why = arena_printf(r->arena, "%.*s: makes a %.*s, which install/kinds.def does not list", VIEW_ARGS(from),
                               VIEW_ARGS(kind));
    return -EINVAL;
}

static int read_objects(struct render *r, struct view text, struct view from)
{
    struct pull *in = yaml_pull(r->arena, text, 1);
    struct node *doc;
    int err;
    while (!(err = node_read(r->arena, in, &doc)) && doc)
        if (doc->type != NODE_NULL && (err = add_object(r, doc, from)))
            return err;
    if (err)
        *r->ret_why = arena_printf(r->arena, "%.*s: line %u of what it makes: %.*s", VIEW_ARGS(from), in->error.line,
                                   VIEW_ARGS(in->error.text));
    return err;
}

static void add_namespace(struct render *r)
{
    struct arena *a = r->arena;
    struct node *tree = node_new(a, NODE_MAP), *meta;
    node_set_str(a, tree, "apiVersion", VIEW("v1"));
    node_set_str(a, tree, "kind", VIEW("Namespace"));
    meta = node_make(a, tree, "metadata", NODE_MAP);
    node_set_str(a, meta, "name", r->chart->ns);
    struct node *labels = node_make(a, meta, "labels", NODE_MAP);
    node_set_str(a, labels, "app.kubernetes.io/managed-by", VIEW("weft"));
    node_set_str(a, labels, "app.kubernetes.io/part-of", VIEW("weft"));
    *ARENA_PUSH(a, r->chart->objects, r->chart->n) =
        (struct chart_object){.kind = &installed_kinds[0], .name = r->chart->ns, .tree = tree};
}

static int run_all(struct render *r)
{
    for (size_t i = 0; i < r->set.n_files; i++) {
        struct view name = r->set.files[i].name;
        struct buf out = {0};
        int err = template_run(&r->set, name, r->root, &out, r->ret_why);
        if (!err)
            err = read_objects(r, arena_view(r->arena, buf_read(&out)), name);
        buf_done(&out);
        if (err)
            return err;
    }
    return 0;
}

static void sort_objects(struct chart *c)
{
    for (size_t i = 1; i < c->n; i++) /* stable: within a kind as the templates say */
        for (size_t k = i; k && c->objects[k].kind < c->objects[k - 1].kind; k--) {
            struct chart_object swap = c->objects[k];
            c->objects[k] = c->objects[k - 1];
            c->objects[k - 1] = swap;
        }
}

int chart_render(struct arena *a, const struct node *values, const struct view *sets, size_t n_sets, struct chart *ret,
                 struct view *ret_why)
{
    struct render r = {.arena = a, .chart = ret, .ret_why = ret_why};
    *ret = (struct chart){0};
    template_set_init(&r.set, a);
    int err = make_values(&r, values, sets, n_sets);
    if (err)
        return err;
    ret->ns = node_text_at(ret->values, "global.istioNamespace");
    ret->revision = node_text_at(ret->values, "revision");
    for (size_t i = 0; i < chart_files_n && !err; i++)
        if (strncmp(chart_files[i].path, "templates/", strlen("templates/")) == 0)
            err = template_add(&r.set, view_of(chart_files[i].path), view_make(chart_files[i].text, chart_files[i].n),
                               ret_why);
    if (err || (err = make_root(&r)))
        return err;
    add_namespace(&r);
    err = run_all(&r);
    if (!err)
        sort_objects(ret);
    return err;
}
