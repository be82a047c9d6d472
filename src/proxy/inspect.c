// SPDX-License-Identifier: Apache-2.0
/* Protocol sniffing (inspect.h). Bytes are read into the loop's scratch area, looked at, and pushed back. */
#include "proxy/inspect.h"

#include <errno.h>
#include <string.h>

#include "base/limits.h"
#include "net/loop.h"
#include "proxy/connection.h"
#include "proxy/worker.h"
#include "wire/client_hello.h"

static const struct view preface = {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24};

/* Everything that has come so far; it stays unread. 0, -EAGAIN when nothing is there, -errno. */
static int look(struct conn *conn, struct loop *loop, struct view *ret_bytes, bool *ret_end)
{
    char *to = loop_scratch(loop);
    size_t n = 0;
    ssize_t r = -EAGAIN;
    *ret_end = false;
    while (n < LIMIT_SNIFF_BYTES && (r = conn_recv(conn, to + n, LIMIT_SNIFF_BYTES - n)) > 0)
        n += (size_t)r;
    if (n)
        conn_unread(conn, (struct view){to, n});
    *ret_bytes = (struct view){to, n};
    *ret_end = r == 0;
    if (r < 0 && r != -EAGAIN && n == 0)
        return (int)r;
    return n == 0 && r == -EAGAIN ? -EAGAIN : 0;
}

static bool method_char(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '-' || c == '_';
}

int inspect_http(struct view bytes, int *ret_spoken)
{
    *ret_spoken = SPOKEN_UNKNOWN;
    size_t n = bytes.n < preface.n ? bytes.n : preface.n;
    if (memcmp(bytes.p, preface.p, n) == 0) {
        if (n < preface.n)
            return -EAGAIN;
        *ret_spoken = SPOKEN_HTTP2;
        return 0;
    }
    size_t method = 0;
    while (method < bytes.n && method < 32 && method_char(bytes.p[method]))
        method++;
    if (method == bytes.n && method < 32)
        return -EAGAIN;
    if (method == 0 || bytes.p[method] != ' ')
        return 0;
    size_t line = view_find(bytes, '\n');
    if (line == bytes.n) { /* the target may be long: only what can still become a request line is waited for */
        for (size_t i = method; i < bytes.n; i++)
            if ((unsigned char)bytes.p[i] < ' ' && bytes.p[i] != '\r')
                return 0;
        return bytes.n < LIMIT_SNIFF_BYTES ? -EAGAIN : 0;
    }
    struct view text = view_head(bytes, line);
    if (view_ends(text, VIEW("\r")))
        text.n--;
    if (view_ends(text, VIEW(" HTTP/1.1")))
        *ret_spoken = SPOKEN_HTTP11;
    else if (view_ends(text, VIEW(" HTTP/1.0")))
        *ret_spoken = SPOKEN_HTTP10;
    return 0;
}

static void remember_hello(struct connection *c, const struct client_hello *hello)
{
    c->sni = arena_view(&c->arena, hello->server_name);
    for (size_t i = 0; i < c->sni.n; i++) /* our copy: names are compared in lower case */
        if (c->sni.p[i] >= 'A' && c->sni.p[i] <= 'Z')
            ((char *)(uintptr_t)c->sni.p)[i] |= 0x20;
    for (uint32_t i = 0; i < hello->n_alpn && i < CONNECTION_ALPN; i++)
        c->alpn[c->n_alpn++] = arena_view(&c->arena, hello->alpn[i]);
}

static void remember_http(struct connection *c)
{
    static const struct view names[] = {
        [SPOKEN_HTTP10] = {"http/1.0", 8}, [SPOKEN_HTTP11] = {"http/1.1", 8}, [SPOKEN_HTTP2] = {"h2c", 3}};
    if (c->spoken == SPOKEN_HTTP10 || c->spoken == SPOKEN_HTTP11 || c->spoken == SPOKEN_HTTP2)
        c->alpn[c->n_alpn++] = names[c->spoken];
}

int inspect(struct connection *c)
{
    struct view bytes;
    bool end;
    int r = look(c->conn, c->worker->loop, &bytes, &end);
    if (r < 0)
        return r;
    if (c->inspectors & INSPECT_TLS) {
        struct client_hello hello;
        r = client_hello_read(bytes, loop_scratch(c->worker->loop) + LIMIT_SNIFF_BYTES, &hello);
        if (r == -EAGAIN && !end)
            return -EAGAIN;
        if (r == 0) {
            c->spoken = SPOKEN_TLS;
            remember_hello(c, &hello);
            return 0;
        }
        c->inspectors &= ~(uint32_t)INSPECT_TLS;
    }
    if (c->inspectors & INSPECT_HTTP) {
        int spoken;
        r = inspect_http(bytes, &spoken);
        if (r == -EAGAIN && !end)
            return -EAGAIN;
        c->spoken = (enum spoken)spoken;
        remember_http(c);
    }
    return 0;
}

int inspect_preface(struct conn *conn, struct loop *loop, enum http_version *ret_version)
{
    struct view bytes;
    bool end;
    int r = look(conn, loop, &bytes, &end);
    if (r < 0)
        return r;
    size_t n = bytes.n < preface.n ? bytes.n : preface.n;
    bool same = n && memcmp(bytes.p, preface.p, n) == 0;
    if (same && n < 4 && !end)
        return -EAGAIN;
    *ret_version = same ? HTTP_2 : HTTP_1;
    return 0;
}
