// SPDX-License-Identifier: Apache-2.0
/* Whole manifests to the daemon: shared by apply and delete. */
#pragma once

#include "cli/cli.h"

/* what: "apply" or "delete". The exit code. */
int apply_files(struct cli *c, const char *what);
