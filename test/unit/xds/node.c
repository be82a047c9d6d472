// SPDX-License-Identifier: Apache-2.0
/* Node ids of Istio's form, and nodes that survive the way over the wire. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/limits.h"
#include "xds/node_pb.h"
#include "xds/pb.h"

static const struct {
    const char *id, *type, *ip, *pod, *ns, *domain; /* type NULL: refused */
} ids[] = {
    {"sidecar~10.1.0.4~reviews-v1-5d.default~default.svc.cluster.local", "sidecar", "10.1.0.4", "reviews-v1-5d",
     "default", "default.svc.cluster.local"},
    {"router~fd00::1,10.0.0.1~gw.istio-system~istio-system.svc.cluster.local", "router", "fd00::1", "gw",
     "istio-system", "istio-system.svc.cluster.local"},
    {"sidecar~10.1.0.4~a.b.c.ns~ns.svc", "sidecar", "10.1.0.4", "a.b.c", "ns", "ns.svc"},
    {"", NULL},
    {"sidecar", NULL},
    {"sidecar~10.1.0.4~reviews~default.svc", NULL},
    {"sidecar~10.1.0.4~.default~default.svc", NULL},
    {"sidecar~10.1.0.4~reviews.~default.svc", NULL},
    {"sidecar~~reviews.default~default.svc", NULL},
    {"sidecar~10.1.0.4~reviews.default~", NULL},
    {"sidecar~10.1.0.4~reviews.default~a~b", NULL},
};

static void ids_are_taken_apart_or_refused(void **state)
{
    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
        struct xds_node n = {0};
        int r = xds_node_parse_id(view_of(ids[i].id), &n);

        if (!ids[i].type) {
            assert_int_equal(r, -EINVAL);
            continue;
        }
        assert_int_equal(r, 0);
        assert_true(view_is(n.type, ids[i].type) && view_is(n.ip, ids[i].ip) && view_is(n.pod, ids[i].pod));
        assert_true(view_is(n.ns, ids[i].ns) && view_is(n.domain, ids[i].domain));
    }
}

static void what_is_sent_is_what_is_read(void **state)
{
    struct xds_label labels[] = {{VIEW("app"), VIEW("reviews")}, {VIEW("empty"), VIEW("")}};
    struct xds_node n = {.type = VIEW("sidecar"),
                         .ip = VIEW("10.1.0.4"),
                         .pod = VIEW("reviews-1"),
                         .ns = VIEW("default"),
                         .domain = VIEW("default.svc.cluster.local"),
                         .cluster = VIEW("reviews.default"),
                         .service_account = VIEW("r"),
                         .workload_name = VIEW("reviews"),
                         .owner = VIEW("o"),
                         .cluster_id = VIEW("Kubernetes"),
                         .mesh_id = VIEW("m"),
                         .network = VIEW("n"),
                         .node_name = VIEW("node"),
                         .version = VIEW("1.31"),
                         .revision = VIEW("default"),
                         .interception = VIEW("REDIRECT"),
                         .build = VIEW("0.1"),
                         .ips = VIEW("10.1.0.4"),
                         .labels = labels,
                         .n_labels = 2,
                         .region = VIEW("eu"),
                         .zone = VIEW("eu-1"),
                         .subzone = VIEW("r")};
    struct xds_node got = {0}, copy;
    struct xds_codec *d = xds_codec_new();
    struct buf bytes = {0}, again = {0};
    struct arena a, b;
    struct view why;

    arena_init(&a, 0);
    arena_init(&b, 0);
    xds_node_encode(&bytes, &n);
    assert_int_equal(xds_node_decode(d, buf_read(&bytes), &a, &got, &why), 0);
    copy = xds_node_copy(&b, &got);
    arena_done(&a); /* the copy needs nothing of it */
    xds_node_encode(&again, &copy);
    assert_true(view_eq(buf_read(&bytes), buf_read(&again)));
    assert_true(view_is(xds_node_label(&copy, VIEW("app")), "reviews"));
    assert_true(view_empty(xds_node_label(&copy, VIEW("nope"))));
    arena_done(&b);
    buf_done(&bytes);
    buf_done(&again);
    xds_codec_free(d);
}

static void the_namespace_is_the_ids_whatever_the_metadata_says(void **state)
{
    struct xds_codec *d = xds_codec_new();
    struct buf bytes = {0};
    struct xds_node got;
    struct arena a;
    struct view why;
    Core__Node *m;

    arena_init(&a, 0);
    m = PB_NEW(&a, Core__Node, core__node__init);
    m->id = "sidecar~10.1.0.4~x.default~default.svc";
    m->metadata = pb_struct(&a);
    pb_put_str(&a, m->metadata, "NAMESPACE", VIEW("kube-system"));
    pb_pack(m, &bytes);
    assert_int_equal(xds_node_decode(d, buf_read(&bytes), &a, &got, &why), 0);
    assert_true(view_is(got.ns, "default"));
    arena_done(&a);
    buf_done(&bytes);
    xds_codec_free(d);
}

static void damaged_and_oversized_nodes_are_refused(void **state)
{
    struct xds_codec *d = xds_codec_new();
    struct xds_node got;
    struct arena a;
    struct view why = VIEW_NONE;
    char *big = calloc(1, LIMIT_XDS_NODE_BYTES + 16);

    arena_init(&a, 0);
    assert_int_equal(xds_node_decode(d, VIEW("\x0a\xff"), &a, &got, &why), -EINVAL);
    assert_int_equal(xds_node_decode(d, VIEW("\x0a\x01x"), &a, &got, &why), -EINVAL);
    assert_true(view_is(why, "node id is not of the form type~ip~pod.namespace~domain"));
    assert_int_equal(xds_node_decode(d, view_make(big, LIMIT_XDS_NODE_BYTES + 16), &a, &got, &why), -EINVAL);
    free(big);
    arena_done(&a);
    xds_codec_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_are_taken_apart_or_refused),
        cmocka_unit_test(what_is_sent_is_what_is_read),
        cmocka_unit_test(the_namespace_is_the_ids_whatever_the_metadata_says),
        cmocka_unit_test(damaged_and_oversized_nodes_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
