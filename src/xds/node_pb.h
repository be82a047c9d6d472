// SPDX-License-Identifier: Apache-2.0
/* struct xds_node as the bytes of envoy.config.core.v3.Node. For this folder's client and server. */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/must.h"
#include "xds/codec.h"
#include "xds/node.h"

void xds_node_encode(struct buf *out, const struct xds_node *n);
/* -EINVAL: *ret_why says what is wrong. Texts are copied into the arena. */
int xds_node_decode(struct xds_codec *d, struct view bytes, struct arena *a, struct xds_node *ret_node,
                    struct view *ret_why) must_check;
