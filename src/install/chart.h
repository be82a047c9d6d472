// SPDX-License-Identifier: Apache-2.0
/* From values to objects: what `weft install` applies, and `helm install` of deploy/chart as well.
 *
 *   struct chart chart;
 *   err = chart_render(&arena, user_values, sets, n_sets, &chart, &why);
 *   for (size_t i = 0; i < chart.n; i++) node_print_yaml(chart.objects[i].tree, …);
 *
 * Objects come in the order of kinds.def. Helm makes the same but the Namespace, which it leaves to --create-namespace.
 */
#pragma once

#include "base/arena.h"
#include "base/must.h"
#include "wire/node.h"

struct installed_kind {
    const char *kind, *group, *version, *plural;
    bool namespaced;
};
extern const struct installed_kind installed_kinds[];
extern const size_t installed_kinds_n;

struct chart_object {
    const struct installed_kind *kind;
    struct view ns, name;
    struct node *tree;
};

struct chart {
    struct node *values; /* all of them, defaults included */
    struct view ns, revision;
    struct chart_object *objects;
    size_t n;
};

/* values: what the user wrote, or NULL; sets: texts of --set. Everything in the arena. -EINVAL: *ret_why. */
int chart_render(struct arena *a, const struct node *values, const struct view *sets, size_t n_sets, struct chart *ret,
                 struct view *ret_why) must_check;

struct view chart_text(const char *path); /* a file of the chart, e.g. values.yaml; empty when there is none */
