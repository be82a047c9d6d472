// SPDX-License-Identifier: Apache-2.0
/* plan → xDS → plan is the identity; what weft cannot do is refused by name; hostile bytes do no harm. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/limits.h"
#include "base/rng.h"
#include "plan/print.h"
#include "rich.h"
#include "xds/codec.h"
#include "xds/convert.h"
#include "xds/tls.h"
#include "xds/types.h"

static void same(struct resource *r)
{
    struct xds_codec *codec = xds_codec_new();
    struct buf bytes = {0}, before = {0}, after = {0};
    struct resource *back = NULL;
    struct view why = VIEW_NONE;

    xds_encode(r, &bytes);
    if (xds_decode(codec, r->kind, buf_read(&bytes), &back, &why) < 0)
        fail_msg("%.*s", VIEW_ARGS(why));
    resource_print(&before, r);
    resource_print(&after, back);
    assert_string_equal(buf_cstr(&before), buf_cstr(&after));
    resource_seal(back);
    assert_true(back->hash == r->hash && back->hash != 0);
    resource_unref(back);
    resource_unref(r);
    buf_done(&bytes);
    buf_done(&before);
    buf_done(&after);
    xds_codec_free(codec);
}

static void every_kind_comes_back_as_it_was(void **state)
{
    same(&rich_cluster("outbound|9080|v1|reviews.default.svc.cluster.local")->res);
    same(&rich_dns_cluster("outbound|443||httpbin.org")->res);
    same(&rich_endpoints("outbound|9080||reviews.default.svc.cluster.local")->res);
    same(&rich_listener("virtualInbound", NULL)->res);
    same(&rich_listener("0.0.0.0_9080", "9080")->res);
    same(&rich_routes("9080")->res);
    same(&rich_secret("kubernetes://gw")->res);
}

static void a_secret_keeps_its_key(void **state)
{
    struct tls_secret *s = rich_secret("kubernetes://gw"), *got;
    struct xds_codec *codec = xds_codec_new();
    struct buf bytes = {0};
    struct resource *back;
    struct view why;

    xds_encode(&s->res, &bytes);
    assert_int_equal(xds_decode(codec, RESOURCE_SECRET, buf_read(&bytes), &back, &why), 0);
    got = (struct tls_secret *)back;
    assert_true(view_eq(got->private_key, s->private_key) && view_eq(got->cert_chain, s->cert_chain));
    resource_unref(back);
    resource_unref(s);
    buf_done(&bytes);
    xds_codec_free(codec);
}

/* ---- what a foreign control plane may send ---- */

static struct arena scratch;

static const void *cluster_with_subsets(void)
{
    Cluster__Cluster *m = PB_NEW(&scratch, Cluster__Cluster, cluster__cluster__init);
    ProtobufCMessageUnknownField *u = ARENA_NEW(&scratch, ProtobufCMessageUnknownField);

    *u = (ProtobufCMessageUnknownField){
        .tag = 22, .wire_type = PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED, .len = 1, .data = (uint8_t *)"\0"};
    m->name = "c";
    m->base.n_unknown_fields = 1;
    m->base.unknown_fields = u;
    return m;
}

static const void *cluster_with_field_900(void)
{
    Cluster__Cluster *m = (Cluster__Cluster *)(uintptr_t)cluster_with_subsets();

    m->base.unknown_fields[0].tag = 900;
    return m;
}

static const void *cluster_original_dst_round_robin(void)
{
    Cluster__Cluster *m = PB_NEW(&scratch, Cluster__Cluster, cluster__cluster__init);

    m->name = "c";
    m->cluster_discovery_type_case = CLUSTER__CLUSTER__CLUSTER_DISCOVERY_TYPE_TYPE;
    m->type = CLUSTER__CLUSTER__DISCOVERY_TYPE__ORIGINAL_DST;
    return m;
}

static const void *cluster_without_name(void)
{
    return PB_NEW(&scratch, Cluster__Cluster, cluster__cluster__init);
}

static const void *listener_with_odd_filter(void)
{
    struct listener *l = rich_listener("l", "r");
    Listener__Listener *m = xds_listener(&scratch, l);

    m->filter_chains[0]->filters[0]->typed_config->type_url =
        "type.googleapis.com/envoy.extensions.filters.network.redis_proxy.v3.RedisProxy";
    arena_cleanup(&scratch, (void (*)(void *))(void *)resource_unref, l);
    return m;
}

