// SPDX-License-Identifier: Apache-2.0
/* Parses and writes one request and one response N times with wire/h1.h, for codec_cost.py to count the instructions of.
 *
 *   h1_cost request|response|write N
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "wire/h1.h"

static const char request[] =
    "GET /productpage?u=normal HTTP/1.1\r\nHost: productpage.default.svc.cluster.local:9080\r\n"
    "User-Agent: curl/7.88.1\r\nAccept: */*\r\nX-Request-Id: 6f3c9d1e-5b1a-4a51-9a3e-0f6f7c6b2d10\r\n"
    "X-Forwarded-Proto: http\r\nX-B3-Traceid: 80f198ee56343ba864fe8b2a57d3eff7\r\n"
    "X-B3-Spanid: e457b5a2e4d86bd1\r\nCookie: session=abcdefghijklmnopqrstuvwxyz0123456789\r\n\r\n";
static const char response[] = "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: 5179\r\n"
                               "Server: gunicorn\r\nDate: Sun, 22 Nov 2026 18:00:00 GMT\r\nVary: Cookie\r\n\r\n";

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    static char padded[1024], out[2048];
    enum h1_kind kind = argv[1][0] == 'r' && strcmp(argv[1], "response") == 0 ? H1_RESPONSE : H1_REQUEST;
    const char *text = kind == H1_RESPONSE ? response : request;
    size_t n = strlen(text), used = 0;
    bool write = strcmp(argv[1], "write") == 0;
    memcpy(padded, text, n);
    struct headers h;
    struct h1 p;
    struct h1_out how = {.kind = kind};
    h1_init(&p, kind);
    p.slack = 32;
    for (long i = 0, most = write ? 1 : atol(argv[2]); i < most; i++) {
        headers_init(&h, NULL);
        h1_next(&p);
        if (h1_head(&p, &h, (struct view){padded, n}, &used) < 0)
            return 1;
    }
    for (long i = 0; write && i < atol(argv[2]); i++)
        if (!h1_write_head(out, &h, &how))
            return 1;
    printf("%zu bytes, %u headers\n", used, h.n);
    return 0;
}
