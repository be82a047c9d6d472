// SPDX-License-Identifier: Apache-2.0
/* The connection object of h2.c: nghttp2's session, what it is busy with, and the budgets. Private to wire/.
 */
#pragma once

#include <nghttp2/nghttp2.h>

#include "wire/h2.h"
#include "wire/h2_budget.h"

struct h2 {
    nghttp2_session *session;
    nghttp2_mem *hooks;
    const struct h2_handler *handler;
    void *arg;
    uint64_t now;
    struct h2_budget budget;
    const char *detail;
    bool server, flood, settings_seen;
    /* The header block that comes in now. */
    struct headers *block; /* NULL: nobody wants it */
    size_t block_decoded;
    const char *block_bad;
    /* Who reset which stream: `closed` follows at once. */
    int32_t reset_id, peer_reset_id;
    const char *reset_detail;
    /* The body bytes on offer. */
    int32_t offer_id;
    struct view offer;
    bool offer_end, offer_end_sent;
    size_t room, max_data;
};
