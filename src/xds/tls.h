// SPDX-License-Identifier: Apache-2.0
/* Transport sockets and secrets ⇄ plan/tls.h, and the string matchers that both they and routes use. Certificates are
 * named as Istio names them and come by SDS: "default" and "ROOTCA" from the proxy itself (cluster sds-grpc in Istio's
 * bootstrap), kubernetes:// over the aggregated stream. For the files of this folder.
 */
#pragma once

#include "plan/tls.h"
#include "xds/pb.h"

Core__TransportSocket *xds_tls_client(struct arena *a, const struct tls_client *tls); /* NULL: raw_buffer */
Core__TransportSocket *xds_tls_server(struct arena *a, const struct tls_server *tls);
struct tls_client *xds_get_tls_client(struct xds_codec *d,
                                      const Core__TransportSocket *m); /* NULL: plaintext, or refused */
struct tls_server *xds_get_tls_server(struct xds_codec *d, const Core__TransportSocket *m);

Tls__Secret *xds_secret(struct arena *a, const struct tls_secret *s);
struct tls_secret *xds_get_secret(struct xds_codec *d, const Tls__Secret *m); /* NULL: refused */

Matcher__StringMatcher *xds_string(struct arena *a, const struct text_match *m);
void xds_get_string(struct xds_codec *d, const Matcher__StringMatcher *m, struct text_match *ret);
Matcher__RegexMatcher *xds_regex(struct arena *a, struct view pattern);
