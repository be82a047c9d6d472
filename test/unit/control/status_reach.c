// SPDX-License-Identifier: Apache-2.0
/* Which proxies an object concerns and which acknowledged it: real plans, real acknowledgements, on a simulated network. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/clock.h"
#include "control/port.h"
#include "control/push.h"
#include "control/status/reach.h"
#include "control/store.h"
#include "net/loop.h"
#include "net/sim.h"
#include "xds/client.h"
#include "xds/server.h"

#define ISTIO "apiVersion: networking.istio.io/v1\nkind: "
#define SERVICE(name, ip)                                                                                              \
    "apiVersion: v1\nkind: Service\nmetadata: {name: " name ", namespace: default}\nspec: {clusterIP: " ip             \
    ", ports: [{name: http, port: 80}]}\n---\n"
#define VS(host)                                                                                                       \
    ISTIO "VirtualService\nmetadata: {name: web, namespace: default, generation: 1}\n"                                 \
          "spec: {hosts: [web], http: [{route: [{destination: {host: " host "}}]}]}\n---\n"

static const char objects[] =
    "apiVersion: v1\nkind: Namespace\nmetadata: {name: default}\n---\n" SERVICE("web", "10.96.0.1")
        SERVICE("api", "10.96.0.2") /**/
    ISTIO "VirtualService\nmetadata: {name: hidden, namespace: default}\n"
          "spec: {hosts: [api], exportTo: [\".\"], http: [{route: [{destination: {host: api}}]}]}\n---\n" /**/
    ISTIO "VirtualService\nmetadata: {name: second, namespace: default}\n"
          "spec: {hosts: [web], http: [{route: [{destination: {host: web}}]}]}\n---\n" /**/
    ISTIO "VirtualService\nmetadata: {name: edge, namespace: default}\n"
          "spec: {hosts: [\"*\"], gateways: [edge], http: [{route: [{destination: {host: web}}]}]}\n---\n" /**/
    ISTIO "Gateway\nmetadata: {name: edge, namespace: default}\n"
          "spec: {selector: {app: gateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: "
          "[\"*\"]}]}\n---\n" /**/
    ISTIO "Gateway\nmetadata: {name: nobody, namespace: default}\n"
          "spec: {selector: {app: nobody}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: "
          "[\"*\"]}]}\n---\n" /**/
    ISTIO "DestinationRule\nmetadata: {name: web, namespace: default}\n"
          "spec: {host: web, trafficPolicy: {connectionPool: {tcp: {maxConnections: 7}}}}\n---\n"     /**/
    ISTIO "DestinationRule\nmetadata: {name: lost, namespace: default}\nspec: {host: nowhere}\n---\n" /**/
    ISTIO "ServiceEntry\nmetadata: {name: outside, namespace: default}\n"
          "spec: {hosts: [example.com], ports: [{number: 443, name: tls, protocol: TLS}], resolution: DNS}\n---\n"
          "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: default, namespace: default}\n"
          "spec: {mtls: {mode: STRICT}}\n---\n"
          "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: one, namespace: default}\n"
          "spec: {selector: {matchLabels: {app: web}}, mtls: {mode: PERMISSIVE}}\n---\n" VS("web");

static const struct {
    const char *type, *ns, *app;
} proxies[] = {{"sidecar", "default", "web"},
               {"sidecar", "default", "web"},
               {"sidecar", "default", "api"},
               {"sidecar", "other", "web"},
               {"router", "default", "gateway"}};
enum { PROXIES = sizeof(proxies) / sizeof(proxies[0]) };

struct client {
    struct task task;
    struct http_shared *http;
    struct xds_client *xds;
    char name[16], ip[16];
};

struct world {
    struct sim *sim;
    struct loop *loop;
    struct task task;
    struct http_shared *http;
    struct port *port;
    struct store *store;
    struct xds_server *server;
    struct push *push;
    struct reach *reach;
    struct client clients[PROXIES];
};

static void nothing(struct task *t, uint32_t events)
{
}

