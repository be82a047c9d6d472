// SPDX-License-Identifier: Apache-2.0
/* Virtual hosts by domain, routes by condition, clusters by weight, rewrites and redirects. */
#include "plan/route.h"

#include "base/rng.h"
#include "plan/listener.h"
#include "support.h"

static struct route_table *table(const char *const domains[], size_t n)
{
    struct route_table *t = RESOURCE_NEW(struct route_table, RESOURCE_ROUTES, VIEW("t"));
    for (size_t i = 0; i < n; i++) {
        struct virtual_host *vh = ARENA_PUSH(&t->res.arena, t->hosts, t->n_hosts);
        vh->name = view_of(domains[i]);
        *ARENA_PUSH(&t->res.arena, vh->domains, vh->n_domains) = view_of(domains[i]);
    }
    return t;
}

static void domains_are_chosen_most_specific_first(void **state)
{
    (void)state;
    static const char *const domains[] = {"*",       "a.example.com", "*.example.com", "*.b.example.com",
                                          "*-x.org", "shop.*",        "shop.eu.*",     "*.com"};
    static const struct {
        const char *host, *wanted;
    } cases[] = {
        {"a.example.com", "a.example.com"},
        {"A.Example.COM", "a.example.com"},
        {"c.example.com", "*.example.com"},
        {"c.b.example.com", "*.b.example.com"},
        {".example.com", "*.com"}, /* the star is one byte or more */
        {"example.com", "*.com"},
        {"pre-x.org", "*-x.org"},
        {"-x.org", "*"},
        {"shop.de", "shop.*"},
        {"shop.eu.de", "shop.eu.*"},
        {"shop.com", "*.com"}, /* a suffix goes before a prefix */
        {"", "*"},
        {"a.example.com:80", "*"}, /* a port is part of the host unless the table ignores it */
    };
    struct route_table *t = table(domains, COUNT_OF(domains));
    struct view error;
    assert_int_equal(resource_prepare(&t->res, &error), 0);
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_string_equal(route_table_find(t, view_of(cases[i].host))->name.p, cases[i].wanted);
    t->ignore_port = true;
    assert_string_equal(route_table_find(t, VIEW("a.example.com:80"))->name.p, "a.example.com");
    assert_string_equal(route_table_find(t, VIEW("[::1]:80"))->name.p, "*");
    resource_unref(t);
}

static void a_host_without_virtual_host_is_none(void **state)
{
    (void)state;
    static const char *const domains[] = {"a"};
    struct route_table *t = table(domains, 1);
    struct view error;
    assert_int_equal(resource_prepare(&t->res, &error), 0);
    assert_null(route_table_find(t, VIEW("b")));
    resource_unref(t);
}

static void a_domain_in_two_virtual_hosts_is_refused(void **state)
{
    (void)state;
    static const char *const domains[][2] = {{"a", "A"}, {"*", "*"}, {"*.a", "*.A"}, {"a.*", "a.*"}};
    for (size_t i = 0; i < COUNT_OF(domains); i++) {
        struct route_table *t = table(domains[i], 2);
        struct view error = VIEW_NONE;
        assert_int_equal(resource_prepare(&t->res, &error), -22);
        assert_true(view_find_view(error, VIEW("unique")) < error.n);
        resource_unref(t);
    }
}

static void a_bad_regex_is_refused(void **state)
{
    (void)state;
    static const char *const domains[] = {"a"};
    struct route_table *t = table(domains, 1);
    struct route *r = ARENA_PUSH(&t->res.arena, t->hosts[0].routes, t->hosts[0].n_routes);
    r->path = (struct path_match){.kind = PATH_REGEX, .value = VIEW("[0-9")};
    struct view error = VIEW_NONE;
    assert_int_equal(resource_prepare(&t->res, &error), -22);
    assert_true(error.n > 0);
    resource_unref(t);
}

static bool header(const void *headers, struct view name, struct view *ret)
{
    const char *const *pair = headers;
    for (; pair[0]; pair += 2)
        if (view_is(name, pair[0])) {
            *ret = view_of(pair[1]);
            return true;
        }
    return false;
}

