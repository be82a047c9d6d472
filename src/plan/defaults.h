// SPDX-License-Identifier: Apache-2.0
/* Defaults that users can set, by name: DEFAULT_CONNECT_TIMEOUT and so on; durations in nanoseconds. Values and their
 * Istio source are in defaults.def.
 */
#pragma once

#include <stdint.h>

#include "base/clock.h"

#define DEFAULT(name, value, source) static const uint64_t DEFAULT_##name __attribute__((unused)) = (value);
#include "plan/defaults.def"
#undef DEFAULT
