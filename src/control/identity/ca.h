// SPDX-License-Identifier: Apache-2.0
/* The server end of istio.v1.auth.IstioCertificateService/CreateCertificate: a signing request and proof of who asks
 * (bearer token, or a client certificate of this mesh) in, a chain out, leaf first and root last.
 *
 *   struct ca_service *s = ca_service_new(&config);
 *   ca_service_accept(s, stream, &peer, from);             // takes the stream over
 *   ca_service_free(s);
 *
 * The certified name is the proven identity; a request that names another one is refused. Each refusal is a gRPC status as
 * Istio's (UNAUTHENTICATED, PERMISSION_DENIED, INVALID_ARGUMENT) with a sentence for the caller, one log line that says who
 * asked from where and why not, and a counter. Tokens and keys go nowhere.
 */
#pragma once

#include <stdint.h>

#include "base/view.h"
#include "xds/server.h"

#define CA_CREATE_PATH "/istio.v1.auth.IstioCertificateService/CreateCertificate"

struct addr;
struct authority;
struct ca_service;
struct http_stream;
struct loop;
struct reviewer;

struct ca_service_config { /* pointers must outlive the service */
    struct loop *loop;
    struct authority *authority;
    struct reviewer *reviewer;
    struct view trust_domain;
};

enum ca_sign_error { CA_CSR_ERROR, CA_TTL_ERROR, CA_NOT_READY, CA_CERT_GEN_ERROR, CA_SIGN_ERRORS };

struct ca_stats { /* citadel_server_… */
    uint64_t requests, issued;
    uint64_t authentication_failures; /* no token, not a good one, or for another audience */
    uint64_t parse_errors;            /* no IstioCertificateRequest, or one beyond our limits */
    uint64_t identity_errors;         /* it asks for somebody else's identity */
    uint64_t sign_errors[CA_SIGN_ERRORS];
};

struct ca_service *ca_service_new(const struct ca_service_config *config) __attribute__((returns_nonnull));
struct ca_service *ca_service_free(struct ca_service *s); /* NULL; ends what runs */
/* peer: of a verified client certificate, empty or NULL without one; from: for the log, may be NULL. */
void ca_service_accept(struct ca_service *s, struct http_stream *stream, const struct xds_identity *peer,
                       const struct addr *from);
const struct ca_stats *ca_service_stats(const struct ca_service *s);
