// SPDX-License-Identifier: Apache-2.0
/* The cluster's DNS server: <service>.<namespace>.svc.cluster.local and its kin on the DNS address, UDP and TCP.
 *
 *   dns_server_new(loop, &config, &dns);
 *   dns_server_set(dns, &table);            // names follow the table at once
 *
 * Answers as CoreDNS does for Kubernetes (dns-based service discovery 1.1.0): ClusterIP; headless Services with the ready
 * endpoints; <hostname>.<service>…; SRV for named ports; CNAME for ExternalName; <a-b-c-d>.<ns>.pod…; NXDOMAIN with SOA
 * for the rest of cluster.local. Other names go to the machine's resolvers, through sockets that the supervisor makes;
 * when it has none they do not exist. TTL 5 s.
 */
#pragma once

#include "base/must.h"
#include "sandbox/runtime.h"

struct dns_server;
struct dns_zone;

struct dns_config {
    uint32_t ip;             /* host byte order */
    struct isolate *isolate; /* NULL: nothing is forwarded */
};

int dns_server_new(struct loop *loop, const struct dns_config *config, struct dns_server **ret_server) must_check;
struct dns_server *dns_server_free(struct dns_server *s);
void dns_server_set(struct dns_server *s, const struct runtime_services *table);

/* ---- dns_zone.c: the pure half */

struct dns_zone *dns_zone_new(const struct runtime_services *table); /* copies */
struct dns_zone *dns_zone_free(struct dns_zone *z);

enum dns_result {
    DNS_ANSWERED,
    DNS_DROP,    /* not a question: no answer at all */
    DNS_FORWARD, /* someone else knows: ret_answer holds the question to ask (for a CNAME another one) */
};

#define DNS_NAME_BYTES 256

struct dns_forward {
    bool cname;                  /* the answer is a CNAME to `target` plus the addresses found for it */
    char target[DNS_NAME_BYTES]; /* dotted, lower case */
};

/* Answers `query` into `out`; udp: truncates to what the asker takes. turn: rotates the order of addresses. */
enum dns_result dns_zone_answer(const struct dns_zone *z, struct view query, bool udp, uint32_t turn, struct buf *out,
                                struct dns_forward *ret_forward);
/* The answer to `query` when forwarding came to `rcode` (0: with the addresses in `reply`, for a CNAME). */
void dns_forward_answer(struct view query, const struct dns_forward *f, struct view reply, int rcode, bool udp,
                        struct buf *out);
