// SPDX-License-Identifier: Apache-2.0
/* Labels, annotations and the two kinds of selectors over them.
 *
 *   if (labels_match(&service->selector, &pod->o.meta.labels)) …
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/view.h"
#include "mesh/value.h"

struct label {
    struct view key, value;
};

struct labels {
    struct label *list; /* in the order written; keys are unique */
    uint32_t n;
};

struct view labels_get(const struct labels *l, struct view key); /* the empty view when absent: ask labels_has */
bool labels_has(const struct labels *l, struct view key);
bool labels_is(const struct labels *l, const char *key, const char *value);

/* Every pair of the selector is in `of`; an empty selector matches everything (a Service's empty selector selects
 * nothing: its caller knows). */
bool labels_match(const struct labels *selector, const struct labels *of);

enum label_op { LABEL_IN, LABEL_NOT_IN, LABEL_EXISTS, LABEL_DOES_NOT_EXIST };

struct label_requirement {
    struct view key;
    enum label_op op;
    struct strings values;
};

struct label_selector { /* metav1.LabelSelector: all must hold; empty matches everything */
    bool set;
    struct labels match_labels;
    struct label_requirement *exprs;
    uint32_t n_exprs;
};

bool label_selector_match(const struct label_selector *s, const struct labels *of);
