// SPDX-License-Identifier: Apache-2.0
/* The control plane as one object on one loop: sources → store → push → xDS, the CA beside it, and what it says of itself.
 *
 *   struct control *c;
 *   r = control_new(&config, &c, &why);
 *   loop_run(loop);
 *   control_free(c);
 *
 * weft-control.c makes one from flags; simulations make several from code. Ports with number 0 in their address family
 * ADDR_NONE are not opened.
 */
#pragma once

#include <stdbool.h>

#include "base/must.h"
#include "base/view.h"
#include "net/addr.h"

struct authority;
struct ca;
struct control;
struct kube_client;
struct loop;
struct store;
struct token_keys;

struct control_config { /* texts and pointers must outlive the control plane */
    struct loop *loop;
    struct addr xds_plain;    /* 15010: xDS and CA in plaintext */
    struct addr xds_tls;      /* 15012: needs ca */
    struct addr debug;        /* 15014 */
    struct addr ready;        /* 8080 */
    struct addr webhook;      /* 15017: needs ca and kube */
    struct kube_client *kube; /* objects and token reviews; or */
    const char *config;       /* a folder or file; both may be given, or none (tests: control_store) */
    struct token_keys *keys;  /* who signed tokens, where there is no kube; NULL: TokenReview */
    struct view issuer;
    struct authority *authority; /* has a CA already; or */
    struct ca *ca;               /* one that stays: simulations; neither: no CA and no TLS */
    struct view trust_domain, cluster_id;
    struct view revision; /* of webhooks and injection; empty: default */
    struct view pod;      /* our name among replicas; empty: there is only one */
    struct view home;     /* the namespace of the Lease that elects one of them */
    bool open;            /* nobody needs to prove who he is: simulations */
};

int control_new(const struct control_config *config, struct control **ret_control, const char **ret_why) must_check;
void control_trim(struct control *c);            /* now and then: gives idle memory back to the kernel */
struct control *control_free(struct control *c); /* NULL */
struct store *control_store(struct control *c);
const struct addr *control_addr(const struct control *c, uint16_t standard_port); /* where 15010 … really listens */
