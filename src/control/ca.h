// SPDX-License-Identifier: Apache-2.0
/* The server end of istio.v1.auth.IstioCertificateService/CreateCertificate: a signing request and proof of who asks
 * (bearer token, or a client certificate of this mesh) in, a chain out, leaf first and root last.
 *
 *   struct ca_service *s = ca_service_new(&config);
 *   ca_service_accept(s, stream, &peer);              // takes the stream over
 *   ca_service_free(s);
 *
 * The certified name is the proven identity and nothing that the request says. Failures are gRPC statuses as Istio's:
 * UNAUTHENTICATED, INVALID_ARGUMENT; `why` goes to the caller, tokens and keys go nowhere.
 */
#pragma once

#include <stdint.h>

#include "base/view.h"
#include "xds/server.h"

#define CA_CREATE_PATH "/istio.v1.auth.IstioCertificateService/CreateCertificate"

struct ca;
struct ca_service;
struct http_stream;
struct loop;
struct reviewer;

struct ca_service_config { /* pointers must outlive the service */
    struct loop *loop;
    struct ca *ca;
    struct reviewer *reviewer;
    struct view trust_domain;
};

struct ca_stats { /* citadel_server_… */
    uint64_t requests, issued, authentication_failures, parse_errors, sign_errors;
};

struct ca_service *ca_service_new(const struct ca_service_config *config) __attribute__((returns_nonnull));
struct ca_service *ca_service_free(struct ca_service *s); /* NULL; ends what runs */
void ca_service_accept(struct ca_service *s, struct http_stream *stream, const struct xds_identity *peer);
const struct ca_stats *ca_service_stats(const struct ca_service *s);
