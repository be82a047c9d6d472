// SPDX-License-Identifier: Apache-2.0
/* Which CA signs and which roots are trusted, while an operator changes files, replicas share a Secret, and roots end.
 * Against the sandbox's API and a folder, in real time.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "../sandbox/api_server.h"
#include "../trust/pki.h"
#include "control/identity/authority.h"
#include "control/identity/secret.h"
#include "trust/roots.h"
#include "wire/base64.h"

#define HOUR (3600 * NS_PER_S)
#define SETTLE (4 * NS_PER_S) /* twice what it takes to see a changed folder */
#define SLACK (500 * NS_PER_MS)

struct world {
    struct server s;
    struct pki root[2], mid[2]; /* an operator's: mid[i] is signed by root[i] */
    char folder[64];
    struct authority *a, *b; /* two replicas */
    struct task task;
    struct authority_watch watch;
    unsigned told;
};

static void run(struct task *t, uint32_t events)
{
    CONTAINER_OF(t, struct world, task)->told++;
}

static int setup(void **state)
{
    struct world *w = mem_alloc(sizeof(*w));
    uint64_t now = clock_wall();

    server_init(&w->s);
    server_put(&w->s, VIEW("{apiVersion: v1, kind: Namespace, metadata: {name: istio-system}}"));
    task_init(&w->task, w->s.loop, run, "owner");
    for (int i = 0; i < 2; i++) {
        pki_make(&w->root[i], NULL, i ? "new root" : "old root", now - HOUR, now + 240 * HOUR, true);
        pki_make(&w->mid[i], &w->root[i], i ? "new" : "old", now - HOUR, now + 240 * HOUR, true);
    }
    snprintf(w->folder, sizeof(w->folder), "/tmp/weft-test-authority-XXXXXX");
    assert_non_null(mkdtemp(w->folder));
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    static const char *const files[] = {"ca-cert.pem", "ca-key.pem", "root-cert.pem", "cert-chain.pem"};
    struct world *w = *state;
    char path[128];

    authority_unwatch(&w->watch);
    authority_free(w->a);
    authority_free(w->b);
    for (size_t i = 0; i < COUNT_OF(files); i++) {
        snprintf(path, sizeof(path), "%s/%s", w->folder, files[i]);
        unlink(path);
    }
    assert_int_equal(rmdir(w->folder), 0);
    for (int i = 0; i < 2; i++) {
        pki_done(&w->root[i]);
        pki_done(&w->mid[i]);
    }
    task_done(&w->task);
    server_done(&w->s);
    mem_free(w);
    return 0;
}

static void write_file(struct world *w, const char *name, struct view text)
{
    char path[128];
    int fd;

    snprintf(path, sizeof(path), "%s/%s", w->folder, name);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0 && write(fd, text.p, text.n) == (ssize_t)text.n);
    close(fd);
}

/* roots: a bit for each of the two. */
static void plug_in(struct world *w, int mid, unsigned roots)
{
    struct buf both = {0};

    for (int i = 0; i < 2; i++)
        if (roots & 1u << i)
            buf_view(&both, buf_read(&w->root[i].cert));
    write_file(w, "ca-key.pem", buf_read(&w->mid[mid].key));
    write_file(w, "ca-cert.pem", buf_read(&w->mid[mid].cert));
    write_file(w, "cert-chain.pem", buf_read(&w->mid[mid].cert));
    write_file(w, "root-cert.pem", buf_read(&both));
    buf_done(&both);
}

static struct authority *start(struct world *w, bool folder, bool secret)
{
    return authority_new(&(struct authority_config){.loop = w->s.loop,
                                                    .ca = {.trust_domain = VIEW("cluster.local")},
                                                    .folder = folder ? w->folder : NULL,
                                                    .kube = secret ? w->s.client : NULL,
                                                    .settle = SETTLE,
                                                    .check = 200 * NS_PER_MS,
                                                    .no_jitter = true});
}

