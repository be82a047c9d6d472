// SPDX-License-Identifier: Apache-2.0
/* What a delta client knows, without I/O: responses in, requests out, plans on the way.
 *
 *   xds_state_connected(s, out);                        // first requests of a new stream
 *   xds_state_response(s, bytes, out);                  // ACK or NACK, and changed subscriptions
 *   if (xds_state_publish(s, force)) use(s->plan);
 *
 * `out` collects requests as messages: XDS_OUT_EACH. Used by client.c and tested alone.
 *
 * Invariants: a response is taken as a whole or not at all, but for secrets: each stands alone, and one that TLS could not
 * use is refused by name while its predecessor stays. s->plan never changes once it was published; s->got is private
 * until then.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/map.h"
#include "plan/plan.h"
#include "xds/codec.h"
#include "xds/node.h"

/* Messages one after the other, each behind its length. */
struct xds_out {
    struct buf bytes;
};
bool xds_out_next(struct xds_out *o, struct view *ret_message); /* valid until xds_out_drop */
void xds_out_drop(struct xds_out *o);                           /* the one that xds_out_next gave */

struct xds_state {
    struct xds_codec *codec;
    struct buf node;                 /* packed */
    struct plan *got;                /* all that was accepted; private */
    const struct plan *plan;         /* the newest published; NULL: none yet */
    bool got_shared;                 /* got is also plan: copy before changing */
    bool seen[RESOURCE_KINDS];       /* a response of this type was accepted */
    struct map have[RESOURCE_KINDS]; /* name → struct xds_have */
    struct buf version[RESOURCE_KINDS];
    struct buf error; /* of the last NACK; empty after an ACK of the same type */
    enum resource_kind error_kind;
    uint64_t updates, nacks, resources;
};

void xds_state_init(struct xds_state *s, const struct xds_node *node);
void xds_state_done(struct xds_state *s);
void xds_state_connected(struct xds_state *s, struct xds_out *out);
/* -EINVAL: bytes are not a response at all: end the stream. */
int xds_state_response(struct xds_state *s, struct view bytes, struct xds_out *out) must_check;
bool xds_state_complete(const struct xds_state *s);
/* Makes what was accepted the plan, if it is complete or force says so, and if it is not already. */
bool xds_state_publish(struct xds_state *s, bool force);
bool xds_state_pending(const struct xds_state *s); /* something accepted is not published */
