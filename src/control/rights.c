// SPDX-License-Identifier: Apache-2.0
/* See rights.h and rights.def. */
#include "control/rights.h"

#define V(text)                                                                                                        \
    {                                                                                                                  \
        text, sizeof(text) - 1                                                                                         \
    }
const struct control_right control_rights[] = {
#define RIGHT(group, resources, verbs, names, where, why)                                                              \
    {V(group), V(resources), V(verbs), V(names), RIGHT_##where, why},
#include "control/rights.def"
#undef RIGHT
};
const size_t n_control_rights = sizeof(control_rights) / sizeof(control_rights[0]);
