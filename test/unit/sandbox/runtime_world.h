// SPDX-License-Identifier: Apache-2.0
/* A small sandbox inside a test: a loop, a runtime, and the moves that tests of it make. Everything is static, so that each
 * test program has what it uses and nothing else.
 */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/diag.h"
#include "mesh/parse.h"
#include "mesh/pod.h"
#include "net/loop.h"
#include "net/timer.h"
#include "sandbox/isolate.h"
#include "sandbox/runtime.h"

#define maybe_unused __attribute__((unused))

static const char images[] = "images:\n"
                             "- image: test/sh\n"
                             "  command: [/bin/sh, -c]\n"
                             "- image: test/python:*\n"
                             "  command: [/usr/bin/python3, -u, -c]\n"
                             "  user: 1000\n"
                             "  env: {FROM_IMAGE: '1'}\n";

struct world {
    struct isolate *iso;
    struct loop *loop;
    struct runtime *rt;
    struct task changed, tick;
    struct timer timer;
    struct arena arena;
    struct view settings; /* value of key `color` in ConfigMap settings; empty: not there */
    unsigned tokens;
};

static struct world *world; /* of this daemon process */

static void nothing_run(struct task *t, uint32_t events)
{
}

static void tick_run(struct task *t, uint32_t events)
{
    timer_in(&world->timer, 5 * NS_PER_MS);
}

static int items(void *arg, enum runtime_source source, struct view ns, struct view name, struct arena *a,
                 struct runtime_item **ret_items, size_t *ret_n)
{
    struct world *w = arg;
    if (source == RUNTIME_CONFIG_MAP && view_is(name, "settings") && w->settings.n) {
        *ret_items = ARENA_ARRAY(a, struct runtime_item, 2);
        (*ret_items)[0] = (struct runtime_item){VIEW("color"), w->settings};
        (*ret_items)[1] = (struct runtime_item){VIEW("size"), VIEW("7")};
        *ret_n = 2;
        return 0;
    }
    if (source == RUNTIME_SECRET && view_is(name, "key")) {
        *ret_items = ARENA_ARRAY(a, struct runtime_item, 1);
        (*ret_items)[0] = (struct runtime_item){VIEW("password"), VIEW("hunter2")};
        *ret_n = 1;
        return 0;
    }
    return -ENOENT;
}

static int token(void *arg, const struct pod *pod, struct view audience, uint64_t expires_s, struct arena *a,
                 struct view *ret_token)
{
    *ret_token = arena_printf(a, "token-%u-%.*s-%.*s", ++((struct world *)arg)->tokens, VIEW_ARGS(audience),
                              VIEW_ARGS(pod->spec.service_account));
    return 0;
}

/* ---- Moves of a test */

maybe_unused static const struct pod *start(const char *yaml)
{
    struct diags diags;
    struct object_list list = {0};
    struct view why = VIEW_NONE;
    diags_init(&diags, &world->arena);
    struct mesh_source source = {.file = VIEW("test.yaml"), .text = arena_view(&world->arena, view_of(yaml))};
    if (mesh_parse(&world->arena, &diags, &source, &list) != 0) {
        struct buf out = {0};
        diags_print(&diags, &out, false);
        print_error("%s\n", buf_cstr(&out));
        fail();
    }
    struct pod *pod = OBJECT_AS(list.list[0], POD, pod);
    assert_non_null(pod);
    if (view_empty(pod->o.meta.uid))
        pod->o.meta.uid = arena_printf(&world->arena, "uid-%.*s", VIEW_ARGS(pod->o.meta.name));
    int err = runtime_pod_start(world->rt, pod, &world->arena, &why);
    if (err)
        print_error("%.*s\n", VIEW_ARGS(why));
    assert_int_equal(err, 0);
    return pod;
}

static const struct runtime_pod_status *status_of(const struct pod *p)
{
    return runtime_status(world->rt, p->o.meta.uid);
}

maybe_unused static bool is_ready(const struct pod *p)
{
    return status_of(p)->ready;
}

maybe_unused static bool is_over(const struct pod *p)
{
    return status_of(p)->phase == PHASE_SUCCEEDED || status_of(p)->phase == PHASE_FAILED;
}

maybe_unused static bool drained(void)
{
    bool any_gone = false;
    const struct runtime_pod_status *s;
    while ((s = runtime_next(world->rt)))
        any_gone |= s->gone;
    return any_gone;
}

maybe_unused static bool until_by(bool (*cond)(const struct pod *), const struct pod *p, uint64_t ms)
{
    uint64_t end = clock_mono() + ms * NS_PER_MS;
    while (clock_mono() < end) {
        loop_turn(world->loop, true);
        drained();
        if (cond(p))
            return true;
    }
    return cond(p);
}

