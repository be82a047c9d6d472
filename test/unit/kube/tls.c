// SPDX-License-Identifier: Apache-2.0
/* Calls over TLS: whom the client believes, one connection for all, tokens that are rotated, commands that print them. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "fake.h"
#include "kube/config.h"
#include "net/loop.h"

static const struct kube_resource maps = {{NULL, 0}, {"v1", 2}, {"configmaps", 10}, true};
#define MAP_PATH "/api/v1/namespaces/d/configmaps/c"

static int begin_with(void **state, bool h1)
{
    struct fake *f = mem_alloc(sizeof(*f));
    fake_init(f, h1);
    fake_rule(f, "GET " MAP_PATH, 200, "{\"kind\":\"ConfigMap\"}");
    *state = f;
    return 0;
}

static int setup(void **state)
{
    return begin_with(state, false);
}

static int setup_h1(void **state)
{
    return begin_with(state, true);
}

static int teardown(void **state)
{
    fake_done(*state);
    mem_free(*state);
    return 0;
}

static struct kube_call *begin(struct fake *f, enum kube_verb verb, const char *body)
{
    struct kube_request r = {.verb = verb, .resource = maps, .ns = VIEW("d"), .name = VIEW("c")};
    r.body = view_of(body);
    return kube_call_new(f->client, &r, &f->owner);
}

/* The status; why: how the sentence must begin. */
static int get(struct fake *f, const char *why)
{
    struct kube_call *c = begin(f, KUBE_GET, NULL);
    fake_run(f, 12 * NS_PER_S);
    assert_true(kube_call_done(c));
    int status = kube_call_status(c);
    if (!view_starts(kube_call_why(c), view_of(why)))
        fail_msg("why: %.*s", VIEW_ARGS(kube_call_why(c)));
    kube_call_free(c);
    return status;
}

static void get_at_once(struct fake *f, int n)
{
    struct kube_call *calls[20];
    for (int i = 0; i < n; i++)
        calls[i] = begin(f, KUBE_GET, NULL);
    fake_run(f, NS_PER_S);
    for (int i = 0; i < n; i++) {
        assert_int_equal(kube_call_status(calls[i]), 200);
        kube_call_free(calls[i]);
    }
}

static void all_calls_share_one_connection(void **state)
{
    struct fake *f = *state;
    fake_client(f);
    get_at_once(f, 20);
    assert_int_equal(get(f, ""), 200);
    assert_int_equal(f->n_conns, 1);
}

static void a_server_without_http_2_gets_a_connection_for_each(void **state)
{
    struct fake *f = *state;
    fake_client(f);
    assert_int_equal(get(f, ""), 200);
    get_at_once(f, 5);
    assert_int_equal(f->n_conns, 6);
}

static void a_server_with_another_name_or_another_authority_is_refused(void **state)
{
    struct fake *f = *state;
    f->config.server_name = VIEW("example.org");
    fake_client(f);
    assert_true(get(f, "https://10.0.0.1:6443: ") < 0);
    assert_int_equal(fake_saw(f, "GET"), 0);
    f->client = kube_client_free(f->client);
    f->config.server_name = VIEW_NONE; /* then it is the address, which the certificate has not */
    fake_client(f);
    assert_true(get(f, "https://10.0.0.1:6443: ") < 0);
    f->client = kube_client_free(f->client);
    f->config.insecure = true;
    fake_client(f);
    assert_int_equal(get(f, ""), 200);
}

static void a_server_is_found_by_its_name(void **state)
{
    struct fake *f = *state;
    sim_name(f->sim, "api.test", "10.9.9.9"); /* nobody there: the next address is tried */
    sim_name(f->sim, "api.test", "10.0.0.1");
    f->config.server = VIEW("https://api.test:6443/prefix/");
    fake_rule(f, "GET /prefix" MAP_PATH, 200, "{}");
    fake_client(f);
    assert_int_equal(get(f, ""), 200);
    assert_int_equal(fake_saw(f, "GET /prefix" MAP_PATH), 1);
    f->client = kube_client_free(f->client);
    f->config.server = VIEW("https://nobody.test");
    fake_client(f);
    assert_true(get(f, "https://nobody.test: no such name") < 0);
}

static void verbs_have_their_methods_and_parameters(void **state)
{
    struct fake *f = *state;
    static const struct {
        enum kube_verb verb;
        const char *line;
    } rows[] = {
        {KUBE_APPLY, "PATCH " MAP_PATH "?fieldManager=weft&force=true"},
        {KUBE_JSON_PATCH, "PATCH " MAP_PATH},
        {KUBE_PATCH, "PATCH " MAP_PATH},
        {KUBE_UPDATE, "PUT " MAP_PATH},
        {KUBE_DELETE, "DELETE " MAP_PATH},
    };
    fake_client(f);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        buf_clear(&f->log);
        fake_rule(f, rows[i].line, 422, "{\"kind\":\"Status\",\"message\":\"not like this\"}");
        struct kube_call *c = begin(f, rows[i].verb, "{}");
        fake_run(f, NS_PER_S);
        assert_int_equal(kube_call_status(c), 422);
        assert_true(view_is(kube_call_why(c), "not like this"));
        assert_int_equal(fake_saw(f, rows[i].line), 1);
        kube_call_free(c);
    }
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void a_token_that_is_refused_is_read_again(void **state)
{
    struct fake *f = *state;
    char path[] = "/tmp/weft-test-token-XXXXXX";
    close(mkstemp(path));
    write_file(path, "one\n");
    f->config.token_file = view_of(path);
    f->token = "one";
    fake_client(f);
    assert_int_equal(get(f, ""), 200);
    write_file(path, "two");
    assert_int_equal(get(f, ""), 200); /* the old one is good, and not old enough to look */
    f->token = "two";
    assert_int_equal(get(f, ""), 200);
    f->token = "three";
    assert_int_equal(get(f, "Unauthorized"), 401);
    write_file(path, "three");
    unlink(path); /* while it is replaced there may be none: what is known stays */
    assert_int_equal(get(f, "Unauthorized"), 401);
    write_file(path, "three");
    fake_run(f, 61 * NS_PER_S);
    buf_clear(&f->log);
    assert_int_equal(get(f, ""), 200);
    assert_int_equal(fake_saw(f, "GET"), 1); /* it was looked at before it was refused */
    unlink(path);
}

