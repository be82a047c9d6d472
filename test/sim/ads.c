// SPDX-License-Identifier: Apache-2.0
/* A control plane and three proxies on the simulated network, the discovery protocol alone: what is sent, what is
 * acknowledged or refused, what survives a restart. Plans are made by hand; YAML is in test/sim/control.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "control/port.h"
#include "http/grpc_call.h"
#include "net/conn.h"
#include "net/loop.h"
#include "net/sim.h"
#include "plan/print.h"
#include "xds/client.h"
#include "xds/discovery.h"
#include "xds/node_pb.h"
#include "xds/server.h"
#include "xds/types.h"

enum { PROXIES = 3 };

struct world {
    struct sim *sim;
    struct loop *loop; /* of the control plane */
    struct task task;
    struct http_shared *http;
    struct port *port;
    struct xds_server *server;
    struct plan *plan; /* what everybody shall have */
    unsigned version;
    struct client {
        struct task task;
        struct loop *loop;
        struct http_shared *http;
        struct xds_client *xds;
        char name[16], ip[16];
        unsigned plans; /* how many different ones it was given */
        const struct plan *last;
    } clients[PROXIES];
};

/* ---- plans ---- */

static void put_cluster(struct plan *p, const char *name)
{
    struct cluster *c = RESOURCE_NEW(struct cluster, RESOURCE_CLUSTER, view_of(name));

    c->type = CLUSTER_EDS;
    c->eds_name = name_ref(c->res.name);
    resource_seal(&c->res);
    plan_put(p, &c->res);
    resource_unref(c);
}

static void put_endpoints(struct plan *p, const char *name, const char *ip)
{
    struct endpoint_set *s = RESOURCE_NEW(struct endpoint_set, RESOURCE_ENDPOINTS, view_of(name));
    struct arena *a = &s->res.arena;

    s->localities = ARENA_NEW(a, struct locality);
    s->n_localities = 1;
    s->localities->weight = 1;
    s->localities->endpoints = ARENA_NEW(a, struct endpoint);
    s->localities->n_endpoints = 1;
    s->localities->endpoints->weight = 1;
    s->localities->endpoints->address = plan_addr_of(view_of(ip), 9080);
    resource_seal(&s->res);
    plan_put(p, &s->res);
    resource_unref(s);
}

/* A table that sends everything to one cluster, for paths that match the regular expression. */
static void put_routes(struct plan *p, const char *name, const char *cluster, const char *regex)
{
    struct route_table *t = RESOURCE_NEW(struct route_table, RESOURCE_ROUTES, view_of(name));
    struct arena *a = &t->res.arena;
    struct route *r = ARENA_NEW(a, struct route);
    struct virtual_host *h = ARENA_NEW(a, struct virtual_host);

    r->path = (struct path_match){.kind = PATH_REGEX, .value = arena_view(a, view_of(regex))};
    r->forward.clusters = ARENA_NEW(a, struct weighted_cluster);
    r->forward.clusters->cluster = name_ref_copy(a, view_of(cluster));
    r->forward.clusters->weight = r->forward.n_clusters = 1;
    r->forward.total_weight = 1;
    r->forward.cluster_not_found = 503;
    *h = (struct virtual_host){
        .name = VIEW("any"), .domains = ARENA_NEW(a, struct view), .n_domains = 1, .routes = r, .n_routes = 1};
    h->domains[0] = VIEW("*");
    t->hosts = h;
    t->n_hosts = 1;
    resource_seal(&t->res);
    plan_put(p, &t->res);
    resource_unref(t);
}

static void put_listener(struct plan *p, const char *name, const char *rds, uint16_t port)
{
    struct listener *l = RESOURCE_NEW(struct listener, RESOURCE_LISTENER, view_of(name));
    struct arena *a = &l->res.arena;
    struct filter_chain *c = ARENA_NEW(a, struct filter_chain);
    struct http_manager *h = ARENA_NEW(a, struct http_manager);

    h->rds = name_ref_copy(a, view_of(rds));
    h->filters = ARENA_NEW(a, struct http_filter);
    h->filters[0] = (struct http_filter){HTTP_FILTER_ROUTER, VIEW("envoy.filters.http.router")};
    h->n_filters = 1;
    c->http = h;
    l->address = plan_addr_of(VIEW("0.0.0.0"), port);
    l->chains = c;
    l->n_chains = 1;
    resource_seal(&l->res);
    plan_put(p, &l->res);
    resource_unref(l);
}

