// SPDX-License-Identifier: Apache-2.0
/* Answers one HTTP request with a body that is already there, at the pace of the peer.
 *
 *   struct buf body = {0}; …
 *   reply_send(loop, stream, 200, VIEW("application/json"), &body);     // takes stream and body
 */
#pragma once

#include "base/buf.h"
#include "base/view.h"

struct http_stream;
struct loop;

void reply_send(struct loop *loop, struct http_stream *s, unsigned status, struct view content_type, struct buf *body);
void reply_text(struct loop *loop, struct http_stream *s, unsigned status, const char *text);
