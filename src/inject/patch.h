// SPDX-License-Identifier: Apache-2.0
/* JSON Patch (RFC 6902) between two trees: what the API server must do to `from` so that it is `to`.
 *
 *   json_patch(&out, pod, injected);        // [{"op":"add","path":"/metadata/labels/app","value":"x"}, …]
 *
 * Small: what is equal is not mentioned, a list whose items keep their order is changed item by item (maps are the same
 * item when they have the same name), everything else is replaced whole. Only add, remove and replace are written. Work
 * is linear in the size of both trees when `to` keeps the order of `from`'s keys, as a changed copy does.
 */
#pragma once

#include "base/buf.h"
#include "wire/node.h"

/* Appends the patch, "[]" when nothing differs. Trees are JSON: numbers are printed as written. */
void json_patch(struct buf *out, const struct node *from, const struct node *to);
