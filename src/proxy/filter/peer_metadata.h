// SPDX-License-Identifier: Apache-2.0
/* Metadata exchange over HTTP headers (telemetry/peer_metadata.h): who called, who answered. Outbound adds ours to the
 * request and takes theirs off the answer; inbound the other way round, so that no application ever sees the headers.
 */
#pragma once

struct headers;
struct stream;

void peer_metadata_request(struct stream *s);  /* after admission */
void peer_metadata_response(struct stream *s); /* the answer that came from upstream, before it is passed on */
void peer_metadata_answer(struct stream *s, struct headers *h); /* an answer of our own */
