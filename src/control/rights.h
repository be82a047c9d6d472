// SPDX-License-Identifier: Apache-2.0
/* The rights of rights.def as a table, for `weft install`, `weft check --pre` and the test that compares them.
 *
 *   for (size_t i = 0; i < n_control_rights; i++) ask(&control_rights[i]);
 */
#pragma once

#include <stddef.h>

#include "base/view.h"

enum right_scope { RIGHT_CLUSTER, RIGHT_HOME };

struct control_right {
    struct view group, resources, verbs, names; /* lists with ',' */
    enum right_scope where;
    const char *why;
};

extern const struct control_right control_rights[];
extern const size_t n_control_rights;
