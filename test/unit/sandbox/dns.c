// SPDX-License-Identifier: Apache-2.0
/* The cluster's names: what each kind of question is answered, and what hostile bytes do (nothing). */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "sandbox/dns.h"

enum { A = 1, CNAME = 5, AAAA = 28, SRV = 33, TXT = 16 };

static struct dns_zone *zone(void)
{
    static struct runtime_endpoint ends[] = {{.ip = 0x0af40002, .hostname = {"db-0", 4}, .ready = true},
                                             {.ip = 0x0af40003, .ready = true},
                                             {.ip = 0x0af40004, .ready = false}};
    struct arena a;
    struct runtime_service_port port = {.name = VIEW("http"), .proto = RUNTIME_TCP, .port = 80};
    arena_init(&a, 0);
    port.targets = arena_alloc(&a, 2 * sizeof(*port.targets));
    port.n_targets = 2;
    port.targets[0].ip = ends[0].ip;
    port.targets[1].ip = ends[1].ip;
    port.targets[0].port = port.targets[1].port = 8080;
    struct runtime_service list[] = {
        {.ns = VIEW("default"),
         .name = VIEW("web"),
         .cluster_ip = 0x0a600007,
         .ports = &port,
         .n_ports = 1,
         .endpoints = ends,
         .n_endpoints = 3},
        {.ns = VIEW("default"), .name = VIEW("db"), .ports = &port, .n_ports = 1, .endpoints = ends, .n_endpoints = 3},
        {.ns = VIEW("default"), .name = VIEW("inside"), .external_name = VIEW("web.default.svc.cluster.local.")},
        {.ns = VIEW("default"), .name = VIEW("outside"), .external_name = VIEW("example.org")},
    };
    struct dns_zone *z = dns_zone_new(&(struct runtime_services){list, COUNT_OF(list)});
    arena_done(&a);
    return z;
}

static void ask(struct buf *q, const char *name, uint16_t type, uint16_t edns)
{
    struct view rest = view_of(name), label;
    buf_be16(q, 0x1234);
    buf_be16(q, 0x0100);
    buf_be16(q, 1);
    buf_be16(q, 0);
    buf_be16(q, 0);
    buf_be16(q, edns ? 1 : 0);
    while (view_cut(&rest, '.', &label)) {
        buf_char(q, (char)label.n);
        buf_view(q, label);
    }
    buf_char(q, 0);
    buf_be16(q, type);
    buf_be16(q, 1);
    if (edns) {
        buf_char(q, 0);
        buf_be16(q, 41);
        buf_be16(q, edns);
        buf_be32(q, 0);
        buf_be16(q, 0);
    }
}

static uint16_t be16(struct view v, size_t at)
{
    return (uint16_t)((unsigned char)v.p[at] << 8 | (unsigned char)v.p[at + 1]);
}

/* "rcode a/ns/ar: A 10.0.0.1, SRV 80 …" of an answer whose names are the question's or written out. */
static void describe(struct view m, char *to, size_t room)
{
    size_t at = 12;
    int n = snprintf(to, room, "%u %u/%u:", m.p[3] & 15, be16(m, 6), be16(m, 8));
    while (m.p[at])
        at += 1 + (size_t)m.p[at];
    at += 5;
    for (unsigned i = 0; i < be16(m, 6); i++) {
        if ((unsigned char)m.p[at] >= 0xc0)
            at += 2;
        else {
            while (m.p[at])
                at += 1 + (size_t)m.p[at];
            at++;
        }
        uint16_t type = be16(m, at), len = be16(m, at + 8);
        at += 10;
        if (type == A)
            n += snprintf(to + n, room - (size_t)n, " A %u.%u.%u.%u", (unsigned char)m.p[at],
                          (unsigned char)m.p[at + 1], (unsigned char)m.p[at + 2], (unsigned char)m.p[at + 3]);
        else if (type == SRV)
            n += snprintf(to + n, room - (size_t)n, " SRV %u", be16(m, at + 4));
        else
            n += snprintf(to + n, room - (size_t)n, " type%u", type);
        at += len;
    }
}

