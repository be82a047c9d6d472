// SPDX-License-Identifier: Apache-2.0
/* Manifests that -f and arguments name: files, directories (*.yaml, *.yml, *.json), `-` for stdin. */
#pragma once

#include "cli/cli.h"

struct input_file {
    struct view name, text;
};

/* Reads all of them; EXIT_FAILED with a complaint when one cannot be read, EXIT_USAGE when there are none. */
int files_read(struct cli *c, const char *const *paths, size_t n, struct input_file **ret_files,
               size_t *ret_n) must_check;
/* One file, whole; VIEW_NONE with a complaint. */
int files_read_one(struct cli *c, const char *path, struct view *ret_text) must_check;