static const void *routes_with(void (*change)(Route__RouteConfiguration *m))
{
    struct route_table *t = rich_routes("r");
    Route__RouteConfiguration *m = xds_routes(&scratch, t);

    change(m);
    arena_cleanup(&scratch, (void (*)(void *))(void *)resource_unref, t);
    return m;
}

static void range_match(Route__RouteConfiguration *m)
{
    Route__HeaderMatcher *h = m->virtual_hosts[0]->routes[0]->match->headers[1];

    h->header_match_specifier_case = ROUTE__HEADER_MATCHER__HEADER_MATCH_SPECIFIER_RANGE_MATCH;
    h->range_match = PB_NEW(&scratch, Type__Int64Range, type__int64_range__init);
}

static void split_header(Route__RouteConfiguration *m)
{
    m->virtual_hosts[0]->routes[0]->request_headers_to_add[0]->header->value = "a\r\nx: b";
}

static void bad_duration(Route__RouteConfiguration *m)
{
    m->virtual_hosts[0]->routes[0]->route->timeout->nanos = -5;
}

static void unknown_retry(Route__RouteConfiguration *m)
{
    m->virtual_hosts[0]->routes[0]->route->retry_policy->retry_on = "5xx,sometimes";
}

static void no_weights(Route__RouteConfiguration *m)
{
    Route__WeightedCluster *w = m->virtual_hosts[0]->routes[0]->route->weighted_clusters;

    w->clusters[0]->weight = w->clusters[1]->weight = NULL;
}

static const void *routes_range(void)
{
    return routes_with(range_match);
}
static const void *routes_split(void)
{
    return routes_with(split_header);
}
static const void *routes_duration(void)
{
    return routes_with(bad_duration);
}
static const void *routes_retry(void)
{
    return routes_with(unknown_retry);
}
static const void *routes_weights(void)
{
    return routes_with(no_weights);
}

static const struct {
    enum resource_kind kind;
    const void *(*message)(void);
    const char *why;
} refused[] = {
    {RESOURCE_CLUSTER, cluster_with_subsets,
     "Cluster lb_subset_config is not supported: subsets are clusters of their own"},
    {RESOURCE_CLUSTER, cluster_with_field_900, "Cluster field 900 of envoy.config.cluster.v3.Cluster is not supported"},
    {RESOURCE_CLUSTER, cluster_original_dst_round_robin,
     "Cluster c.lb_policy: CLUSTER_PROVIDED and type ORIGINAL_DST go together"},
    {RESOURCE_CLUSTER, cluster_without_name, "Cluster (no name): has no name"},
    {RESOURCE_LISTENER, listener_with_odd_filter,
     "Listener l.filter_chains[0].filters[0]: network filter envoy.filters.network.http_connection_manager "
     "(type.googleapis.com/envoy.extensions.filters.network.redis_proxy.v3.RedisProxy) is not supported"},
    {RESOURCE_ROUTES, routes_range,
     "RouteConfiguration r.virtual_hosts[0].routes[0].match.headers[1]: range_match is not supported"},
    {RESOURCE_ROUTES, routes_split,
     "RouteConfiguration r.virtual_hosts[0].routes[0].request_headers_to_add: x-a is not a header that can be sent"},
    {RESOURCE_ROUTES, routes_duration,
     "RouteConfiguration r.virtual_hosts[0].routes[0].route.timeout: is not a duration"},
    {RESOURCE_ROUTES, routes_retry,
     "RouteConfiguration r.virtual_hosts[0].routes[0].route.retry_policy: retry_on: sometimes is unknown"},
    {RESOURCE_ROUTES, routes_weights,
     "RouteConfiguration r.virtual_hosts[0].routes[0].route: weighted_clusters: the weights are all 0"},
};

static void what_weft_cannot_do_is_refused_with_resource_and_field(void **state)
{
    struct xds_codec *codec = xds_codec_new();

    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        struct resource *r = NULL;
        struct buf bytes = {0};
        struct view why = VIEW_NONE;

        arena_init(&scratch, 0);
        pb_pack(refused[i].message(), &bytes);
        assert_int_equal(xds_decode(codec, refused[i].kind, buf_read(&bytes), &r, &why), -EINVAL);
        if (!view_is(why, refused[i].why))
            fail_msg("%zu: \"%.*s\"", i, VIEW_ARGS(why));
        buf_done(&bytes);
        arena_done(&scratch);
    }
    xds_codec_free(codec);
}

