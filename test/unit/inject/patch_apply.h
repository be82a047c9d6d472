// SPDX-License-Identifier: Apache-2.0
/* Applies a JSON Patch of add, remove and replace (RFC 6902), as an API server does: for tests. */
#pragma once

#include "wire/node.h"

/* In place; false: an operation does not fit the document. */
bool patch_apply(struct arena *a, struct node **doc, const struct node *patch);
