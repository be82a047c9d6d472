// SPDX-License-Identifier: Apache-2.0
/* weft get KIND[,KIND…] [NAME…]: tables, or the objects themselves with -o. Objects, names as "kind/name" and lists print
 * as kubectl prints them; `weft get sandbox` shows the sandbox itself.
 */
#include <stdio.h>
#include <string.h>

#include "cli/client.h"
#include "cli/cluster.h"
#include "cli/columns.h"
#include "wire/node.h"

struct listing {
    struct cli *c;
    enum mesh_kind kinds[16];
    size_t n_kinds;
    struct node *items; /* for -o json and yaml */
    bool many;          /* several kinds: names carry theirs */
    size_t shown;
};

static void print_tree(const struct cli *c, const struct node *n)
{
    struct buf b = {0};
    if (c->output == OUTPUT_YAML)
        node_print_yaml(n, &b);
    else
        node_print_json_pretty(n, &b);
    struct view v = buf_read(&b);
    fwrite(v.p, 1, v.n, stdout);
    buf_done(&b);
}

static int get_sandbox(struct cli *c)
{
    int r;
    if (c->cluster) {
        cli_fail(c,
                 "the cluster `%s` is no sandbox: start one with `weft up DIR` or name it with -s; of the cluster tell "
                 "`weft status` and `weft check`",
                 cluster_name(c->cluster));
        return EXIT_AWAY;
    }
    const struct node *n = client_get(c, VIEW("/weft/v1/sandbox"), &r);
    if (n && (c->output == OUTPUT_JSON || c->output == OUTPUT_YAML)) {
        print_tree(c, n);
    } else if (n) {
        struct table t;
        table_init(&t, &c->arena, "NAME\0PODS\0READY\0DISCOVERY\0");
        table_view(&t, node_text_at(n, "name"));
        int64_t pods = 0, ready = 0;
        (void)!node_i64(node_at(n, "pods.total"), &pods);
        (void)!node_i64(node_at(n, "pods.ready"), &ready);
        table_cell(&t, "%lld", (long long)pods);
        table_cell(&t, "%lld", (long long)ready);
        table_view(&t, node_text_at(n, "serviceDiscovery"));
        table_print(&t, stdout);
    }
    return r;
}

static bool is_data(const struct cli *c)
{
    return c->output == OUTPUT_JSON || c->output == OUTPUT_YAML;
}

/* Items of an API list lack apiVersion and kind in Kubernetes; ours have them. */
static void show(struct listing *l, enum mesh_kind kind, struct node *const *items, size_t n)
{
    struct cli *c = l->c;
    bool with_ns = c->opt[OPT_ALL_NAMESPACES] && mesh_kinds[kind].namespaced, wide = c->output == OUTPUT_WIDE;
    l->shown += n;
    if (is_data(c)) {
        for (size_t i = 0; i < n; i++)
            node_push(&c->arena, l->items, items[i]);
        return;
    }
    if (!n)
        return;
    struct table t;
    columns_table(&t, &c->arena, kind, with_ns, wide);
    for (size_t i = 0; i < n; i++) {
        struct view name = node_text_at(items[i], "metadata.name"), label = client_label(c, kind, name);
        if (c->output == OUTPUT_NAME)
            printf("%.*s\n", VIEW_ARGS(label));
        else
            columns_row(&t, kind, items[i], l->many ? label : name, with_ns, wide);
    }
    if (c->output != OUTPUT_NAME)
        table_print(&t, stdout);
}

static int list_kind(struct listing *l, enum mesh_kind kind)
{
    struct cli *c = l->c;
    struct view path = client_path(c, kind, c->opt[OPT_ALL_NAMESPACES] ? VIEW_NONE : c->ns, VIEW_NONE);
    if (c->opt[OPT_SELECTOR])
        path = arena_printf(&c->arena, "%.*s?labelSelector=%.*s", VIEW_ARGS(path),
                            VIEW_ARGS(client_escape(&c->arena, view_of(c->opt[OPT_SELECTOR]))));
    int r;
    const struct node *list = client_get(c, path, &r), *items = list ? node_get(list, VIEW("items")) : NULL;
    if (node_is(items, NODE_SEQ))
        show(l, kind, items->items, items->n);
    return r;
}

