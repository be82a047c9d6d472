// SPDX-License-Identifier: Apache-2.0
/* Workloads that tell each other who they are: Istio's metadata exchange.
 *
 * HTTP: x-envoy-peer-metadata (base64 of a protobuf Struct) and x-envoy-peer-metadata-id. TCP: a preface in both directions
 * (wire/peer_exchange.h frames it) whose payload is an Any of a Struct of both. Endpoints carry a short form for peers that
 * say nothing: "workload;namespace;canonical name;canonical revision;cluster" (EDS metadata istio.workload).
 *
 *   peer_encode(&self, &out);                        // once: the header's value, sent on every request
 *   p = peer_of_header(cache, metadata, id);         // per request: found by its bytes, decoded only the first time
 *   … peer_unref(p);
 *
 * What a peer says about itself is a claim, not an identity: it feeds telemetry only. Metadata beyond
 * LIMIT_PEER_METADATA_BYTES, or that does not decode, is an unknown peer (NULL).
 */
#pragma once

#include <stdint.h>

#include "base/buf.h"
#include "base/must.h"
#include "base/view.h"

/* What telemetry knows of a workload; empty: unknown. */
struct workload {
    struct view node_id; /* sidecar~10.0.0.7~reviews-v1-abc.default~default.svc.cluster.local */
    struct view name;    /* of the pod */
    struct view workload, ns, owner, cluster;
    struct view app, version, canonical_name, canonical_revision;
};

struct peer {
    struct workload is;
    uint32_t id; /* unique in its cache, never used again: what series are keyed by */
    uint32_t refs;
};

struct peer_cache;

struct peer_cache *peer_cache_new(void) __attribute__((returns_nonnull)); /* one a worker; keeps the LIMIT_PEERS last used */
struct peer_cache *peer_cache_free(struct peer_cache *c);

/* Each returns a reference, or NULL. */
struct peer *peer_of_header(struct peer_cache *c, struct view metadata_base64, struct view node_id);
struct peer *peer_of_preface(struct peer_cache *c, struct view payload);
struct peer *peer_of_endpoint(struct peer_cache *c, struct view workload_text);
static inline struct peer *peer_ref(struct peer *p)
{
    if (p)
        p->refs++;
    return p;
}
void peer_unref(struct peer *p); /* takes NULL */

/* The value of x-envoy-peer-metadata. */
void peer_encode(const struct workload *self, struct buf *out);
/* The payload of the TCP preface. */
void peer_encode_preface(const struct workload *self, struct buf *out);
