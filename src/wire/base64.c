// SPDX-License-Identifier: Apache-2.0
/* Base64 in its three forms (base64.h). */
#include "wire/base64.h"

#include <errno.h>
#include <stdint.h>

static const struct form {
    char last[2]; /* the digits 62 and 63 */
    bool padded, lines;
} forms[] = {
    [BASE64_STANDARD] = {.last = {'+', '/'}, .padded = true},
    [BASE64_URL] = {.last = {'-', '_'}},
    [BASE64_LINES] = {.last = {'+', '/'}, .padded = true, .lines = true},
};

static char digit_of(const struct form *f, uint32_t value)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    return value < 62 ? digits[value] : f->last[value - 62];
}

static int value_of(const struct form *f, char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == f->last[0] ? 62 : c == f->last[1] ? 63 : -1;
}

void base64_write(struct buf *out, enum base64_form form, struct view bytes)
{
    const struct form *f = &forms[form];
    char *to = buf_room(out, (bytes.n + 2) / 3 * 4, NULL);
    size_t n = 0;
    for (size_t i = 0; i < bytes.n; i += 3) {
        size_t left = bytes.n - i;
        uint32_t v = (uint32_t)(uint8_t)bytes.p[i] << 16;
        if (left > 1)
            v |= (uint32_t)(uint8_t)bytes.p[i + 1] << 8;
        if (left > 2)
            v |= (uint8_t)bytes.p[i + 2];
        for (size_t k = 0; k < 4; k++)
            if (k <= left)
                to[n++] = digit_of(f, v >> (18 - 6 * k) & 63);
            else if (f->padded)
                to[n++] = '=';
    }
    buf_added(out, n);
}

int base64_read(struct buf *out, enum base64_form form, struct view text)
{
    const struct form *f = &forms[form];
    char *to = buf_room(out, text.n / 4 * 3 + 3, NULL);
    size_t n = 0, digits = 0, padding = 0;
    uint32_t bits = 0;
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (f->lines && (c == '\n' || c == '\r'))
            continue;
        if (f->padded && c == '=') {
            padding++;
            continue;
        }
        int v = value_of(f, c);
        if (v < 0 || padding)
            return -EINVAL;
        bits = (bits << 6 | (uint32_t)v) & 0xffffff;
        size_t rest = ++digits % 4; /* a digit completes a byte, but for the first of four */
        if (rest != 1)
            to[n++] = (char)(bits >> (rest ? 6 - 2 * (rest - 1) : 0));
    }
    size_t rest = digits % 4;
    if (rest == 1 || padding != (f->padded && rest ? 4 - rest : 0))
        return -EINVAL;
    if (rest && !f->lines && bits & (rest == 2 ? 0xf : 0x3))
        return -EINVAL;
    buf_added(out, n);
    return 0;
}
