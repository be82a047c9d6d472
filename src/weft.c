// SPDX-License-Identifier: Apache-2.0
/* weft: what people type. Everything is in cli/: one file for each verb, listed in cli/verbs.def. */
#include "cli/cli.h"

int main(int argc, char **argv)
{
    return cli_main(argc, argv);
}
