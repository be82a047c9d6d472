// SPDX-License-Identifier: Apache-2.0
/* kubeconfig files as people have them: what is read, what wins, and what is refused with which words. */
#include "kube/config.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct fixture {
    char dir[64], one[80], two[80];
};

static int setup(void **state)
{
    struct fixture *f = mem_alloc(sizeof(*f));
    snprintf(f->dir, sizeof(f->dir), "/tmp/weft-test-kubeconfig-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->one, sizeof(f->one), "%s/one", f->dir);
    snprintf(f->two, sizeof(f->two), "%s/two", f->dir);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    unlink(f->one);
    unlink(f->two);
    rmdir(f->dir);
    mem_free(f);
    return 0;
}

static void put(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

#define CLUSTER                                                                                                        \
    "clusters: [{name: k, cluster: {server: 'https://h:1', tls-server-name: name, certificate-authority: ca.crt}}]\n"
#define CONTEXT "contexts: [{name: c, context: {cluster: k, user: u, namespace: shop}}, {name: d, context: {}}]\n"

static void a_kubeconfig_gives_server_authority_and_credentials(void **state)
{
    struct fixture *f = *state;
    struct kube_config c;
    const char *why = "";
    char ca[96], key[96];
    put(f->one, "apiVersion: v1\nkind: Config\ncurrent-context: c\n" CLUSTER CONTEXT
                "users: [{name: u, user: {client-certificate-data: SGVsbG8=, client-key: sub/key.pem, token: t,"
                " tokenFile: /abs/token}}]\n");
    assert_int_equal(kube_config_load(f->one, NULL, &c, &why), 0);
    snprintf(ca, sizeof(ca), "%s/ca.crt", f->dir);
    snprintf(key, sizeof(key), "%s/sub/key.pem", f->dir);
    assert_true(view_is(c.server, "https://h:1") && view_is(c.server_name, "name") && view_is(c.ca_file, ca));
    assert_true(view_is(c.cert_pem, "Hello") && view_is(c.key_file, key));
    assert_true(view_is(c.token, "t") && view_is(c.token_file, "/abs/token"));
    assert_true(view_is(c.ns, "shop") && view_is(c.context, "c") && !c.insecure && !c.exec);
    kube_config_done(&c);
    assert_null(c.memory);
}

static void a_command_for_credentials_is_taken_with_its_surroundings(void **state)
{
    struct fixture *f = *state;
    struct kube_config c;
    const char *why = "";
    put(f->one, "current-context: c\n" CLUSTER CONTEXT
                "users:\n- name: u\n  user:\n    exec:\n      apiVersion: client.authentication.k8s.io/v1beta1\n"
                "      command: kubelogin\n      args: [get-token, --login, azurecli, 7]\n"
                "      env: [{name: A, value: b}]\n      installHint: install it\n      provideClusterInfo: true\n");
    assert_int_equal(kube_config_load(f->one, "", &c, &why), 0);
    assert_string_equal(c.exec->argv[0], "kubelogin");
    assert_string_equal(c.exec->argv[4], "7");
    assert_null(c.exec->argv[5]);
    assert_string_equal(c.exec->env[0], "A=b");
    assert_true(c.exec->cluster_info && view_is(c.exec->install_hint, "install it"));
    kube_config_done(&c);
}

static void several_files_are_one(void **state)
{
    struct fixture *f = *state;
    struct kube_config c;
    const char *why = "";
    char list[256];
    put(f->one, "current-context: c\ncontexts: [{name: c, context: {cluster: k, user: u}}]\n");
    put(f->two, "current-context: d\n" CLUSTER "users: [{name: u, user: {token: t}}]\n");
    snprintf(list, sizeof(list), "%s:%s/missing:%s", f->one, f->dir, f->two);
    setenv("KUBECONFIG", list, 1);
    assert_int_equal(kube_config_load(NULL, NULL, &c, &why), 0);
    assert_true(view_is(c.token, "t") && view_is(c.context, "c"));
    kube_config_done(&c);
    unsetenv("KUBECONFIG");
}

static void what_cannot_be_used_is_refused_by_name(void **state)
{
    static const struct {
        const char *text, *context;
        int err;
        const char *why; /* behind the file's name */
    } rows[] = {
        {"current-context: c\n" CLUSTER CONTEXT "users: [{name: u, user: {auth-provider: {name: azure}}}]", "",
         -EOPNOTSUPP, "user \"u\" has auth-provider, which cannot be used: it is gone from Kubernetes since 1.26"},
        {"current-context: c\n" CLUSTER CONTEXT "users: [{name: u, user: {username: a, password: b}}]", "", -EOPNOTSUPP,
         "user \"u\" has username"},
        {"current-context: c\n" CLUSTER CONTEXT "users: [{name: u, user: {token: a, as: b}}]", "", -EOPNOTSUPP,
         "user \"u\" has as, which cannot be used: impersonation"},
        {"current-context: c\n" CLUSTER CONTEXT
         "users: [{name: u, user: {exec: {apiVersion: client.authentication.k8s.io/v1alpha1, command: x}}}]",
         "", -EOPNOTSUPP, "exec of user \"u\" needs a command and apiVersion"},
        {"current-context: c\n" CLUSTER CONTEXT
         "users: [{name: u, user: {exec: {apiVersion: client.authentication.k8s.io/v1, command: x, interactiveMode: "
         "Always}}}]",
         "", -EOPNOTSUPP, "exec of user \"u\" wants a terminal"},
        {"current-context: c\n" CLUSTER CONTEXT "users: [{name: u, user: {client-certificate-data: '%%'}}]", "",
         -EINVAL, "client-certificate-data is not base64"},
        {"current-context: c\nclusters: [{name: k, cluster: {server: 'https://h', proxy-url: 'http://p'}}]\n" CONTEXT,
         "", -EOPNOTSUPP, "cluster \"k\" has proxy-url, which is not supported"},
        {"current-context: c\nclusters: [{name: k, cluster: {}}]\n" CONTEXT, "", -EINVAL,
         "cluster \"k\" has no server"},
        {"current-context: c\n" CONTEXT, "", -ENOENT, "the context names cluster \"k\", which is not there"},
        {"current-context: c\n" CLUSTER CONTEXT, "", -ENOENT, "the context names user \"u\", which is not there"},
        {CLUSTER CONTEXT, "", -ENOENT, "no current-context; give --context with one of: c, d"},
        {CLUSTER CONTEXT, "x", -ENOENT, "no context \"x\"; there are: c, d"},
        {"- 1\n- 2\n", "", -EINVAL, "not a kubeconfig"},
        {"{\"a\": ", "", -EINVAL, ""},
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct kube_config c;
        const char *why = "";
        put(f->one, rows[i].text);
        assert_int_equal(kube_config_load(f->one, rows[i].context, &c, &why), rows[i].err);
        if (!view_starts(view_of(why), view_of(f->one)) || !strstr(why, rows[i].why))
            fail_msg("%zu: %s", i, why);
        kube_config_done(&c);
    }
}

static void a_file_that_is_not_there_says_where_to_give_one(void **state)
{
    struct fixture *f = *state;
    struct kube_config c;
    const char *why = "";
    assert_int_equal(kube_config_load(f->one, NULL, &c, &why), -ENOENT);
    assert_non_null(strstr(why, "Give --kubeconfig FILE or set KUBECONFIG"));
    kube_config_done(&c);
}

static void outside_of_a_pod_there_is_no_cluster_to_be_in(void **state)
{
    struct kube_config c;
    const char *why = "";
    unsetenv("KUBERNETES_SERVICE_HOST");
    assert_int_equal(kube_config_in_cluster(&c, &why), -ENOENT);
    assert_non_null(strstr(why, "this is not a pod"));
    kube_config_done(&c);
    kube_config_done(&(struct kube_config){.unix_path = VIEW("@x")});
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_kubeconfig_gives_server_authority_and_credentials),
        TEST(a_command_for_credentials_is_taken_with_its_surroundings),
        TEST(several_files_are_one),
        TEST(what_cannot_be_used_is_refused_by_name),
        TEST(a_file_that_is_not_there_says_where_to_give_one),
        cmocka_unit_test(outside_of_a_pod_there_is_no_cluster_to_be_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
