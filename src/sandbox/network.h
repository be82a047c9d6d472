// SPDX-License-Identifier: Apache-2.0
/* The pod network: one routed /16 inside the sandbox's own network namespace ("the node").
 *
 * Each pod has an anonymous network namespace, held by a descriptor only, and one veth pair. There is no bridge: the pod
 * has a /32 and sends everything to the node's 10.244.0.1, the node has one route for each pod. So every packet between
 * pods passes the node's routing, and with it the Service rules and any capture of the pod network (`tcpdump -i any` in
 * there). Nothing leads out to the host.
 *
 *   network_open(&net, &config);
 *   network_pod_add(&net, &pod);      // pod.ip, pod.netns (a descriptor for setns)
 *   network_pod_del(&net, &pod);
 *
 * Invariants: single-threaded; the calling thread visits the new namespace while it is made and is back on return.
 */
#pragma once

#include <stdint.h>

#include "base/must.h"

struct network_config {
    uint32_t pod_cidr, service_cidr; /* host byte order, /16 each */
    uint32_t dns_ip;                 /* becomes the node's own */
};

struct network {
    struct network_config config;
    uint32_t gateway; /* first address of pod_cidr: the node */
    int node_ns;      /* descriptor of the node's namespace */
    int netlink;      /* in the node's namespace */
    uint8_t *used;    /* a bit for each pod address */
    uint32_t next, next_link;
};

struct network_pod {
    uint32_t ip;   /* host byte order */
    uint32_t link; /* the node's end is named veth<link> */
    int netns;     /* -1: none */
};

int network_open(struct network *n, const struct network_config *config) must_check;
void network_close(struct network *n);
int network_pod_add(struct network *n, struct network_pod *p) must_check;
void network_pod_del(struct network *n, struct network_pod *p);

/* A socket that belongs to the pod's namespace: what it connects to on 127.0.0.1 is the pod's own. */
int network_pod_socket(const struct network *n, const struct network_pod *p, int type, int *ret_fd) must_check;