static void questions_are_answered_as_in_a_cluster(void **state)
{
    static const struct {
        const char *name;
        uint16_t type;
        const char *answer; /* NULL: forwarded */
    } cases[] = {
        {"web.default.svc.cluster.local", A, "0 1/0: A 10.96.0.7"},
        {"WEB.Default.SVC.cluster.local", A, "0 1/0: A 10.96.0.7"},
        {"web.default.svc.cluster.local", AAAA, "0 0/1:"},
        {"web.default.svc.cluster.local", TXT, "0 0/1:"},
        {"db.default.svc.cluster.local", A, "0 2/0: A 10.244.0.2 A 10.244.0.3"},
        {"db-0.db.default.svc.cluster.local", A, "0 1/0: A 10.244.0.2"},
        {"10-244-0-3.db.default.svc.cluster.local", A, "0 1/0: A 10.244.0.3"},
        {"10-244-0-4.db.default.svc.cluster.local", A, "3 0/1:"},
        {"10-1-2-3.default.pod.cluster.local", A, "0 1/0: A 10.1.2.3"},
        {"10-1-2-300.default.pod.cluster.local", A, "3 0/1:"},
        {"_http._tcp.web.default.svc.cluster.local", SRV, "0 1/0: SRV 80"},
        {"_http._tcp.db.default.svc.cluster.local", SRV, "0 2/0: SRV 8080 SRV 8080"},
        {"_http._udp.web.default.svc.cluster.local", SRV, "3 0/1:"},
        {"inside.default.svc.cluster.local", A, "0 2/0: type5 A 10.96.0.7"},
        {"outside.default.svc.cluster.local", CNAME, "0 1/0: type5"},
        {"outside.default.svc.cluster.local", A, NULL},
        {"nobody.default.svc.cluster.local", A, "3 0/1:"},
        {"example.org.default.svc.cluster.local", A, "3 0/1:"},
        {"default.svc.cluster.local", A, "0 0/1:"},
        {"cluster.local", A, "0 0/1:"},
        {"example.org", A, NULL},
        {"notcluster.local", A, NULL},
    };
    struct dns_zone *z = zone();
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct buf q = {0}, out = {0};
        struct dns_forward f;
        char text[256];
        ask(&q, cases[i].name, cases[i].type, 0);
        print_message("  %s %u\n", cases[i].name, cases[i].type);
        enum dns_result r = dns_zone_answer(z, buf_read(&q), true, 0, &out, &f);
        assert_int_equal(r, cases[i].answer ? DNS_ANSWERED : DNS_FORWARD);
        if (cases[i].answer) {
            describe(buf_read(&out), text, sizeof(text));
            assert_string_equal(text, cases[i].answer);
            assert_int_equal(be16(buf_read(&out), 0), 0x1234);
        }
        buf_done(&q);
        buf_done(&out);
    }
    dns_zone_free(z);
}

static void addresses_take_turns(void **state)
{
    struct dns_zone *z = zone();
    struct buf q = {0}, out = {0};
    struct dns_forward f;
    char text[256];
    ask(&q, "db.default.svc.cluster.local", A, 1232);
    assert_int_equal(dns_zone_answer(z, buf_read(&q), true, 1, &out, &f), DNS_ANSWERED);
    describe(buf_read(&out), text, sizeof(text));
    assert_string_equal(text, "0 2/0: A 10.244.0.3 A 10.244.0.2");
    buf_done(&q);
    buf_done(&out);
    dns_zone_free(z);
}

