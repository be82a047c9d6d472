// SPDX-License-Identifier: Apache-2.0
/* The annotations of a pod that injection reads (annotations.def): their values, and whether they are right. */
#pragma once

#include "base/diag.h"
#include "base/must.h"
#include "wire/node.h"

enum annotation {
#define ANNOTATION(symbol, name, check, meaning) ANNOTATION_##symbol,
#include "inject/annotations.def"
#undef ANNOTATION
    ANNOTATIONS,
};

extern const char *const annotation_names[ANNOTATIONS];

/* `otherwise` when the pod does not have it. `pod` is a Pod or a pod template. */
struct view annotation_get(const struct node *pod, enum annotation a, struct view otherwise);
bool annotation_has(const struct node *pod, enum annotation a);

/* -EINVAL when a value is wrong; diags says which. `at` names the pod. */
int annotations_check(struct diags *d, const struct node *pod, const struct origin *at) must_check;
