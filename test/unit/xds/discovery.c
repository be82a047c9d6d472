// SPDX-License-Identifier: Apache-2.0
/* The envelopes written by hand are the messages of discovery.proto, and damaged ones are refused. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "proto/xds.pb-c.h"
#include "xds/discovery.h"
#include "xds/held.h"

static void write_request(struct buf *b)
{
    discovery_write_node(b, VIEW("\x0a\x01i"));
    discovery_write_type(b, VIEW("type.googleapis.com/t"));
    discovery_write_name(b, REQUEST_SUBSCRIBE, VIEW("a"));
    discovery_write_name(b, REQUEST_SUBSCRIBE, VIEW("b"));
    discovery_write_name(b, REQUEST_UNSUBSCRIBE, VIEW("c"));
    discovery_write_initial(b, VIEW("a"), VIEW("v1"));
    discovery_write_nonce(b, VIEW("17"));
    discovery_write_error(b, 3, VIEW("because"));
}

static void write_response(struct buf *b)
{
    discovery_write_resource(b, VIEW("a"), VIEW("v1"), VIEW("type.googleapis.com/t"), VIEW("bytes"));
    discovery_write_resource(b, VIEW("b"), VIEW("v2"), VIEW("type.googleapis.com/t"), VIEW(""));
    discovery_write_name(b, RESPONSE_REMOVED, VIEW("c"));
    discovery_write_tail(b, VIEW("2026/1"), VIEW("type.googleapis.com/t"), 42, VIEW("weft"));
}

static void a_request_is_what_protobuf_says(void **state)
{
    struct buf b = {0};
    Discovery__DeltaDiscoveryRequest *m;

    write_request(&b);
    m = discovery__delta_discovery_request__unpack(NULL, buf_len(&b), (const uint8_t *)buf_read(&b).p);
    assert_non_null(m);
    assert_string_equal(m->node->id, "i");
    assert_string_equal(m->type_url, "type.googleapis.com/t");
    assert_int_equal(m->n_resource_names_subscribe, 2);
    assert_string_equal(m->resource_names_subscribe[1], "b");
    assert_string_equal(m->resource_names_unsubscribe[0], "c");
    assert_string_equal(m->initial_resource_versions[0]->value, "v1");
    assert_string_equal(m->response_nonce, "17");
    assert_int_equal(m->error_detail->code, 3);
    assert_string_equal(m->error_detail->message, "because");
    discovery__delta_discovery_request__free_unpacked(m, NULL);
    buf_done(&b);
}

static void a_response_is_what_protobuf_says(void **state)
{
    struct buf b = {0};
    Discovery__DeltaDiscoveryResponse *m;

    write_response(&b);
    m = discovery__delta_discovery_response__unpack(NULL, buf_len(&b), (const uint8_t *)buf_read(&b).p);
    assert_non_null(m);
    assert_int_equal(m->n_resources, 2);
    assert_string_equal(m->resources[0]->name, "a");
    assert_string_equal(m->resources[0]->version, "v1");
    assert_string_equal(m->resources[1]->resource->type_url, "type.googleapis.com/t");
    assert_memory_equal(m->resources[0]->resource->value.data, "bytes", 5);
    assert_string_equal(m->removed_resources[0], "c");
    assert_string_equal(m->nonce, "42");
    assert_string_equal(m->system_version_info, "2026/1");
    assert_string_equal(m->control_plane->identifier, "weft");
    discovery__delta_discovery_response__free_unpacked(m, NULL);
    buf_done(&b);
}

static void what_was_written_is_read(void **state)
{
    struct buf b = {0};
    struct discovery_request q;
    struct discovery_response r;
    struct discovery_resource one;
    struct discovery_walk w;
    struct view name, version;

    write_request(&b);
    assert_int_equal(discovery_read_request(buf_read(&b), &q), 0);
    assert_true(q.has_error && q.error_code == 3 && view_is(q.error, "because") && view_is(q.nonce, "17"));
    assert_int_equal(q.n_subscribe, 2);
    w = (struct discovery_walk){.bytes = q.bytes};
    assert_true(discovery_next_name(&w, REQUEST_SUBSCRIBE, &name) && view_is(name, "a"));
    assert_true(discovery_next_name(&w, REQUEST_SUBSCRIBE, &name) && view_is(name, "b"));
    assert_false(discovery_next_name(&w, REQUEST_SUBSCRIBE, &name));
    w = (struct discovery_walk){.bytes = q.bytes};
    assert_true(discovery_next_initial(&w, &name, &version) && view_is(name, "a") && view_is(version, "v1"));
    buf_clear(&b);
    write_response(&b);
    assert_int_equal(discovery_read_response(buf_read(&b), &r), 0);
    assert_int_equal(r.n_resources, 2);
    w = (struct discovery_walk){.bytes = r.bytes};
    assert_true(discovery_next_resource(&w, &one) && view_is(one.value, "bytes") && view_is(one.version, "v1"));
    buf_done(&b);
}

static void damaged_envelopes_never_harm(void **state)
{
    struct buf good[2] = {0};
    struct rng rng;
    unsigned refused = 0;

    write_request(&good[0]);
    write_response(&good[1]);
    rng_seed(&rng, 5);
    for (int i = 0; i < 20000; i++) {
        struct buf *from = &good[i & 1];
        size_t n = 1 + rng_below(&rng, buf_len(from));
        char *copy = malloc(n); /* exactly so long: ASan sees a read too far */
        struct discovery_request q;
        struct discovery_response r;
        struct discovery_resource one;
        struct discovery_walk w = {.bytes = {copy, n}};
        struct view v;

        memcpy(copy, buf_read(from).p, n);
        copy[rng_below(&rng, n)] = (char)rng_next(&rng);
        refused += i & 1 ? discovery_read_response(w.bytes, &r) < 0 : discovery_read_request(w.bytes, &q) < 0;
        while (discovery_next_resource(&w, &one))
            ;
        w = (struct discovery_walk){.bytes = {copy, n}};
        while (discovery_next_initial(&w, &v, &v))
            ;
        free(copy);
    }
    assert_true(refused > 1000);
    buf_done(&good[0]);
    buf_done(&good[1]);
}

static void a_set_of_names_forgets_and_grows(void **state)
{
    struct name_set s = {0};

    assert_false(name_set_has(&s, 7));
    name_set_del(&s, 7);
    for (uint64_t i = 0; i < 5000; i++)
        assert_true(name_set_add(&s, i * 0x9e3779b97f4a7c15u));
    assert_false(name_set_add(&s, 3 * 0x9e3779b97f4a7c15u));
    for (uint64_t i = 0; i < 5000; i += 2)
        name_set_del(&s, i * 0x9e3779b97f4a7c15u);
    assert_int_equal(s.n, 2500);
    for (uint64_t i = 0; i < 5000; i++)
        assert_int_equal(name_set_has(&s, i * 0x9e3779b97f4a7c15u), i & 1);
    for (int round = 0; round < 100000; round++) { /* adding and deleting does not make it grow */
        name_set_add(&s, 12345678);
        name_set_del(&s, 12345678);
    }
    assert_true(s.n_slots <= 16384);
    name_set_done(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_is_what_protobuf_says),  cmocka_unit_test(a_response_is_what_protobuf_says),
        cmocka_unit_test(what_was_written_is_read),         cmocka_unit_test(damaged_envelopes_never_harm),
        cmocka_unit_test(a_set_of_names_forgets_and_grows),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
