// SPDX-License-Identifier: Apache-2.0
/* Reading a ClientHello (client_hello.h): records are joined first, then extensions are walked with bounds at each step. */
#include "wire/client_hello.h"

#include <errno.h>
#include <string.h>

#include "base/limits.h"

enum { RECORD_HANDSHAKE = 22, HANDSHAKE_CLIENT_HELLO = 1, EXT_SERVER_NAME = 0, EXT_ALPN = 16 };

static unsigned byte_at(struct view v, size_t at)
{
    return (unsigned char)v.p[at];
}

/* Takes n bytes off the front; false: there are not so many. */
static bool take(struct view *v, size_t n, struct view *ret)
{
    if (v->n < n)
        return false;
    *ret = view_head(*v, n);
    *v = (struct view){v->p + n, v->n - n};
    return true;
}

/* A vector with a length of `width` bytes in front. */
static bool take_vector(struct view *v, size_t width, struct view *ret)
{
    struct view head;
    size_t n = 0;
    if (!take(v, width, &head))
        return false;
    for (size_t i = 0; i < width; i++)
        n = n << 8 | byte_at(head, i);
    return take(v, n, ret);
}

/* The handshake message out of its records: *ret is as much as is there. */
static int join(struct view bytes, char *scratch, struct view *ret)
{
    size_t n = 0, records = 0;
    struct view only = VIEW_NONE;
    while (bytes.n >= 5 && byte_at(bytes, 0) == RECORD_HANDSHAKE) {
        size_t length = byte_at(bytes, 3) << 8 | byte_at(bytes, 4);
        if (byte_at(bytes, 1) != 3 || length == 0 || length > 16384)
            return -EPROTO;
        struct view body = view_head((struct view){bytes.p + 5, bytes.n - 5}, length);
        memcpy(scratch + n, body.p, body.n);
        n += body.n;
        only = body;
        records++;
        if (body.n < length)
            break;
        bytes = view_from(bytes, 5 + length);
    }
    *ret = records == 1 ? only : (struct view){scratch, n};
    return 0;
}

static int read_server_name(struct view ext, struct client_hello *hello)
{
    struct view names, type, name;
    if (!take_vector(&ext, 2, &names))
        return -EPROTO;
    while (names.n) {
        if (!take(&names, 1, &type) || !take_vector(&names, 2, &name))
            return -EPROTO;
        if (byte_at(type, 0) == 0 && !hello->server_name.n)
            hello->server_name = name;
    }
    return 0;
}

static int read_alpn(struct view ext, struct client_hello *hello)
{
    struct view list, protocol;
    if (!take_vector(&ext, 2, &list))
        return -EPROTO;
    while (list.n) {
        if (!take_vector(&list, 1, &protocol) || !protocol.n)
            return -EPROTO;
        if (hello->n_alpn < CLIENT_HELLO_ALPN)
            hello->alpn[hello->n_alpn++] = protocol;
    }
    return 0;
}

static int read_extensions(struct view exts, struct client_hello *hello)
{
    struct view type, body;
    while (exts.n) {
        if (!take(&exts, 2, &type) || !take_vector(&exts, 2, &body))
            return -EPROTO;
        unsigned id = byte_at(type, 0) << 8 | byte_at(type, 1);
        int r = id == EXT_SERVER_NAME ? read_server_name(body, hello) : id == EXT_ALPN ? read_alpn(body, hello) : 0;
        if (r < 0)
            return r;
    }
    return 0;
}

int client_hello_read(struct view bytes, char *scratch, struct client_hello *ret_hello)
{
    if (bytes.n && byte_at(bytes, 0) != RECORD_HANDSHAKE)
        return -EPROTO;
    if (bytes.n > 1 && byte_at(bytes, 1) != 3)
        return -EPROTO;
    struct view message, skip, body, exts;
    int r = join(bytes, scratch, &message);
    if (r < 0)
        return r;
    if (message.n && byte_at(message, 0) != HANDSHAKE_CLIENT_HELLO)
        return -EPROTO;
    if (message.n < 4)
        return bytes.n >= LIMIT_SNIFF_BYTES ? -EPROTO : -EAGAIN;
    size_t length = byte_at(message, 1) << 16 | byte_at(message, 2) << 8 | byte_at(message, 3);
    if (length > LIMIT_SNIFF_BYTES)
        return -EPROTO;
    if (message.n - 4 < length)
        return bytes.n >= LIMIT_SNIFF_BYTES ? -EPROTO : -EAGAIN;
    body = view_head(view_from(message, 4), length);
    struct client_hello hello = {0};
    if (!take(&body, 2 + 32, &skip) || !take_vector(&body, 1, &skip) || !take_vector(&body, 2, &skip) ||
        !take_vector(&body, 1, &skip))
        return -EPROTO;
    if (body.n) { /* extensions may be absent in TLS 1.2 */
        if (!take_vector(&body, 2, &exts) || body.n)
            return -EPROTO;
        r = read_extensions(exts, &hello);
        if (r < 0)
            return r;
    }
    *ret_hello = hello;
    return 0;
}