static int get_names(struct listing *l, enum mesh_kind kind, const char **names, size_t n)
{
    struct cli *c = l->c;
    struct node **found = ARENA_ARRAY(&c->arena, struct node *, n + 1);
    size_t n_found = 0;
    int worst = EXIT_OK;
    for (size_t i = 0; i < n; i++) {
        int r;
        struct node *one = client_get(c, client_path(c, kind, c->ns, view_of(names[i])), &r);
        if (one)
            found[n_found++] = one;
        worst = r ? r : worst;
    }
    show(l, kind, found, n_found);
    return worst;
}

static int parse_kinds(struct listing *l)
{
    struct view rest = view_of(l->c->args[0]), word;
    while (view_cut(&rest, ',', &word)) {
        if (l->n_kinds == COUNT_OF(l->kinds))
            return cli_usage(l->c, "at most %zu kinds at once", COUNT_OF(l->kinds));
        int r = client_kind(l->c, word, &l->kinds[l->n_kinds++]);
        if (r)
            return r;
    }
    l->many = l->n_kinds > 1;
    return EXIT_OK;
}

/* kind/name kind/name … */
static int get_pairs(struct listing *l)
{
    struct cli *c = l->c;
    int worst = EXIT_OK;
    l->many = c->n_args > 1;
    for (size_t i = 0; i < c->n_args; i++) {
        struct view word = view_of(c->args[i]);
        size_t slash = view_find(word, '/');
        if (slash == word.n)
            return cli_usage(c, "name all objects as KIND/NAME, or none");
        enum mesh_kind kind;
        int r = client_kind(c, view_head(word, slash), &kind);
        if (r)
            return r;
        const char *name = word.p + slash + 1;
        r = get_names(l, kind, &name, 1);
        worst = r ? r : worst;
    }
    return worst;
}

static void print_items(struct listing *l, bool one)
{
    struct cli *c = l->c;
    if (one && l->items->n == 1) {
        print_tree(c, l->items->items[0]);
        return;
    }
    struct node *list = node_new(&c->arena, NODE_MAP);
    node_set_str(&c->arena, list, "apiVersion", VIEW("v1"));
    node_set_str(&c->arena, list, "kind", VIEW("List"));
    node_set(&c->arena, list, VIEW("items"), l->items);
    print_tree(c, list);
}

int verb_get(struct cli *c)
{
    if (strcmp(c->args[0], "sandbox") == 0)
        return get_sandbox(c);
    struct listing l = {.c = c, .items = node_new(&c->arena, NODE_SEQ)};
    bool pairs = strchr(c->args[0], '/') != NULL, named = pairs ? c->n_args == 1 : c->n_args == 2;
    int r = EXIT_OK;
    if (pairs)
        r = get_pairs(&l);
    else
        r = parse_kinds(&l);
    for (size_t i = 0; i < l.n_kinds && r == EXIT_OK; i++)
        r = c->n_args > 1 ? get_names(&l, l.kinds[i], c->args + 1, c->n_args - 1) : list_kind(&l, l.kinds[i]);
    if (is_data(c) && (r == EXIT_OK || l.items->n))
        print_items(&l, named && l.n_kinds <= 1);
    else if (r == EXIT_OK && !l.shown && c->opt[OPT_ALL_NAMESPACES])
        fprintf(stderr, "No resources found\n");
    else if (r == EXIT_OK && !l.shown)
        fprintf(stderr, "No resources found in %.*s namespace.\n", VIEW_ARGS(c->ns));
    return r;
}
