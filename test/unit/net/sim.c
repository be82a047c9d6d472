// SPDX-License-Identifier: Apache-2.0
/* The simulation: the same seed gives the same history, faults do what they say, capture redirects as iptables does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>

#include "net/acceptor.h"
#include "net/conn.h"
#include "net/loop.h"
#include "net/sim.h"
#include "net/timer.h"

/* Each host serves echoes and asks a random other host a few times. */
struct peer {
    struct task task;
    struct acceptor *acceptor;
    struct conn *served[256];
    unsigned n_served;
    struct conn *asking;
    struct timer pause;
    unsigned answers, failures;
    uint64_t last_answer;
};

#define PEERS 8

static void serve(struct peer *p)
{
    struct conn *c;
    while (p->n_served < COUNT_OF(p->served) && acceptor_accept(p->acceptor, &c) == 0) {
        p->served[p->n_served++] = c;
        conn_own(c, &p->task, 1, 2);
    }
    for (unsigned i = 0; i < p->n_served; i++) {
        char bytes[100];
        ssize_t n;
        while (p->served[i] && (n = conn_recv(p->served[i], bytes, sizeof(bytes))) != -EAGAIN) {
            if (n > 0 && conn_send_view(p->served[i], view_make(bytes, (size_t)n)) == n)
                continue;
            conn_close(p->served[i]);
            p->served[i] = NULL;
        }
    }
}

static void ask(struct peer *p)
{
    struct loop *l = p->task.loop;
    if (!p->asking && !timer_is_set(&p->pause)) {
        struct addr to = addr_v4(0x0a000001 + (uint32_t)rng_below(loop_rng(l), PEERS), 80);
        if (conn_connect(l, &to, &(struct conn_options){.timeout = NS_PER_S}, &p->asking) == 0) {
            conn_own(p->asking, &p->task, 1, 2);
            conn_send_view(p->asking, VIEW("hello"));
        }
    }
    if (!p->asking || conn_ready(p->asking) == -EAGAIN)
        return;
    char bytes[100];
    ssize_t n = conn_recv(p->asking, bytes, sizeof(bytes));
    if (n == -EAGAIN) {
        conn_send_view(p->asking, VIEW("hello"));
        return;
    }
    if (n > 0) {
        p->answers++;
        p->last_answer = loop_now(l);
    } else {
        p->failures++;
    }
    conn_close(p->asking);
    p->asking = NULL;
    timer_in(&p->pause, (10 + rng_below(loop_rng(l), 40)) * NS_PER_MS);
}

static void peer_run(struct task *t, uint32_t events)
{
    struct peer *p = CONTAINER_OF(t, struct peer, task);
    serve(p);
    ask(p);
}

static void peers_open(struct sim *s, struct peer *peers)
{
    static const char *const names[PEERS] = {"a", "b", "c", "d", "e", "f", "g", "h"};
    for (int i = 0; i < PEERS; i++) {
        char ip[] = "10.0.0.0";
        ip[7] = (char)('1' + i);
        struct loop *l = sim_loop(sim_host(s, names[i], ip), SIM_APP);
        peers[i] = (struct peer){0};
        task_init(&peers[i].task, l, peer_run, "peer");
        timer_init(&peers[i].pause, &peers[i].task, 4);
        struct addr at = addr_v4(0, 80);
        assert_int_equal(acceptor_open(l, &at, NULL, &peers[i].task, 8, &peers[i].acceptor), 0);
        task_wake(&peers[i].task, 4);
    }
}

static void peers_close(struct peer *peers)
{
    for (int i = 0; i < PEERS; i++) {
        for (unsigned k = 0; k < peers[i].n_served; k++)
            conn_close(peers[i].served[k]);
        conn_close(peers[i].asking);
        acceptor_close(peers[i].acceptor);
        timer_done(&peers[i].pause);
        task_done(&peers[i].task);
    }
}

static uint64_t history(uint64_t seed, unsigned *ret_answers)
{
    struct peer peers[PEERS];
    struct sim *s = sim_new(seed);
    peers_open(s, peers);
    sim_link(s, "a", "b", &(struct sim_link){.latency = 5 * NS_PER_MS, .jitter = 5 * NS_PER_MS, .loss = 0.2});
    sim_run(s, 2 * NS_PER_S);
    uint64_t digest = sim_digest(s);
    *ret_answers = 0;
    for (int i = 0; i < PEERS; i++)
        *ret_answers += peers[i].answers;
    peers_close(peers);
    sim_free(s);
    return digest;
}

static void a_seed_decides_everything_and_another_seed_something_else(void **state)
{
    unsigned first, again, other;
    uint64_t a = history(1, &first), b = history(1, &again), c = history(2, &other);
    assert_true(first > 100);
    assert_true(a == b);
    assert_int_equal(first, again);
    assert_true(a != c);
}

