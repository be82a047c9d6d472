// SPDX-License-Identifier: Apache-2.0
/* Hard bounds by name: LIMIT_HTTP_HEADER_BYTES and so on. The values and their reasons are in limits.def. */
#pragma once

enum limit {
#define LIMIT(name, value, reason) LIMIT_##name = (value),
#include "base/limits.def"
#undef LIMIT
};
