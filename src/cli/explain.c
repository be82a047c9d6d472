// SPDX-License-Identifier: Apache-2.0
/* weft explain ID: what a check of `weft check` (WC…) or a diagnostic (IST…, WEFT…) means and what to do, without a network.
 * Without an ID: all checks. */
#include <stdio.h>

#include "base/diag.h"
#include "cli/check.h"

static int explain_all(struct cli *c)
{
    struct view group = VIEW_NONE;
    for (size_t i = 0; i < check_rows_n; i++) {
        if (!view_is(group, check_rows[i].group))
            printf("%s%s\n", i ? "\n" : "", check_rows[i].group);
        group = view_of(check_rows[i].group);
        printf("  %s  %s\n", check_rows[i].id, check_rows[i].holds);
    }
    return EXIT_OK;
}

int verb_explain(struct cli *c)
{
    if (!c->n_args)
        return explain_all(c);
    for (size_t i = 0; i < check_rows_n; i++) {
        const struct check_row *row = &check_rows[i];
        if (strcmp(row->id, c->args[0]) != 0)
            continue;
        printf("%s (%s): %s\n\n", row->id, row->group, row->holds);
        printf("When it does not hold that is %s.\nWhat to do: %s\n",
               row->worst == MARK_FAILED ? "an error: the mesh, or a part of it, does not work" : "a warning",
               row->hint);
        return EXIT_OK;
    }
    const char *meaning = diag_meaning(c->args[0]);
    if (meaning) {
        printf("%s: %s\n", c->args[0], meaning);
        return EXIT_OK;
    }
    return cli_usage(c, "nothing is called `%s`: checks are WC001 …, diagnostics IST… and WEFT…", c->args[0]);
}
