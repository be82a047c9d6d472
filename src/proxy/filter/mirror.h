// SPDX-License-Identifier: Apache-2.0
/* Mirrors: copies of a request sent to other clusters, whose answers nobody waits for (VirtualService http.mirror).
 *
 * A mirror copies the head when the request is prepared and the body as it passes to the real destination. It lives on
 * its own after that; one that cannot keep up with LIMIT_HTTP_BUFFER_BYTES is given up, never the request.
 */
#pragma once

#include "base/view.h"

struct stream;
struct worker;

void mirror_start(struct stream *s);                   /* draws lots for each mirror of the route */
void mirror_data(struct stream *s, struct view bytes); /* the next bytes of the body */
void mirror_end(struct stream *s);                     /* no more of them */
void mirror_forget(struct stream *s);                  /* the stream ends; its mirrors go on or are given up */
void mirrors_close(struct worker *w);                  /* all of a worker's, now */