static void conditions_hold_or_not(void **state)
{
    (void)state;
    static const char *const headers[] = {"user", "jason", "empty", "", "content-type", "application/grpc+proto", NULL};
    const struct {
        struct route route;
        bool wanted;
    } cases[] = {
#define PATH(k, v) .path = {.kind = (k), .value = {v, sizeof(v) - 1}}
#define HEADER(...) PATH(PATH_PREFIX, "/"), .headers = &(struct header_match){__VA_ARGS__}, .n_headers = 1
#define QUERY(n, ...)                                                                                                  \
    PATH(PATH_PREFIX, "/"), .queries = &(struct query_match){.name = {n, sizeof(n) - 1}, .value = {__VA_ARGS__}},      \
                            .n_queries = 1
#define V(text) .value = {text, sizeof(text) - 1}
#define N(text) .name = {text, sizeof(text) - 1}
        {{PATH(PATH_PREFIX, "/a")}, true},
        {{PATH(PATH_PREFIX, "/a/b/c")}, false},
        {{PATH(PATH_EXACT, "/a/b")}, true},
        {{PATH(PATH_EXACT, "/a/b?x=1")}, false},
        {{PATH(PATH_SEPARATED_PREFIX, "/a")}, true},
        {{PATH(PATH_SEPARATED_PREFIX, "/a/b")}, true},
        {{PATH(PATH_SEPARATED_PREFIX, "/a/")}, true},
        {{PATH(PATH_SEPARATED_PREFIX, "/")}, true},
        {{.path = {.kind = PATH_PREFIX, .ignore_case = true, V("/A/B")}}, true},
        {{PATH(PATH_PREFIX, "/A/B")}, false},
        {{PATH(PATH_REGEX, "/a/.")}, true},
        {{PATH(PATH_REGEX, "/a")}, false}, /* whole path */
        {{HEADER(N("user"), .value = {.kind = TEXT_EXACT, V("jason")})}, true},
        {{HEADER(N("user"), .value = {.kind = TEXT_PREFIX, V("jas")})}, true},
        {{HEADER(N("user"), .value = {.kind = TEXT_SUFFIX, V("son")})}, true},
        {{HEADER(N("user"), .value = {.kind = TEXT_CONTAINS, V("aso")})}, true},
        {{HEADER(N("user"), .value = {.kind = TEXT_CONTAINS, .ignore_case = true, V("ASO")})}, true},
        {{HEADER(N("user"), .value = {.kind = TEXT_REGEX, V("j.*n")})}, true},
        {{HEADER(N("user"), .value = {.kind = TEXT_REGEX, V("aso")})}, false},
        {{HEADER(N("user"), .value = {.kind = TEXT_EXACT, V("x")}, .invert = true)}, true},
        {{HEADER(N("none"), .value = {.kind = TEXT_EXACT, V("x")}, .invert = true)}, true},
        {{HEADER(N("none"), .value = {.kind = TEXT_EXACT, V("x")}, .invert = true, .missing_is_empty = true)}, true},
        {{HEADER(N("none"), .value = {.kind = TEXT_EXACT, V("")}, .missing_is_empty = true)}, true},
        {{HEADER(N("none"), .value = {.kind = TEXT_EXACT, V("")})}, false},
        {{HEADER(N("empty"), .value = {.kind = TEXT_PRESENT})}, true},
        {{HEADER(N("none"), .value = {.kind = TEXT_PRESENT})}, false},
        {{HEADER(N("none"), .value = {.kind = TEXT_PRESENT}, .invert = true)}, true},
        {{HEADER(N(":method"), .value = {.kind = TEXT_EXACT, V("GET")})}, true},
        {{HEADER(N(":scheme"), .value = {.kind = TEXT_EXACT, V("https")})}, false},
        {{HEADER(N(":authority"), .value = {.kind = TEXT_PREFIX, V("rev")})}, true},
        {{HEADER(N(":status"), .value = {.kind = TEXT_PRESENT})}, false},
        {{QUERY("x", .kind = TEXT_EXACT, V("1"))}, true},
        {{QUERY("x", .kind = TEXT_EXACT, V("2"))}, false},
        {{QUERY("flag", .kind = TEXT_PRESENT)}, true},
        {{QUERY("y", .kind = TEXT_REGEX, V("[0-9]+"))}, true},
        {{QUERY("la", .kind = TEXT_PRESENT)}, false},
        {{QUERY("frag", .kind = TEXT_PRESENT)}, false}, /* behind the # */
        {{PATH(PATH_PREFIX, "/"), .grpc_only = true}, true},
    };
    struct match_request q = {.host = VIEW("reviews:9080"),
                              .path = VIEW("/a/b?x=1&flag&y=23#&frag"),
                              .method = VIEW("GET"),
                              .scheme = VIEW("http"),
                              .header = header,
                              .headers = headers};
    struct view error;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct arena a;
        arena_init(&a, 0);
        struct route r = cases[i].route;
        struct header_match h;
        struct query_match p;
        if (r.n_headers)
            r.headers = memcpy(&h, r.headers, sizeof(h));
        if (r.n_queries)
            r.queries = memcpy(&p, r.queries, sizeof(p));
        struct virtual_host vh = {.name = VIEW("v"), .routes = &r, .n_routes = 1};
        struct route_table t = {.hosts = &vh, .n_hosts = 1};
        assert_int_equal(route_table_prepare(&t, &a, &error), 0);
        if ((virtual_host_find(&vh, &q) != NULL) != cases[i].wanted)
            fail_msg("case %zu", i);
        arena_done(&a);
    }
}

static void the_first_route_that_matches_wins(void **state)
{
    (void)state;
    struct route routes[] = {{N("one"), .path = {PATH_PREFIX, false, V("/x")}},
                             {N("two"), .path = {PATH_PREFIX, false, V("/a")}},
                             {N("three"), .path = {PATH_PREFIX, false, V("/")}}};
    struct virtual_host vh = {.routes = routes, .n_routes = 3};
    struct match_request q = {.path = VIEW("/abc")};
    assert_ptr_equal(virtual_host_find(&vh, &q), &routes[1]);
    vh.n_routes = 1;
    assert_null(virtual_host_find(&vh, &q));
}

