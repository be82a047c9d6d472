// SPDX-License-Identifier: Apache-2.0
/* Starting a sandbox and following it: what `weft up` and `weft demo` share. */
#pragma once

#include <sys/types.h>

#include "cli/cli.h"

struct node;

struct up {
    struct cli *c;
    const char **paths; /* manifests and directories */
    size_t n_paths;
    const char *images; /* images.yaml; NULL: looked for beside the manifests */
    bool detach;
    pid_t child;      /* the supervisor */
    uint64_t started; /* monotonic */
    bool manifests_good;
};

/* Starts the daemon and waits until every pod is ready, with progress on stderr. EXIT_OK; EXIT_FAILED: it could not be
 * started, or not everything became ready in time (then it runs on). */
int up_start(struct up *u) must_check;
/* Until Ctrl-C, SIGTERM or the end of the sandbox. ns > 0: at most so long. */
void up_stay(struct up *u, uint64_t ns);
/* Ends it and waits until nothing of it is left. */
void up_end(struct up *u);
void up_note(const struct up *u, bool good, const char *fmt, ...) printf_like(3, 4); /* "  √ text" */
