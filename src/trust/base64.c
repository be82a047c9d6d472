// SPDX-License-Identifier: Apache-2.0
/* Base64 for JWTs (base64.h). */
#include "trust/base64.h"

#include <errno.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

void base64_url(struct buf *out, struct view bytes)
{
    for (size_t i = 0; i < bytes.n; i += 3) {
        size_t left = bytes.n - i;
        uint32_t v = (uint32_t)(uint8_t)bytes.p[i] << 16;
        if (left > 1)
            v |= (uint32_t)(uint8_t)bytes.p[i + 1] << 8;
        if (left > 2)
            v |= (uint8_t)bytes.p[i + 2];
        for (size_t k = 0; k < 4 && k <= left; k++)
            buf_char(out, alphabet[v >> (18 - 6 * k) & 63]);
    }
}

static int value_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '-' ? 62 : c == '_' ? 63 : -1;
}

int base64_url_read(struct buf *out, struct view text)
{
    uint32_t bits = 0;
    int n = 0;
    if (text.n % 4 == 1)
        return -EINVAL;
    for (size_t i = 0; i < text.n; i++) {
        int v = value_of(text.p[i]);
        if (v < 0)
            return -EINVAL;
        bits = bits << 6 | (uint32_t)v;
        n += 6;
        if (n >= 8) {
            n -= 8;
            buf_char(out, (char)(bits >> n));
            bits &= (1u << n) - 1;
        }
    }
    return bits ? -EINVAL : 0;
}
