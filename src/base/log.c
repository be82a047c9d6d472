// SPDX-License-Identifier: Apache-2.0
/* Log lines to stderr, each in one write so that lines of several threads and processes never mix (log.h). */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"

static enum log_level most = LOG_INFO; /* process-wide by design, see log.h */
static bool as_json;

static const char *const names[] = {
    [LOG_ERROR] = "error", [LOG_WARN] = "warn", [LOG_INFO] = "info", [LOG_DEBUG] = "debug"};

void log_set(enum log_level level, bool json)
{
    __atomic_store_n(&most, level, __ATOMIC_RELAXED); /* other threads log meanwhile */
    __atomic_store_n(&as_json, json, __ATOMIC_RELAXED);
}

bool log_is_json(void)
{
    return __atomic_load_n(&as_json, __ATOMIC_RELAXED);
}

bool log_on(enum log_level level)
{
    return level <= __atomic_load_n(&most, __ATOMIC_RELAXED);
}

int log_parse_level(const char *name, enum log_level *ret_level)
{
    if (!strcmp(name, "warning"))
        name = "warn";
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (!strcmp(name, names[i])) {
            *ret_level = (enum log_level)i;
            return 0;
        }
    return -EINVAL;
}

void log_at(enum log_level level, const char *fmt, ...)
{
    if (!log_on(level))
        return;
    char text[2048];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    size_t len = n < 0 ? 0 : (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1;
    for (size_t i = 0; i < len; i++) /* one event is one line, whatever a peer put into it */
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            text[i] = ' ';
    struct buf line = {0};
    bool json = log_is_json();
    if (json)
        buf_str(&line, "{\"time\":\"");
    clock_print_time(&line, clock_wall());
    if (json) {
        buf_printf(&line, "\",\"level\":\"%s\",\"msg\":", names[level]);
        buf_json_str(&line, view_make(text, len));
        buf_str(&line, "}\n");
    } else {
        buf_printf(&line, " %-5s ", names[level]);
        buf_view(&line, view_make(text, len));
        buf_char(&line, '\n');
    }
    struct view out = buf_read(&line);
    if (write(STDERR_FILENO, out.p, out.n) < 0)
        (void)0; /* nowhere left to say it */
    buf_done(&line);
}