static void control_run(struct task *t, uint32_t events)
{
    struct world *w = CONTAINER_OF(t, struct world, task);

    push_snapshot(w->push, store_take(w->store));
    push_proxies(w->push);
}

static void serve(void *arg, const struct port_request *q)
{
    struct world *w = arg;

    xds_server_accept(w->server, q->stream, NULL);
}

static void client_init(struct world *w, unsigned i)
{
    struct client *c = &w->clients[i];
    struct xds_label labels[] = {{VIEW("app"), view_of(proxies[i].app)}};
    struct xds_node node = {.type = view_of(proxies[i].type),
                            .ns = view_of(proxies[i].ns),
                            .domain = VIEW("default.svc.cluster.local"),
                            .labels = labels,
                            .n_labels = 1};
    struct xds_client_config config = {.host = VIEW("10.0.0.1"), .port = 15010, .node = &node};

    snprintf(c->name, sizeof(c->name), "pod-%u", i);
    snprintf(c->ip, sizeof(c->ip), "10.1.0.%u", 10 + i);
    node.pod = view_of(c->name);
    node.ip = view_of(c->ip);
    config.loop = sim_loop(sim_host(w->sim, c->name, c->ip), SIM_PROXY);
    c->http = config.http = http_shared_new(config.loop);
    task_init(&c->task, config.loop, nothing, "client");
    c->xds = xds_client_new(&config, &c->task, 1);
}

static struct world *world_new(void)
{
    struct world *w = calloc(1, sizeof(*w));
    struct port_config config = {.version = HTTP_2, .serve = serve, .arg = w};

    w->sim = sim_new(5);
    config.loop = w->loop = sim_loop(sim_host(w->sim, "istiod", "10.0.0.1"), SIM_PROXY);
    config.http = w->http = http_shared_new(w->loop);
    task_init(&w->task, w->loop, control_run, "control");
    w->store = store_new(w->loop, &w->task, 1);
    w->server = xds_server_new(w->loop, &w->task, 1);
    w->push = push_new(&(struct push_config){.loop = w->loop, .store = w->store, .server = w->server, .open = true});
    w->reach = reach_new();
    assert_int_equal(addr_parse_ip(VIEW("10.0.0.1"), 15010, &config.at), 0);
    assert_int_equal(port_open(&config, &w->port), 0);
    assert_int_equal(store_put_file(w->store, VIEW("all.yaml"), VIEW(objects)), 0);
    sim_run(w->sim, NS_PER_S);
    return w;
}

static void world_free(struct world *w)
{
    for (int i = 0; i < PROXIES; i++)
        if (w->clients[i].http) {
            xds_client_free(w->clients[i].xds);
            task_done(&w->clients[i].task);
            http_shared_free(w->clients[i].http);
        }
    reach_free(w->reach);
    xds_server_free(w->server);
    port_free(w->port);
    push_free(w->push);
    store_free(w->store);
    task_done(&w->task);
    http_shared_free(w->http);
    sim_free(w->sim);
    free(w);
}

/* n of m of every object, as a text; an object is as old as `since` says. */
static void expect(struct world *w, const char *step, enum mesh_kind kind, const char *name, uint64_t since,
                   uint32_t acked, uint32_t all)
{
    const struct store_snapshot *now = push_now(w->push);
    const struct object *o = snapshot_get(now->mesh, kind, VIEW("default"), view_of(name));
    const struct reach_count *n;
    uint32_t i;

    assert_non_null(o);
    reach_begin(w->reach, now->mesh, now->number);
    i = reach_object(w->reach, o, since);
    reach_count(w->reach, w->server);
    n = reach_result(w->reach, i);
    if (n->acked != acked || n->proxies != all)
        fail_msg("%s: %s: %u of %u, not %u of %u", step, name, n->acked, n->proxies, acked, all);
    assert_int_equal(n->waiting.n > 0, acked < all);
}