#define until(cond, p) assert_true(until_by(cond, p, 5000))

maybe_unused static const char *log_text(const struct pod *p, const char *container, bool previous)
{
    struct buf out = {0};
    uint64_t at = 0;
    assert_int_equal(runtime_log_read(world->rt, p->o.meta.uid, view_of(container), previous, &at, 65536, &out), 0);
    const char *text = arena_str(&world->arena, buf_read(&out));
    buf_done(&out);
    return text;
}

maybe_unused static void stop(const struct pod *p, uint64_t grace)
{
    uint64_t end = clock_mono() + 10 * NS_PER_S;
    assert_int_equal(runtime_pod_stop(world->rt, p->o.meta.uid, grace), 0);
    while (status_of(p) && clock_mono() < end) {
        loop_turn(world->loop, true);
        drained();
    }
    assert_null(status_of(p));
}

maybe_unused static void assert_has(const char *text, const char *part)
{
    assert_non_null(text);
    if (!strstr(text, part)) {
        print_error("expected `%s` in:\n%s\n", part, text);
        fail();
    }
}

#define POD(name, rest) "apiVersion: v1\nkind: Pod\nmetadata: {name: " name ", labels: {app: " name "}}\nspec:\n" rest

#define SERVER                                                                                                         \
    "import http.server,os,sys\n"                                                                                      \
    "class H(http.server.BaseHTTPRequestHandler):\n"                                                                   \
    "  def do_GET(s):\n"                                                                                               \
    "    ok = s.path != '/ready' or os.path.exists('/tmp/ready')\n"                                                    \
    "    s.send_response(200 if ok else 503); s.end_headers(); s.wfile.write(os.uname()[1].encode())\n"                \
    "http.server.ThreadingHTTPServer(('', int(sys.argv[1])), H).serve_forever()\n"

maybe_unused static const struct pod *start_server(const char *name, const char *extra)
{
    struct buf yaml = {0};
    buf_printf(&yaml,
               POD("%s", "  terminationGracePeriodSeconds: 1\n  containers:\n  - name: main\n    image: "
                         "'test/python:3'\n    args: ["),
               name, name);
    buf_json_str(&yaml, VIEW(SERVER));
    buf_printf(&yaml, ", '80']\n    ports: [{name: web, containerPort: 80}]\n%s", extra);
    const struct pod *p = start(arena_str(&world->arena, buf_read(&yaml)));
    buf_done(&yaml);
    return p;
}

maybe_unused static int run_in(const struct pod *p, const char *script, const char **ret_text)
{
    char text[4096];
    int out[2], code;
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    const char *argv[] = {"/bin/sh", "-c", script, NULL};
    struct runtime_exec_config config = {
        .uid = p->o.meta.uid, .container = VIEW("main"), .argv = argv, .stdio = {-1, out[1], out[1]}};
    struct runtime_exec *e;
    assert_int_equal(runtime_exec_start(world->rt, &config, &e), 0);
    close(out[1]);
    uint64_t end = clock_mono() + 10 * NS_PER_S;
    while (!runtime_exec_ended(e, &code) && clock_mono() < end)
        loop_turn(world->loop, true);
    assert_true(runtime_exec_ended(e, &code));
    ssize_t n = read(out[0], text, sizeof(text) - 1);
    close(out[0]);
    runtime_exec_free(e);
    *ret_text = arena_str(&world->arena, view_make(text, n > 0 ? (size_t)n : 0));
    return code;
}

maybe_unused static int world_open(struct world *w, struct isolate *iso)
{
    *w = (struct world){.iso = iso};
    world = w;
    arena_init(&w->arena, 0);
    w->loop = loop_new(NULL);
    task_init(&w->changed, w->loop, nothing_run, "changed");
    task_init(&w->tick, w->loop, tick_run, "tick");
    timer_init(&w->timer, &w->tick, 1);
    timer_in(&w->timer, 1);
    struct runtime_config config = {.isolate = iso,
                                    .images_file = VIEW("images.yaml"),
                                    .changed = &w->changed,
                                    .arg = w,
                                    .items = items,
                                    .token = token};
    config.images_yaml = view_of(images);
    return runtime_new(w->loop, &config, &w->rt);
}

maybe_unused static void world_close(struct world *w)
{
    runtime_free(w->rt);
    timer_done(&w->timer);
    task_done(&w->tick);
    task_done(&w->changed);
    loop_free(w->loop);
    arena_done(&w->arena);
}