static bool signs_with(const struct authority *a, const struct pki *p)
{
    return authority_ca(a) && view_eq(ca_cert_pem(authority_ca(a)), buf_read(&p->cert));
}

static bool trusts_both(void *arg)
{
    struct world *w = arg;

    return roots_contain(authority_roots(w->a), buf_read(&w->root[0].cert)) &&
           roots_contain(authority_roots(w->a), buf_read(&w->root[1].cert));
}

static bool signs_anew(void *arg)
{
    struct world *w = arg;

    return signs_with(w->a, &w->mid[1]);
}

static bool has_problem(void *arg)
{
    struct world *w = arg;

    return authority_problem(w->a) != NULL;
}

static bool has_none(void *arg)
{
    return !has_problem(arg);
}

/* ---- cacerts ---- */

static void a_new_root_is_trusted_by_all_before_anything_is_signed_under_it(void **state)
{
    struct world *w = *state;

    plug_in(w, 0, 1);
    w->a = start(w, true, false);
    assert_true(signs_with(w->a, &w->mid[0]));
    authority_watch(w->a, &w->watch, &w->task, 1);
    server_for(&w->s, 50 * NS_PER_MS);
    assert_int_equal(w->told, 1); /* that there is one */
    plug_in(w, 1, 3);
    server_until(&w->s, trusts_both, w);
    uint64_t told_at = clock_mono();
    assert_true(signs_with(w->a, &w->mid[0]));
    server_for(&w->s, 10 * NS_PER_MS);
    assert_int_equal(w->told, 2);
    assert_true(authority_stats(w->a)->signs_at > clock_wall());
    server_until(&w->s, signs_anew, w);
    assert_in_range(clock_mono() - told_at, SETTLE - SLACK, SETTLE + 2 * NS_PER_S);
    server_for(&w->s, 10 * NS_PER_MS);
    assert_int_equal(w->told, 3);
    assert_int_equal(authority_stats(w->a)->signs_at, 0);
    /* And the old root goes, when the operator says so: at once, nothing is signed under it any more. */
    plug_in(w, 1, 2);
    server_for(&w->s, 3 * NS_PER_S);
    assert_false(trusts_both(w));
    assert_true(signs_with(w->a, &w->mid[1]));
    assert_int_equal(authority_version(w->a), 4);
}

static void roots_first_and_the_new_key_a_moment_later_waits_just_as_long(void **state)
{
    struct world *w = *state;

    plug_in(w, 0, 1);
    w->a = start(w, true, false);
    plug_in(w, 0, 3);
    server_until(&w->s, trusts_both, w);
    uint64_t told_at = clock_mono();
    plug_in(w, 1, 3); /* its root is among those told, but only just */
    server_until(&w->s, signs_anew, w);
    assert_true(clock_mono() - told_at >= SETTLE - SLACK);
}

static void an_intermediate_under_the_same_root_signs_at_once(void **state)
{
    struct world *w = *state;

    pki_done(&w->mid[1]);
    pki_make(&w->mid[1], &w->root[0], "next", clock_wall() - HOUR, clock_wall() + HOUR, true);
    plug_in(w, 0, 1);
    w->a = start(w, true, false);
    plug_in(w, 1, 1);
    uint64_t begin = clock_mono();
    server_until(&w->s, signs_anew, w);
    assert_true(clock_mono() - begin < SETTLE);
}

static void what_is_plugged_in_wrong_is_named_and_the_last_good_one_signs_on(void **state)
{
    struct world *w = *state;

    plug_in(w, 0, 1);
    w->a = start(w, true, false);
    write_file(w, "ca-key.pem", buf_read(&w->mid[1].key));
    server_until(&w->s, has_problem, w);
    assert_non_null(strstr(authority_problem(w->a), "does not belong"));
    plug_in(w, 1, 2); /* good in itself, but nobody's certificate would be trusted any more */
    server_for(&w->s, 3 * NS_PER_S);
    assert_non_null(strstr(authority_problem(w->a), "every connection would break"));
    assert_true(signs_with(w->a, &w->mid[0]));
    assert_true(view_eq(authority_roots(w->a), buf_read(&w->root[0].cert)));
    assert_int_equal(authority_stats(w->a)->failures, 2);
    assert_int_equal(authority_version(w->a), 1);
    plug_in(w, 0, 1);
    server_until(&w->s, has_none, w);
}