static void objects_concern_those_whose_plan_they_are_in_or_whom_they_select(void **state)
{
    static const struct {
        enum mesh_kind kind;
        const char *name;
        uint32_t proxies;
    } rows[] = {
        {KIND_VIRTUAL_SERVICE, "hidden", 3}, /* exported to its own namespace only */
        {KIND_VIRTUAL_SERVICE, "edge", 1},   /* the gateway */
        {KIND_GATEWAY, "edge", 1},
        {KIND_GATEWAY, "nobody", 0},
        {KIND_DESTINATION_RULE, "web", 5},  /* all sidecars and the gateway */
        {KIND_DESTINATION_RULE, "lost", 0}, /* no such host */
        {KIND_SERVICE_ENTRY, "outside", 5},
        {KIND_PEER_AUTHENTICATION, "default", 3}, /* sidecars of the namespace */
        {KIND_PEER_AUTHENTICATION, "one", 2},
    };
    struct world *w = world_new();

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        expect(w, "nobody is there", rows[i].kind, rows[i].name, 1, 0, 0);
    for (unsigned i = 0; i < PROXIES; i++)
        client_init(w, i);
    sim_run(w->sim, 5 * NS_PER_S);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        expect(w, "all are there", rows[i].kind, rows[i].name, 1, rows[i].proxies, rows[i].proxies);
    world_free(w);
}

static void of_two_for_one_host_the_one_that_is_not_used_concerns_nobody(void **state)
{
    struct world *w = world_new();
    const struct object *a, *b;
    uint32_t used, unused;

    for (unsigned i = 0; i < 3; i++)
        client_init(w, i);
    sim_run(w->sim, 5 * NS_PER_S);
    a = snapshot_get(push_now(w->push)->mesh, KIND_VIRTUAL_SERVICE, VIEW("default"), VIEW("second"));
    b = snapshot_get(push_now(w->push)->mesh, KIND_VIRTUAL_SERVICE, VIEW("default"), VIEW("web"));
    reach_begin(w->reach, push_now(w->push)->mesh, 1);
    used = reach_object(w->reach, a, 1); /* of equal age the names decide: second before web */
    unused = reach_object(w->reach, b, 1);
    reach_count(w->reach, w->server);
    assert_int_equal(reach_result(w->reach, used)->proxies, 3);
    assert_int_equal(reach_result(w->reach, unused)->proxies, 0);
    world_free(w);
}

static void a_version_counts_when_it_was_acknowledged_and_not_before(void **state)
{
    struct world *w = world_new();
    uint64_t number;

    for (unsigned i = 0; i < 3; i++)
        client_init(w, i);
    sim_run(w->sim, 5 * NS_PER_S);
    number = push_now(w->push)->number;
    expect(w, "before", KIND_DESTINATION_RULE, "web", number, 3, 3);
    store_put_file(w->store, VIEW("more.yaml"),
                   VIEW(ISTIO "DestinationRule\nmetadata: {name: api, namespace: default}\n"
                              "spec: {host: api, trafficPolicy: {connectionPool: {tcp: {maxConnections: 9}}}}\n"));
    push_snapshot(w->push, store_take(w->store)); /* published; no loop has turned */
    expect(w, "sent to nobody yet", KIND_DESTINATION_RULE, "api", number + 1, 0, 3);
    expect(w, "sent to nobody yet", KIND_DESTINATION_RULE, "web", number, 3, 3);
    sim_run(w->sim, 2 * NS_PER_S);
    expect(w, "acknowledged", KIND_DESTINATION_RULE, "api", number + 1, 3, 3);
    xds_client_free(w->clients[0].xds);
    w->clients[0].xds = NULL;
    sim_run(w->sim, 2 * NS_PER_S);
    expect(w, "one is gone", KIND_DESTINATION_RULE, "api", number + 1, 2, 2);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(objects_concern_those_whose_plan_they_are_in_or_whom_they_select),
        cmocka_unit_test(of_two_for_one_host_the_one_that_is_not_used_concerns_nobody),
        cmocka_unit_test(a_version_counts_when_it_was_acknowledged_and_not_before),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
