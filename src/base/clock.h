// SPDX-License-Identifier: Apache-2.0
/* Time, in nanoseconds. Durations and deadlines use the monotonic clock; only logs, certificates and tokens use the wall
 * clock. Code under a loop asks the loop (net/loop.h), whose clock a simulation can replace; these are for the rest.
 */
#pragma once

#include <stdint.h>

#include "base/buf.h"
#include "base/view.h"

#define NS_PER_US UINT64_C(1000)
#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_S UINT64_C(1000000000)

uint64_t clock_mono(void);
uint64_t clock_wall(void); /* since 1970 */

/* protobuf Duration as people write it in YAML: "1.5s", "100ms", "1h30m" (units h m s ms us ns); -EINVAL otherwise. */
int clock_parse_duration(struct view text, uint64_t *ret_ns) must_check;
void clock_print_duration(struct buf *b, uint64_t ns); /* "1.5s", "100ms", "0s" */

/* RFC 3339 in UTC with milliseconds: 2026-11-22T18:41:20.123Z */
void clock_print_time(struct buf *b, uint64_t wall_ns);
/* RFC 3339 with any fraction and offset; -EINVAL otherwise. */
int clock_parse_time(struct view text, uint64_t *ret_wall_ns) must_check;
