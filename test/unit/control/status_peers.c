// SPDX-License-Identifier: Apache-2.0
/* What other replicas say is added up, and who says nothing makes a count unknown. On a simulated network. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../mesh/snapshot_of.h"
#include "base/clock.h"
#include "control/port.h"
#include "control/reply.h"
#include "control/status/peers.h"
#include "kube/client.h"
#include "net/loop.h"
#include "net/sim.h"

#define SLICE(endpoints)                                                                                               \
    "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: istiod-x, namespace: istio-system, "       \
    "labels: {kubernetes.io/service-name: istiod}}\naddressType: IPv4\nports: [{name: grpc-xds, port: 15010}]\n"       \
    "endpoints:\n" endpoints
#define ENDPOINT(pod, ip, ready)                                                                                       \
    "- {addresses: [" ip "], conditions: {ready: " ready "}, targetRef: {kind: Pod, name: " pod                        \
    ", namespace: istio-system}}\n"
#define TWO SLICE(ENDPOINT("me", "10.0.0.1", "true") ENDPOINT("other", "10.0.0.2", "true"))

struct world {
    struct sim *sim;
    struct loop *loop, *there;
    struct http_shared *http;
    struct port *port;
    struct task task;
    struct status_peers *peers;
    struct arena arena;
    const char *says;
    unsigned asked;
};

static void serve(void *arg, const struct port_request *q)
{
    struct world *w = arg;
    struct buf body = {0};

    w->asked += view_is(q->path, STATUS_PEERS_PATH);
    buf_str(&body, w->says);
    reply_send(w->there, q->stream, 200, VIEW("application/json"), &body);
}

static void run(struct task *t, uint32_t events)
{
    status_peers_drain(CONTAINER_OF(t, struct world, task)->peers);
}

static void find(struct world *w, const char *text)
{
    status_peers_find(w->peers, snapshot_of(&w->arena, text));
}

static void init(struct world *w)
{
    struct port_config config = {.version = HTTP_1, .serve = serve, .arg = w};

    *w = (struct world){.sim = sim_new(2)};
    w->loop = sim_loop(sim_host(w->sim, "me", "10.0.0.1"), SIM_PROXY);
    w->there = sim_loop(sim_host(w->sim, "other", "10.0.0.2"), SIM_PROXY);
    config.loop = w->there;
    config.http = w->http = http_shared_new(w->there);
    assert_int_equal(addr_parse_ip(VIEW("10.0.0.2"), 15014, &config.at), 0);
    assert_int_equal(port_open(&config, &w->port), 0);
    arena_init(&w->arena, 0);
    task_init(&w->task, w->loop, run, "peers");
    w->peers = status_peers_new(w->loop, VIEW("me"), &w->task);
    sim_run(w->sim, NS_PER_S);
}

static void done(struct world *w)
{
    status_peers_free(w->peers);
    port_free(w->port);
    http_shared_free(w->http);
    task_done(&w->task);
    arena_done(&w->arena);
    sim_free(w->sim);
}

static struct status_facts ask(struct world *w, const char *says, uint64_t changed)
{
    struct status_facts f = {.acked = 1, .proxies = 1};

    w->says = says;
    status_peers_ask(w->peers);
    sim_run(w->sim, NS_PER_S);
    status_peers_add(w->peers, VIEW("VirtualService/default/web"), 4, changed, &f);
    return f;
}

static void what_the_other_counts_is_added(void **state)
{
    static const struct {
        const char *says;
        uint32_t acked, proxies;
        const char *waiting, *refused_by, *silent;
    } rows[] = {
        {"{\"objects\":[[\"VirtualService/default/web\",4,2,2,\"\",\"\",\"\"]]}", 3, 3, "", "", ""},
        {"{\"objects\":[[\"VirtualService/default/web\",4,0,0,\"\",\"\",\"\"]]}", 1, 1, "", "", ""},
        {"{\"objects\":[[\"VirtualService/default/web\",4,1,2,\"a\",\"\",\"\"]]}", 2, 3, "a", "", ""},
        {"{\"objects\":[[\"VirtualService/default/web\",4,1,2,\"\",\"b\",\"bad regex\"]]}", 2, 3, "", "b", ""},
        {"{\"objects\":[[\"VirtualService/default/web\",3,2,2,\"\",\"\",\"\"]]}", 1, 3, "other", "", ""}, /* older */
        {"{\"objects\":[[\"VirtualService/default/else\",4,2,2,\"\",\"\",\"\"]]}", 1, 1, "", "", "other"},
        {"{\"objects\":[[\"VirtualService/default/web\",4,3,2,\"\",\"\",\"\"]]}", 1, 1, "", "", "other"}, /* 3 of 2 */
        {"{\"objects\":[[\"VirtualService/default/web\",4,-1,2]]}", 1, 3, "", "", ""},
        {"{\"objects\":[[\"VirtualService/default/web\"],7,null,{}]}", 1, 1, "", "", "other"},
    };
    struct world w;

    init(&w);
    find(&w, TWO);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct status_facts f = ask(&w, rows[i].says, 1);
        if (f.acked != rows[i].acked || f.proxies != rows[i].proxies || !view_is(f.waiting, rows[i].waiting) ||
            !view_is(f.refused_by, rows[i].refused_by) || !view_is(f.silent, rows[i].silent))
            fail_msg("row %zu: %u of %u, waiting %.*s, refused by %.*s, silent %.*s", i, f.acked, f.proxies,
                     VIEW_ARGS(f.waiting), VIEW_ARGS(f.refused_by), VIEW_ARGS(f.silent));
    }
    assert_int_equal(w.asked, sizeof(rows) / sizeof(rows[0]));
    done(&w);
}

static void who_has_not_answered_since_a_change_is_named(void **state)
{
    static const char good[] = "{\"objects\":[[\"VirtualService/default/web\",4,2,2,\"\",\"\",\"\"]]}";
    struct status_facts f;
    struct world w;

    init(&w);
    find(&w, TWO);
    f = ask(&w, "nonsense", 1);
    assert_true(view_is(f.silent, "other"));
    f = ask(&w, good, 1);
    assert_int_equal(f.proxies, 3);
    f = (struct status_facts){.acked = 1, .proxies = 1};
    status_peers_add(w.peers, VIEW("VirtualService/default/web"), 4, loop_now(w.loop), &f); /* it changed after that */
    assert_true(view_is(f.silent, "other"));
    find(&w, SLICE(ENDPOINT("me", "10.0.0.1", "true") ENDPOINT("other", "10.0.0.2", "false")));
    assert_false(status_peers_any(w.peers)); /* it is on its way out: so are its proxies, to us */
    find(&w, SLICE(ENDPOINT("other", "10.0.0.2", "true")));
    assert_false(status_peers_any(w.peers)); /* a Service that we are not one of */
    done(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_other_counts_is_added),
        cmocka_unit_test(who_has_not_answered_since_a_change_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
