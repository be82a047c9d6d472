// SPDX-License-Identifier: Apache-2.0
/* rtnetlink requests (netlink.h): a message is a header, a fixed struct and attributes, some of which nest. */
#include "sandbox/netlink.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct message {
    union {
        struct nlmsghdr head;
        char bytes[1024];
    };
};

static void *message_begin(struct message *m, uint16_t type, uint16_t flags, size_t body)
{
    memset(m, 0, sizeof(*m));
    m->head.nlmsg_type = type;
    m->head.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
    m->head.nlmsg_len = (uint32_t)NLMSG_SPACE(body);
    return NLMSG_DATA(&m->head);
}

static struct rtattr *attribute(struct message *m, uint16_t type, const void *data, size_t n)
{
    struct rtattr *a = (struct rtattr *)(void *)(m->bytes + NLMSG_ALIGN(m->head.nlmsg_len));
    must((char *)a + RTA_SPACE(n) <= m->bytes + sizeof(m->bytes));
    a->rta_type = type;
    a->rta_len = (uint16_t)RTA_LENGTH(n);
    if (n)
        memcpy(RTA_DATA(a), data, n);
    m->head.nlmsg_len = (uint32_t)(NLMSG_ALIGN(m->head.nlmsg_len) + RTA_SPACE(n));
    return a;
}

static void attribute_ip(struct message *m, uint16_t type, uint32_t ip)
{
    uint32_t wire = htonl(ip);
    attribute(m, type, &wire, sizeof(wire));
}

/* An attribute that holds all that was added since. */
static void nest_end(struct message *m, struct rtattr *a)
{
    a->rta_len = (uint16_t)(m->bytes + m->head.nlmsg_len - (char *)a);
}

static int talk(int nl, struct message *m)
{
    union {
        struct nlmsghdr head;
        char bytes[4096];
    } in;
    if (send(nl, m->bytes, m->head.nlmsg_len, 0) < 0)
        return -errno;
    ssize_t n;
    while ((n = recv(nl, in.bytes, sizeof(in.bytes), 0)) < 0 && errno == EINTR)
        ;
    if (n < (ssize_t)NLMSG_LENGTH(sizeof(struct nlmsgerr)) || in.head.nlmsg_type != NLMSG_ERROR)
        return n < 0 ? -errno : -EBADMSG;
    return ((struct nlmsgerr *)NLMSG_DATA(&in.head))->error;
}

int netlink_open(void)
{
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    return fd < 0 ? -errno : fd;
}

int netlink_veth(int nl, const char *name, const char *peer, int peer_ns)
{
    struct message m;
    message_begin(&m, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, sizeof(struct ifinfomsg));
    attribute(&m, IFLA_IFNAME, name, strlen(name) + 1);
    struct rtattr *info = attribute(&m, IFLA_LINKINFO, NULL, 0);
    attribute(&m, IFLA_INFO_KIND, "veth", 4);
    struct rtattr *data = attribute(&m, IFLA_INFO_DATA, NULL, 0);
    struct ifinfomsg other = {0};
    struct rtattr *end = attribute(&m, VETH_INFO_PEER, &other, sizeof(other));
    attribute(&m, IFLA_IFNAME, peer, strlen(peer) + 1);
    attribute(&m, IFLA_NET_NS_FD, &peer_ns, sizeof(peer_ns));
    nest_end(&m, end);
    nest_end(&m, data);
    nest_end(&m, info);
    return talk(nl, &m);
}

int netlink_link_up(int nl, uint32_t index)
{
    struct message m;
    struct ifinfomsg *link = message_begin(&m, RTM_NEWLINK, 0, sizeof(*link));
    link->ifi_index = (int)index;
    link->ifi_flags = link->ifi_change = IFF_UP;
    return talk(nl, &m);
}

int netlink_link_del(int nl, const char *name)
{
    struct message m;
    message_begin(&m, RTM_DELLINK, 0, sizeof(struct ifinfomsg));
    attribute(&m, IFLA_IFNAME, name, strlen(name) + 1);
    return talk(nl, &m);
}

int netlink_address(int nl, uint32_t index, uint32_t ip, uint8_t bits)
{
    struct message m;
    struct ifaddrmsg *a = message_begin(&m, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, sizeof(*a));
    a->ifa_family = AF_INET;
    a->ifa_prefixlen = bits;
    a->ifa_index = index;
    attribute_ip(&m, IFA_LOCAL, ip);
    attribute_ip(&m, IFA_ADDRESS, ip);
    return talk(nl, &m);
}

int netlink_route(int nl, const struct netlink_route *route)
{
    struct message m;
    struct rtmsg *r = message_begin(&m, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, sizeof(*r));
    r->rtm_family = AF_INET;
    r->rtm_dst_len = route->bits;
    r->rtm_table = RT_TABLE_MAIN;
    r->rtm_protocol = RTPROT_STATIC;
    r->rtm_scope = route->via ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK;
    r->rtm_type = RTN_UNICAST;
    if (route->bits)
        attribute_ip(&m, RTA_DST, route->to);
    if (route->via)
        attribute_ip(&m, RTA_GATEWAY, route->via);
    if (route->source)
        attribute_ip(&m, RTA_PREFSRC, route->source);
    attribute(&m, RTA_OIF, &route->index, sizeof(route->index));
    return talk(nl, &m);
}
