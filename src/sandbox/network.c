// SPDX-License-Identifier: Apache-2.0
/* Making and removing pods' network namespaces (network.h). All by system calls of this thread: unshare, a few netlink
 * messages, setns back; about two milliseconds a pod.
 */
#include "sandbox/network.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "sandbox/netlink.h"

#define POD_ADDRESSES 65536u
#define LOOPBACK_INDEX 1u /* of lo in every namespace */

/* /proc/sys/net shows the namespace of the thread that writes. */
static int sysctl_write(const char *path, const char *value)
{
    char whole[128];
    snprintf(whole, sizeof(whole), "/proc/sys/net/%s", path);
    int fd = open(whole, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    ssize_t n = write(fd, value, strlen(value));
    int err = n < 0 ? -errno : 0;
    close(fd);
    return err;
}

int network_open(struct network *n, const struct network_config *config)
{
    static const char *const on[][2] = {
        {"ipv4/ip_forward", "1"},
        {"ipv4/conf/all/rp_filter", "0"}, /* hairpin and Service replies */
        {"ipv4/conf/default/rp_filter", "0"},
        {"ipv4/conf/all/send_redirects", "0"}, /* a packet may leave where it came from */
        {"ipv4/conf/default/send_redirects", "0"},
        {"ipv6/conf/all/disable_ipv6", "1"},
        {"ipv6/conf/default/disable_ipv6", "1"},
    };
    *n = (struct network){.config = *config, .gateway = config->pod_cidr + 1, .node_ns = -1, .netlink = -1, .next = 2};
    n->used = mem_alloc(POD_ADDRESSES / 8);
    n->node_ns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    if (n->node_ns < 0)
        return -errno;
    n->netlink = netlink_open();
    int err = n->netlink < 0 ? n->netlink : 0;
    for (size_t i = 0; i < COUNT_OF(on) && !err; i++) {
        err = sysctl_write(on[i][0], on[i][1]);
        if (err == -ENOENT && strncmp(on[i][0], "ipv6", 4) == 0)
            err = 0;
    }
    if (!err)
        err = netlink_link_up(n->netlink, LOOPBACK_INDEX);
    if (!err)
        err = netlink_address(n->netlink, LOOPBACK_INDEX, n->gateway, 32);
    if (!err)
        err = netlink_address(n->netlink, LOOPBACK_INDEX, config->dns_ip, 32);
    /* So that the node itself can reach ClusterIPs: a route must exist before the rules rewrite the destination. */
    struct netlink_route services = {
        .to = config->service_cidr, .bits = 16, .source = n->gateway, .index = LOOPBACK_INDEX};
    if (!err)
        err = netlink_route(n->netlink, &services);
    if (err)
        network_close(n);
    return err;
}

void network_close(struct network *n)
{
    if (n->netlink >= 0)
        close(n->netlink);
    if (n->node_ns >= 0)
        close(n->node_ns);
    mem_free(n->used);
    n->used = NULL;
    n->netlink = n->node_ns = -1;
}

static uint32_t address_take(struct network *n)
{
    for (uint32_t tried = 0; tried < POD_ADDRESSES; tried++) {
        uint32_t at = n->next;
        n->next = n->next + 1 < POD_ADDRESSES - 1 ? n->next + 1 : 2;
        if (!(n->used[at / 8] & (1u << at % 8))) {
            n->used[at / 8] |= (uint8_t)(1u << at % 8);
            return n->config.pod_cidr + at;
        }
    }
    return 0;
}

static void address_give(struct network *n, uint32_t ip)
{
    uint32_t at = ip - n->config.pod_cidr;
    if (ip && at < POD_ADDRESSES)
        n->used[at / 8] &= (uint8_t) ~(1u << at % 8);
}

/* Runs inside the pod's namespace. */
static int configure_inside(struct network *n, const struct network_pod *p)
{
    static const char *const sysctls[][2] = {
        {"ipv4/ip_unprivileged_port_start", "0"}, /* as container engines do: port 80 without root */
        {"ipv4/ping_group_range", "0 2147483647"},
        {"ipv6/conf/all/disable_ipv6", "0"},
        {"ipv6/conf/default/disable_ipv6", "1"},
    };
    for (size_t i = 0; i < COUNT_OF(sysctls); i++) {
        int err = sysctl_write(sysctls[i][0], sysctls[i][1]);
        if (err && err != -ENOENT)
            return err;
    }
    int nl = netlink_open();
    if (nl < 0)
        return nl;
    int err = netlink_link_up(nl, LOOPBACK_INDEX);
    close(nl);
    return err;
}

static int configure_link(struct network *n, const struct network_pod *p)
{
    int nl = netlink_open();
    if (nl < 0)
        return nl;
    uint32_t eth0 = if_nametoindex("eth0");
    struct netlink_route gateway = {.to = n->gateway, .bits = 32, .index = eth0};
    struct netlink_route rest = {.via = n->gateway, .index = eth0};
    int err = eth0 ? netlink_address(nl, eth0, p->ip, 32) : -ENODEV;
    if (!err)
        err = netlink_link_up(nl, eth0);
    if (!err)
        err = netlink_route(nl, &gateway);
    if (!err)
        err = netlink_route(nl, &rest);
    close(nl);
    return err;
}

static int make_namespace(struct network *n, struct network_pod *p)
{
    char name[IFNAMSIZ];
    if (unshare(CLONE_NEWNET) < 0)
        return -errno;
    p->netns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    int err = p->netns < 0 ? -errno : configure_inside(n, p);
    snprintf(name, sizeof(name), "veth%u", p->link);
    if (!err)
        err = netlink_veth(n->netlink, name, "eth0", p->netns); /* that socket stays in the node's namespace */
    if (!err && setns(n->node_ns, CLONE_NEWNET) < 0)
        err = -errno;
    uint32_t index = err ? 0 : if_nametoindex(name);
    if (!err)
        err = netlink_link_up(n->netlink, index);
    if (!err && setns(p->netns, CLONE_NEWNET) < 0)
        err = -errno;
    if (!err)
        err = configure_link(n, p);
    must(setns(n->node_ns, CLONE_NEWNET) == 0);
    if (err)
        return err;
    struct netlink_route route = {.to = p->ip, .bits = 32, .source = n->gateway, .index = index};
    return netlink_route(n->netlink, &route);
}

int network_pod_add(struct network *n, struct network_pod *p)
{
    *p = (struct network_pod){.netns = -1, .ip = address_take(n), .link = ++n->next_link};
    if (!p->ip)
        return -ENOSPC;
    int err = make_namespace(n, p);
    if (err) {
        log_error("cannot make a pod's network: %s", strerror(-err));
        network_pod_del(n, p);
    }
    return err;
}

void network_pod_del(struct network *n, struct network_pod *p)
{
    char name[IFNAMSIZ];
    if (!p->ip)
        return;
    snprintf(name, sizeof(name), "veth%u", p->link);
    (void)netlink_link_del(n->netlink, name); /* now, not when the kernel gets to it: the address may come back */
    if (p->netns >= 0)
        close(p->netns);
    address_give(n, p->ip);
    *p = (struct network_pod){.netns = -1};
}

int network_pod_socket(const struct network *n, const struct network_pod *p, int type, int *ret_fd)
{
    if (p->netns < 0 || setns(p->netns, CLONE_NEWNET) < 0)
        return p->netns < 0 ? -ENOTCONN : -errno;
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0), err = fd < 0 ? -errno : 0;
    must(setns(n->node_ns, CLONE_NEWNET) == 0);
    if (!err)
        *ret_fd = fd;
    return err;
}