static void weights_are_relative(void **state)
{
    (void)state;
    struct weighted_cluster c[] = {{.weight = 1}, {.weight = 0}, {.weight = 2}};
    struct route r = {.forward = {.clusters = c, .n_clusters = 3, .total_weight = 3}};
    struct rng rng;
    unsigned n[3] = {0};
    rng_seed(&rng, 1);
    for (int i = 0; i < 3000; i++)
        n[route_pick_cluster(&r, rng_next(&rng)) - c]++;
    assert_int_equal(n[1], 0);
    assert_in_range(n[0], 900, 1100);
    assert_ptr_equal(route_pick_cluster(&r, 0), &c[0]);
    assert_ptr_equal(route_pick_cluster(&r, UINT64_MAX), &c[2]);
}

static void paths_are_rewritten_and_queries_kept(void **state)
{
    (void)state;
    static const struct {
        struct path_match match;
        const char *prefix, *pattern, *with, *path, *wanted;
    } cases[] = {
        {{PATH_PREFIX, false, V("/old")}, "/new", NULL, NULL, "/old/x?a=b", "/new/x?a=b"},
        {{PATH_PREFIX, false, V("/old/")}, "/", NULL, NULL, "/old/x", "/x"},
        {{PATH_PREFIX, false, V("/")}, "/v1/", NULL, NULL, "/x", "/v1/x"},
        {{PATH_EXACT, false, V("/old")}, "/new", NULL, NULL, "/old?a", "/new?a"},
        {{PATH_SEPARATED_PREFIX, false, V("/foo")}, "/", NULL, NULL, "/foo/bar", "/bar"},
        {{PATH_SEPARATED_PREFIX, false, V("/foo")}, "/", NULL, NULL, "/foo", "/"},
        {{PATH_PREFIX, false, V("/")}, NULL, "^/a/([^/]+)(.*)$", "/b\\2/\\1", "/a/x/y?q=1", "/b/y/x?q=1"},
        {{PATH_PREFIX, false, V("/")}, NULL, NULL, NULL, "/same?x", "/same?x"},
    };
    struct view error;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct arena a;
        arena_init(&a, 0);
        struct route r = {.path = cases[i].match,
                          .forward = {.prefix_rewrite = view_of(cases[i].prefix),
                                      .regex_rewrite = {view_of(cases[i].pattern), view_of(cases[i].with), NULL}}};
        struct virtual_host vh = {.routes = &r, .n_routes = 1};
        struct route_table t = {.hosts = &vh, .n_hosts = 1};
        assert_int_equal(route_table_prepare(&t, &a, &error), 0);
        struct view made = route_rewrite_path(&r, &a, view_of(cases[i].path));
        assert_int_equal(made.n, strlen(cases[i].wanted));
        assert_memory_equal(made.p, cases[i].wanted, made.n);
        arena_done(&a);
    }
}

static void redirects_change_only_what_they_name(void **state)
{
    (void)state;
    static const struct {
        struct route_redirect to;
        const char *wanted;
    } cases[] = {
        {{.host = {"b", 1}}, "http://b/old/x?q=1"},
        {{.https = true}, "https://a.example.com/old/x?q=1"},
        {{.scheme = {"https", 5}, .port = 443}, "https://a.example.com/old/x?q=1"},
        {{.port = 81}, "http://a.example.com:81/old/x?q=1"},
        {{.path = {"/y", 2}}, "http://a.example.com:8080/y?q=1"},
        {{.path = {"/y?z", 4}}, "http://a.example.com:8080/y?z"},
        {{.path = {"/y", 2}, .strip_query = true}, "http://a.example.com:8080/y"},
        {{.prefix_rewrite = {"/new", 4}}, "http://a.example.com:8080/new/x?q=1"},
        {{.strip_query = true}, "http://a.example.com:8080/old/x"},
    };
    struct match_request q = {.host = VIEW("a.example.com:8080"), .path = VIEW("/old/x?q=1"), .scheme = VIEW("http")};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct arena a;
        arena_init(&a, 0);
        struct route_redirect to = cases[i].to;
        struct route r = {.path = {PATH_PREFIX, false, V("/old")}, .action = ROUTE_REDIRECT, .redirect = &to};
        struct view made = route_redirect_location(&r, &a, &q);
        assert_string_equal(arena_str(&a, made), cases[i].wanted);
        arena_done(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(domains_are_chosen_most_specific_first),
        cmocka_unit_test(a_host_without_virtual_host_is_none),
        cmocka_unit_test(a_domain_in_two_virtual_hosts_is_refused),
        cmocka_unit_test(a_bad_regex_is_refused),
        cmocka_unit_test(conditions_hold_or_not),
        cmocka_unit_test(the_first_route_that_matches_wins),
        cmocka_unit_test(weights_are_relative),
        cmocka_unit_test(paths_are_rewritten_and_queries_kept),
        cmocka_unit_test(redirects_change_only_what_they_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
