// SPDX-License-Identifier: Apache-2.0
/* Clocks, durations and timestamps as text (clock.h). */
#include "base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static uint64_t read_clock(clockid_t id)
{
    struct timespec ts;
    clock_gettime(id, &ts);
    return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

uint64_t clock_mono(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

uint64_t clock_wall(void)
{
    return read_clock(CLOCK_REALTIME);
}

static const struct {
    const char *name;
    uint64_t ns;
} units[] = {{"h", 3600 * NS_PER_S}, {"ms", NS_PER_MS}, {"m", 60 * NS_PER_S},
             {"s", NS_PER_S},        {"us", NS_PER_US}, {"ns", 1}};

static int parse_unit(struct view *text, uint64_t *ret_ns)
{
    for (size_t i = 0; i < COUNT_OF(units); i++) {
        struct view name = view_of(units[i].name);
        if (!view_starts(*text, name))
            continue;
        *text = view_from(*text, name.n);
        *ret_ns = units[i].ns;
        return 0;
    }
    return -EINVAL;
}

/* One "number unit" pair, added to *total. */
static int parse_part(struct view *text, uint64_t *total)
{
    uint64_t whole = 0, unit, scaled;
    double fraction = 0, scale = 0.1;
    size_t digits = 0;
    for (; text->n && text->p[0] >= '0' && text->p[0] <= '9'; *text = view_from(*text, 1), digits++)
        if (__builtin_mul_overflow(whole, 10u, &whole) ||
            __builtin_add_overflow(whole, (uint64_t)(text->p[0] - '0'), &whole))
            return -EINVAL;
    if (text->n && text->p[0] == '.')
        for (*text = view_from(*text, 1); text->n && text->p[0] >= '0' && text->p[0] <= '9';
             *text = view_from(*text, 1)) {
            fraction += (text->p[0] - '0') * scale;
            scale /= 10;
            digits++;
        }
    if (!digits || parse_unit(text, &unit) < 0 || __builtin_mul_overflow(whole, unit, &scaled))
        return -EINVAL;
    scaled += (uint64_t)(fraction * (double)unit + 0.5);
    return __builtin_add_overflow(*total, scaled, total) ? -EINVAL : 0;
}

int clock_parse_duration(struct view text, uint64_t *ret_ns)
{
    uint64_t total = 0;
    if (text.n == 0)
        return -EINVAL;
    if (view_is(text, "0")) {
        *ret_ns = 0;
        return 0;
    }
    while (text.n) {
        int r = parse_part(&text, &total);
        if (r < 0)
            return r;
    }
    *ret_ns = total;
    return 0;
}

void clock_print_duration(struct buf *b, uint64_t ns)
{
    const char *unit = ns % NS_PER_S == 0 || ns > NS_PER_S ? "s"
                       : ns % NS_PER_MS == 0               ? "ms"
                       : ns % NS_PER_US == 0               ? "us"
                                                           : "ns";
    uint64_t scale = unit[0] == 's' ? NS_PER_S : unit[0] == 'm' ? NS_PER_MS : unit[0] == 'u' ? NS_PER_US : 1;
    buf_u64(b, ns / scale);
    uint64_t rest = ns % scale;
    if (rest) {
        char fraction[10];
        int n = snprintf(fraction, sizeof(fraction), "%09lu", (unsigned long)rest);
        while (n > 0 && fraction[n - 1] == '0')
            n--;
        buf_char(b, '.');
        buf_view(b, view_make(fraction, (size_t)n));
    }
    buf_str(b, unit);
}

void clock_print_time(struct buf *b, uint64_t wall_ns)
{
    time_t s = (time_t)(wall_ns / NS_PER_S);
    struct tm tm;
    char text[32];
    gmtime_r(&s, &tm);
    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
    buf_printf(b, "%s.%03uZ", text, (unsigned)(wall_ns % NS_PER_S / NS_PER_MS));
}

int clock_parse_time(struct view text, uint64_t *ret_wall_ns)
{
    char copy[40];
    struct tm tm = {0};
    if (text.n >= sizeof(copy))
        return -EINVAL;
    memcpy(copy, text.p, text.n);
    copy[text.n] = 0;
    char *at = strptime(copy, "%Y-%m-%dT%H:%M:%S", &tm);
    if (!at)
        return -EINVAL;
    double fraction = *at == '.' ? strtod(at, &at) : 0;
    long offset = 0;
    if (*at == '+' || *at == '-') {
        int h, m;
        if (sscanf(at + 1, "%2d:%2d", &h, &m) != 2 || strlen(at) != 6)
            return -EINVAL;
        offset = (*at == '-' ? -1 : 1) * (h * 3600L + m * 60L);
    } else if (strcmp(at, "Z") != 0) {
        return -EINVAL;
    }
    time_t s = timegm(&tm) - offset;
    if (s < 0)
        return -EINVAL;
    *ret_wall_ns = (uint64_t)s * NS_PER_S + (uint64_t)(fraction * 1e9);
    return 0;
}
