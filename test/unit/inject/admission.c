// SPDX-License-Identifier: Apache-2.0
/* AdmissionReviews: what is let through, changed, refused with an answer, and refused without one; the patch applied gives
 * the injected pod.
 */
#include "inject/admission.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/limits.h"
#include "inject/patch.h"
#include "inject/settings.h"
#include "wire/base64.h"

#define HEAD "{\"kind\":\"AdmissionReview\",\"apiVersion\":\"admission.k8s.io/v1\",\"request\":{\"uid\":\"u-1\","
#define POD                                                                                                            \
    "\"kind\":{\"group\":\"\",\"version\":\"v1\",\"kind\":\"Pod\"},\"namespace\":\"shop\",\"operation\":\"CREATE\","
#define OBJECT(meta, spec)                                                                                             \
    "\"object\":{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{" meta "},\"spec\":{" spec "}}"
#define CONTAINERS "\"containers\":[{\"name\":\"web\",\"image\":\"x\",\"ports\":[{\"containerPort\":80}]}]"

struct answer {
    struct arena arena;
    int status;
    struct inject_outcome seen;
    struct node *tree; /* of the answer, when status is 0 */
};

static void ask(struct answer *w, const char *body)
{
    struct buf out = {0};
    arena_init(&w->arena, 0);
    struct inject_config c = inject_config_kubernetes(&w->arena);
    w->tree = NULL;
    w->status = inject_review(&w->arena, view_of(body), &c, &out, &w->seen);
    if (w->status == 0)
        assert_int_equal(node_parse(&w->arena, arena_view(&w->arena, buf_read(&out)), &w->tree, NULL), 0);
    buf_done(&out);
}

static bool allowed(const struct answer *w)
{
    return node_bool(node_at(w->tree, "response.allowed"), false);
}

static struct view patch_of(struct answer *w)
{
    struct buf bytes = {0};
    struct view text = node_text_at(w->tree, "response.patch");
    assert_int_equal(base64_read(&bytes, BASE64_STANDARD, text), 0);
    struct view v = arena_view(&w->arena, buf_read(&bytes));
    buf_done(&bytes);
    return v;
}

static void what_is_no_review_gets_a_status_and_a_reason(void **state)
{
    static const struct {
        const char *body;
        int status;
    } rows[] = {
        {"", 400},
        {"{", 400},
        {"[]", 400},
        {"null", 400},
        {"{} {}", 400},
        {"kind: AdmissionReview", 400},
        {"{\"kind\":\"Pod\",\"apiVersion\":\"v1\"}", 400},
        {"{\"kind\":\"AdmissionReview\",\"apiVersion\":\"admission.k8s.io/v2\",\"request\":{\"uid\":\"x\"}}", 400},
        {"{\"kind\":\"AdmissionReview\",\"apiVersion\":\"admission.k8s.io/v1\"}", 400},
        {"{\"kind\":\"AdmissionReview\",\"apiVersion\":\"admission.k8s.io/v1\",\"request\":[]}", 400},
        {"{\"kind\":\"AdmissionReview\",\"apiVersion\":\"admission.k8s.io/v1\",\"request\":{\"uid\":7}}", 400},
        {HEAD "\"kind\":{}", 400},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct answer w;
        ask(&w, rows[i].body);
        if (w.status != rows[i].status || !w.seen.why.n || w.seen.result != INJECT_FAILED)
            fail_msg("row %zu: status %d", i, w.status);
        arena_done(&w.arena);
    }
}

static void a_review_that_is_too_large_is_413(void **state)
{
    struct arena a;
    struct admission_request q;
    struct admission_answer answer;
    struct view why;
    char *big = calloc(1, LIMIT_ADMISSION_BYTES + 1);
    arena_init(&a, 0);
    assert_int_equal(admission_read(&a, view_make(big, LIMIT_ADMISSION_BYTES + 1), &q, &answer, &why), 413);
    arena_done(&a);
    free(big);
}

static void only_new_pods_are_changed(void **state)
{
    static const char *const bodies[] = {
        HEAD "\"kind\":{\"group\":\"apps\",\"version\":\"v1\",\"kind\":\"Deployment\"},\"operation\":\"CREATE\","
             "\"object\":{}}}",
        HEAD "\"kind\":{\"group\":\"example.org\",\"version\":\"v1\",\"kind\":\"Pod\"},\"operation\":\"CREATE\","
             "\"object\":{}}}",
        HEAD "\"kind\":{\"version\":\"v1\",\"kind\":\"Pod\"},\"operation\":\"UPDATE\"," OBJECT("", CONTAINERS) "}}",
        HEAD "\"kind\":{\"version\":\"v1\",\"kind\":\"Pod\"},\"operation\":\"DELETE\",\"object\":null}}",
        HEAD "\"kind\":{\"version\":\"v1\",\"kind\":\"Pod\"},\"subResource\":\"exec\",\"operation\":\"CREATE\","
             "\"object\":{}}}",
        HEAD POD OBJECT("\"labels\":{\"sidecar.istio.io/inject\":\"false\"}", CONTAINERS) "}}",
        HEAD POD OBJECT("\"annotations\":{\"sidecar.istio.io/status\":\"{}\"}", CONTAINERS) "}}",
        HEAD POD OBJECT("", "\"hostNetwork\":true," CONTAINERS) "}}",
    };
    for (size_t i = 0; i < COUNT_OF(bodies); i++) {
        struct answer w;
        ask(&w, bodies[i]);
        if (w.status || !allowed(&w) || node_at(w.tree, "response.patch") || w.seen.result != INJECT_SKIPPED)
            fail_msg("row %zu", i);
        assert_true(w.seen.why.n > 0);
        arena_done(&w.arena);
    }
}

