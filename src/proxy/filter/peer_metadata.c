// SPDX-License-Identifier: Apache-2.0
/* Peer metadata in HTTP headers (peer_metadata.h). */
#include "proxy/filter/peer_metadata.h"

#include "base/must.h"
#include "plan/listener.h"
#include "proxy/connection.h"
#include "proxy/stream.h"
#include "proxy/worker.h"
#include "telemetry/peer_metadata.h"

static void put_ours(const struct worker *w, struct headers *h)
{
    if (!w->self)
        return;
    bool ok = headers_set(h, HEADER_X_ENVOY_PEER_METADATA, w->self->header) == 0 &&
              headers_set(h, HEADER_X_ENVOY_PEER_METADATA_ID, w->self->id) == 0;
    odd(ok);
}

/* Theirs, if it is there; both headers go. */
static bool take_theirs(struct stream *s, struct headers *h)
{
    struct view v = headers_value(h, HEADER_X_ENVOY_PEER_METADATA);
    bool asked = headers_has(h, HEADER_X_ENVOY_PEER_METADATA_ID) || v.p;
    if (!asked)
        return false;
    if (v.n && s->worker->peers) {
        peer_unref(s->peer);
        s->peer = peer_ref(peer_cache_header(s->worker->peers, v));
    }
    headers_del(h, HEADER_X_ENVOY_PEER_METADATA);
    headers_del(h, HEADER_X_ENVOY_PEER_METADATA_ID);
    return true;
}

static bool inbound(const struct stream *s)
{
    return s->connection->listener->direction == TRAFFIC_INBOUND;
}

void peer_metadata_request(struct stream *s)
{
    if (inbound(s))
        s->peer_asked = take_theirs(s, &s->down->in);
    else
        put_ours(s->worker, &s->down->in);
}

void peer_metadata_answer(struct stream *s, struct headers *h)
{
    if (s->peer_asked)
        put_ours(s->worker, h);
}

void peer_metadata_response(struct stream *s)
{
    if (!inbound(s))
        take_theirs(s, &s->up->in);
    else
        peer_metadata_answer(s, &s->up->in);
}