static struct plan *first_plan(void)
{
    struct plan *p = plan_new();

    put_cluster(p, "reviews");
    put_cluster(p, "ratings");
    put_endpoints(p, "reviews", "10.1.0.4");
    put_endpoints(p, "ratings", "10.1.0.5");
    put_routes(p, "9080", "reviews", "/.*");
    put_listener(p, "0.0.0.0_9080", "9080", 9080);
    return p;
}

/* ---- the world ---- */

/* Every other proxy gets its plan in two layers: its listeners are its own. Nobody may notice. */
static void publish(struct world *w, struct xds_proxy *p)
{
    struct plan *shared, *own;
    char text[16];

    snprintf(text, sizeof(text), "v%u", w->version);
    if (p->number % 2) {
        xds_proxy_publish(p, w->plan, view_of(text));
        return;
    }
    shared = plan_copy(w->plan);
    own = plan_new();
    PLAN_EACH(w->plan, RESOURCE_LISTENER, l)
    {
        plan_put(own, l);
        plan_del(shared, RESOURCE_LISTENER, l->name);
    }
    xds_proxy_publish_layers(p, shared, own, view_of(text));
    plan_unref(shared);
    plan_unref(own);
}

static void control_run(struct task *t, uint32_t events)
{
    struct world *w = CONTAINER_OF(t, struct world, task);
    struct xds_proxy *p;

    while ((p = xds_server_next(w->server))) {
        if (p->gone)
            xds_proxy_free(p);
        else if (!p->user) {
            p->user = w;
            publish(w, p);
        }
    }
}

static void client_run(struct task *t, uint32_t events)
{
    struct client *c = CONTAINER_OF(t, struct client, task);

    if (xds_client_plan(c->xds) != c->last) {
        c->last = xds_client_plan(c->xds);
        c->plans++;
    }
}

static void serve(void *arg, const struct port_request *q)
{
    struct world *w = arg;

    xds_server_accept(w->server, q->stream, NULL);
}

static void control_start(struct world *w)
{
    struct port_config config = {.loop = w->loop, .http = w->http, .version = HTTP_2, .serve = serve, .arg = w};

    assert_int_equal(addr_parse_ip(VIEW("10.0.0.1"), 15010, &config.at), 0);
    w->server = xds_server_new(w->loop, &w->task, 1);
    assert_int_equal(port_open(&config, &w->port), 0);
}

static void control_stop(struct world *w)
{
    w->server = xds_server_free(w->server);
    w->port = port_free(w->port);
}

static struct world *world_new(uint64_t seed)
{
    struct world *w = calloc(1, sizeof(*w));

    w->sim = sim_new(seed);
    w->loop = sim_loop(sim_host(w->sim, "istiod", "10.0.0.1"), SIM_PROXY);
    w->http = http_shared_new(w->loop);
    task_init(&w->task, w->loop, control_run, "control");
    sim_name(w->sim, "istiod.istio-system.svc", "10.0.0.1");
    w->plan = first_plan();
    w->version = 1;
    control_start(w);
    for (int i = 0; i < PROXIES; i++) {
        struct client *c = &w->clients[i];
        struct xds_node node = {.type = VIEW("sidecar"),
                                .ns = VIEW("default"),
                                .domain = VIEW("default.svc.cluster.local"),
                                .build = VIEW("0.1")};
        struct xds_client_config config = {.host = VIEW("10.0.0.1"), .port = 15010, .node = &node};

        snprintf(c->name, sizeof(c->name), "pod-%d", i);
        snprintf(c->ip, sizeof(c->ip), "10.1.0.%d", 10 + i);
        node.pod = view_of(c->name);
        node.ip = view_of(c->ip);
        c->loop = config.loop = sim_loop(sim_host(w->sim, c->name, c->ip), SIM_PROXY);
        c->http = config.http = http_shared_new(c->loop);
        task_init(&c->task, c->loop, client_run, "client");
        c->xds = xds_client_new(&config, &c->task, 1);
    }
    return w;
}