static void a_pod_gets_a_patch_and_the_uid_back(void **state)
{
    struct answer w;
    ask(&w, HEAD POD "\"dryRun\":true," OBJECT("\"generateName\":\"web-\"", CONTAINERS) "}}");
    assert_int_equal(w.status, 0);
    assert_true(allowed(&w));
    assert_int_equal(w.seen.result, INJECT_DONE);
    assert_true(w.seen.dry_run);
    assert_true(view_is(w.seen.name, "web-"));
    assert_true(view_is(node_text_at(w.tree, "response.uid"), "u-1"));
    assert_true(view_is(node_text_at(w.tree, "response.patchType"), "JSONPatch"));
    struct view patch = patch_of(&w);
    assert_true(view_find_view(patch, VIEW("\"/spec/initContainers\"")) < patch.n);
    assert_true(view_find_view(patch, VIEW("docker.io/weft/weft-proxy:")) < patch.n);
    assert_true(view_find_view(patch, VIEW("namespaces/shop/")) < patch.n); /* the request's namespace */
    assert_false(view_find_view(patch, VIEW("\"path\":\"/spec/containers")) <
                 patch.n); /* a native sidecar: untouched */
    arena_done(&w.arena);
}

static void the_version_of_the_request_is_answered(void **state)
{
    struct answer w;
    ask(&w,
        "{\"kind\":\"AdmissionReview\",\"apiVersion\":\"admission.k8s.io/v1beta1\",\"request\":{\"uid\":\"u-1\"," POD
            OBJECT("\"name\":\"web\"", CONTAINERS) "}}");
    assert_true(view_is(node_text_at(w.tree, "apiVersion"), "admission.k8s.io/v1beta1"));
    assert_true(allowed(&w));
    arena_done(&w.arena);
}

static void a_wrong_annotation_refuses_the_pod_and_names_it(void **state)
{
    struct answer w;
    ask(&w,
        HEAD POD OBJECT("\"name\":\"web\",\"annotations\":{\"inject.istio.io/templates\":\"mine\"}", CONTAINERS) "}}");
    assert_int_equal(w.status, 0);
    assert_false(allowed(&w));
    assert_int_equal(w.seen.result, INJECT_FAILED);
    struct view message = node_text_at(w.tree, "response.status.message");
    assert_true(view_find_view(message, VIEW("inject.istio.io/templates")) < message.n);
    assert_true(view_find_view(message, VIEW("IST0125")) < message.n);
    arena_done(&w.arena);
}

static void what_has_no_effect_is_a_short_warning(void **state)
{
    struct answer w;
    ask(&w, HEAD POD OBJECT("\"name\":\"web\",\"annotations\":{\"sidecar.istio.io/bootstrapOverride\":\"a\","
                            "\"sidecar.istio.io/proxyCpu\":\"1\",\"other.org/x\":\"y\"}",
                            CONTAINERS) "}}");
    const struct node *warnings = node_at(w.tree, "response.warnings");
    assert_true(allowed(&w));
    assert_true(node_is(warnings, NODE_SEQ));
    assert_int_equal(warnings->n, 2);
    for (uint32_t i = 0; i < warnings->n; i++)
        assert_true(node_text(warnings->items[i]).n <= LIMIT_ADMISSION_WARNING_BYTES);
    struct view slip = node_text(warnings->items[0]);
    assert_true(view_find_view(slip, VIEW("did you mean `sidecar.istio.io/proxyCPU`?")) < slip.n);
    arena_done(&w.arena);
}

static void a_thousand_complaints_stay_within_their_bounds(void **state)
{
    struct buf body = {0}, out = {0};
    struct arena a;
    struct inject_outcome seen;
    arena_init(&a, 0);
    struct inject_config c = inject_config_kubernetes(&a);
    buf_str(&body, HEAD POD "\"object\":{\"metadata\":{\"annotations\":{");
    for (int i = 0; i < 1000; i++)
        buf_printf(&body, "%s\"sidecar.istio.io/%d\":\"é\"", i ? "," : "", i);
    buf_str(&body, "}},\"spec\":{" CONTAINERS "}}}}");
    assert_int_equal(inject_review(&a, buf_read(&body), &c, &out, &seen), 0);
    struct node *n;
    assert_int_equal(node_parse(&a, buf_read(&out), &n, NULL), 0);
    assert_int_equal(node_at(n, "response.warnings")->n, LIMIT_ADMISSION_WARNINGS);
    buf_done(&body);
    buf_done(&out);
    arena_done(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_no_review_gets_a_status_and_a_reason),
        cmocka_unit_test(a_review_that_is_too_large_is_413),
        cmocka_unit_test(only_new_pods_are_changed),
        cmocka_unit_test(a_pod_gets_a_patch_and_the_uid_back),
        cmocka_unit_test(the_version_of_the_request_is_answered),
        cmocka_unit_test(a_wrong_annotation_refuses_the_pod_and_names_it),
        cmocka_unit_test(what_has_no_effect_is_a_short_warning),
        cmocka_unit_test(a_thousand_complaints_stay_within_their_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
