// SPDX-License-Identifier: Apache-2.0
/* Balancers: shares follow weights and load, consistent hashing places as Envoy does, hosts survive updates. */
#include "plan/balance.h"

#include "base/clock.h"
#include "support.h"

struct bench {
    struct cluster *c;
    struct balancer *b;
};

static struct bench start(enum balance_policy policy, const char *endpoints)
{
    struct bench t = {.c = make_cluster(policy)};
    t.b = balancer_new(t.c, 42);
    struct endpoint_set *s = make_endpoints(endpoints);
    balancer_update(t.b, t.c, s, NS_PER_S);
    resource_unref(s);
    return t;
}

static void update(struct bench *t, const char *endpoints, uint64_t now)
{
    struct endpoint_set *s = make_endpoints(endpoints);
    balancer_update(t->b, t->c, s, now);
    resource_unref(s);
}

static void stop(struct bench *t)
{
    balancer_free(t->b);
    resource_unref(t->c);
}

static unsigned port_of(const struct host *h)
{
    return h->endpoint->address.port;
}

/* Picks n times; counts by port. */
static void count(struct bench *t, unsigned n, unsigned counts[static 100])
{
    struct pick p = {.now = NS_PER_S};
    memset(counts, 0, 100 * sizeof(counts[0]));
    for (unsigned i = 0; i < n; i++)
        counts[port_of(balancer_pick(t->b, &p))]++;
}

static void no_endpoints_give_no_host(void **state)
{
    (void)state;
    for (int policy = BALANCE_LEAST_REQUEST; policy <= BALANCE_MAGLEV; policy++) {
        struct bench t = start((enum balance_policy)policy, "");
        assert_null(balancer_pick(t.b, &(struct pick){0}));
        balancer_update(t.b, t.c, NULL, 0);
        assert_null(balancer_pick(t.b, &(struct pick){0}));
        stop(&t);
    }
}

static void every_policy_reaches_every_host(void **state)
{
    (void)state;
    for (int policy = BALANCE_LEAST_REQUEST; policy <= BALANCE_MAGLEV; policy++) {
        struct bench t = start((enum balance_policy)policy, "10.0.0.1:1 10.0.0.1:2 10.0.0.1:3 10.0.0.1:4");
        unsigned counts[100];
        count(&t, 4000, counts);
        for (unsigned port = 1; port <= 4; port++)
            assert_in_range(counts[port], 700, 1300);
        stop(&t);
    }
}

static void round_robin_takes_turns_and_honours_weights(void **state)
{
    (void)state;
    unsigned counts[100];
    struct bench t = start(BALANCE_ROUND_ROBIN, "10.0.0.1:1 10.0.0.1:2 10.0.0.1:3");
    count(&t, 300, counts);
    assert_int_equal(counts[1], 100);
    assert_int_equal(counts[2], 100);
    stop(&t);
    t = start(BALANCE_ROUND_ROBIN, "10.0.0.1:1*1 10.0.0.1:2*3");
    count(&t, 400, counts);
    assert_in_range(counts[1], 99, 101);
    assert_in_range(counts[2], 299, 301);
    stop(&t);
}

static void least_request_avoids_the_busy_host(void **state)
{
    (void)state;
    unsigned counts[100];
    struct bench t = start(BALANCE_LEAST_REQUEST, "10.0.0.1:1 10.0.0.1:2");
    struct host *const *hosts;
    assert_int_equal(balancer_hosts(t.b, &hosts), 2);
    hosts[0]->active = 10;
    count(&t, 1000, counts);
    /* Of two random choices both are the busy one in a quarter of all cases. */
    assert_in_range(counts[port_of(hosts[0])], 200, 300);
    stop(&t);
    t = start(BALANCE_LEAST_REQUEST, "10.0.0.1:1*1 10.0.0.1:2*4");
    count(&t, 1000, counts);
    assert_in_range(counts[1], 180, 220);
    stop(&t);
}

