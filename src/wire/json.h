// SPDX-License-Identifier: Apache-2.0
/* JSON (RFC 8259) as pull events: a strict reader for what API servers, webhooks and .json manifests send. Several
 * values one after the other (a watch stream, `kubectl get -o json` twice) are several documents.
 * Strict: UTF-8 only, no trailing commas, no comments, no duplicate escapes of half a surrogate pair.
 */
#pragma once

#include "wire/pull.h"

struct pull *json_pull(struct arena *a, struct view text, uint32_t first_line);
