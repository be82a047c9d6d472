// SPDX-License-Identifier: Apache-2.0
/* YAML as pull events: libyaml's parser (go-yaml is a port of it, so the edge cases are those of kubectl and istiod),
 * with the plain scalars typed as go-yaml v2 types them (YAML 1.1: yes/on/0o17/1_000/~) and our limits on top.
 */
#pragma once

#include "wire/pull.h"

/* Reads `text`, which must outlive the arena's use of the result. first_line is the line number of its first line, for
 * callers that cut a file at `---`. */
struct pull *yaml_pull(struct arena *a, struct view text, uint32_t first_line);

/* What the plain scalar `text` means. */
enum pull_scalar yaml_plain_type(struct view text);
/* The value of a plain scalar that yaml_plain_type called an int (decimal, 0x, 0b, 0o, leading-zero octal, `_`); -ERANGE. */
int yaml_plain_int(struct view text, int64_t *ret_value) must_check;
