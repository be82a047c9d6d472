// SPDX-License-Identifier: Apache-2.0
/* What `weft get` shows of each kind: the columns of kubectl's tables. */
#pragma once

#include "base/arena.h"
#include "cli/table.h"
#include "mesh/object.h"

/* A table for objects of this kind; with_ns puts a column in front, wide adds some at the end. */
void columns_table(struct table *t, struct arena *a, enum mesh_kind kind, bool with_ns, bool wide);
/* One row. label: "pod/web-1" when several kinds are shown in one listing, else the bare name. */
void columns_row(struct table *t, enum mesh_kind kind, const struct node *object, struct view label, bool with_ns,
                 bool wide);
struct view columns_age(struct arena *a, struct view timestamp); /* "5m", "3d2h" */
