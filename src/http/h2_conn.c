// SPDX-License-Identifier: Apache-2.0
/* HTTP/2 on a connection: being written; http_conn_new() takes HTTP_1 only until then.
 */
#include "http/internal.h"

void http2_conn_begin(struct http_conn *c)
{
    must(c->config.version == HTTP_1);
}

const struct http_protocol http_2 = {0};
