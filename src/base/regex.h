// SPDX-License-Identifier: Apache-2.0
/* Regular expressions with RE2's syntax and linear time, as Istio documents them. Matching is always against the whole text.
 * Compiling hides the forms that need no engine (literal, prefix.*, .*suffix, .*).
 */
#pragma once

#include "base/arena.h"
#include "base/must.h"
#include "base/view.h"

struct regex; /* immutable, safe to share between threads */

/* Compiles into the arena (freed with it). -EINVAL: *ret_error says why in RE2's words (allocated in the arena). */
int regex_new(struct arena *a, struct view pattern, struct regex **ret_regex, struct view *ret_error) must_check;
bool regex_match(const struct regex *r, struct view text); /* the whole text */
struct view regex_pattern(const struct regex *r);

/* Substitution of the first match, with \0..\9 in `with` (Istio uriRegexRewrite); the result lives in the arena. */
struct view regex_replace(const struct regex *r, struct arena *a, struct view text, struct view with);