/* The ring of Envoy's own unit test: six hosts on 127.0.0.1, ports 90 to 95, at least 12 points. */
static void ring_hash_places_as_envoy_does(void **state)
{
    (void)state;
    static const struct {
        uint64_t hash;
        unsigned port;
    } cases[] = {
        {0, 94},
        {833437586790550860u, 94},
        {833437586790550861u, 92},
        {928266305478181108u, 92},
        {1033482794131418490u, 90},
        {3551244743356806947u, 95},
        {3851675632748031481u, 93},
        {5583722120771150861u, 91},
        {6311230543546372928u, 91},
        {7700377290971790572u, 93},
        {13144177310400110813u, 95},
        {13444792449719432967u, 92},
        {15516499411664133160u, 94},
        {16117243373044804889u, 90},
        {16117243373044804890u, 94}, /* behind the last point: the first again */
        {UINT64_MAX, 94},
    };
    struct bench t = {.c = make_cluster(BALANCE_RING_HASH)};
    t.c->lb.ring_min = 12;
    t.b = balancer_new(t.c, 1);
    update(&t, "127.0.0.1:90 127.0.0.1:91 127.0.0.1:92 127.0.0.1:93 127.0.0.1:94 127.0.0.1:95", 0);
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_int_equal(port_of(balancer_pick(t.b, &(struct pick){.hash = cases[i].hash, .has_hash = true})),
                         cases[i].port);
    stop(&t);
}

/* The table of Envoy's own unit test: the same hosts, 7 places. */
static void maglev_places_as_envoy_does(void **state)
{
    (void)state;
    static const unsigned table[7] = {92, 94, 90, 91, 95, 90, 93};
    struct bench t = {.c = make_cluster(BALANCE_MAGLEV)};
    t.c->lb.maglev_size = 7;
    t.b = balancer_new(t.c, 1);
    update(&t, "127.0.0.1:90 127.0.0.1:91 127.0.0.1:92 127.0.0.1:93 127.0.0.1:94 127.0.0.1:95", 0);
    for (uint64_t hash = 0; hash < 14; hash++)
        assert_int_equal(port_of(balancer_pick(t.b, &(struct pick){.hash = hash, .has_hash = true})), table[hash % 7]);
    stop(&t);
}

static void maglev_moves_few_keys_when_a_host_leaves(void **state)
{
    (void)state;
    struct bench t = start(BALANCE_MAGLEV, "10.0.0.1:1 10.0.0.1:2 10.0.0.1:3 10.0.0.1:4");
    unsigned before[1000], moved = 0;
    for (uint64_t i = 0; i < 1000; i++)
        before[i] = port_of(balancer_pick(t.b, &(struct pick){.hash = i * 65539, .has_hash = true}));
    update(&t, "10.0.0.1:1 10.0.0.1:2 10.0.0.1:3", 0);
    for (uint64_t i = 0; i < 1000; i++) {
        unsigned now = port_of(balancer_pick(t.b, &(struct pick){.hash = i * 65539, .has_hash = true}));
        moved += before[i] != 4 && now != before[i];
    }
    assert_true(moved < 100);
    stop(&t);
}

static void a_host_survives_an_update_and_its_last_user(void **state)
{
    (void)state;
    struct bench t = start(BALANCE_ROUND_ROBIN, "10.0.0.1:1 10.0.0.1:2");
    struct host *h = balancer_pick(t.b, &(struct pick){0});
    h->active = 7;
    host_ref(h);
    update(&t, "10.0.0.1:2 10.0.0.1:1 10.0.0.1:3", 0);
    assert_false(h->gone);
    assert_int_equal(h->active, 7);
    update(&t, "10.0.0.1:3", 0);
    assert_true(h->gone);
    assert_int_equal(balancer_hosts(t.b, &(struct host *const *){0}), 1);
    stop(&t);
    assert_true(port_of(h) == 1 || port_of(h) == 2); /* still readable */
    host_unref(h);
}

static void one_address_twice_is_two_hosts_and_no_leak(void **state)
{
    (void)state;
    struct bench t = start(BALANCE_RANDOM, "10.0.0.1:1 10.0.0.1:1");
    assert_int_equal(balancer_hosts(t.b, &(struct host *const *){0}), 2);
    update(&t, "10.0.0.1:1 10.0.0.1:1", 0);
    assert_int_equal(balancer_hosts(t.b, &(struct host *const *){0}), 2);
    stop(&t);
}

