// SPDX-License-Identifier: Apache-2.0
/* The files of deploy/chart as they were when weft was built (embed.py writes them into a C file), so that `weft install`
 * needs nothing but itself. */
#pragma once

#include <stddef.h>

struct chart_file {
    const char *path; /* below deploy/chart: templates/service.yaml */
    const char *text;
    size_t n;
};

extern const struct chart_file chart_files[];
extern const size_t chart_files_n;
