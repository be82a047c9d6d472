// SPDX-License-Identifier: Apache-2.0
/* weft help [VERB]. */
#include "cli/cli.h"

int verb_help(struct cli *c)
{
    const struct verb *v = c->n_args ? verb_find(view_of(c->args[0])) : NULL;
    if (c->n_args && !v)
        return cli_usage(c, "no verb `%s`", c->args[0]);
    if (v)
        verb_usage(v);
    else
        verbs_usage();
    return EXIT_OK;
}
