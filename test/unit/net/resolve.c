// SPDX-License-Identifier: Apache-2.0
/* Names: a small DNS server on loopback answers the real resolver; the simulation answers by itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/loop.h"
#include "net/resolve.h"
#include "net/sim.h"

/* Answers A questions for names that start with "good" with two addresses (TTL 7 and 9), all else with NXDOMAIN, and is
 * silent for "silent". Ends when it gets an empty datagram. */
static void *serve(void *arg)
{
    int fd = *(int *)arg;
    uint8_t q[512], a[600];
    struct sockaddr_storage from;
    for (;;) {
        socklen_t len = sizeof(from);
        ssize_t n = recvfrom(fd, q, sizeof(q), 0, (struct sockaddr *)&from, &len);
        if (n < 13)
            return NULL;
        if (memcmp(q + 13, "silent", 6) == 0)
            continue;
        size_t end = 12;
        while (end < (size_t)n && q[end])
            end += q[end] + 1u;
        uint16_t type = (uint16_t)(q[end + 1] << 8 | q[end + 2]);
        end += 5;
        memcpy(a, q, end);
        a[2] = 0x81;
        a[3] = 0x80;
        memset(a + 6, 0, 6);
        bool good = memcmp(q + 13, "good", 4) == 0;
        if (!good)
            a[3] |= 3;
        for (int i = 0; good && type == 1 && i < 2; i++) {
            static const uint8_t record[] = {0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 10, 0, 0, 2};
            memcpy(a + end, record, sizeof(record));
            a[end + 9] = (uint8_t)(9 - 2 * i);
            a[end + 15] = (uint8_t)(2 - i);
            end += sizeof(record);
            a[7]++;
        }
        sendto(fd, a, end, 0, (struct sockaddr *)&from, len);
    }
}

struct asker {
    struct task task;
    struct query query;
    unsigned woken;
};

static void asker_run(struct task *t, uint32_t events)
{
    CONTAINER_OF(t, struct asker, task)->woken++;
}

static void names_resolve_fail_and_time_out(void **state)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(in);
    assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, serve, &fd), 0);
    struct addr server = addr_v4(0x7f000001, ntohs(in.sin_port));
    struct loop *l = loop_new(NULL);
    struct resolver *r =
        resolver_new(l, &(struct resolver_options){.servers = &server, .n_servers = 1, .timeout_ms = 50, .tries = 2});
    assert_non_null(r);
    static const struct {
        const char *name;
        int status;
        unsigned n;
    } rows[] = {
        {"good.example.org.", 0, 2},
        {"bad.example.org.", -ENOENT, 0},
        {"silent.example.org.", -ETIMEDOUT, 0},
        {"10.1.2.3", 0, 1},
        {"fd00::1", 0, 1},
        {"", -EINVAL, 0},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct asker a = {0};
        task_init(&a.task, l, asker_run, "asker");
        query_init(&a.query, &a.task, 1);
        resolve(r, &a.query, view_of(rows[i].name), RESOLVE_V4 | RESOLVE_V6);
        while (!a.woken)
            loop_turn(l, true);
        if (a.query.status != rows[i].status)
            fail_msg("%s: %d", rows[i].name, a.query.status);
        assert_int_equal(a.query.n_addrs, rows[i].n);
        if (i == 0) {
            assert_int_equal(a.query.addrs[0].ip[3], 1); /* sorted */
            assert_int_equal(a.query.addrs[1].ip[3], 2);
            assert_int_equal(a.query.ttl, 7);
        }
        query_done(&a.query);
    }
    /* A question that nobody waits for any more, and one that is open at the end. */
    struct asker gone = {0}, open = {0};
    task_init(&gone.task, l, asker_run, "gone");
    task_init(&open.task, l, asker_run, "open");
    query_init(&gone.query, &gone.task, 1);
    query_init(&open.query, &open.task, 1);
    resolve(r, &gone.query, VIEW("silent.example.org."), RESOLVE_V4);
    resolve(r, &open.query, VIEW("silent.example.org."), RESOLVE_V4);
    query_done(&gone.query);
    resolver_free(r);
    loop_turn(l, false);
    assert_int_equal(gone.woken, 0);
    assert_int_equal(open.woken, 1);
    assert_int_equal(open.query.status, -ECANCELED);
    query_done(&open.query);
    loop_free(l);
    sendto(fd, "", 0, 0, (struct sockaddr *)&in, sizeof(in));
    pthread_join(thread, NULL);
    close(fd);
}

static void the_simulation_knows_the_names_it_was_given(void **state)
{
    struct sim *s = sim_new(5);
    struct loop *l = sim_loop(sim_host(s, "a", "10.0.0.1"), SIM_APP);
    struct resolver *r = resolver_new(l, NULL);
    struct asker a = {0};
    sim_name(s, "reviews.default.svc.cluster.local", "10.96.0.9");
    sim_name(s, "reviews.default.svc.cluster.local", "fd00::9");
    task_init(&a.task, l, asker_run, "asker");
    query_init(&a.query, &a.task, 1);
    resolve(r, &a.query, VIEW("reviews.default.svc.cluster.local."), RESOLVE_V4);
    sim_run(s, NS_PER_MS);
    assert_int_equal(a.query.status, 0);
    assert_int_equal(a.query.n_addrs, 1);
    sim_name(s, "reviews.default.svc.cluster.local", NULL);
    resolve(r, &a.query, VIEW("reviews.default.svc.cluster.local."), RESOLVE_V4);
    sim_run(s, NS_PER_MS);
    assert_int_equal(a.query.status, -ENOENT);
    query_done(&a.query);
    resolver_free(r);
    sim_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_resolve_fail_and_time_out),
        cmocka_unit_test(the_simulation_knows_the_names_it_was_given),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
