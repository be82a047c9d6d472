// SPDX-License-Identifier: Apache-2.0
/* Filter chains are chosen step by step, most specific first, without a way back. */
#include "plan/listener.h"

#include "support.h"

#define V(text)                                                                                                        \
    {                                                                                                                  \
        text, sizeof(text) - 1                                                                                         \
    }
#define LIST(...)                                                                                                      \
    (struct view[])                                                                                                    \
    {                                                                                                                  \
        __VA_ARGS__                                                                                                    \
    }

static struct ip_prefix prefix(const char *text)
{
    struct ip_prefix p;
    assert_int_equal(ip_prefix_parse(view_of(text), &p), 0);
    return p;
}

static const char *chosen(const struct listener *l, const char *to, uint16_t port, bool tls, const char *sni,
                          const char *alpn)
{
    struct view offered[4], rest = view_of(alpn);
    struct connection_facts c = {.tls = tls, .server_name = view_of(sni), .alpn = offered};
    assert_int_equal(plan_addr_parse_ip(view_of(to), port, &c.destination), 0);
    assert_int_equal(plan_addr_parse_ip(VIEW("10.9.9.9"), 1, &c.source), 0);
    while (alpn && c.n_alpn < 4 && view_cut(&rest, ',', &offered[c.n_alpn]))
        c.n_alpn++;
    const struct filter_chain *found = listener_find_chain(l, &c);
    return found ? found->name.p : "none";
}

static void ports_then_addresses_then_names(void **state)
{
    (void)state;
    struct ip_prefix wide = prefix("10.0.0.0/8"), narrow = prefix("10.1.0.0/16"), source = prefix("10.9.0.0/16");
    struct filter_chain chains[] = {
        {.name = V("port"), .match = {.port = 80, .transport = TRANSPORT_TLS}},
        {.name = V("wide"), .match = {.prefixes = &wide, .n_prefixes = 1}},
        {.name = V("narrow"), .match = {.prefixes = &narrow, .n_prefixes = 1}},
        {.name = V("exact"), .match = {.server_names = LIST(V("a.example.com")), .n_server_names = 1}},
        {.name = V("suffix"), .match = {.server_names = LIST(V("*.example.com")), .n_server_names = 1}},
        {.name = V("longer"), .match = {.server_names = LIST(V("*.b.example.com")), .n_server_names = 1}},
        {.name = V("tls"), .match = {.transport = TRANSPORT_TLS}},
        {.name = V("h2"), .match = {.transport = TRANSPORT_RAW, .alpn = LIST(V("h2c")), .n_alpn = 1}},
        {.name = V("source"), .match = {.transport = TRANSPORT_RAW, .sources = &source, .n_sources = 1}},
    };
    struct filter_chain rest = {.name = V("rest")};
    struct listener l = {.chains = chains, .n_chains = COUNT_OF(chains), .default_chain = &rest};
    assert_string_equal(chosen(&l, "192.0.2.1", 80, true, NULL, NULL), "port");
    assert_string_equal(chosen(&l, "192.0.2.1", 80, false, NULL, NULL), "rest"); /* no way back to another port */
    assert_string_equal(chosen(&l, "10.2.0.1", 1, false, NULL, NULL), "wide");
    assert_string_equal(chosen(&l, "10.1.0.1", 1, true, "a.example.com", NULL), "narrow");
    assert_string_equal(chosen(&l, "192.0.2.1", 1, true, "A.example.com", NULL), "exact");
    assert_string_equal(chosen(&l, "192.0.2.1", 1, true, "c.example.com", NULL), "suffix");
    assert_string_equal(chosen(&l, "192.0.2.1", 1, true, "c.b.example.com", NULL), "longer");
    assert_string_equal(chosen(&l, "192.0.2.1", 1, true, "example.com", NULL), "tls");
    assert_string_equal(chosen(&l, "192.0.2.1", 1, false, NULL, "http/1.1,h2c"), "h2");
    assert_string_equal(chosen(&l, "192.0.2.1", 1, false, NULL, "http/1.1"), "source");
    l.default_chain = NULL;
    assert_string_equal(chosen(&l, "192.0.2.1", 80, false, NULL, NULL), "none");
}

static void the_clients_order_of_alpn_decides(void **state)
{
    (void)state;
    struct filter_chain chains[] = {
        {.name = V("tcp"), .match = {.alpn = LIST(V("istio-peer-exchange"), V("istio")), .n_alpn = 2}},
        {.name = V("http"), .match = {.alpn = LIST(V("istio-http/1.1"), V("istio-h2")), .n_alpn = 2}},
    };
    struct listener l = {.chains = chains, .n_chains = 2};
    assert_string_equal(chosen(&l, "10.0.0.1", 1, true, NULL, "istio-http/1.1,istio,http/1.1"), "http");
    assert_string_equal(chosen(&l, "10.0.0.1", 1, true, NULL, "istio-peer-exchange,istio"), "tcp");
    assert_string_equal(chosen(&l, "10.0.0.1", 1, true, NULL, "h2"), "none");
}

static void declared_ports_skip_inspectors(void **state)
{
    (void)state;
    struct inspect_skip skips[] = {{INSPECT_HTTP, 80, 90}, {INSPECT_TLS, 85, 85}};
    struct listener l = {.inspect = INSPECT_TLS | INSPECT_HTTP | INSPECT_ORIGINAL_DST, .skips = skips, .n_skips = 2};
    assert_int_equal(listener_inspectors(&l, 79), INSPECT_TLS | INSPECT_HTTP | INSPECT_ORIGINAL_DST);
    assert_int_equal(listener_inspectors(&l, 80), INSPECT_TLS | INSPECT_ORIGINAL_DST);
    assert_int_equal(listener_inspectors(&l, 85), INSPECT_ORIGINAL_DST);
}

static void silence_goes_on_only_to_tcp(void **state)
{
    (void)state;
    struct tcp_manager tcp = {0};
    struct http_manager http = {0};
    struct filter_chain chains[] = {
        {.name = V("strict"), .match = {.port = 1, .transport = TRANSPORT_TLS}, .tcp = &tcp},
        {.name = V("http"), .match = {.port = 2}, .http = &http},
        {.name = V("tcp"), .match = {.port = 3}, .tcp = &tcp},
    };
    struct listener l = {.chains = chains, .n_chains = 3};
    struct connection_facts c = {.destination = {.kind = ADDR_IPV4, .port = 1}};
    assert_false(listener_serves_silence(&l, &c));
    c.destination.port = 2;
    assert_false(listener_serves_silence(&l, &c));
    c.destination.port = 3;
    assert_true(listener_serves_silence(&l, &c));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ports_then_addresses_then_names),
        cmocka_unit_test(the_clients_order_of_alpn_decides),
        cmocka_unit_test(declared_ports_skip_inspectors),
        cmocka_unit_test(silence_goes_on_only_to_tcp),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
