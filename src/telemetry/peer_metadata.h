// SPDX-License-Identifier: Apache-2.0
/* Who is at the other end: what two proxies tell each other so that both can label their metrics with both workloads.
 *
 * HTTP: headers x-envoy-peer-metadata (base64 of a protobuf Struct) and x-envoy-peer-metadata-id, put on requests and,
 * when the request had them, on responses; taken off before the application sees them. TCP with ALPN
 * istio-peer-exchange: a preface of the magic 0x3D230467, a length and a protobuf Any of a Struct, both ways.
 *
 *   struct peer_self *self = peer_self_new(&me);                    // once; self->header, self->id, self->preface
 *   struct peer_cache *cache = peer_cache_new();                    // per worker: 500 peers, by the header's bytes
 *   const struct peer *p = peer_cache_header(cache, value);         // steady state: one hash, one compare
 *   labels.value[LABEL_SOURCE_WORKLOAD] = p->workload;
 *
 * Invariants: bytes of a peer are bounded (LIMIT_PEER_METADATA_BYTES); what does not decode is the unknown peer, whose
 * fields read "unknown" as Istio writes it. A struct peer is valid until its cache is freed or it is unreferenced.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/must.h"
#include "base/view.h"

struct peer_cache;

#define PEER_MAGIC 0x3D230467u
#define PEER_HEADER "x-envoy-peer-metadata"
#define PEER_ID_HEADER "x-envoy-peer-metadata-id"
#define PEER_ALPN "istio-peer-exchange"

struct peer {
    uint32_t refs;
    bool known; /* false: nothing was said, or nothing that we understood */
    struct view id, workload, ns, cluster, app, version, canonical_service, canonical_revision, type, instance;
    struct view region, zone;
};

/* What we say about ourselves. Empty: left out. */
struct peer_me {
    struct view id; /* node id: sidecar~10.1.0.4~reviews-v1-abc.default~default.svc.cluster.local */
    struct view workload, ns, cluster, app, version, canonical_service, canonical_revision;
    struct view type;     /* deployment, pod, job, … */
    struct view instance; /* pod name */
    struct view region, zone;
    struct view service_account;
    struct view mesh_id, owner;
    const struct view (*labels)[2]; /* all labels of the pod: name, value */
    uint32_t n_labels;
};

struct peer_self {
    struct view header;  /* value of x-envoy-peer-metadata */
    struct view id;      /* value of x-envoy-peer-metadata-id */
    struct view preface; /* bytes at the start of an istio-peer-exchange connection */
    struct peer peer;    /* ourselves, for our own half of the labels */
};

struct peer_self *peer_self_new(const struct peer_me *me);
struct peer_self *peer_self_free(struct peer_self *s); /* NULL */

extern const struct peer peer_unknown;

struct peer_cache *peer_cache_new(void);
struct peer_cache *peer_cache_free(struct peer_cache *c); /* NULL */
/* By a header's value; an empty one gives peer_unknown. A peer that is kept longer than the stream takes a reference. */
const struct peer *peer_cache_header(struct peer_cache *c, struct view value) __attribute__((returns_nonnull));
/* By the payload of a TCP preface. */
const struct peer *peer_cache_payload(struct peer_cache *c, struct view any) __attribute__((returns_nonnull));
/* By Istio's endpoint metadata: workload;namespace;canonical name;canonical revision;cluster. */
const struct peer *peer_cache_endpoint(struct peer_cache *c, struct view text) __attribute__((returns_nonnull));
const struct peer *peer_ref(const struct peer *p);
void peer_unref(const struct peer *p);

/* The preface at the start of bytes: 0 and how much it takes, with the Any inside; -EAGAIN: incomplete; -EPROTO: these
 * are no preface (then they are payload); -EMSGSIZE: longer than LIMIT_PEER_EXCHANGE_BYTES. */
int peer_preface_read(struct view bytes, struct view *ret_any, size_t *ret_taken) must_check;
