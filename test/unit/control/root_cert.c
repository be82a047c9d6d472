// SPDX-License-Identifier: Apache-2.0
/* Every namespace has the mesh's roots: written where they are missing or wrong, put right when somebody changes them, left
 * alone where they are right. Against the sandbox's API; what that never answers is in root_cert_refused.c.
 */
#include "../mesh/snapshot_of.h"
#include "../sandbox/api_server.h"
#include "control/identity/root_cert.h"

#define ROOT "-----BEGIN CERTIFICATE-----\nroot\n-----END CERTIFICATE-----\n"
#define OTHER "-----BEGIN CERTIFICATE-----\nother\n-----END CERTIFICATE-----\n"

#define NAMESPACE(name) "apiVersion: v1\nkind: Namespace\nmetadata: {name: " name "}\n---\n"
#define TWO NAMESPACE("default") NAMESPACE("istio-system") NAMESPACE("kube-system")

struct world {
    struct server s;
    struct root_cert *roots;
    const char *ns, *want;
};

static struct view held(struct server *s, const char *ns)
{
    const struct record *r = server_get(s, KIND_CONFIG_MAP, ns, "istio-ca-root-cert");

    return r ? node_text(node_get(node_get(r->tree, VIEW("data")), VIEW("root-cert.pem"))) : VIEW_NONE;
}

static bool is_held(void *arg)
{
    struct world *w = arg;

    return view_is(held(&w->s, w->ns), w->want);
}

static void await(struct world *w, const char *ns, const char *want)
{
    w->ns = ns;
    w->want = want;
    server_until(&w->s, is_held, w);
}

static void edit(struct world *w, const char *ns, const char *content)
{
    struct buf text = {0};

    buf_printf(&text,
               "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"istio-ca-root-cert\","
               "\"namespace\":\"%s\"},\"data\":{\"root-cert.pem\":\"%s\"}}",
               ns, content);
    server_put(&w->s, buf_read(&text));
    buf_done(&text);
}

static int setup(void **state)
{
    struct world *w = mem_alloc(sizeof(*w));

    server_init(&w->s);
    server_put(&w->s, VIEW("{apiVersion: v1, kind: Namespace, metadata: {name: istio-system}}"));
    w->roots = root_cert_new(w->s.loop, w->s.client, VIEW(ROOT));
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;

    root_cert_free(w->roots);
    server_done(&w->s);
    mem_free(w);
    return 0;
}

static void every_namespace_but_the_systems_own_gets_it_once(void **state)
{
    struct world *w = *state;

    root_cert_check(w->roots, snapshot_of(&w->s.a, TWO));
    await(w, "default", ROOT);
    await(w, "istio-system", ROOT);
    server_for(&w->s, 100 * NS_PER_MS);
    assert_int_equal(held(&w->s, "kube-system").n, 0);
    assert_int_equal(root_cert_written(w->roots), 2);
    assert_int_equal(root_cert_missing(w->roots), 0);
    server_put(&w->s, VIEW("{apiVersion: v1, kind: Namespace, metadata: {name: young}}"));
    root_cert_check(w->roots, snapshot_of(&w->s.a, TWO NAMESPACE("young")));
    uint64_t begin = clock_mono();
    await(w, "young", ROOT);
    assert_true(clock_mono() - begin < NS_PER_S);
    server_for(&w->s, 20 * NS_PER_MS); /* the answers */
    assert_int_equal(root_cert_written(w->roots), 3);
}

static void what_is_right_already_is_not_written(void **state)
{
    struct world *w = *state;

    edit(w, "default", "-----BEGIN CERTIFICATE-----\\nroot\\n-----END CERTIFICATE-----\\n");
    root_cert_check(w->roots, snapshot_of(&w->s.a, NAMESPACE("default")));
    server_for(&w->s, 200 * NS_PER_MS);
    assert_int_equal(root_cert_written(w->roots), 0);
}

static void what_is_edited_or_deleted_is_put_right_and_a_fight_is_fought_slowly(void **state)
{
    struct world *w = *state;

    root_cert_check(w->roots, snapshot_of(&w->s.a, NAMESPACE("default")));
    await(w, "default", ROOT);
    edit(w, "default", "wrong");
    uint64_t begin = clock_mono();
    await(w, "default", ROOT);
    assert_true(clock_mono() - begin < NS_PER_S);
    assert_int_equal(cluster_delete(&w->s.cluster, KIND_CONFIG_MAP, VIEW("default"), VIEW("istio-ca-root-cert"), -1),
                     0);
    server_for(&w->s, 500 * NS_PER_MS);
    assert_int_equal(held(&w->s, "default").n, 0); /* the second time within a moment: not at once */
    await(w, "default", ROOT);
    assert_in_range(clock_mono() - begin, NS_PER_S, 3 * NS_PER_S);
    server_for(&w->s, 20 * NS_PER_MS); /* the answers */
    assert_int_equal(root_cert_written(w->roots), 3);
}

static void other_roots_are_written_everywhere_and_at_once(void **state)
{
    struct world *w = *state;

    root_cert_check(w->roots, snapshot_of(&w->s.a, TWO));
    await(w, "default", ROOT);
    await(w, "istio-system", ROOT);
    root_cert_set(w->roots, VIEW(ROOT OTHER));
    await(w, "default", ROOT OTHER);
    await(w, "istio-system", ROOT OTHER);
    server_for(&w->s, 20 * NS_PER_MS);
    assert_int_equal(root_cert_written(w->roots), 4);
    root_cert_set(w->roots, VIEW(ROOT OTHER));
    server_for(&w->s, 100 * NS_PER_MS);
    assert_int_equal(root_cert_written(w->roots), 4);
}

static void a_replica_that_does_not_lead_looks_on(void **state)
{
    struct world *w = *state;

    root_cert_lead(w->roots, false);
    root_cert_check(w->roots, snapshot_of(&w->s.a, NAMESPACE("default")));
    server_for(&w->s, 200 * NS_PER_MS);
    assert_int_equal(held(&w->s, "default").n, 0);
    root_cert_lead(w->roots, true);
    await(w, "default", ROOT);
}

int main(void)
{
#define IN_WORLD(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        IN_WORLD(every_namespace_but_the_systems_own_gets_it_once),
        IN_WORLD(what_is_right_already_is_not_written),
        IN_WORLD(what_is_edited_or_deleted_is_put_right_and_a_fight_is_fought_slowly),
        IN_WORLD(other_roots_are_written_everywhere_and_at_once),
        IN_WORLD(a_replica_that_does_not_lead_looks_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
