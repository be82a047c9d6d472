// SPDX-License-Identifier: Apache-2.0
/* weft inject: every kind that makes pods, Lists, what passes unchanged, settings from files, formats and exit codes. */
#include "cli/cli.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "wire/node.h"
#include "wire/yaml.h"

struct run {
    struct arena arena;
    struct node *docs; /* what was printed */
    struct view out, err;
    int code;
};

static char *temporary(const char *text)
{
    char *path = strdup("/tmp/weft-test-inject-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    return path;
}

static struct view read_back(struct arena *a, int fd)
{
    struct buf b = {0};
    size_t room;
    ssize_t n = 1;
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    while (n > 0) {
        char *to = buf_room(&b, 65536, &room);
        n = read(fd, to, room);
        if (n > 0)
            buf_added(&b, (size_t)n);
    }
    struct view v = arena_view(a, buf_read(&b));
    buf_done(&b);
    close(fd);
    return v;
}

/* Runs `weft inject -f <manifest> more…`, its output caught in files; `more` ends with NULL. */
static void run(struct run *r, const char *manifest, const char *const *more)
{
    char *words[16] = {"weft", "inject", "-f", temporary(manifest)}, *names[2] = {temporary(""), temporary("")};
    int kept[2], files[2], n = 4;
    while (*more)
        words[n++] = (char *)(uintptr_t)*more++;
    arena_init(&r->arena, 0);
    for (int i = 0; i < 2; i++) {
        fflush(i ? stderr : stdout);
        kept[i] = dup(i + 1);
        files[i] = open(names[i], O_RDWR);
        dup2(files[i], i + 1);
    }
    r->code = cli_main(n, words);
    for (int i = 0; i < 2; i++) {
        fflush(i ? stderr : stdout);
        dup2(kept[i], i + 1);
        close(kept[i]);
        unlink(names[i]);
        free(names[i]);
    }
    unlink(words[3]);
    free(words[3]);
    r->out = read_back(&r->arena, files[0]);
    r->err = read_back(&r->arena, files[1]);
    r->docs = node_new(&r->arena, NODE_SEQ);
    struct pull *in = yaml_pull(&r->arena, r->out, 1);
    struct node *doc;
    while (node_read(&r->arena, in, &doc) == 0 && doc)
        node_push(&r->arena, r->docs, doc);
}

static const char *const nothing[] = {NULL};

#define TEMPLATE "template: {metadata: {labels: {app: web}}, spec: {containers: [{name: web, image: x}]}}"

static void every_kind_that_makes_pods_is_injected(void **state)
{
    static const struct {
        const char *api, *kind, *spec, *template, *owner;
    } rows[] = {
        {"apps/v1", "Deployment", "{" TEMPLATE "}", "spec.template", "apps/v1/namespaces/default/deployments/it"},
        {"apps/v1", "StatefulSet", "{" TEMPLATE "}", "spec.template", "apps/v1/namespaces/default/statefulsets/it"},
        {"apps/v1", "DaemonSet", "{" TEMPLATE "}", "spec.template", "apps/v1/namespaces/default/daemonsets/it"},
        {"apps/v1", "ReplicaSet", "{" TEMPLATE "}", "spec.template", "apps/v1/namespaces/default/replicasets/it"},
        {"batch/v1", "Job", "{" TEMPLATE "}", "spec.template", "batch/v1/namespaces/default/jobs/it"},
        {"batch/v1", "CronJob", "{jobTemplate: {spec: {" TEMPLATE "}}}", "spec.jobTemplate.spec.template",
         "batch/v1/namespaces/default/cronjobs/it"},
        {"v1", "Pod", "{containers: [{name: web, image: x}]}", "", "v1/namespaces/default/pods/it"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct run r;
        char text[1024];
        snprintf(text, sizeof(text), "apiVersion: %s\nkind: %s\nmetadata: {name: it}\nspec: %s\n", rows[i].api,
                 rows[i].kind, rows[i].spec);
        run(&r, text, nothing);
        assert_int_equal(r.code, EXIT_OK);
        const struct node *pod = rows[i].template[0] ? node_at(r.docs->items[0], rows[i].template) : r.docs->items[0];
        if (!view_is(node_text_at(pod, "spec.initContainers.1.name"), "istio-proxy") ||
            node_at(pod, "metadata.ownerReferences") || view_find_view(r.out, view_of(rows[i].owner)) == r.out.n)
            fail_msg("%s: %.*s", rows[i].kind, VIEW_ARGS(r.out));
        arena_done(&r.arena);
    }
}

static void what_makes_no_pods_or_does_not_want_it_passes(void **state)
{
    static const char text[] =
        "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {ports: [{port: 80}]}\n---\n"
        "apiVersion: v1\nkind: Pod\nmetadata: {name: web, labels: {sidecar.istio.io/inject: 'false'}}\n"
        "spec: {containers: [{name: web, image: x}]}\n";
    struct run r;
    run(&r, text, (const char *const[]){"--explain", NULL});
    assert_int_equal(r.code, EXIT_OK);
    assert_int_equal(r.docs->n, 2);
    assert_false(view_find_view(r.out, VIEW("istio-proxy")) < r.out.n);
    assert_true(view_find_view(r.err, VIEW("Pod default/web: not injected: the pod has label")) < r.err.n);
    arena_done(&r.arena);
}

static void lists_stay_lists_and_json_is_one_object(void **state)
{
    static const char text[] =
        "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: "
        "[{name: web, image: x}]}}\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: b}}\n";
    struct run r;
    run(&r, text, nothing);
    assert_true(view_is(node_text_at(r.docs->items[0], "kind"), "List"));
    assert_int_equal(node_at(r.docs->items[0], "items")->n, 2);
    assert_true(view_is(node_text_at(r.docs->items[0], "items.0.spec.initContainers.1.name"), "istio-proxy"));
    arena_done(&r.arena);
    run(&r, "apiVersion: v1\nkind: A\n---\napiVersion: v1\nkind: B\n", (const char *const[]){"-o", "json", NULL});
    struct node *n = NULL;
    assert_int_equal(node_parse(&r.arena, r.out, &n, NULL), 0);
    assert_true(view_is(node_text_at(n, "items.1.kind"), "B"));
    arena_done(&r.arena);
    run(&r, text, (const char *const[]){"-o", "wide", NULL});
    assert_int_equal(r.code, EXIT_USAGE);
    arena_done(&r.arena);
}

static void settings_come_from_files(void **state)
{
    static const char pod[] =
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: web, image: x}]}\n";
    char *values = temporary("{\"global\":{\"hub\":\"reg.local\",\"tag\":\"3\"}}"),
         *config = temporary("policy: disabled\n");
    char *mesh = temporary("defaultConfig: {proxyMetadata: {A: b}}\n"), *wrong = temporary("{\"global\":{\"hub\":[]}}");
    struct run r;
    run(&r, pod, (const char *const[]){"--valuesFile", values, "--meshConfigFile", mesh, "--revision", "blue", NULL});
    assert_int_equal(r.code, EXIT_OK);
    static const char *const seen[] = {"image: reg.local/weft-proxy:3", "- name: A\n      value: b",
                                       "istio.io/rev: blue", "istiod-blue.istio-system.svc:15012"};
    for (size_t i = 0; i < COUNT_OF(seen); i++)
        if (view_find_view(r.out, view_of(seen[i])) == r.out.n)
            fail_msg("%s not in %.*s", seen[i], VIEW_ARGS(r.out));
    arena_done(&r.arena);
    run(&r, pod, (const char *const[]){"--injectConfigFile", config, NULL});
    assert_false(view_find_view(r.out, VIEW("istio-proxy")) < r.out.n);
    arena_done(&r.arena);
    run(&r, pod, (const char *const[]){"--valuesFile", wrong, NULL});
    assert_int_equal(r.code, EXIT_FAILED);
    assert_true(view_find_view(r.err, VIEW("global.hub")) < r.err.n);
    assert_int_equal(r.docs->n, 0);
    arena_done(&r.arena);
    char *all[] = {values, config, mesh, wrong};
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        unlink(all[i]);
        free(all[i]);
    }
}

static void a_wrong_annotation_fails_and_is_named(void **state)
{
    struct run r;
    run(&r,
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a, annotations: {sidecar.istio.io/nativeSidecar: maybe}}\n"
        "spec: {containers: [{name: web, image: x}]}\n",
        nothing);
    assert_int_equal(r.code, EXIT_FAILED);
    assert_true(view_find_view(r.err, VIEW("sidecar.istio.io/nativeSidecar")) < r.err.n);
    arena_done(&r.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_that_makes_pods_is_injected),
        cmocka_unit_test(what_makes_no_pods_or_does_not_want_it_passes),
        cmocka_unit_test(lists_stay_lists_and_json_is_one_object),
        cmocka_unit_test(settings_come_from_files),
        cmocka_unit_test(a_wrong_annotation_fails_and_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
