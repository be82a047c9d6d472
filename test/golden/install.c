// SPDX-License-Identifier: Apache-2.0
/* Golden cases of installation: a file holds values (with a first comment `# only: Kind,Kind` the others are left out), the
 * golden file what `weft install --dry-run` prints, or why not. Of definitions two stand for all: the others are named.
 */
#include "cases.h"

#include "install/chart.h"

static bool wanted(struct view only, const char *kind)
{
    struct view word;
    bool any = only.n > 0;
    while (view_cut(&only, ',', &word))
        if (view_is(view_trim(word), kind))
            return true;
    return !any;
}

static void produce(struct view name, struct view text, struct buf *out)
{
    struct arena a;
    struct chart chart;
    struct node *values;
    struct view why = VIEW_NONE, only = VIEW_NONE;
    arena_init(&a, 0);
    if (view_starts(text, VIEW("# only: ")))
        only = view_head(view_from(text, 8), view_find(view_from(text, 8), '\n'));
    if (node_parse(&a, text, &values, NULL) < 0) {
        buf_str(out, "# the case itself is wrong\n");
    } else if (chart_render(&a, values, NULL, 0, &chart, &why) < 0) {
        buf_printf(out, "refused: %.*s\n", VIEW_ARGS(why));
        chart.n = 0;
    }
    for (size_t i = 0; why.n == 0 && i < chart.n; i++) {
        const struct chart_object *o = &chart.objects[i];
        if (!wanted(only, o->kind->kind))
            continue;
        if (strcmp(o->kind->kind, "CustomResourceDefinition") == 0 &&
            !view_is(o->name, "virtualservices.networking.istio.io") &&
            !view_is(o->name, "referencegrants.gateway.networking.k8s.io")) {
            buf_printf(out, "# %s %.*s\n", o->kind->kind, VIEW_ARGS(o->name));
            continue;
        }
        buf_str(out, "---\n");
        node_print_yaml(o->tree, out);
    }
    arena_done(&a);
}

int main(int argc, char **argv)
{
    return cases_main(argc, argv, ".objects.yaml", produce);
}
