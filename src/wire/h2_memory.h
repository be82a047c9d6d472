// SPDX-License-Identifier: Apache-2.0
/* The allocator of h2_memory.c in the shape that nghttp2 takes; only h2.c needs it (others: wire/h2.h).
 */
#pragma once

#include <nghttp2/nghttp2.h>

#include "wire/h2.h"

nghttp2_mem *h2_memory_hooks(struct h2_memory *m);
