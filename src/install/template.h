// SPDX-License-Identifier: Apache-2.0
/* The part of Helm's template language that deploy/chart is written in, so that `weft install` and `helm install` make
 * the same objects from the same files. It is small on purpose, and what is outside of it is an error with file and
 * line, never text that passes through:
 *
 *   {{ }} {{- -}} {{/ * comment * /}}     trimming as Go's
 *   . $ $x .a.b $.Values.a $x.b          a field that is absent is nil; nil never prints: that is an error
 *   "text" 12 true (expr)  a | f x       literals, parentheses, pipelines
 *   if, else if, else, with, range (lists and maps: {{ range $k, $v := … }}), end, define, $x := …
 *   include, toYaml, fromYaml, toJson, indent, nindent, quote, default, merge, eq, ne, and, or, not, index, printf
 *   and a few more: the list is template_functions in template_call.c
 *
 *   struct template_set set; template_set_init(&set, &arena);
 *   err = template_add(&set, VIEW("templates/service.yaml"), text, &why);        // each file: parses, keeps its defines
 *   err = template_run(&set, VIEW("templates/service.yaml"), root, &out, &why);
 *
 * Two differences from Go are deliberate: maps print and range with sorted keys (Go does too), and merge never changes
 * its arguments (the chart writes `merge (deepCopy x) y`, which means the same in both).
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/must.h"
#include "wire/node.h"

struct template_piece;
struct template_define;

struct template_file {
    struct view name;
    struct template_piece *body;
};

struct template_set {
    struct arena *arena;
    struct template_file *files;
    size_t n_files;
    struct template_define *defines;
    size_t n_defines;
};

void template_set_init(struct template_set *set, struct arena *a);

/* -EINVAL: *ret_why says file, line and what it does not know (in the arena). The text must outlive the set. */
int template_add(struct template_set *set, struct view name, struct view text, struct view *ret_why) must_check;
/* Appends to `out`; root is what `.` and `$` are at first. */
int template_run(const struct template_set *set, struct view name, struct node *root, struct buf *out,
                 struct view *ret_why) must_check;