static void world_free(struct world *w)
{
    for (int i = 0; i < PROXIES; i++) {
        xds_client_free(w->clients[i].xds);
        task_done(&w->clients[i].task);
        http_shared_free(w->clients[i].http);
    }
    if (w->server)
        control_stop(w);
    task_done(&w->task);
    http_shared_free(w->http);
    plan_unref(w->plan);
    sim_free(w->sim);
    free(w);
}

/* A changed plan for everybody: copy, change, tell. */
static struct plan *change(struct world *w)
{
    struct plan *next = plan_copy(w->plan);

    plan_unref(w->plan);
    w->plan = next;
    w->version++;
    return next;
}

static void tell(struct world *w)
{
    LIST_EACH (xds_server_proxies(w->server), struct xds_proxy, link, p) {
        publish(w, p);
    }
    sim_run(w->sim, NS_PER_S);
}

static struct xds_proxy *proxy(struct world *w, int i)
{
    int at = 0;

    LIST_EACH (xds_server_proxies(w->server), struct xds_proxy, link, p) {
        if (at++ == i)
            return p;
    }
    return NULL;
}

static uint64_t resources_sent(struct world *w)
{
    uint64_t n = 0;

    LIST_EACH (xds_server_proxies(w->server), struct xds_proxy, link, p) {
        n += p->resources;
    }
    return n;
}

static void everybody_has(struct world *w, const struct plan *plan)
{
    struct buf want = {0};

    plan_print(&want, plan);
    for (int i = 0; i < PROXIES; i++) {
        struct buf have = {0};
        assert_non_null(xds_client_plan(w->clients[i].xds));
        plan_print(&have, xds_client_plan(w->clients[i].xds));
        assert_string_equal(buf_cstr(&have), buf_cstr(&want));
        buf_done(&have);
    }
    buf_done(&want);
}

static void everybody_is(struct world *w, enum resource_kind kind, enum xds_sync sync)
{
    for (int i = 0; i < PROXIES; i++) {
        assert_non_null(proxy(w, i));
        assert_string_equal(xds_sync_name(proxy(w, i)->types[kind].sync), xds_sync_name(sync));
    }
}

/* ---- tests ---- */

static void every_proxy_gets_the_whole_plan_once(void **state)
{
    struct world *w = world_new(1);

    sim_run(w->sim, NS_PER_S);
    everybody_has(w, w->plan);
    assert_int_equal(resources_sent(w), PROXIES * 6);
    for (int i = 0; i < PROXIES; i++)
        assert_int_equal(w->clients[i].plans, 1); /* nothing incomplete was ever published */
    everybody_is(w, RESOURCE_CLUSTER, XDS_SYNCED);
    everybody_is(w, RESOURCE_ROUTES, XDS_SYNCED);
    assert_true(view_is(proxy(w, 0)->node.ns, "default"));
    assert_int_equal(xds_server_stats(w->server)->proxies, PROXIES);
    world_free(w);
}

static void a_first_plan_is_there_within_milliseconds(void **state)
{
    struct world *w = world_new(2);

    sim_run(w->sim, 50 * NS_PER_MS);
    everybody_has(w, w->plan);
    world_free(w);
}

static void a_changed_route_is_all_that_is_sent(void **state)
{
    struct world *w = world_new(3);
    uint64_t before;

    sim_run(w->sim, NS_PER_S);
    before = resources_sent(w);
    put_routes(change(w), "9080", "ratings", "/.*");
    tell(w);
    everybody_has(w, w->plan);
    assert_int_equal(resources_sent(w) - before, PROXIES);
    assert_int_equal(proxy(w, 0)->types[RESOURCE_ROUTES].nonce_acked, 2);
    assert_true(view_is(proxy(w, 0)->types[RESOURCE_ROUTES].version_acked, "v2"));
    tell(w); /* the same again */
    assert_int_equal(resources_sent(w) - before, PROXIES);
    world_free(w);
}

