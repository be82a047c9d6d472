// SPDX-License-Identifier: Apache-2.0
/* Fuzz target of xds/: what control planes send to proxies and proxies to control planes. The first byte says what the rest
 * is: a resource of one kind (0 to 4), a request, a response, a node. A resource that is accepted must print, prepare or be
 * refused, and come back the same when it is sent on.
 */
#include "fuzz.h"

#include "base/must.h"
#include "plan/print.h"
#include "xds/discovery.h"
#include "xds/node_pb.h"

static void resource_of(struct xds_codec *codec, enum resource_kind kind, struct view bytes)
{
    struct buf sent = {0}, first = {0}, second = {0};
    struct resource *r = NULL, *again = NULL;
    struct view why = VIEW_NONE;

    if (xds_decode(codec, kind, bytes, &r, &why) < 0) {
        must(why.n > 0);
        return;
    }
    xds_encode(r, &sent);
    must(xds_decode(codec, kind, buf_read(&sent), &again, &why) == 0);
    resource_print(&first, r);
    resource_print(&second, again);
    must(view_eq(buf_read(&first), buf_read(&second)));
    if (resource_prepare(r, &why) < 0)
        must(why.n > 0);
    resource_unref(r);
    resource_unref(again);
    buf_done(&sent);
    buf_done(&first);
    buf_done(&second);
}

static void envelope(struct view bytes, bool request)
{
    struct discovery_walk w = {.bytes = bytes}, names = {.bytes = bytes};
    struct discovery_request q;
    struct discovery_response r;
    struct discovery_resource one;
    struct view name, version;
    uint32_t n = 0;

    if (request && discovery_read_request(bytes, &q) == 0) {
        while (discovery_next_initial(&w, &name, &version))
            n++;
        must(n == q.n_initial);
    } else if (!request && discovery_read_response(bytes, &r) == 0) {
        while (discovery_next_resource(&w, &one))
            n++;
        must(n == r.n_resources);
        while (discovery_next_name(&names, RESPONSE_REMOVED, &name))
            must(name.n <= bytes.n);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct view bytes = view_make(data + 1, size - 1), why;
    struct xds_codec *codec;
    struct xds_node node;
    struct arena a;

    if (!size)
        return 0;
    codec = xds_codec_new();
    switch (data[0] & 7) {
    case 5:
    case 6:
        envelope(bytes, (data[0] & 7) == 5);
        break;
    case 7:
        arena_init(&a, 0);
        if (xds_node_decode(codec, bytes, &a, &node, &why) == 0)
            must(node.ns.n > 0);
        arena_done(&a);
        break;
    default:
        resource_of(codec, (enum resource_kind)(data[0] & 7), bytes);
    }
    xds_codec_free(codec);
    return 0;
}
