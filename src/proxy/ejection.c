// SPDX-License-Identifier: Apache-2.0
/* The control loop's memory of ejected endpoints (ejection.h): few and short-lived, so lists do. */
#include "proxy/ejection.h"

#include "base/must.h"

struct set_aside {
    struct plan_addr address;
    uint64_t until;
};

struct of_cluster {
    struct list link;
    const struct cluster *cluster; /* referenced */
    struct set_aside *hosts;
    uint32_t n;
    uint64_t total; /* since the cluster is in the plan */
};

void ejections_init(struct ejections *e)
{
    list_init(&e->clusters);
}

static void forget(struct of_cluster *c)
{
    list_del(&c->link);
    resource_unref(c->cluster);
    mem_free(c->hosts);
    mem_free(c);
}

void ejections_done(struct ejections *e)
{
    LIST_EACH (&e->clusters, struct of_cluster, link, c)
        forget(c);
}

static struct of_cluster *find(const struct ejections *e, const struct cluster *cluster)
{
    LIST_EACH (&e->clusters, struct of_cluster, link, c)
        if (view_eq(c->cluster->res.name, cluster->res.name))
            return c;
    return NULL;
}

static void drop_those_that_are_back(struct of_cluster *c, uint64_t now)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < c->n; i++)
        if (c->hosts[i].until > now)
            c->hosts[kept++] = c->hosts[i];
    c->n = kept;
}

void ejections_add(struct ejections *e, const struct ejection *one, uint64_t now)
{
    struct of_cluster *c = find(e, one->cluster);
    if (!c) {
        c = mem_alloc(sizeof(*c));
        c->cluster = resource_ref(one->cluster);
        list_push_front(&e->clusters, &c->link);
    }
    drop_those_that_are_back(c, now);
    for (uint32_t i = 0; i < c->n; i++)
        if (plan_addr_eq(&c->hosts[i].address, &one->address)) { /* another worker saw it too */
            if (c->hosts[i].until < one->until)
                c->hosts[i].until = one->until;
            return;
        }
    c->hosts = mem_grow(c->hosts, (c->n + 1) * sizeof(*c->hosts));
    c->hosts[c->n++] = (struct set_aside){.address = one->address, .until = one->until};
    c->total++;
}

void ejections_plan(struct ejections *e, const struct plan *plan)
{
    LIST_EACH (&e->clusters, struct of_cluster, link, c) {
        struct name_ref name = name_ref(c->cluster->res.name);
        if (!plan_cluster(plan, &name))
            forget(c);
    }
}

bool ejections_has(const struct ejections *e, const struct cluster *cluster, const struct plan_addr *address,
                   uint64_t now)
{
    const struct of_cluster *c = find(e, cluster);
    for (uint32_t i = 0; c && i < c->n; i++)
        if (c->hosts[i].until > now && plan_addr_eq(&c->hosts[i].address, address))
            return true;
    return false;
}

void ejections_print(const struct ejections *e, struct buf *out, uint64_t now)
{
    LIST_EACH (&e->clusters, struct of_cluster, link, c) {
        uint32_t active = 0;
        for (uint32_t i = 0; i < c->n; i++)
            active += c->hosts[i].until > now;
        buf_printf(out, "cluster.%.*s.outlier_detection.ejections_active: %u\n", VIEW_ARGS(c->cluster->res.name),
                   active);
        buf_printf(out, "cluster.%.*s.outlier_detection.ejections_enforced_total: %llu\n",
                   VIEW_ARGS(c->cluster->res.name), (unsigned long long)c->total);
    }
}
