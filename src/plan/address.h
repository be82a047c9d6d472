// SPDX-License-Identifier: Apache-2.0
/* Addresses and prefixes as a plan holds them: already parsed, so that connecting and matching parse nothing.
 * IPv4 addresses use the first four bytes of ip. Names (STRICT_DNS, LOGICAL_DNS) and Unix sockets keep their text.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/must.h"
#include "base/view.h"

enum plan_addr_kind {
    ADDR_UNSET, /* not set */
    ADDR_IPV4,
    ADDR_IPV6,
    ADDR_NAME, /* to be resolved */
    ADDR_PATH, /* name is the path */
};

struct plan_addr {
    uint8_t kind; /* enum plan_addr_kind */
    uint16_t port;
    uint8_t ip[16];   /* network order */
    struct view name; /* ADDR_NAME, ADDR_PATH; borrowed from the resource */
};

struct ip_prefix {
    uint8_t ip[16];
    uint8_t family; /* ADDR_IPV4 or ADDR_IPV6 */
    uint8_t bits;
};

/* "10.0.0.1", "::1": -EINVAL for anything else. The port is set to `port`. */
int plan_addr_parse_ip(struct view text, uint16_t port, struct plan_addr *ret) must_check;
/* An IP address when it is one, else ADDR_NAME that borrows text. */
struct plan_addr plan_addr_of(struct view host, uint16_t port);
bool plan_addr_eq(const struct plan_addr *a, const struct plan_addr *b);
uint64_t plan_addr_hash(const struct plan_addr *a);
void plan_addr_print_host(struct buf *out, const struct plan_addr *a); /* without the port, IPv6 without brackets */
void plan_addr_print(struct buf *out, const struct plan_addr *a);      /* 10.0.0.1:80, [::1]:80, name:80, unix path */

int ip_prefix_parse(struct view text, struct ip_prefix *ret) must_check; /* 10.0.0.0/8; without / a host prefix */
bool ip_prefix_contains(const struct ip_prefix *prefix, const struct plan_addr *addr);
void ip_prefix_print(struct buf *out, const struct ip_prefix *prefix);
