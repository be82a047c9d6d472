// SPDX-License-Identifier: Apache-2.0
/* One request to a CA: istio.v1.auth.IstioCertificateService/CreateCertificate over gRPC and TLS, on the loop.
 *
 *   ca_client_start(&config, csr_pem, &task, MY_BIT, &c);
 *   … in run():  r = ca_client_result(c, &chain_pem, &root_pem);   // -EAGAIN: not yet
 *   ca_client_free(c);
 *
 * Invariant: the bearer token is read from its file for each request (the kubelet rotates it) and wiped after use.
 */
#pragma once

#include <stdint.h>

#include "base/buf.h"
#include "base/must.h"
#include "base/view.h"
#include "net/addr.h"
#include "net/task.h"
#include "net/tls.h"

struct ca_client;
struct http_shared;
struct resolver;

struct ca_client_config {
    struct loop *loop;
    struct http_shared *http;
    struct resolver *resolver; /* for host; may be NULL when addr is given */
    struct view host;          /* istiod.istio-system.svc */
    uint16_t port;             /* 15012 */
    const struct addr *addr;   /* instead of resolving host; NULL: resolve */
    struct view server_name;   /* SNI and DNS SAN that the server must have; empty: host */
    struct tls_trust *trust;   /* roots that the CA's server certificate must chain to */
    const char *token_path;    /* bearer token, aud istio-ca */
    struct view token;         /* instead of the file (tests) */
    struct view cluster_id;    /* metadata ClusterID; "Kubernetes" */
    uint64_t ttl;              /* asked for; ns */
    uint64_t timeout;          /* of the whole request; 0: 10 s */
};

/* The config is borrowed until the end. */
int ca_client_start(const struct ca_client_config *config, struct view csr_pem, struct task *task, uint32_t bits,
                    struct ca_client **ret_client) must_check;
/* 0: appends the chain (leaf and intermediates) and the root. -EAGAIN not yet; -errno with ca_client_why(). */
int ca_client_result(struct ca_client *c, struct buf *chain_pem, struct buf *root_pem) must_check;
struct view ca_client_why(const struct ca_client *c);  /* a sentence, valid until freed */
struct ca_client *ca_client_free(struct ca_client *c); /* NULL; cancels */
