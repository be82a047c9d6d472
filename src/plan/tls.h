// SPDX-License-Identifier: Apache-2.0
/* TLS as a plan asks for it: which identity, whom to trust, what to offer. Keys and certificates are named, not held:
 * "default" and "ROOTCA" are the workload's own (trust/; the control plane may send ROOTCA over SDS), "kubernetes://name" comes as a struct tls_secret over SDS,
 * "file-cert:/chain.pem~/key.pem" and "file-root:/ca.pem" are read by the proxy; "file-root:system" is the trust store of the
 * operating system.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "plan/match.h"
#include "plan/resource.h"

enum tls_protocol {
    TLS_PROTOCOL_AUTO, /* 1.2 to 1.3 */
    TLS_PROTOCOL_1_0,
    TLS_PROTOCOL_1_1,
    TLS_PROTOCOL_1_2,
    TLS_PROTOCOL_1_3,
};

struct tls_common {
    struct name_ref *identities; /* own certificates; none: present none */
    uint32_t n_identities;
    struct name_ref trust;   /* CA bundle; empty: the peer is not verified against a CA */
    struct text_match *sans; /* the peer's SAN must match one; none: any */
    uint32_t n_sans;
    struct view *alpn;    /* in order of preference */
    struct view *ciphers; /* OpenSSL names for TLS ≤ 1.2; none: our default */
    uint32_t n_alpn, n_ciphers;
    enum tls_protocol min, max;
};

struct tls_server {
    struct tls_common common;
    bool require_client_cert;
};

struct tls_client {
    struct tls_common common;
    struct view sni; /* empty and no auto_sni: none sent */
    bool auto_sni;   /* SNI from the request's Host */
    bool auto_san;   /* and the certificate must be for it */
    bool insecure;   /* insecureSkipVerify: trust is empty on purpose */
};

/* What SDS delivers to gateways. Never printed, never logged, wiped on free. */
struct tls_secret {
    struct resource res;
    struct view cert_chain;  /* PEM, leaf first */
    struct view private_key; /* PEM */
    struct view trusted_ca;  /* PEM; for validation contexts */
};

struct tls_secret *tls_secret_new(struct view name, struct view cert_chain, struct view private_key,
                                  struct view trusted_ca);
