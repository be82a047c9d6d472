// SPDX-License-Identifier: Apache-2.0
/* The envelopes of delta discovery, read and written by hand: DeltaDiscoveryRequest and DeltaDiscoveryResponse.
 *
 * Reading gives views into the message and keeps nothing; repeated fields are walked with a cursor:
 *
 *   struct discovery_request q;
 *   if (discovery_read_request(bytes, &q) < 0) …;                       // every nested length was checked
 *   for (struct discovery_walk w = {q.bytes}; discovery_next_name(&w, REQUEST_SUBSCRIBE, &name);) …
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/must.h"
#include "base/view.h"
#include "xds/pb_wire.h"

enum discovery_list {
    REQUEST_SUBSCRIBE = 3,
    REQUEST_UNSUBSCRIBE = 4,
    RESPONSE_REMOVED = 6,
};

struct discovery_request {
    struct view bytes;
    struct view node; /* a packed Node; empty: not sent */
    struct view type_url, nonce;
    bool has_error;
    int32_t error_code;
    struct view error; /* text of the NACK */
    uint32_t n_subscribe, n_unsubscribe, n_initial;
};

struct discovery_response {
    struct view bytes;
    struct view version, type_url, nonce, control_plane;
    uint32_t n_resources, n_removed;
};

struct discovery_resource {
    struct view name, version, type_url, value;
};

struct discovery_walk {
    struct view bytes;
    struct pb_cursor c;
    bool begun;
};

int discovery_read_request(struct view bytes, struct discovery_request *ret) must_check;
int discovery_read_response(struct view bytes, struct discovery_response *ret) must_check;
bool discovery_next_name(struct discovery_walk *w, enum discovery_list list, struct view *ret_name);
bool discovery_next_initial(struct discovery_walk *w, struct view *ret_name, struct view *ret_version);
bool discovery_next_resource(struct discovery_walk *w, struct discovery_resource *ret);

/* Request: fields in any order, each at most once but names and versions. */
void discovery_write_node(struct buf *b, struct view packed_node);
void discovery_write_type(struct buf *b, struct view type_url); /* of a request */
void discovery_write_name(struct buf *b, enum discovery_list list, struct view name);
void discovery_write_initial(struct buf *b, struct view name, struct view version);
void discovery_write_nonce(struct buf *b, struct view nonce); /* of a request */
void discovery_write_error(struct buf *b, int32_t code, struct view text);

/* Response. */
void discovery_write_resource(struct buf *b, struct view name, struct view version, struct view type_url,
                              struct view value);
void discovery_write_tail(struct buf *b, struct view version, struct view type_url, uint64_t nonce,
                          struct view control_plane);
