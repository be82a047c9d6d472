// SPDX-License-Identifier: Apache-2.0
/* Normalising the path of a request (RFC 3986 §6.2.2.3 dot segments, doubled slashes, escaped slashes), so that what is
 * matched is what the application will see.
 */
#pragma once

#include <stdbool.h>

#include "base/arena.h"
#include "base/must.h"
#include "base/view.h"

bool path_needs_cleaning(struct view path); /* cheap; false for nearly all */
/* -EINVAL: it climbs above the root. The query is left alone. */
int path_clean(struct arena *a, struct view path, bool dots, bool slashes, bool decode_slashes,
               struct view *ret_path) must_check;
