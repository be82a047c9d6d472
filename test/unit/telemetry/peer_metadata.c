// SPDX-License-Identifier: Apache-2.0
/* What one proxy says of itself, another one understands; damage is an unknown peer; the cache stays bounded. */
#include "telemetry/peer_metadata.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/limits.h"

static struct peer_self *reviews(void)
{
    static const struct view labels[][2] = {{{"app", 3}, {"reviews", 7}},
                                            {{"version", 7}, {"v1", 2}},
                                            {{"service.istio.io/canonical-name", 31}, {"reviews", 7}}};
    return peer_self_new(&(struct peer_me){
        .id = VIEW("sidecar~10.0.0.7~reviews-v1-abc.default~default.svc.cluster.local"),
        .workload = VIEW("reviews-v1"),
        .ns = VIEW("default"),
        .cluster = VIEW("Kubernetes"),
        .instance = VIEW("reviews-v1-abc"),
        .owner = VIEW("kubernetes://apis/apps/v1/namespaces/default/deployments/reviews-v1"),
        .labels = labels,
        .n_labels = 3,
    });
}

static void is_reviews(const struct peer *p)
{
    assert_true(p->known);
    assert_true(view_is(p->workload, "reviews-v1"));
    assert_true(view_is(p->ns, "default"));
    assert_true(view_is(p->app, "reviews"));
    assert_true(view_is(p->version, "v1"));
    assert_true(view_is(p->canonical_service, "reviews"));
    assert_true(view_is(p->cluster, "Kubernetes"));
    assert_true(view_is(p->type, "deployment"));
}

static void headers_and_prefaces_are_understood(void **state)
{
    (void)state;
    struct peer_self *self = reviews();
    struct peer_cache *c = peer_cache_new();
    struct view any;
    size_t taken;
    const struct peer *p = peer_cache_header(c, self->header);
    is_reviews(p);
    assert_ptr_equal(peer_cache_header(c, self->header), p);
    assert_int_equal(peer_preface_read(self->preface, &any, &taken), 0);
    assert_int_equal(taken, self->preface.n);
    p = peer_cache_payload(c, any);
    is_reviews(p);
    assert_true(view_starts(p->id, VIEW("sidecar~10.0.0.7~")));
    for (size_t n = 0; n < self->preface.n; n++)
        assert_int_equal(peer_preface_read(view_head(self->preface, n), &any, &taken), -EAGAIN);
    assert_int_equal(peer_preface_read(VIEW("GET / HTTP/1.1"), &any, &taken), -EPROTO);
    assert_int_equal(peer_preface_read(VIEW("\x3d\x23\x04\x67\xff\xff\xff\xff"), &any, &taken), -EMSGSIZE);
    peer_cache_free(c);
    peer_self_free(self);
}

static void endpoints_tell_the_short_form(void **state)
{
    (void)state;
    struct peer_cache *c = peer_cache_new();
    const struct peer *p = peer_cache_endpoint(c, VIEW("ratings-v1;default;ratings;v1;Kubernetes"));
    assert_true(p->known && view_is(p->workload, "ratings-v1") && view_is(p->canonical_revision, "v1"));
    assert_false(peer_cache_endpoint(c, VIEW(""))->known);
    peer_cache_free(c);
}

static void damaged_metadata_is_an_unknown_peer_or_harmless(void **state)
{
    (void)state;
    struct peer_self *self = reviews();
    struct peer_cache *c = peer_cache_new();
    char copy[2048];
    assert_true(self->header.n < sizeof(copy));
    for (size_t i = 0; i < self->header.n; i++) {
        memcpy(copy, self->header.p, self->header.n);
        copy[i] = (char)(copy[i] ^ 0x15);
        peer_cache_header(c, view_make(copy, self->header.n));
        peer_cache_header(c, view_make(copy, i));
    }
    assert_false(peer_cache_header(c, VIEW("!!!!"))->known);
    peer_cache_free(c);
    peer_self_free(self);
}

static void a_kept_peer_outlives_its_place_in_the_cache(void **state)
{
    (void)state;
    struct peer_cache *c = peer_cache_new();
    char text[32];
    const struct peer *kept = peer_ref(peer_cache_endpoint(c, VIEW("first;ns")));
    for (int i = 0; i < LIMIT_PEERS * 2; i++) {
        snprintf(text, sizeof(text), "workload-%d;ns", i);
        assert_true(peer_cache_endpoint(c, view_of(text))->known);
    }
    assert_true(view_is(kept->workload, "first"));
    assert_ptr_not_equal(peer_cache_endpoint(c, VIEW("first;ns")), kept);
    peer_unref(kept);
    peer_cache_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_and_prefaces_are_understood),
        cmocka_unit_test(endpoints_tell_the_short_form),
        cmocka_unit_test(damaged_metadata_is_an_unknown_peer_or_harmless),
        cmocka_unit_test(a_kept_peer_outlives_its_place_in_the_cache),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