static void the_next_priority_takes_over_as_health_falls(void **state)
{
    (void)state;
    unsigned counts[100];
    struct bench t = start(BALANCE_RANDOM, "10.0.0.1:1 10.0.0.1:2 10.0.0.1:9@1");
    count(&t, 1000, counts);
    assert_int_equal(counts[9], 0);
    struct host *const *hosts;
    balancer_hosts(t.b, &hosts);
    hosts[0]->outlier.until = 1; /* one of two ejected: health 50 % × 1.4 = 70 % */
    balancer_refresh(t.b);
    count(&t, 1000, counts);
    assert_in_range(counts[9], 250, 350);
    hosts[1]->outlier.until = 1;
    balancer_refresh(t.b);
    count(&t, 1000, counts);
    assert_int_equal(counts[9], 1000);
    stop(&t);
}

static void without_healthy_hosts_panic_decides(void **state)
{
    (void)state;
    for (unsigned panic = 0; panic <= 50; panic += 50) {
        struct bench t = {.c = make_cluster(BALANCE_ROUND_ROBIN)};
        t.c->lb.panic_percent = panic;
        t.b = balancer_new(t.c, 1);
        update(&t, "10.0.0.1:1", 0);
        struct host *const *hosts;
        balancer_hosts(t.b, &hosts);
        hosts[0]->outlier.until = 1;
        balancer_refresh(t.b);
        struct host *h = balancer_pick(t.b, &(struct pick){0});
        assert_true(panic ? h != NULL : h == NULL);
        stop(&t);
    }
}

static void a_retry_avoids_the_host_that_was_tried(void **state)
{
    (void)state;
    struct bench t = start(BALANCE_RANDOM, "10.0.0.1:1 10.0.0.1:2");
    unsigned same = 0;
    for (int i = 0; i < 1000; i++) {
        struct host *first = balancer_pick(t.b, &(struct pick){0});
        struct host *again = balancer_pick(t.b, &(struct pick){.tried = &first, .n_tried = 1, .attempts = 5});
        same += first == again;
    }
    assert_in_range(same, 1, 40); /* 2^-6 of them, after five more attempts */
    stop(&t);
}

static void failures_eject_and_time_brings_back(void **state)
{
    (void)state;
    struct bench t = {.c = make_cluster(BALANCE_ROUND_ROBIN)};
    t.c->outlier = (struct outlier_config){.on = true,
                                           .consecutive_5xx = 3,
                                           .interval = NS_PER_S,
                                           .base_ejection = 10 * NS_PER_S,
                                           .max_ejection = 300 * NS_PER_S,
                                           .max_ejection_percent = 50};
    t.b = balancer_new(t.c, 1);
    update(&t, "10.0.0.1:1 10.0.0.1:2", 0);
    struct host *const *hosts;
    balancer_hosts(t.b, &hosts);
    assert_false(balancer_record(t.b, hosts[0], OUTLIER_5XX, 0));
    assert_false(balancer_record(t.b, hosts[0], OUTLIER_5XX, 0));
    assert_true(balancer_record(t.b, hosts[0], OUTLIER_5XX, 0));
    for (int i = 0; i < 10; i++)
        assert_ptr_equal(balancer_pick(t.b, &(struct pick){0}), hosts[1]);
    for (int i = 0; i < 5; i++) /* the second may not go: 50 % at most */
        assert_false(balancer_record(t.b, hosts[1], OUTLIER_5XX, 0) && i > 0);
    assert_int_equal(balancer_healthy(t.b), 1);
    uint64_t now = 0;
    while ((now = balancer_sweep(t.b, now)) != 0 && now < 60 * NS_PER_S)
        if (now == 9 * NS_PER_S)
            assert_int_equal(balancer_healthy(t.b), 1);
    assert_int_equal(balancer_healthy(t.b), 2);
    stop(&t);
}

