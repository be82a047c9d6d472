// SPDX-License-Identifier: Apache-2.0
/* The bytes of gRPC: see grpc.h.
 */
#include "wire/grpc.h"

#include <errno.h>

#include "base/clock.h"

static const char *const names[] = {
#define GRPC_STATUS(name, value) [(value)] = #name,
#include "wire/grpc_status.def"
#undef GRPC_STATUS
};

const char *grpc_status_name(unsigned status)
{
    return status < COUNT_OF(names) ? names[status] : "";
}

enum grpc_status grpc_status_parse(struct view text)
{
    uint64_t n;
    return view_u64(text, &n) == 0 && n < COUNT_OF(names) ? (enum grpc_status)n : GRPC_UNKNOWN;
}

enum grpc_status grpc_status_of_http(unsigned http_status)
{
    switch (http_status) {
    case 400:
        return GRPC_INTERNAL;
    case 401:
        return GRPC_UNAUTHENTICATED;
    case 403:
        return GRPC_PERMISSION_DENIED;
    case 404:
        return GRPC_UNIMPLEMENTED;
    case 429:
    case 502:
    case 503:
    case 504:
        return GRPC_UNAVAILABLE;
    }
    return GRPC_UNKNOWN;
}

static const struct {
    char unit;
    uint64_t ns;
} units[] = {{'n', 1},        {'u', NS_PER_US},     {'m', NS_PER_MS},
             {'S', NS_PER_S}, {'M', 60 * NS_PER_S}, {'H', 3600 * NS_PER_S}};

int grpc_timeout_parse(struct view text, uint64_t *ret_ns)
{
    uint64_t n;
    if (text.n < 2 || text.n > 9 || view_u64(view_head(text, text.n - 1), &n) < 0)
        return -EINVAL;
    for (size_t i = 0; i < COUNT_OF(units); i++)
        if (units[i].unit == text.p[text.n - 1]) {
            *ret_ns = n > UINT64_MAX / units[i].ns ? UINT64_MAX : n * units[i].ns;
            return 0;
        }
    return -EINVAL;
}

void grpc_timeout_print(struct buf *b, uint64_t ns)
{
    size_t i = 0;
    while (i + 1 < COUNT_OF(units) && ns / units[i].ns > 99999998)
        i++;
    uint64_t n = ns / units[i].ns + (ns % units[i].ns != 0);
    buf_u64(b, n > 99999999 ? 99999999 : n);
    buf_char(b, units[i].unit);
}

void grpc_message_encode(struct buf *b, struct view text)
{
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        if (c >= 0x20 && c <= 0x7e && c != '%') {
            buf_char(b, (char)c);
            continue;
        }
        buf_char(b, '%');
        buf_char(b, hex[c >> 4]);
        buf_char(b, hex[c & 15]);
    }
}

static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

void grpc_message_decode(struct buf *b, struct view text)
{
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] == '%' && i + 2 < text.n && digit(text.p[i + 1]) >= 0 && digit(text.p[i + 2]) >= 0) {
            buf_char(b, (char)(digit(text.p[i + 1]) << 4 | digit(text.p[i + 2])));
            i += 2;
        } else {
            buf_char(b, text.p[i]);
        }
    }
}

void grpc_frame_write(uint8_t head[GRPC_FRAME_BYTES], uint32_t n)
{
    head[0] = 0;
    head[1] = (uint8_t)(n >> 24);
    head[2] = (uint8_t)(n >> 16);
    head[3] = (uint8_t)(n >> 8);
    head[4] = (uint8_t)n;
}

int grpc_frame_read(struct view bytes, uint32_t most, struct view *ret_message, size_t *ret_need)
{
    const uint8_t *p = (const uint8_t *)bytes.p;
    *ret_need = GRPC_FRAME_BYTES;
    if (bytes.n < GRPC_FRAME_BYTES)
        return -EAGAIN;
    if (p[0] > 1)
        return -EINVAL;
    uint32_t n = (uint32_t)p[1] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 8 | p[4];
    if (n > most)
        return -EMSGSIZE;
    if (p[0] == 1)
        return -EOPNOTSUPP;
    *ret_need = GRPC_FRAME_BYTES + (size_t)n;
    if (bytes.n < *ret_need)
        return -EAGAIN;
    *ret_message = (struct view){bytes.p + GRPC_FRAME_BYTES, n};
    return 0;
}

bool grpc_content_type(struct view content_type)
{
    struct view prefix = VIEW("application/grpc");
    if (!view_istarts(content_type, prefix))
        return false;
    return content_type.n == prefix.n || content_type.p[prefix.n] == '+' || content_type.p[prefix.n] == ';';
}