static void a_cut_link_holds_everything_until_it_heals_or_sockets_give_up(void **state)
{
    struct peer peers[PEERS];
    struct sim *s = sim_new(9);
    peers_open(s, peers);
    for (int i = 1; i < PEERS; i++) {
        char name[] = {(char)('a' + i), 0};
        sim_link(s, "a", name, &(struct sim_link){.latency = NS_PER_MS, .cut = true});
    }
    sim_run(s, 5 * NS_PER_S);
    unsigned alone = peers[0].failures;
    assert_true(alone > 0); /* connect time-outs */
    for (int i = 1; i < PEERS; i++) {
        char name[] = {(char)('a' + i), 0};
        sim_link(s, "a", name, &(struct sim_link){.latency = NS_PER_MS});
    }
    uint64_t healed = sim_now(s);
    sim_run(s, 3 * NS_PER_S);
    assert_true(peers[0].last_answer > healed);
    peers_close(peers);
    sim_free(s);
}

static void a_killed_host_resets_its_connections_and_answers_no_more(void **state)
{
    struct sim *s = sim_new(4);
    struct sim_host *server = sim_host(s, "server", "10.0.0.2");
    struct loop *sl = sim_loop(server, SIM_APP), *cl = sim_loop(sim_host(s, "client", "10.0.0.1"), SIM_APP);
    struct peer p = {0};
    struct addr at = addr_v4(0x0a000002, 80);
    task_init(&p.task, sl, peer_run, "peer");
    timer_init(&p.pause, &p.task, 4);
    timer_in(&p.pause, 3600 * NS_PER_S);
    assert_int_equal(acceptor_open(sl, &at, NULL, &p.task, 8, &p.acceptor), 0);
    struct conn *before, *after;
    char byte;
    assert_int_equal(conn_connect(cl, &at, NULL, &before), 0);
    sim_run(s, NS_PER_S);
    assert_int_equal(conn_ready(before), 0);
    sim_host_kill(server);
    assert_int_equal(conn_recv(before, &byte, 1), -ECONNRESET);
    assert_int_equal(conn_connect(cl, &at, &(struct conn_options){.timeout = NS_PER_S}, &after), 0);
    sim_run(s, 2 * NS_PER_S);
    assert_int_equal(conn_ready(after), -ETIMEDOUT);
    conn_close(before);
    conn_close(after);
    conn_close(p.served[0]);
    acceptor_close(p.acceptor);
    timer_done(&p.pause);
    task_done(&p.task);
    sim_free(s);
}

struct gate {
    struct task task;
    struct acceptor *acceptor;
    struct conn *conn;
};

static void gate_run(struct task *t, uint32_t events)
{
    struct gate *g = CONTAINER_OF(t, struct gate, task);
    if (!g->conn && acceptor_accept(g->acceptor, &g->conn) < 0)
        g->conn = NULL;
}

static void gate_open(struct gate *g, struct loop *l, uint16_t port)
{
    struct addr at = addr_v4(0, port);
    *g = (struct gate){0};
    task_init(&g->task, l, gate_run, "gate");
    assert_int_equal(acceptor_open(l, &at, NULL, &g->task, 1, &g->acceptor), 0);
}

static void gate_close(struct gate *g)
{
    conn_close(g->conn);
    acceptor_close(g->acceptor);
    task_done(&g->task);
}

static void capture_redirects_applications_and_passes_proxies(void **state)
{
    struct sim *s = sim_new(6);
    struct sim_host *a = sim_host(s, "a", "10.0.0.1"), *b = sim_host(s, "b", "10.0.0.2");
    struct sim_capture capture = {.outbound = 15001, .inbound = 15006, .except = {15021}};
    sim_capture(a, &capture);
    sim_capture(b, &capture);
    struct loop *app = sim_loop(a, SIM_APP), *proxy = sim_loop(a, SIM_PROXY), *proxy_b = sim_loop(b, SIM_PROXY);
    struct gate out, in, health;
    struct addr to = addr_v4(0x0a600005, 9080), pod = addr_v4(0x0a000002, 9080), seen;
    gate_open(&out, proxy, 15001);
    gate_open(&in, proxy_b, 15006);
    gate_open(&health, proxy_b, 15021);
    struct conn *c1, *c2, *c3;
    assert_int_equal(conn_connect(app, &to, NULL, &c1), 0); /* to an address that nobody has: the proxy takes it */
    assert_int_equal(conn_connect(proxy, &pod, NULL, &c2), 0);
    pod.port = 15021;
    assert_int_equal(conn_connect(proxy, &pod, NULL, &c3), 0);
    sim_run(s, NS_PER_S);
    assert_non_null(out.conn);
    assert_int_equal(conn_original_dst(out.conn, &seen), 0);
    assert_true(addr_eq(&seen, &to));
    assert_non_null(in.conn);
    assert_int_equal(conn_original_dst(in.conn, &seen), 0);
    assert_int_equal(seen.port, 9080);
    assert_non_null(health.conn);
    assert_int_equal(conn_original_dst(health.conn, &seen), -ENOENT);
    conn_close(c1);
    conn_close(c2);
    conn_close(c3);
    gate_close(&out);
    gate_close(&in);
    gate_close(&health);
    sim_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_seed_decides_everything_and_another_seed_something_else),
        cmocka_unit_test(a_cut_link_holds_everything_until_it_heals_or_sockets_give_up),
        cmocka_unit_test(a_killed_host_resets_its_connections_and_answers_no_more),
        cmocka_unit_test(capture_redirects_applications_and_passes_proxies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
