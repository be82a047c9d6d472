// SPDX-License-Identifier: Apache-2.0
/* Addresses: IPv4, IPv6 and Unix socket paths in 24 bytes, compared with memcmp, printed without malloc.
 *
 *   struct addr a;
 *   r = addr_parse(VIEW("10.1.2.3:9080"), &a);           // also "[::1]:80", "unix:/run/weft.sock", "unix:@abstract"
 *   char text[ADDR_TEXT];
 *   struct view v = addr_print(&a, text);                 // as Envoy prints: 10.1.2.3:9080, [fd00::1]:80
 *
 * Invariants: unused bytes are zero, so equal addresses are equal bytes. A Unix path is borrowed: it must outlive the
 * address (addresses of connections borrow from the acceptor's or the configuration's). IPv4-mapped IPv6 is IPv4 here.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/must.h"
#include "base/view.h"

enum addr_family {
    ADDR_NONE,
    ADDR_V4,
    ADDR_V6,
    ADDR_UNIX,
};

struct addr {
    uint8_t family; /* enum addr_family */
    uint8_t path_len;
    uint16_t port;  /* host byte order */
    uint32_t scope; /* of link-local IPv6 */
    union {
        uint8_t ip[16]; /* network byte order; IPv4 uses the first four */
        const char *path;
    };
};

#define ADDR_TEXT 128 /* enough for every printed address, without NUL */

int addr_parse(struct view text, struct addr *ret_addr) must_check;                   /* with port; -EINVAL */
int addr_parse_ip(struct view text, uint16_t port, struct addr *ret_addr) must_check; /* "10.1.2.3", "fd00::1" */
struct addr addr_v4(uint32_t host_order, uint16_t port);
uint32_t addr_v4_number(struct view text); /* "10.1.2.3" in host order; 0: no IPv4 address */
struct addr addr_unix(struct view path);

struct view addr_print(const struct addr *a, char text[ADDR_TEXT]);    /* with port; "" for ADDR_NONE */
struct view addr_print_ip(const struct addr *a, char text[ADDR_TEXT]); /* without */

bool addr_eq(const struct addr *a, const struct addr *b);
bool addr_same_ip(const struct addr *a, const struct addr *b); /* ports aside */
int addr_cmp(const struct addr *a, const struct addr *b);
bool addr_is_loopback(const struct addr *a);
bool addr_is_any(const struct addr *a);
/* Whether a lies in net/bits (10.0.0.0/8); different families never do. */
bool addr_in(const struct addr *a, const struct addr *net, unsigned bits);
/* "10.0.0.0/8", "fd00::/8", or a bare address, which is a full-length prefix; -EINVAL. */
int addr_parse_cidr(struct view text, struct addr *ret_net, unsigned *ret_bits) must_check;

/* To and from the kernel's form. addr_from_sockaddr gives ADDR_NONE for families that we do not know. */
socklen_t addr_to_sockaddr(const struct addr *a, struct sockaddr_storage *ss);
void addr_from_sockaddr(struct addr *a, const struct sockaddr *sa, socklen_t len);
