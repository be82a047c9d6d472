// SPDX-License-Identifier: Apache-2.0
/* The few rtnetlink messages that the pod network needs, built by hand so that starting a pod runs no `ip` process.
 *
 *   int nl = netlink_open();                                   // of the thread's present network namespace
 *   netlink_veth(nl, "veth7", "eth0", pod_ns);                 // both ends down: neither goes up alone
 *   netlink_address(nl, index, ip, 32);
 *   netlink_route(nl, &(struct netlink_route){…});
 *
 * Each call sends one request and waits for the kernel's answer, which comes at once. Addresses: host byte order.
 */
#pragma once

#include <stdint.h>

#include "base/must.h"

struct netlink_route {
    uint32_t to;     /* destination */
    uint8_t bits;    /* of it; 0: the default route */
    uint32_t via;    /* gateway; 0: on the link */
    uint32_t source; /* preferred source address; 0: none */
    uint32_t index;  /* outgoing interface */
};

int netlink_open(void) must_check;
int netlink_veth(int nl, const char *name, const char *peer, int peer_ns) must_check;
int netlink_link_up(int nl, uint32_t index) must_check;
int netlink_link_del(int nl, const char *name);
int netlink_address(int nl, uint32_t index, uint32_t ip, uint8_t bits) must_check;
int netlink_route(int nl, const struct netlink_route *route) must_check;
