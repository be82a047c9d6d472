// SPDX-License-Identifier: Apache-2.0
/* `weft version`: what this binary calls itself, as text or JSON. It asks no cluster, so it works anywhere and tells
 * which weft is installed when nothing else runs. */
#include <stdio.h>

#include "cli/cli.h"

int verb_version(struct cli *c)
{
    if (c->output == OUTPUT_JSON)
        printf("{\"version\":\"%s\"}\n", WEFT_VERSION);
    else
        printf("weft %s\n", WEFT_VERSION);
    return EXIT_OK;
}
