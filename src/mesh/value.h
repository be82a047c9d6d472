// SPDX-License-Identifier: Apache-2.0
/* The small value types that kinds share: lists of strings, and values that may be absent.
 *
 * A plain integer or view is used where absent and zero mean the same to the API; an opt_… where they differ
 * (`timeout: 0s` disables, no timeout is the default).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/view.h"

struct strings {
    struct view *list;
    uint32_t n;
};

bool strings_has(const struct strings *s, struct view text);

struct opt_bool {
    bool set, value;
};
struct opt_u32 {
    bool set;
    uint32_t value;
};
struct opt_i64 {
    bool set;
    int64_t value;
};
struct opt_f64 {
    bool set;
    double value;
};
struct opt_duration {
    bool set;
    uint64_t ns;
};

/* Kubernetes IntOrString: a port by number or name, a count or a percentage. */
struct int_or_str {
    bool set;
    int32_t number; /* when text is empty */
    struct view text;
};

/* A quantity as written (`100m`, `1Gi`). */
struct quantity {
    struct view name; /* cpu, memory … */
    struct view text;
};
