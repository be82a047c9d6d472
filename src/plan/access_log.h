// SPDX-License-Identifier: Apache-2.0
/* An access log: a file and a format made of Envoy's command operators (%START_TIME%, %RESPONSE_FLAGS% …).
 * Text logs have one format that ends in a newline; JSON logs have a format for each key. telemetry/ renders them.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/view.h"

struct access_log_field {
    struct view key, format;
};

struct access_log {
    struct view path; /* /dev/stdout */
    struct view text; /* empty: JSON */
    struct access_log_field *fields;
    uint32_t n_fields;
    bool only_no_route; /* the listener's log for connections without a filter chain: response flag filter NR */
};