static void a_new_service_is_used_only_when_its_endpoints_are_there(void **state)
{
    struct world *w = world_new(4);
    struct plan *next;

    sim_run(w->sim, NS_PER_S);
    next = change(w);
    put_cluster(next, "details");
    put_endpoints(next, "details", "10.1.0.6");
    put_routes(next, "9081", "details", "/.*");
    put_listener(next, "0.0.0.0_9081", "9081", 9081);
    LIST_EACH (xds_server_proxies(w->server), struct xds_proxy, link, p) {
        publish(w, p);
    }
    for (int step = 0; step < 2000;
         step++) { /* at no moment is there a cluster without endpoints, a listener without routes */
        sim_run(w->sim, 20 * NS_PER_US);
        for (int i = 0; i < PROXIES; i++) {
            const struct plan *p = xds_client_plan(w->clients[i].xds);
            struct name_ref details = name_ref(VIEW("details")), table = name_ref(VIEW("9081")),
                            l = name_ref(VIEW("0.0.0.0_9081"));
            assert_true(!plan_cluster(p, &details) || plan_endpoints(p, &details));
            assert_true(!plan_listener(p, &l) || (plan_routes(p, &table) && plan_cluster(p, &details)));
        }
    }
    everybody_has(w, w->plan);
    world_free(w);
}

static void a_cluster_goes_after_the_routes_that_named_it(void **state)
{
    struct world *w = world_new(5);
    struct plan *next;
    bool both = false;

    sim_run(w->sim, NS_PER_S);
    next = change(w);
    put_routes(next, "9080", "ratings", "/.*");
    plan_del(next, RESOURCE_CLUSTER, VIEW("reviews"));
    plan_del(next, RESOURCE_ENDPOINTS, VIEW("reviews"));
    LIST_EACH (xds_server_proxies(w->server), struct xds_proxy, link, p) {
        publish(w, p);
    }
    for (int step = 0; step < 2000; step++) {
        struct name_ref reviews = name_ref(VIEW("reviews")), table = name_ref(VIEW("9080"));
        const struct plan *p = xds_client_plan(w->clients[0].xds);
        const char *to = plan_routes(p, &table)->hosts[0].routes[0].forward.clusters[0].cluster.name.p;
        sim_run(w->sim, 20 * NS_PER_US);
        p = xds_client_plan(w->clients[0].xds);
        to = plan_routes(p, &table)->hosts[0].routes[0].forward.clusters[0].cluster.name.p;
        assert_true(strcmp(to, "ratings") == 0 || plan_cluster(p, &reviews));
        both = both || (strcmp(to, "ratings") == 0 && plan_cluster(p, &reviews));
    }
    assert_true(both);
    everybody_has(w, w->plan);
    world_free(w);
}

static void what_is_refused_keeps_the_last_good_and_says_why(void **state)
{
    struct world *w = world_new(6);
    struct plan *good = NULL;
    uint64_t sent;

    sim_run(w->sim, NS_PER_S);
    good = (struct plan *)(uintptr_t)plan_ref(w->plan);
    put_routes(change(w), "9080", "reviews", "/(");
    tell(w);
    everybody_has(w, good);
    everybody_is(w, RESOURCE_ROUTES, XDS_REFUSED);
    everybody_is(w, RESOURCE_CLUSTER, XDS_SYNCED);
    assert_true(view_find_view(proxy(w, 1)->types[RESOURCE_ROUTES].nack, VIEW("9080")) <
                proxy(w, 1)->types[RESOURCE_ROUTES].nack.n);
    sent = resources_sent(w);
    tell(w);
    assert_int_equal(resources_sent(w), sent); /* not again until it changes */
    put_routes(change(w), "9080", "ratings", "/.*");
    tell(w);
    everybody_has(w, w->plan);
    everybody_is(w, RESOURCE_ROUTES, XDS_SYNCED);
    assert_true(view_empty(proxy(w, 1)->types[RESOURCE_ROUTES].nack));
    plan_unref(good);
    world_free(w);
}

