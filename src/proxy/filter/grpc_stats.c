// SPDX-License-Identifier: Apache-2.0
/* Counting gRPC messages (grpc_stats.h). A message counts when its frame head is complete. */
#include "proxy/filter/grpc_stats.h"

void grpc_count(struct grpc_count *c, struct view bytes)
{
    for (size_t i = 0; i < bytes.n;) {
        if (c->left) {
            size_t n = bytes.n - i < c->left ? bytes.n - i : c->left;
            c->left -= (uint32_t)n;
            i += n;
            continue;
        }
        if (c->head > 0) /* the first of the five bytes is the compression flag */
            c->length = c->length << 8 | (unsigned char)bytes.p[i];
        i++;
        if (++c->head == 5) {
            c->messages++;
            c->left = c->length;
            c->length = 0;
            c->head = 0;
        }
    }
}
