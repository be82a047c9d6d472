// SPDX-License-Identifier: Apache-2.0
/* What every fuzz target defines: one input in, 0 out; it aborts when an invariant does not hold. One target per decoder of
 * bytes that a stranger may send, named after the decoder's file.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