static void one_bad_resource_does_not_keep_the_good_ones_back(void **state)
{
    struct world *w = world_new(7);
    struct plan *next, *want;

    sim_run(w->sim, NS_PER_S);
    next = change(w);
    for (int i = 0; i < 8; i++) {
        char name[16];
        snprintf(name, sizeof(name), "%d", 9100 + i);
        put_routes(next, name, "reviews", i == 3 ? "/(" : "/ok.*");
        put_listener(next, name, name, (uint16_t)(9100 + i));
    }
    tell(w);
    sim_run(w->sim, 10 * NS_PER_S); /* the listener of the bad table stays without routes: used as it is in the end */
    want = plan_copy(w->plan);
    plan_del(want, RESOURCE_ROUTES, VIEW("9103"));
    everybody_has(w, want);
    everybody_is(w, RESOURCE_ROUTES, XDS_REFUSED);
    plan_unref(want);
    world_free(w);
}

static void after_a_restart_nothing_unchanged_is_sent(void **state)
{
    struct world *w = world_new(8);

    sim_run(w->sim, NS_PER_S);
    control_stop(w);
    sim_run(w->sim, 20 * NS_PER_S);
    everybody_has(w, w->plan); /* the last good one stays */
    for (int i = 0; i < PROXIES; i++) {
        struct xds_client_status s = xds_client_status(w->clients[i].xds);
        assert_false(s.connected);
        assert_true(s.failures >= 4 && s.failures <= 14); /* it tries, ever more rarely */
        assert_true(s.error.n > 0);
    }
    control_start(w);
    sim_run(w->sim, 12 * NS_PER_S);
    assert_int_equal(xds_server_stats(w->server)->proxies, PROXIES);
    assert_int_equal(resources_sent(w), 0);
    everybody_has(w, w->plan);
    everybody_is(w, RESOURCE_ENDPOINTS, XDS_SYNCED);
    control_stop(w);
    put_endpoints(change(w), "reviews", "10.1.0.44"); /* while it was away */
    plan_del(w->plan, RESOURCE_CLUSTER, VIEW("ratings"));
    plan_del(w->plan, RESOURCE_ENDPOINTS, VIEW("ratings"));
    control_start(w);
    sim_run(w->sim, 12 * NS_PER_S);
    assert_int_equal(resources_sent(w), PROXIES);
    everybody_has(w, w->plan);
    world_free(w);
}

static void a_large_plan_comes_in_pieces(void **state)
{
    struct world *w = world_new(9);
    struct plan *next = change(w);

    for (int i = 0; i < 3000; i++) {
        char name[64];
        snprintf(name, sizeof(name), "outbound|80||service-%d.default.svc.cluster.local", i);
        put_cluster(next, name);
        put_endpoints(next, name, "10.1.0.9");
    }
    sim_run(w->sim, 5 * NS_PER_S);
    everybody_has(w, w->plan);
    assert_true(proxy(w, 0)->types[RESOURCE_CLUSTER].nonce_acked >= 3);
    assert_int_equal(xds_server_stats(w->server)->pushes[RESOURCE_LISTENER], PROXIES);
    for (int i = 0; i < PROXIES; i++)
        assert_int_equal(w->clients[i].plans, 1);
    world_free(w);
}

static void nothing_happens(struct task *t, uint32_t events)
{
}

