// SPDX-License-Identifier: Apache-2.0
/* Plans without a control plane (static_plan.h). */
#include "proxy/static_plan.h"

#include <errno.h>
#include <string.h>

#include "plan/defaults.h"
#include "plan/plan.h"

static struct plan_addr v4(bool any, uint16_t port)
{
    struct plan_addr a = {.kind = ADDR_IPV4, .port = port};
    if (!any)
        memcpy(a.ip, (uint8_t[]){127, 0, 0, 1}, 4);
    return a;
}

static void add_cluster(struct plan *p, struct view name, enum static_kind kind, uint16_t port)
{
    struct cluster *c = RESOURCE_NEW(struct cluster, RESOURCE_CLUSTER, name);
    struct arena *a = &c->res.arena;
    c->type = CLUSTER_STATIC;
    c->connect_timeout = DEFAULT_CONNECT_TIMEOUT;
    c->breaker = (struct breaker_limits){UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX};
    c->protocol = kind == STATIC_H2 ? PROTOCOL_HTTP2 : PROTOCOL_HTTP1;
    c->endpoints = ARENA_NEW(a, struct endpoint_set);
    c->endpoints->localities = ARENA_NEW(a, struct locality);
    c->endpoints->n_localities = 1;
    c->endpoints->localities->weight = 1;
    c->endpoints->localities->endpoints = ARENA_NEW(a, struct endpoint);
    c->endpoints->localities->n_endpoints = 1;
    c->endpoints->localities->endpoints[0] = (struct endpoint){.address = v4(false, port), .weight = 1};
    plan_put(p, &c->res);
    resource_unref(c);
}

static struct weighted_cluster *to_cluster(struct arena *a, struct view name)
{
    struct weighted_cluster *w = ARENA_NEW(a, struct weighted_cluster);
    w->cluster = name_ref_copy(a, name);
    w->weight = 1;
    return w;
}

static struct http_manager *manager(struct arena *a, struct view cluster)
{
    struct http_manager *m = ARENA_NEW(a, struct http_manager);
    m->codec = CODEC_AUTO;
    m->server_header = SERVER_PASS_THROUGH;
    m->websocket = m->accept_http10 = m->proxy_100_continue = true;
    struct route_table *t = m->routes = ARENA_NEW(a, struct route_table);
    t->res.name = VIEW("static");
    t->hosts = ARENA_NEW(a, struct virtual_host);
    t->n_hosts = 1;
    struct virtual_host *h = t->hosts;
    h->name = VIEW("static");
    h->domains = ARENA_NEW(a, struct view);
    h->domains[0] = VIEW("*");
    h->n_domains = 1;
    h->routes = ARENA_NEW(a, struct route);
    h->n_routes = 1;
    struct route *r = h->routes;
    r->name = VIEW("default");
    r->path = (struct path_match){.kind = PATH_PREFIX, .value = VIEW("/")};
    r->forward.clusters = to_cluster(a, cluster);
    r->forward.n_clusters = 1;
    r->forward.total_weight = 1;
    r->forward.cluster_not_found = 503;
    return m;
}

void static_plan_add(struct plan *p, enum static_kind kind, uint16_t listen, uint16_t upstream, bool any)
{
    struct arena scratch;
    arena_init(&scratch, 256);
    struct view cluster = arena_printf(&scratch, "static|%u", upstream);
    add_cluster(p, cluster, kind, upstream);
    struct listener *l = RESOURCE_NEW(struct listener, RESOURCE_LISTENER, arena_printf(&scratch, "static_%u", listen));
    struct arena *a = &l->res.arena;
    l->address = v4(any, listen);
    l->bind_to_port = true;
    l->chains = ARENA_NEW(a, struct filter_chain);
    l->n_chains = 1;
    l->chains->name = VIEW("static");
    if (kind == STATIC_TCP) {
        struct tcp_manager *t = l->chains->tcp = ARENA_NEW(a, struct tcp_manager);
        t->clusters = to_cluster(a, cluster);
        t->n_clusters = 1;
        t->total_weight = 1;
        t->idle_timeout = DEFAULT_TCP_IDLE_TIMEOUT;
    } else {
        l->chains->http = manager(a, cluster);
    }
    struct view why;
    int r = resource_prepare(&l->res, &why);
    odd(r == 0);
    plan_put(p, &l->res);
    resource_unref(l);
    arena_done(&scratch);
}

int static_plan_parse(struct plan *p, struct view text)
{
    enum static_kind kind = STATIC_HTTP;
    bool any = false;
    if (view_starts(text, VIEW("http:")))
        text = view_from(text, 5);
    else if (view_starts(text, VIEW("h2:")))
        kind = STATIC_H2, text = view_from(text, 3);
    else if (view_starts(text, VIEW("tcp:")))
        kind = STATIC_TCP, text = view_from(text, 4);
    size_t colon = view_find(text, ':');
    uint64_t listen, upstream;
    if (view_u64(view_head(text, colon), &listen) < 0 || view_u64(view_from(text, colon + 1), &upstream) < 0 ||
        !listen || !upstream || listen > 65535 || upstream > 65535)
        return -EINVAL;
    static_plan_add(p, kind, (uint16_t)listen, (uint16_t)upstream, any);
    return 0;
}
