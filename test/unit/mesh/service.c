// SPDX-License-Identifier: Apache-2.0
/* What a port speaks, by Istio's rule. */
#include "mesh/service.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void a_ports_protocol_follows_app_protocol_then_name_then_number(void **state)
{
    static const struct {
        enum l4_protocol l4;
        uint32_t port;
        const char *name, *app;
        enum port_protocol is;
    } rows[] = {
        {L4_TCP, 80, "http", "", PORT_HTTP},
        {L4_TCP, 80, "HTTP-web", "", PORT_HTTP},
        {L4_TCP, 80, "http2-api", "", PORT_HTTP2},
        {L4_TCP, 80, "grpc", "", PORT_GRPC},
        {L4_TCP, 80, "grpc-web", "", PORT_GRPC_WEB},
        {L4_TCP, 80, "grpc-web-x", "", PORT_GRPC_WEB},
        {L4_TCP, 80, "grpc-webby", "", PORT_GRPC},
        {L4_TCP, 443, "https-x", "", PORT_HTTPS},
        {L4_TCP, 80, "httpx", "", PORT_AUTO},
        {L4_TCP, 80, "web", "", PORT_AUTO},
        {L4_TCP, 80, "", "", PORT_AUTO},
        {L4_TCP, 3306, "", "", PORT_TCP},
        {L4_TCP, 3306, "db", "", PORT_TCP},
        {L4_TCP, 3306, "http", "", PORT_HTTP},
        {L4_TCP, 27017, "mongo", "", PORT_MONGO},
        {L4_TCP, 80, "tcp", "http", PORT_HTTP},
        {L4_TCP, 80, "http", "tcp", PORT_TCP},
        {L4_TCP, 80, "http", "kubernetes.io/h2c", PORT_HTTP2},
        {L4_TCP, 80, "http", "kubernetes.io/wss", PORT_HTTPS},
        {L4_TCP, 80, "http", "example.com/own", PORT_AUTO},
        {L4_TCP, 53, "udp", "", PORT_TCP},
        {L4_UDP, 80, "http", "http", PORT_UDP},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        enum port_protocol got =
            port_protocol_of(rows[i].l4, rows[i].port, view_of(rows[i].name), view_of(rows[i].app));
        if (got != rows[i].is)
            fail_msg("%s/%s/%u is %s", rows[i].name, rows[i].app, rows[i].port, port_protocol_name(got));
    }
}

static void protocols_of_gateways_are_read_in_any_case(void **state)
{
    enum port_protocol p;
    assert_int_equal(port_protocol_parse(VIEW("GRPC-Web"), &p), 0);
    assert_int_equal(p, PORT_GRPC_WEB);
    assert_int_equal(port_protocol_parse(VIEW("HTTP3"), &p), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_ports_protocol_follows_app_protocol_then_name_then_number),
        cmocka_unit_test(protocols_of_gateways_are_read_in_any_case),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