static void a_proxy_that_reads_nothing_is_dropped(void **state)
{
    struct world *w = world_new(13);
    struct loop *loop = sim_loop(sim_host(w->sim, "slow", "10.1.0.99"), SIM_PROXY);
    struct http_shared *http = http_shared_new(loop);
    const struct http_conn_config config = {.role = HTTP_CLIENT, .version = HTTP_2, .scheme = VIEW("http")};
    const struct grpc_call_config start = {.path = VIEW(XDS_DELTA_PATH), .authority = VIEW("istiod")};
    struct xds_node node = {.type = VIEW("sidecar"),
                            .ip = VIEW("10.1.0.99"),
                            .pod = VIEW("slow"),
                            .ns = VIEW("default"),
                            .domain = VIEW("default.svc.cluster.local")};
    struct buf request = {0}, packed = {0};
    struct plan *next = change(w);
    struct http_conn *conn;
    struct grpc_call *call;
    struct conn *raw;
    struct task task;
    struct addr to;

    for (int i = 0; i < 3000; i++) { /* more than the windows of a stream and the buffers of a connection */
        char name[200];
        snprintf(name, sizeof(name), "outbound|80||%0*d.default.svc.cluster.local", 120, i);
        put_cluster(next, name);
        put_endpoints(next, name, "10.1.0.9");
    }
    sim_run(w->sim, 5 * NS_PER_S);
    task_init(&task, loop, nothing_happens, "slow proxy");
    assert_int_equal(addr_parse_ip(VIEW("10.0.0.1"), 15010, &to), 0);
    assert_int_equal(conn_connect(loop, &to, NULL, &raw), 0);
    conn = http_conn_new(http, raw, &config, &task, 1);
    sim_run(w->sim, NS_PER_S);
    assert_int_equal(grpc_call_start(conn, &start, &task, 1, &call), 0);
    xds_node_encode(&packed, &node);
    discovery_write_node(&request, buf_read(&packed));
    discovery_write_type(&request, xds_type_of(RESOURCE_CLUSTER)->url);
    assert_int_equal(grpc_call_send(call, buf_read(&request), false), 0);
    sim_run(w->sim, 50 * NS_PER_S);
    assert_int_equal(xds_server_stats(w->server)->proxies, PROXIES + 1);
    sim_run(w->sim, 30 * NS_PER_S);
    assert_int_equal(xds_server_stats(w->server)->slow, 1);
    assert_int_equal(xds_server_stats(w->server)->proxies, PROXIES);
    everybody_has(w, w->plan); /* the others were served, and are not slow */
    grpc_call_free(call);
    http_conn_free(conn);
    task_done(&task);
    http_shared_free(http);
    buf_done(&request);
    buf_done(&packed);
    world_free(w);
}

static void a_partition_heals(void **state)
{
    struct world *w = world_new(10);

    sim_run(w->sim, NS_PER_S);
    sim_link(w->sim, "istiod", "pod-1", &(struct sim_link){.latency = NS_PER_MS, .cut = true});
    put_routes(change(w), "9080", "ratings", "/.*");
    tell(w);
    sim_run(w->sim, 30 * NS_PER_S);
    sim_link(w->sim, "istiod", "pod-1", &(struct sim_link){.latency = NS_PER_MS});
    sim_run(w->sim, 90 * NS_PER_S);
    everybody_has(w, w->plan);
    world_free(w);
}

static uint64_t digest_of(uint64_t seed)
{
    struct world *w = world_new(seed);
    uint64_t digest;

    sim_run(w->sim, NS_PER_S);
    put_routes(change(w), "9080", "ratings", "/.*");
    tell(w);
    control_stop(w);
    sim_run(w->sim, 5 * NS_PER_S);
    control_start(w);
    sim_run(w->sim, 12 * NS_PER_S);
    everybody_has(w, w->plan);
    digest = sim_digest(w->sim);
    world_free(w);
    return digest;
}

static void a_seed_decides_everything(void **state)
{
    assert_true(digest_of(42) == digest_of(42));
    assert_true(digest_of(42) != digest_of(43));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_proxy_gets_the_whole_plan_once),
        cmocka_unit_test(a_first_plan_is_there_within_milliseconds),
        cmocka_unit_test(a_changed_route_is_all_that_is_sent),
        cmocka_unit_test(a_new_service_is_used_only_when_its_endpoints_are_there),
        cmocka_unit_test(a_cluster_goes_after_the_routes_that_named_it),
        cmocka_unit_test(what_is_refused_keeps_the_last_good_and_says_why),
        cmocka_unit_test(one_bad_resource_does_not_keep_the_good_ones_back),
        cmocka_unit_test(after_a_restart_nothing_unchanged_is_sent),
        cmocka_unit_test(a_large_plan_comes_in_pieces),
        cmocka_unit_test(a_proxy_that_reads_nothing_is_dropped),
        cmocka_unit_test(a_partition_heals),
        cmocka_unit_test(a_seed_decides_everything),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