static void a_long_answer_over_udp_is_truncated_and_whole_over_tcp(void **state)
{
    static struct runtime_endpoint ends[100];
    for (size_t i = 0; i < COUNT_OF(ends); i++)
        ends[i] = (struct runtime_endpoint){.ip = 0x0af40100 + (uint32_t)i, .ready = true};
    struct runtime_service s = {
        .ns = VIEW("a"), .name = VIEW("many"), .endpoints = ends, .n_endpoints = COUNT_OF(ends)};
    struct dns_zone *z = dns_zone_new(&(struct runtime_services){&s, 1});
    struct buf q = {0}, out = {0};
    struct dns_forward f;
    ask(&q, "many.a.svc.cluster.local", A, 0);
    assert_int_equal(dns_zone_answer(z, buf_read(&q), true, 0, &out, &f), DNS_ANSWERED);
    assert_true(buf_len(&out) <= 512 && (buf_read(&out).p[2] & 2));
    buf_clear(&out);
    assert_int_equal(dns_zone_answer(z, buf_read(&q), false, 0, &out, &f), DNS_ANSWERED);
    assert_int_equal(be16(buf_read(&out), 6), 100);
    assert_false(buf_read(&out).p[2] & 2);
    buf_done(&q);
    buf_done(&out);
    dns_zone_free(z);
}

static void an_alias_to_the_outside_is_joined_with_what_the_resolver_says(void **state)
{
    struct dns_zone *z = zone();
    struct buf q = {0}, reply = {0}, out = {0};
    struct dns_forward f;
    char text[256];
    ask(&q, "outside.default.svc.cluster.local", A, 0);
    assert_int_equal(dns_zone_answer(z, buf_read(&q), true, 0, &out, &f), DNS_FORWARD);
    assert_true(f.cname);
    assert_string_equal(f.target, "example.org");
    ask(&reply, "example.org", A, 0);
    reply.data[reply.at + 7] = 1;
    buf_view(&reply, view_make("\xc0\x0c\0\1\0\1\0\0\0\5\0\4\1\2\3\4", 16));
    dns_forward_answer(buf_read(&q), &f, buf_read(&reply), 0, true, &out);
    describe(buf_read(&out), text, sizeof(text));
    assert_string_equal(text, "0 2/0: type5 A 1.2.3.4");
    buf_done(&q);
    buf_done(&reply);
    buf_done(&out);
    dns_zone_free(z);
}

static void hostile_bytes_neither_crash_nor_loop(void **state)
{
    struct dns_zone *z = zone();
    struct rng rng;
    rng_seed(&rng, 7);
    for (int round = 0; round < 20000; round++) {
        struct buf q = {0}, out = {0};
        struct dns_forward f = {.cname = true, .target = "x"};
        ask(&q, "web.default.svc.cluster.local", (uint16_t)(1 + rng_below(&rng, 40)),
            (uint16_t)(rng_below(&rng, 2) * 4096));
        for (uint64_t n = rng_below(&rng, 6); n > 0; n--)
            q.data[q.at + rng_below(&rng, buf_len(&q))] = (char)rng_next(&rng);
        struct view query = view_head(buf_read(&q), rng_below(&rng, buf_len(&q) + 1));
        (void)dns_zone_answer(z, query, true, 0, &out, &f);
        f = (struct dns_forward){.cname = true, .target = "x"};
        struct buf good = {0};
        ask(&good, "outside.default.svc.cluster.local", A, 0);
        dns_forward_answer(buf_read(&good), &f, query, 0, true, &out);
        buf_done(&good);
        buf_done(&q);
        buf_done(&out);
    }
    struct buf self = {0}, out = {0};
    struct dns_forward f = {.cname = true, .target = "x"};
    ask(&self, "a", A, 0);
    buf_view(&self, view_make("\xc0\x13\0\1\0\1\0\0\0\5\0\4\1\2\3\4", 16)); /* a name that points to itself */
    self.data[self.at + 7] = 1;
    struct buf q = {0};
    ask(&q, "b", A, 0);
    dns_forward_answer(buf_read(&q), &f, buf_read(&self), 0, true, &out);
    buf_done(&q);
    buf_done(&self);
    buf_done(&out);
    dns_zone_free(z);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(questions_are_answered_as_in_a_cluster),
        cmocka_unit_test(addresses_take_turns),
        cmocka_unit_test(a_long_answer_over_udp_is_truncated_and_whole_over_tcp),
        cmocka_unit_test(an_alias_to_the_outside_is_joined_with_what_the_resolver_says),
        cmocka_unit_test(hostile_bytes_neither_crash_nor_loop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
