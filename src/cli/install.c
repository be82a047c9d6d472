// SPDX-License-Identifier: Apache-2.0
/* weft install: the objects of deploy/chart (install/chart.h), printed with --dry-run. */
#include <stdio.h>

#include "cli/cli.h"
#include "cli/files.h"
#include "install/chart.h"
#include "install/values.h"

/* All -f, the later over the earlier. */
static int read_values(struct cli *c, struct node **ret)
{
    *ret = node_new(&c->arena, NODE_MAP);
    for (size_t i = 0; i < c->n_files; i++) {
        struct view text;
        struct node *one;
        struct pull_error why = {0};
        int r = files_read_one(c, c->files[i], &text);
        if (r)
            return r;
        if (node_parse(&c->arena, text, &one, &why) < 0)
            return cli_fail(c, "%s:%u:%u: %.*s", c->files[i], why.line, why.col, VIEW_ARGS(why.text));
        if (!node_is(one, NODE_MAP))
            return cli_fail(c, "%s: values are a map of names; this is %s", c->files[i],
                            node_type_name((enum node_type)one->type));
        *ret = values_merge(&c->arena, *ret, one);
    }
    return 0;
}

static int render(struct cli *c, struct chart *ret)
{
    struct node *values;
    struct view *sets = NULL, why = VIEW_NONE;
    size_t n = 0;
    int r = read_values(c, &values);
    if (r)
        return r;
    if (c->opt[OPT_REVISION])
        *ARENA_PUSH(&c->arena, sets, n) = arena_printf(&c->arena, "revision=%s", c->opt[OPT_REVISION]);
    for (size_t i = 0; i < c->n_sets; i++)
        *ARENA_PUSH(&c->arena, sets, n) = view_of(c->sets[i]);
    if (chart_render(&c->arena, values, sets, n, ret, &why) < 0)
        return cli_fail(c, "%.*s", VIEW_ARGS(why));
    return 0;
}

static int print_objects(const struct cli *c, const struct chart *chart)
{
    struct buf b = {0};
    bool json = c->output == OUTPUT_JSON;
    if (json)
        buf_str(&b, "{\"apiVersion\":\"v1\",\"kind\":\"List\",\"items\":[");
    for (size_t i = 0; i < chart->n; i++) {
        if (json) {
            buf_str(&b, i ? "," : "");
            node_print_json(chart->objects[i].tree, &b);
        } else {
            buf_str(&b, i ? "---\n" : "");
            node_print_yaml(chart->objects[i].tree, &b);
        }
    }
    if (json)
        buf_str(&b, "]}\n");
    fwrite(buf_read(&b).p, 1, buf_len(&b), stdout);
    buf_done(&b);
    return EXIT_OK;
}

int verb_install(struct cli *c)
{
    struct chart chart;
    if (c->opt[OPT_PRINT_VALUES]) {
        struct view text = chart_text("values.yaml");
        fwrite(text.p, 1, text.n, stdout);
        return EXIT_OK;
    }
    int r = render(c, &chart);
    if (r)
        return r;
    if (c->opt[OPT_DRY_RUN])
        return print_objects(c, &chart);
    return cli_fail(c, "for now: weft install --dry-run | kubectl apply --server-side -f -");
}