static void deep_nesting_is_refused_without_recursion(void **state)
{
    struct xds_codec *codec = xds_codec_new();
    struct buf in = {0}, out = {0};
    struct resource *r;
    struct view why;

    /* metadata.filter_metadata.value of Structs in Structs, each level around the last. */
    for (int i = 0; i < 4001; i++) {
        static const uint8_t tags[] = {0x2a, 0x12, 0x0a}; /* struct_value, value, fields */
        for (int k = i < 4000 ? 0 : 1; k < 3; k++) {
            size_t n = buf_len(&in);
            buf_clear(&out);
            buf_char(&out, (char)tags[k]);
            for (; n > 127; n >>= 7)
                buf_char(&out, (char)(n | 0x80));
            buf_char(&out, (char)n);
            buf_view(&out, buf_read(&in));
            struct buf swap = in;
            in = out;
            out = swap;
        }
    }
    buf_clear(&out);
    buf_str(&out, "\xca\x01"); /* field 25: metadata */
    for (size_t n = buf_len(&in);; n >>= 7) {
        buf_char(&out, (char)(n > 127 ? n | 0x80 : n));
        if (n <= 127)
            break;
    }
    buf_view(&out, buf_read(&in));
    assert_int_equal(xds_decode(codec, RESOURCE_CLUSTER, buf_read(&out), &r, &why), -EINVAL);
    assert_true(view_find_view(why, VIEW("is nested deeper than")) < why.n);
    buf_done(&in);
    buf_done(&out);
    xds_codec_free(codec);
}

static void a_message_that_unfolds_into_gigabytes_is_refused(void **state)
{
    struct xds_codec *codec = xds_codec_new();
    struct buf b = {0};
    struct resource *r;
    struct view why;

    while (buf_len(&b) < LIMIT_XDS_RESOURCE_BYTES - 8) /* empty virtual hosts: 2 bytes each */
        buf_view(&b, view_make("\x12\x00", 2));
    assert_int_equal(xds_decode(codec, RESOURCE_ROUTES, buf_read(&b), &r, &why), -EINVAL);
    buf_done(&b);
    xds_codec_free(codec);
}

static void damaged_bytes_are_refused_or_read_but_never_harm(void **state)
{
    struct xds_codec *codec = xds_codec_new();
    struct resource *all[] = {&rich_cluster("c")->res, &rich_endpoints("c")->res, &rich_listener("l", NULL)->res,
                              &rich_routes("r")->res, &rich_secret("s")->res};
    struct rng rng;
    unsigned good = 0, bad = 0;

    rng_seed(&rng, 7);
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        struct buf bytes = {0};

        xds_encode(all[i], &bytes);
        for (int n = 0; n < 3000; n++) {
            struct buf copy = {0};
            struct resource *r = NULL;
            struct view why, cut;

            buf_view(&copy, buf_read(&bytes));
            for (uint64_t k = rng_below(&rng, 4) + 1; k; k--)
                copy.data[rng_below(&rng, buf_len(&copy))] = (char)rng_next(&rng);
            cut = view_head(buf_read(&copy), rng_below(&rng, 4) ? buf_len(&copy) : rng_below(&rng, buf_len(&copy)));
            if (xds_decode(codec, all[i]->kind, cut, &r, &why) == 0) {
                struct buf again = {0};
                resource_print(&again, r);
                xds_encode(r, &again);
                buf_done(&again);
                resource_unref(r);
                good++;
            } else {
                assert_true(why.n > 0);
                bad++;
            }
            buf_done(&copy);
        }
        buf_done(&bytes);
        resource_unref(all[i]);
    }
    assert_true(good > 100 && bad > 100);
    xds_codec_free(codec);
}

static void versions_are_hexadecimal(void **state)
{
    char text[XDS_VERSION_TEXT];

    assert_true(view_is(xds_version(0x0123456789abcdef, text), "0123456789abcdef"));
    assert_ptr_equal(xds_type_by_url(VIEW("type.googleapis.com/envoy.config.cluster.v3.Cluster")),
                     xds_type_of(RESOURCE_CLUSTER));
    assert_null(xds_type_by_url(VIEW("type.googleapis.com/envoy.config.cluster.v2.Cluster")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_comes_back_as_it_was),
        cmocka_unit_test(a_secret_keeps_its_key),
        cmocka_unit_test(what_weft_cannot_do_is_refused_with_resource_and_field),
        cmocka_unit_test(deep_nesting_is_refused_without_recursion),
        cmocka_unit_test(a_message_that_unfolds_into_gigabytes_is_refused),
        cmocka_unit_test(damaged_bytes_are_refused_or_read_but_never_harm),
        cmocka_unit_test(versions_are_hexadecimal),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