static void a_ca_that_is_broken_from_the_start_is_not_replaced_by_one_that_nobody_asked_for(void **state)
{
    struct world *w = *state;

    plug_in(w, 0, 2);
    w->a = start(w, true, true);
    server_for(&w->s, 100 * NS_PER_MS);
    assert_null(authority_ca(w->a));
    assert_non_null(strstr(authority_problem(w->a), "does not lead to any of the root"));
    assert_null(server_get(&w->s, KIND_SECRET, "istio-system", CA_SECRET_NAME));
}

/* ---- istio-ca-secret ---- */

static bool both_have(void *arg)
{
    struct world *w = arg;

    return authority_ca(w->a) && authority_ca(w->b);
}

static struct view in_secret(struct world *w, const char *key)
{
    const struct record *r = server_get(&w->s, KIND_SECRET, "istio-system", CA_SECRET_NAME);
    struct buf text = {0};
    struct view v = VIEW_NONE;

    if (r && base64_read(&text, BASE64_LINES, node_text(node_get(node_get(r->tree, VIEW("data")), view_of(key)))) == 0)
        v = arena_view(&w->s.a, buf_read(&text));
    buf_wipe(&text);
    return v;
}

static bool secret_is_back(void *arg)
{
    return in_secret(arg, "ca-cert.pem").n > 0;
}

static void replicas_sign_with_one_root_whoever_was_first_and_write_it_again_when_it_is_deleted(void **state)
{
    struct world *w = *state;

    w->a = start(w, false, true);
    w->b = start(w, false, true);
    server_until(&w->s, both_have, w);
    assert_true(ca_same_signer(authority_ca(w->a), authority_ca(w->b)));
    assert_true(view_eq(in_secret(w, "ca-cert.pem"), ca_cert_pem(authority_ca(w->a))));
    assert_true(view_eq(in_secret(w, "root-cert.pem"), authority_roots(w->b)));
    assert_true(
        view_is(node_text(node_get(server_get(&w->s, KIND_SECRET, "istio-system", CA_SECRET_NAME)->tree, VIEW("type"))),
                "istio.io/ca-root"));
    struct view before = in_secret(w, "ca-cert.pem");
    assert_int_equal(cluster_delete(&w->s.cluster, KIND_SECRET, VIEW("istio-system"), VIEW(CA_SECRET_NAME), -1), 0);
    assert_false(secret_is_back(w));
    server_until(&w->s, secret_is_back, w);
    assert_true(view_eq(in_secret(w, "ca-cert.pem"), before));
    server_for(&w->s, 300 * NS_PER_MS);
    assert_int_equal(authority_version(w->a), 1);
    assert_int_equal(authority_version(w->b), 1);
}

static void put_secret(struct world *w, struct view cert, struct view key, struct view roots)
{
    struct buf text = {0};

    buf_str(&text, "{\"apiVersion\":\"v1\",\"kind\":\"Secret\",\"type\":\"istio.io/ca-root\",\"metadata\":{\"name\":"
                   "\"istio-ca-secret\",\"namespace\":\"istio-system\"},\"data\":{\"ca-cert.pem\":\"");
    base64_write(&text, BASE64_STANDARD, cert);
    buf_str(&text, "\",\"ca-key.pem\":\"");
    base64_write(&text, BASE64_STANDARD, key);
    buf_str(&text, "\",\"key.pem\":\"\",\"root-cert.pem\":\"");
    base64_write(&text, BASE64_STANDARD, roots);
    buf_str(&text, "\"}}");
    server_put(&w->s, buf_read(&text));
    buf_wipe(&text);
}

