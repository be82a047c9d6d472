// SPDX-License-Identifier: Apache-2.0
/* weft version. */
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