static void a_warming_host_gets_less(void **state)
{
    (void)state;
    struct bench t = {.c = make_cluster(BALANCE_ROUND_ROBIN)};
    t.c->lb.warmup = 100 * NS_PER_S;
    t.c->lb.warmup_min_percent = 10;
    t.c->lb.warmup_aggression = 1;
    t.b = balancer_new(t.c, 1);
    update(&t, "10.0.0.1:1", NS_PER_S);
    update(&t, "10.0.0.1:1 10.0.0.1:2", 1000 * NS_PER_S);
    unsigned counts[3] = {0};
    for (int i = 0; i < 1100; i++)
        counts[port_of(balancer_pick(t.b, &(struct pick){.now = 1000 * NS_PER_S}))]++;
    assert_in_range(counts[2], 90, 110);
    memset(counts, 0, sizeof(counts));
    for (int i = 0; i < 1500; i++)
        counts[port_of(balancer_pick(t.b, &(struct pick){.now = 1050 * NS_PER_S}))]++;
    assert_in_range(counts[2], 490, 510); /* half way: half the weight */
    stop(&t);
}

static bool header(const void *headers, struct view name, struct view *ret)
{
    (void)headers;
    if (!view_is(name, "x-user"))
        return false;
    *ret = VIEW("jason");
    return true;
}

static void hash_policies_combine_and_end(void **state)
{
    (void)state;
    struct match_request request = {.path = VIEW("/p?a=1&b=2"), .header = header};
    struct plan_addr source = plan_addr_of(VIEW("10.0.0.1"), 1234);
    struct hash_facts facts = {.request = &request, .source = &source, .fresh = 7};
    const struct hash_policy *cookie;
    uint64_t one, two, both, again;
    struct hash_policy user = {.kind = HASH_HEADER, .name = VIEW("x-user")};
    struct hash_policy none = {.kind = HASH_HEADER, .name = VIEW("x-none")};
    struct hash_policy query = {.kind = HASH_QUERY, .name = VIEW("b")};
    assert_false(hash_request(&none, 1, &facts, &one, &cookie));
    assert_true(hash_request(&user, 1, &facts, &one, &cookie));
    assert_true(hash_request(&query, 1, &facts, &two, &cookie));
    assert_true(hash_request((struct hash_policy[]){user, none, query}, 3, &facts, &both, &cookie));
    assert_true(both == (((one << 1) | (one >> 63)) ^ two));
    user.terminal = true;
    assert_true(hash_request((struct hash_policy[]){none, user, query}, 3, &facts, &again, &cookie));
    assert_true(again == one);
    struct hash_policy session = {.kind = HASH_COOKIE, .name = VIEW("s"), .has_ttl = true};
    assert_true(hash_request(&session, 1, &facts, &again, &cookie));
    assert_ptr_equal(cookie, &session);
    struct hash_policy by_source = {.kind = HASH_SOURCE_IP};
    assert_true(hash_request(&by_source, 1, &facts, &one, &cookie));
    source.port = 4321;
    assert_true(hash_request(&by_source, 1, &facts, &two, &cookie));
    assert_true(one == two && cookie == NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_endpoints_give_no_host),
        cmocka_unit_test(every_policy_reaches_every_host),
        cmocka_unit_test(round_robin_takes_turns_and_honours_weights),
        cmocka_unit_test(least_request_avoids_the_busy_host),
        cmocka_unit_test(ring_hash_places_as_envoy_does),
        cmocka_unit_test(maglev_places_as_envoy_does),
        cmocka_unit_test(maglev_moves_few_keys_when_a_host_leaves),
        cmocka_unit_test(a_host_survives_an_update_and_its_last_user),
        cmocka_unit_test(one_address_twice_is_two_hosts_and_no_leak),
        cmocka_unit_test(the_next_priority_takes_over_as_health_falls),
        cmocka_unit_test(without_healthy_hosts_panic_decides),
        cmocka_unit_test(a_retry_avoids_the_host_that_was_tried),
        cmocka_unit_test(failures_eject_and_time_brings_back),
        cmocka_unit_test(a_warming_host_gets_less),
        cmocka_unit_test(hash_policies_combine_and_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
