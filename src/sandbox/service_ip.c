// SPDX-License-Identifier: Apache-2.0
/* Choosing and keeping ClusterIPs (service_ip.h). */
#include "sandbox/service_ip.h"

#include <errno.h>

#include "mesh/service.h"
#include "net/addr.h"
#include "wire/node.h"

static const struct record *holder(struct cluster *c, struct arena *a, struct view ip)
{
    size_t n;
    struct record **all = store_list(c->store, KIND_SERVICE, VIEW_NONE, a, &n);
    for (size_t i = 0; i < n; i++)
        if (view_eq(OBJECT_AS(all[i]->object, SERVICE, service)->cluster_ip, ip))
            return all[i];
    return NULL;
}

static struct view print_ip(struct arena *a, uint32_t ip)
{
    return arena_printf(a, "%u.%u.%u.%u", ip >> 24, ip >> 16 & 255, ip >> 8 & 255, ip & 255);
}

/* FNV-1a: the same in every run, as view_hash is not. */
static uint32_t place(struct view ns, struct view name)
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < ns.n; i++)
        h = (h ^ (uint8_t)ns.p[i]) * 16777619u;
    h *= 16777619u;
    for (size_t i = 0; i < name.n; i++)
        h = (h ^ (uint8_t)name.p[i]) * 16777619u;
    return h ^ h >> 16;
}

static int choose(struct cluster *c, struct arena *a, struct view ns, struct view name, struct view *ret_ip)
{
    enum { FIRST = 256, SIZE = 65536 - 256 - 1 }; /* the lowest ones are for the sandbox's own */
    uint32_t start = place(ns, name) % SIZE;
    for (uint32_t i = 0; i < SIZE; i++) {
        uint32_t ip = c->service_cidr + FIRST + (start + i) % SIZE;
        struct view text = print_ip(a, ip);
        if ((ip & 255) == 0 || (ip & 255) == 255 || ip == c->dns_ip || holder(c, a, text))
            continue;
        *ret_ip = text;
        return 0;
    }
    return -ENOSPC;
}

static int check_wish(struct cluster *c, struct arena *a, struct view wish, const struct node *tree,
                      struct view *ret_why)
{
    uint32_t ip = addr_v4_number(wish);
    if (!ip || (ip & 0xffff0000u) != c->service_cidr) {
        struct view net = print_ip(a, c->service_cidr);
        *ret_why = arena_printf(a, "not an address of the service network %.*s/16", VIEW_ARGS(net));
        return -EINVAL;
    }
    const struct record *other = holder(c, a, wish);
    if (ip != c->dns_ip && (!other || (view_eq(other->name, node_text_at(tree, "metadata.name")) &&
                                       view_eq(other->ns, node_text_at(tree, "metadata.namespace")))))
        return 0;
    *ret_why = other
                   ? arena_printf(a, "Service %.*s/%.*s has this address", VIEW_ARGS(other->ns), VIEW_ARGS(other->name))
                   : VIEW("the cluster's DNS server has this address");
    return -EINVAL;
}

int service_ip_assign(struct cluster *c, struct arena *a, struct node *tree, const struct record *old,
                      struct view *ret_why)
{
    struct node *spec = node_make(a, tree, "spec", NODE_MAP);
    if (view_is(node_text_at(spec, "type"), "ExternalName"))
        return 0;
    struct view wish = node_text_at(spec, "clusterIP"), had = VIEW_NONE;
    if (old)
        had = OBJECT_AS(old->object, SERVICE, service)->cluster_ip;
    if (view_is(wish, "None"))
        return 0;
    if (!wish.n && had.n && !view_is(had, "None")) {
        node_set_str(a, spec, "clusterIP", arena_view(a, had));
        return 0;
    }
    if (wish.n)
        return check_wish(c, a, wish, tree, ret_why);
    struct view ip;
    int err = choose(c, a, node_text_at(tree, "metadata.namespace"), node_text_at(tree, "metadata.name"), &ip);
    if (err) {
        *ret_why = VIEW("the service network has no free address");
        return err;
    }
    node_set_str(a, spec, "clusterIP", ip);
    return 0;
}
