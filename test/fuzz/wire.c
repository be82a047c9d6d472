// SPDX-License-Identifier: Apache-2.0
/* Fuzz target of the small decoders of wire/: authorities and targets, gRPC frames and messages, timeouts, ClientHello.
 * The first byte chooses one. Invariants: what is accepted lies inside the input and is accepted again.
 */
#include "fuzz.h"

#include <errno.h>
#include <stdlib.h>

#include "base/buf.h"
#include "wire/client_hello.h"
#include "wire/grpc.h"
#include "wire/headers.h"
#include "wire/uri.h"

static void inside(struct view part, struct view whole)
{
    must(part.n == 0 || (part.p >= whole.p && part.p + part.n <= whole.p + whole.n));
}

static void uri(struct view v)
{
    struct view scheme, authority, path, host;
    uint16_t port;
    if (uri_authority_valid(v)) {
        uri_authority_split(v, &host, &port);
        inside(host, v);
        must(host.n > 0);
    }
    if (uri_absolute_split(v, &scheme, &authority, &path) == 0) {
        inside(authority, v);
        must(uri_authority_valid(authority) && uri_path_valid(path));
    }
    if (uri_path_valid(v))
        inside(uri_query(v), v);
}

static void grpc(struct view v)
{
    struct view message, bytes = v;
    size_t need;
    uint64_t ns;
    while (grpc_frame_read(bytes, 1000, &message, &need) == 0) {
        inside(message, v);
        bytes = view_from(bytes, need);
    }
    struct buf a = {0}, b = {0};
    grpc_message_encode(&a, v);
    grpc_message_decode(&b, buf_read(&a));
    must(view_eq(buf_read(&b), v));
    buf_done(&a);
    buf_done(&b);
    if (grpc_timeout_parse(v, &ns) == 0 && ns < UINT64_MAX) {
        struct buf text = {0};
        grpc_timeout_print(&text, ns);
        uint64_t again;
        must(grpc_timeout_parse(buf_read(&text), &again) == 0 && again >= ns);
        buf_done(&text);
    }
}

static void hello(struct view v)
{
    struct client_hello h;
    char *scratch = (char *)malloc(v.n + 1);
    int r = client_hello_read(v, scratch, &h);
    if (r == 0) {
        must(h.n_alpn <= CLIENT_HELLO_ALPN);
        unsigned sum = 0;
        for (uint32_t i = 0; i < h.n_alpn; i++)
            for (size_t k = 0; k < h.alpn[i].n; k++)
                sum += (unsigned char)h.alpn[i].p[k];
        for (size_t k = 0; k < h.server_name.n; k++)
            sum += (unsigned char)h.server_name.p[k];
        must(sum < UINT32_MAX);
    }
    free(scratch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const targets[])(struct view v) = {uri, grpc, hello};
    if (size < 1)
        return 0;
    targets[data[0] % COUNT_OF(targets)]((struct view){(const char *)data + 1, size - 1});
    return 0;
}
