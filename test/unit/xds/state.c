// SPDX-License-Identifier: Apache-2.0
/* The delta client's knowledge without a stream: what becomes of responses that are partly bad. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "plan/tls.h"
#include "trust/ca.h"
#include "xds/discovery.h"
#include "xds/node_pb.h"
#include "xds/state.h"
#include "xds/types.h"

#define WALL (UINT64_C(1767225600) * NS_PER_S)
#define NAME VIEW("kubernetes://a")

struct world {
    struct xds_state state;
    struct xds_out out;
    struct ca *ca;
    struct buf chain, key, response;
    uint64_t nonce;
};

static void issue(struct world *w)
{
    const char *why;
    struct view uri = VIEW("spiffe://td/ns/n/sa/a");
    buf_clear(&w->chain);
    buf_clear(&w->key);
    assert_int_equal(ca_issue(w->ca, &(struct ca_grant){.uris = &uri, .n_uris = 1}, WALL, &w->chain, &w->key, &why), 0);
}

static void add_secret(struct world *w, struct view name, struct view chain, struct view key, struct view ca)
{
    struct tls_secret *s = tls_secret_new(name, chain, key, ca);
    struct buf bytes = {0};
    xds_encode(&s->res, &bytes);
    discovery_write_resource(&w->response, name, VIEW("v"), xds_type_of(RESOURCE_SECRET)->url, buf_read(&bytes));
    buf_done(&bytes);
    resource_unref(s);
}

/* The answer's error text: empty for an ACK. Valid until the next send. */
static struct view send_response(struct world *w, enum resource_kind kind)
{
    struct discovery_request answer = {0};
    struct view message;
    while (xds_out_next(&w->out, &message))
        xds_out_drop(&w->out);
    discovery_write_tail(&w->response, VIEW("1"), xds_type_of(kind)->url, ++w->nonce, VIEW("test"));
    assert_int_equal(xds_state_response(&w->state, buf_read(&w->response), &w->out), 0);
    buf_clear(&w->response);
    assert_true(xds_out_next(&w->out, &message));
    assert_int_equal(discovery_read_request(message, &answer), 0);
    return answer.error;
}

static void world_open(struct world *w)
{
    const char *why;
    *w = (struct world){0};
    xds_state_init(&w->state, &(struct xds_node){.ip = VIEW("10.0.0.1")});
    assert_int_equal(ca_new(&(struct ca_options){.trust_domain = VIEW("td")}, WALL, &w->ca, &why), 0);
    issue(w);
    assert_int_equal(send_response(w, RESOURCE_CLUSTER).n, 0);
    assert_int_equal(send_response(w, RESOURCE_LISTENER).n, 0);
}

static void world_close(struct world *w)
{
    xds_state_done(&w->state);
    ca_unref(w->ca);
    buf_done(&w->chain);
    buf_done(&w->key);
    buf_done(&w->response);
    buf_done(&w->out.bytes);
}

static const struct tls_secret *have(struct world *w)
{
    struct name_ref ref = name_ref(NAME);
    return plan_secret(w->state.got, &ref);
}

static void a_bad_secret_is_refused_and_does_not_hold_up_the_others(void **state)
{
    struct world w;
    (void)state;
    world_open(&w);
    assert_false(xds_state_complete(&w.state)); /* the mesh's root is asked for and did not come */
    add_secret(&w, VIEW("ROOTCA"), VIEW_NONE, VIEW_NONE, VIEW("no certificate"));
    add_secret(&w, NAME, buf_read(&w.chain), buf_read(&w.key), VIEW_NONE);
    struct view error = send_response(&w, RESOURCE_SECRET);
    assert_true(view_find_view(error, VIEW("ROOTCA")) < error.n);
    assert_non_null(have(&w));
    assert_true(xds_state_complete(&w.state));
    world_close(&w);
}

static void a_secret_that_turns_bad_stays_what_it_was(void **state)
{
    struct world w;
    struct buf old_key = {0};
    (void)state;
    world_open(&w);
    add_secret(&w, NAME, buf_read(&w.chain), buf_read(&w.key), VIEW_NONE);
    assert_int_equal(send_response(&w, RESOURCE_SECRET).n, 0);
    const struct tls_secret *good = have(&w);
    assert_non_null(good);
    buf_view(&old_key, buf_read(&w.key));
    issue(&w);
    add_secret(&w, NAME, buf_read(&w.chain), buf_read(&old_key), VIEW_NONE); /* a key of another certificate */
    assert_true(send_response(&w, RESOURCE_SECRET).n > 0);
    assert_ptr_equal(have(&w), good);
    add_secret(&w, NAME, buf_read(&w.chain), buf_read(&w.key), VIEW_NONE);
    assert_int_equal(send_response(&w, RESOURCE_SECRET).n, 0);
    assert_true(view_eq(have(&w)->cert_chain, buf_read(&w.chain)));
    buf_done(&old_key);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bad_secret_is_refused_and_does_not_hold_up_the_others),
        cmocka_unit_test(a_secret_that_turns_bad_stays_what_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
