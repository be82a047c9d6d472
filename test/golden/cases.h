// SPDX-License-Identifier: Apache-2.0
/* Golden cases: a folder of *.yaml, each beside the text that it must produce (<name><suffix>). With --update the texts
 * are written anew, to be reviewed as a diff.
 *
 *   return cases_main(argc, argv, ".injected.yaml", produce);      // argv: folder [--update]
 */
#pragma once

#include "base/buf.h"
#include "base/view.h"

/* Appends what the case must give. `name` is the file's name without its folder. */
typedef void (*case_fn)(struct view name, struct view text, struct buf *out);

int cases_main(int argc, char **argv, const char *suffix, case_fn produce); /* 0, or 1 when a case differs */