static void a_connection_that_dies_costs_only_what_runs_on_it(void **state)
{
    struct fake *f = *state;
    fake_client(f);
    assert_int_equal(get(f, ""), 200);
    fake_down(f);
    assert_true(get(f, "https://10.0.0.1:6443: ") < 0);
    fake_up(f);
    assert_int_equal(get(f, ""), 200);
    assert_int_equal(f->n_conns, 2);
}

static bool no_answer(struct fake *f, struct fake_request *q)
{
    if (view_is(q->line, "GET /version"))
        return false;
    q->answered = true; /* never */
    return true;
}

static void a_server_that_is_slow_keeps_its_connection_and_one_that_is_dead_does_not(void **state)
{
    struct fake *f = *state;
    fake_client(f);
    assert_int_equal(get(f, ""), 200);
    f->hook = no_answer;
    assert_int_equal(get(f, "Connection timed out"), -ETIMEDOUT);
    fake_run(f, 5 * NS_PER_S);
    f->hook = NULL;
    assert_int_equal(get(f, ""), 200);
    assert_int_equal(f->n_conns, 1);
    sim_link(f->sim, "apiserver", "control", &(struct sim_link){.cut = true});
    assert_int_equal(get(f, "Connection timed out"), -ETIMEDOUT);
    fake_run(f, 5 * NS_PER_S);
    sim_link(f->sim, "apiserver", "control", &(struct sim_link){.latency = NS_PER_MS});
    assert_int_equal(get(f, ""), 200);
    assert_int_equal(f->n_conns, 2);
}

static void a_configuration_that_cannot_work_is_said_by_each_call(void **state)
{
    struct fake *f = *state;
    f->config.server = VIEW("gopher://x");
    fake_client(f);
    assert_int_equal(get(f, "the server is not a URL"), -EINVAL);
    f->client = kube_client_free(f->client);
    f->config.server = VIEW("https://10.0.0.1:6443");
    f->config.ca_file = VIEW("/nonexistent/ca.crt");
    fake_client(f);
    assert_int_equal(get(f, "the file with the cluster's certificate authority cannot be read"), -ENOENT);
}

/* ---- commands: on a real loop, for they are real processes ---- */

static int with_command(const char *script, struct buf *why)
{
    struct loop *loop = loop_new(NULL);
    const char *argv[] = {"/bin/sh", "-c", script, NULL}, *env[] = {"WHAT=tok", NULL};
    struct kube_exec e = {.argv = argv,
                          .env = env,
                          .api_version = VIEW("client.authentication.k8s.io/v1"),
                          .install_hint = VIEW("see the manual")};
    struct kube_client *c =
        kube_client_new(loop, &(struct kube_config){.server = VIEW("http://127.0.0.1:1"), .exec = &e});
    struct kube_request r = {.verb = KUBE_GET, .resource = maps, .ns = VIEW("d"), .name = VIEW("c")};
    struct kube_call *call = kube_call_new(c, &r, NULL);
    int status = kube_call_wait(call);
    buf_view(why, kube_call_why(call));
    kube_call_free(call);
    kube_client_free(c);
    loop_free(loop);
    return status;
}

static void a_command_gives_credentials_or_says_why_not(void **state)
{
    static const struct {
        const char *script, *why;
    } rows[] = {
        {"echo '{\"kind\":\"ExecCredential\",\"apiVersion\":\"client.authentication.k8s.io/v1\",\"status\":{\"token\":"
         "\"'$WHAT'\"}}'",
         "http://127.0.0.1:1: "}, /* it has the token, and goes on to connect, where nobody listens */
        {"exit 3", "/bin/sh, which is to give us credentials, failed (see its own message): see the manual"},
        {"echo hello", "/bin/sh, which is to give us credentials, did not print an ExecCredential"},
        {"echo '{\"kind\":\"ExecCredential\",\"apiVersion\":\"v9\",\"status\":{\"token\":\"t\"}}'",
         "/bin/sh, which is to give us credentials, printed another apiVersion"},
        {"case \"$KUBERNETES_EXEC_INFO\" in *interactive*false*) ;; *) exit 1;; esac; cat; exit 1",
         "/bin/sh, which is to give us credentials, failed"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct buf why = {0};
        assert_true(with_command(rows[i].script, &why) < 0);
        if (!view_starts(buf_read(&why), view_of(rows[i].why)))
            fail_msg("%zu: %s", i, buf_cstr(&why));
        buf_done(&why);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(all_calls_share_one_connection),
        cmocka_unit_test_setup_teardown(a_server_without_http_2_gets_a_connection_for_each, setup_h1, teardown),
        TEST(a_server_with_another_name_or_another_authority_is_refused),
        TEST(a_server_is_found_by_its_name),
        TEST(verbs_have_their_methods_and_parameters),
        TEST(a_token_that_is_refused_is_read_again),
        TEST(a_connection_that_dies_costs_only_what_runs_on_it),
        TEST(a_server_that_is_slow_keeps_its_connection_and_one_that_is_dead_does_not),
        TEST(a_configuration_that_cannot_work_is_said_by_each_call),
        cmocka_unit_test(a_command_gives_credentials_or_says_why_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
