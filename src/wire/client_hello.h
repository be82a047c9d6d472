// SPDX-License-Identifier: Apache-2.0
/* The first message of a TLS connection, read without a TLS library: is it TLS, which server name, which protocols?
 * (RFC 8446 §4.1.2, RFC 6066 §3, RFC 7301.) The handshake itself happens elsewhere, with the same bytes.
 *
 *   r = client_hello_read(bytes, &hello);     // 0; -EAGAIN: more bytes; -EPROTO: this is not TLS
 *
 * Invariants: never looks behind `bytes`; a hello may be spread over several records; everything is a view into `bytes`
 * when it came in one record, else into `scratch`. Longer than LIMIT_SNIFF_BYTES is -EPROTO.
 */
#pragma once

#include <stdint.h>

#include "base/must.h"
#include "base/view.h"

enum { CLIENT_HELLO_ALPN = 8 }; /* protocols that are kept; what comes behind does not matter to matching */

struct client_hello {
    struct view server_name; /* empty: none */
    struct view alpn[CLIENT_HELLO_ALPN];
    uint32_t n_alpn;
};

/* scratch: at least bytes.n bytes, used when records have to be joined. */
int client_hello_read(struct view bytes, char *scratch, struct client_hello *ret_hello) must_check;
