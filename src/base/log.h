// SPDX-License-Identifier: Apache-2.0
/* The log of a program: one line an event, key=value, to stderr. Libraries from base to plan never log: they return an
 * error and fill a struct diag. Log or return, never both. No secret is ever an argument.
 *
 *   log_warn("xds stream ended, retrying in %u ms", delay);
 *
 * Format (text): 2026-11-22T18:41:20.123Z warn  xds stream ended, retrying in 200 ms
 */
#pragma once

#include <stdbool.h>

#include "base/must.h"

enum log_level {
    LOG_ERROR, /* a person must act */
    LOG_WARN,  /* something failed and was dealt with; the line ends in what follows from it */
    LOG_INFO,  /* life cycle: started, synced, drained */
    LOG_DEBUG, /* for developers */
};

/* Process-wide: a program has one stderr. Any thread may change it while others log. */
void log_set(enum log_level most, bool json);
bool log_on(enum log_level level);
bool log_is_json(void);
int log_parse_level(const char *name, enum log_level *ret_level) must_check; /* error|warning|warn|info|debug */
void log_at(enum log_level level, const char *fmt, ...) printf_like(2, 3);

#define log_error(...) log_at(LOG_ERROR, __VA_ARGS__)
#define log_warn(...) log_at(LOG_WARN, __VA_ARGS__)
#define log_info(...) log_at(LOG_INFO, __VA_ARGS__)
#define log_debug(...) (log_on(LOG_DEBUG) ? log_at(LOG_DEBUG, __VA_ARGS__) : (void)0)
