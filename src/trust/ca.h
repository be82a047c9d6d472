// SPDX-License-Identifier: Apache-2.0
/* The certificate authority of weft-control: a self-signed root, or an intermediate that an operator plugged in.
 *
 *   r = ca_load("/etc/cacerts", &options, &ca, &why);      // ca-cert.pem ca-key.pem root-cert.pem cert-chain.pem
 *   if (r == -ENOENT) r = ca_new(&options, &ca, &why);     // self-signed, 10 years; ca_save() keeps it
 *   r = ca_sign(ca, csr, &(struct ca_grant){.uris = &identity, .n_uris = 1, .ttl = asked}, now, &chain, &why);
 *
 * What a request asks for is its public key and nothing else: names come from the authenticated caller, usages and
 * validity from here. A certificate never outlives the CA's own.
 *
 * Invariants: a ca is immutable and shared between threads by reference; its key is wiped with it. Certificates as
 * istio-surface §6: KeyUsage digitalSignature+keyEncipherment, EKU server+client, SAN critical without subject.
 */
#pragma once

#include <stdint.h>

#include "base/buf.h"
#include "base/must.h"
#include "base/view.h"

struct ca;

struct ca_options {
    struct view organization; /* of a self-signed root; empty: the trust domain */
    struct view trust_domain; /* "cluster.local" */
    uint64_t root_ttl;        /* ns; 0: 3650 days */
    uint64_t default_ttl;     /* 0: 24 h */
    uint64_t max_ttl;         /* 0: 90 d */
};

struct ca_grant {
    const struct view *uris; /* SPIFFE ids to certify */
    size_t n_uris;
    const struct view *dns;
    size_t n_dns;
    uint64_t ttl; /* ns, as asked for; 0: default_ttl; more than max_ttl: refused, as Istio does */
};

int ca_new(const struct ca_options *o, uint64_t wall_ns, struct ca **ret_ca, const char **ret_why) must_check;
/* A folder in Istio's form (cacerts) or in TLS form (tls.crt, tls.key, ca.crt). -ENOENT: none of them is there. */
int ca_load(const char *folder, const struct ca_options *o, struct ca **ret_ca, const char **ret_why) must_check;
/* root: one or several; the chain must reach one of them. Dates are ca_check's business. */
int ca_from_pem(struct view cert, struct view key, struct view root, struct view chain, const struct ca_options *o,
                struct ca **ret_ca, const char **ret_why) must_check;
int ca_save(const struct ca *ca, const char *folder) must_check; /* in Istio's form; the key with mode 0600 */
/* The same key and name under new dates: what either root signed verifies with the other. -EINVAL: not self-signed. */
int ca_renew(const struct ca *ca, const struct ca_options *o, uint64_t wall_ns, struct ca **ret_ca,
             const char **ret_why) must_check;
struct ca *ca_ref(struct ca *ca);
struct ca *ca_unref(struct ca *ca); /* NULL */

struct view ca_cert_pem(const struct ca *ca);                    /* that signs */
int ca_key_pem(const struct ca *ca, struct buf *out) must_check; /* for its Secret; buf_wipe() afterwards */
bool ca_is_root(const struct ca *ca);                            /* signs with a root, not an intermediate */
bool ca_same_signer(const struct ca *a, const struct ca *b);     /* same certificate, and so the same key */
bool ca_reaches(const struct ca *ca, struct view roots);         /* its chain ends in one of a bundle's, whenever */
struct view ca_root_pem(const struct ca *ca);                    /* all of root-cert.pem, in the form of roots.h */
struct view ca_chain_pem(const struct ca *ca); /* what stands between a leaf and the root, maybe empty; then the root */
uint64_t ca_not_after(const struct ca *ca);    /* of the signing certificate, wall ns */
uint64_t ca_root_not_before(const struct ca *ca); /* of the root that the chain reaches */
uint64_t ca_root_not_after(const struct ca *ca);
/* Whether it may be used now: every certificate from the signing one to its root has begun and has not ended. */
int ca_check(const struct ca *ca, uint64_t wall_ns, const char **ret_why) must_check;

/* Appends PEM to `chain`: leaf, intermediates, root last. *ret_why is static text.
 * -EINVAL: the request is malformed or its signature does not verify. -EPERM: it names another URI than those of the
 * grant. -ERANGE: it asks for a longer life than is granted. -ESTALE: the CA itself has ended. -EIO: the library. */
int ca_sign(const struct ca *ca, struct view csr_pem, const struct ca_grant *grant, uint64_t wall_ns, struct buf *chain,
            const char **ret_why) must_check;
/* A key and its certificate at once: weft-control's own server certificate, a webhook's. chain has no root. */
int ca_issue(const struct ca *ca, const struct ca_grant *grant, uint64_t wall_ns, struct buf *chain,
             struct buf *key_pem, const char **ret_why) must_check;
/* PEM certificates of a chain one by one, as CreateCertificate returns them; false at the end. */
bool ca_cut_pem(struct view *rest, struct view *ret_one);