static bool is_renewed(void *arg)
{
    struct world *w = arg;

    return !signs_with(w->a, &w->root[0]) && ca_same_signer(authority_ca(w->a), authority_ca(w->b));
}

static void a_root_near_its_end_is_renewed_by_one_replica_with_the_same_key(void **state)
{
    struct world *w = *state;
    struct buf key = {0};

    pki_done(&w->root[0]); /* 10 % of its life are left */
    pki_make(&w->root[0], NULL, "istio", clock_wall() - 9 * HOUR, clock_wall() + HOUR, true);
    put_secret(w, buf_read(&w->root[0].cert), buf_read(&w->root[0].key), VIEW_NONE); /* as Istio leaves it */
    w->a = start(w, false, true);
    w->b = start(w, false, true);
    server_until(&w->s, both_have, w);
    server_until(&w->s, is_renewed, w);
    assert_true(ca_key_pem(authority_ca(w->b), &key) == 0 && view_eq(buf_read(&key), buf_read(&w->root[0].key)));
    buf_wipe(&key);
    assert_true(ca_root_not_after(authority_ca(w->a)) > clock_wall() + 3600 * HOUR);
    assert_true(ca_reaches(authority_ca(w->a), buf_read(&w->root[0].cert)));
    server_for(&w->s, 500 * NS_PER_MS);
    assert_int_equal(authority_stats(w->a)->rotations + authority_stats(w->b)->rotations, 1);
}

static bool secret_has_both(void *arg)
{
    struct world *w = arg;

    return roots_count(in_secret(w, "root-cert.pem")) == 2 && trusts_both(w) && signs_with(w->a, &w->root[1]);
}

static void a_secret_that_is_replaced_keeps_the_root_that_is_in_use(void **state)
{
    struct world *w = *state;

    put_secret(w, buf_read(&w->root[0].cert), buf_read(&w->root[0].key), VIEW_NONE);
    w->a = start(w, false, true);
    w->b = start(w, false, true);
    server_until(&w->s, both_have, w);
    put_secret(w, buf_read(&w->root[1].cert), buf_read(&w->root[1].key), VIEW_NONE);
    server_until(&w->s, secret_has_both, w);
}

static void a_secret_that_nobody_can_use_is_a_problem_and_not_overwritten(void **state)
{
    struct world *w = *state;

    put_secret(w, VIEW("rubbish"), buf_read(&w->root[0].key), VIEW_NONE);
    w->a = start(w, false, true);
    server_until(&w->s, has_problem, w);
    assert_null(authority_ca(w->a));
    assert_true(view_is(in_secret(w, "ca-cert.pem"), "rubbish"));
    put_secret(w, buf_read(&w->root[0].cert), buf_read(&w->root[0].key), VIEW_NONE);
    server_until(&w->s, has_none, w);
    assert_true(signs_with(w->a, &w->root[0]));
}

int main(void)
{
#define IN_WORLD(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        IN_WORLD(a_new_root_is_trusted_by_all_before_anything_is_signed_under_it),
        IN_WORLD(roots_first_and_the_new_key_a_moment_later_waits_just_as_long),
        IN_WORLD(an_intermediate_under_the_same_root_signs_at_once),
        IN_WORLD(what_is_plugged_in_wrong_is_named_and_the_last_good_one_signs_on),
        IN_WORLD(a_ca_that_is_broken_from_the_start_is_not_replaced_by_one_that_nobody_asked_for),
        IN_WORLD(replicas_sign_with_one_root_whoever_was_first_and_write_it_again_when_it_is_deleted),
        IN_WORLD(a_root_near_its_end_is_renewed_by_one_replica_with_the_same_key),
        IN_WORLD(a_secret_that_is_replaced_keeps_the_root_that_is_in_use),
        IN_WORLD(a_secret_that_nobody_can_use_is_a_problem_and_not_overwritten),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
