// SPDX-License-Identifier: Apache-2.0
/* The rules of ClusterIPs as text: exact for one table, and the properties that keep equal tables equal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "sandbox/service_nat.h"

static const struct service_nat_config config = {0x0a600000, 0x0a60000a, 0x0af40001};

static const char expected[] =
    "table ip weft-services\ndelete table ip weft-services\ntable ip weft-services {\n"
    "\tchain svc0 { # default/web:80\n\t\tmeta l4proto tcp dnat ip to numgen random mod 2 map { 0 : 10.244.0.2 . 8080, "
    "1 : "
    "10.244.0.3 . 8081 }\n\t}\n"
    "\tchain svc1 { # default/web:53\n\t\tmeta l4proto udp dnat ip to 10.244.0.2:53\n\t}\n"
    "\tchain svc2 { # default/sticky:80\n\t\tmeta l4proto tcp dnat ip to jhash ip saddr mod 2 seed 0x77656674 map { 0 "
    ": "
    "10.244.0.2 . 8080, 1 : 10.244.0.3 . 8081 }\n\t}\n"
    "\tmap services {\n\t\ttype ipv4_addr . inet_proto . inet_service : verdict\n"
    "\t\telements = {\n\t\t\t10.96.0.1 . tcp . 80 : goto svc0,\n\t\t\t10.96.0.1 . udp . 53 : goto svc1,\n"
    "\t\t\t10.96.0.2 . tcp . 80 : goto svc2 }\n\t}\n"
    "\tset hairpin {\n\t\ttype ipv4_addr . ipv4_addr\n"
    "\t\telements = { 10.244.0.2 . 10.244.0.2, 10.244.0.3 . 10.244.0.3 }\n\t}\n"
    "\tchain nat-prerouting {\n\t\ttype nat hook prerouting priority -100; policy accept;\n"
    "\t\tip daddr . ip protocol . th dport vmap @services\n\t}\n"
    "\tchain nat-output {\n\t\ttype nat hook output priority -100; policy accept;\n"
    "\t\tip daddr . ip protocol . th dport vmap @services\n\t}\n"
    "\tchain nat-postrouting {\n\t\ttype nat hook postrouting priority 100; policy accept;\n"
    "\t\tct status dnat ip saddr . ip daddr @hairpin masquerade\n\t}\n"
    "\tchain filter-forward {\n\t\ttype filter hook forward priority 0; policy accept;\n"
    "\t\tip daddr 10.96.0.0/16 ip daddr != 10.96.0.10 reject with icmp type port-unreachable\n\t}\n"
    "\tchain filter-output {\n\t\ttype filter hook output priority 0; policy accept;\n"
    "\t\tip daddr 10.96.0.0/16 ip daddr != 10.96.0.10 reject with icmp type port-unreachable\n\t}\n"
    "}\n";

static void a_table_becomes_these_rules(void **state)
{
    struct runtime_service_port ports[4] = {
        {.name = VIEW("http"), .proto = RUNTIME_TCP, .port = 80},
        {.name = VIEW("dns"), .proto = RUNTIME_UDP, .port = 53},
        {.name = VIEW("none"), .proto = RUNTIME_TCP, .port = 81},
        {.name = VIEW("http"), .proto = RUNTIME_TCP, .port = 80},
    };
    struct arena a;
    arena_init(&a, 0);
    ports[0].targets = arena_alloc(&a, 2 * sizeof(*ports[0].targets));
    ports[0].targets[0].ip = 0x0af40002;
    ports[0].targets[0].port = 8080;
    ports[0].targets[1].ip = 0x0af40003;
    ports[0].targets[1].port = 8081;
    ports[0].n_targets = 2;
    ports[1].targets = arena_alloc(&a, sizeof(*ports[1].targets));
    ports[1].targets[0].ip = 0x0af40002;
    ports[1].targets[0].port = 53;
    ports[1].n_targets = 1;
    ports[3].targets = ports[0].targets;
    ports[3].n_targets = 2;
    struct runtime_service services[] = {
        {.ns = VIEW("default"), .name = VIEW("web"), .cluster_ip = 0x0a600001, .ports = ports, .n_ports = 3},
        {.ns = VIEW("default"), .name = VIEW("headless"), .ports = ports, .n_ports = 1},
        {.ns = VIEW("default"),
         .name = VIEW("sticky"),
         .cluster_ip = 0x0a600002,
         .affinity_s = 10800,
         .ports = &ports[3],
         .n_ports = 1},
    };
    struct buf out = {0};
    service_nat_rules(&(struct runtime_services){services, COUNT_OF(services)}, &config, &out);
    assert_string_equal(buf_cstr(&out), expected);
    buf_done(&out);
    arena_done(&a);
}

static void no_services_still_refuse_the_whole_network(void **state)
{
    struct buf out = {0};
    service_nat_rules(&(struct runtime_services){0}, &config, &out);
    assert_non_null(strstr(buf_cstr(&out), "ip daddr 10.96.0.0/16 ip daddr != 10.96.0.10 reject"));
    assert_null(strstr(buf_cstr(&out), "elements"));
    buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_table_becomes_these_rules),
        cmocka_unit_test(no_services_still_refuse_the_whole_network),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
