// SPDX-License-Identifier: Apache-2.0
/* plan ⇄ Envoy's protobufs, one resource at a time.
 *
 *   struct buf bytes = {0};
 *   xds_encode(&cluster->res, &bytes);                            // the message, without an Any around it
 *
 *   struct xds_codec *codec = xds_codec_new();
 *   struct resource *r; struct view why;
 *   if (xds_decode(codec, RESOURCE_CLUSTER, bytes, &r, &why) < 0) nack(why);   // why: valid until the next decode
 *   xds_codec_free(codec);
 *
 * plan → bytes → plan is the identity (test/unit/xds holds it by the printed form). A field or value of a foreign control
 * plane that changes behaviour and that weft cannot do makes the decoder refuse the resource with a sentence that names
 * resource and field; what may be skipped is listed in unknown.def. The decoded protobuf tree lives in a scratch arena
 * that is reset for each resource: nothing of it stays, the plan's structs own copies.
 *
 * Invariants: bytes are hostile: depth, count and size are bounded (LIMIT_XDS_…), no input crashes or loops.
 */
#pragma once

#include "base/buf.h"
#include "base/must.h"
#include "base/view.h"
#include "plan/resource.h"

void xds_encode(const struct resource *r, struct buf *out); /* appends */

struct xds_codec; /* scratch memory of a decoder: one a thread */
struct xds_codec *xds_codec_new(void) __attribute__((returns_nonnull));
struct xds_codec *xds_codec_free(struct xds_codec *c); /* NULL */

/* 0: *ret_resource has one reference, the caller's; not prepared. -EINVAL: *ret_why is the NACK's sentence, as
 * "Cluster outbound|80||a.b: lb_policy: CLUSTER_PROVIDED fits only ORIGINAL_DST". */
int xds_decode(struct xds_codec *c, enum resource_kind kind, struct view bytes, struct resource **ret_resource,
               struct view *ret_why) must_check;

/* The version of a sealed resource as it travels: 16 hexadecimal digits of its content hash. Equal content, equal
 * version, also after a restart of the control plane. */
#define XDS_VERSION_TEXT 16
struct view xds_version(uint64_t hash, char text[XDS_VERSION_TEXT]);
