// SPDX-License-Identifier: Apache-2.0
/* The client against the sandbox's API over a Unix socket: calls, lists that stay current over a server that goes away and
 * forgets, and reviews of tokens.
 */
#include "kube/client.h"

#include "../sandbox/api_server.h"
#include "base/clock.h"
#include "base/limits.h"
#include "kube/watch.h"
#include "trust/token.h"
#include "wire/node.h"

struct fixture {
    struct server s;
    struct task task; /* the client's owner */
    int woken;
};

static const struct kube_resource config_maps = {{NULL, 0}, {"v1", 2}, {"configmaps", 10}, true};

static void owner_run(struct task *t, uint32_t events)
{
    struct fixture *f = CONTAINER_OF(t, struct fixture, task);
    f->woken += (events & KUBE_WAKE) != 0;
}

static int setup(void **state)
{
    struct fixture *f = mem_alloc(sizeof(*f));
    server_init(&f->s);
    task_init(&f->task, f->s.loop, owner_run, "owner");
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    task_done(&f->task);
    server_done(&f->s);
    mem_free(f);
    return 0;
}

static bool call_is_done(void *arg)
{
    return kube_call_done(arg);
}

static int call(struct fixture *f, enum kube_verb verb, const char *name, const char *body, struct view *ret_body)
{
    struct kube_request r = {
        .verb = verb, .resource = config_maps, .ns = VIEW("default"), .name = view_of(name), .body = view_of(body)};
    struct kube_call *c = kube_call_new(f->s.client, &r, &f->task);
    server_until(&f->s, call_is_done, c);
    int status = kube_call_status(c);
    if (ret_body)
        *ret_body = arena_view(&f->s.a, kube_call_body(c));
    kube_call_free(c);
    return status;
}

#define MAP "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"c\"},\"data\":{\"k\":\"v\"}}"

static void an_object_is_created_changed_and_deleted(void **state)
{
    struct fixture *f = *state;
    struct view body;
    struct node *n;
    assert_int_equal(call(f, KUBE_GET, "c", NULL, NULL), 404);
    assert_int_equal(call(f, KUBE_CREATE, "", MAP, NULL), 201);
    assert_int_equal(call(f, KUBE_CREATE, "", MAP, NULL), 409);
    assert_int_equal(call(f, KUBE_PATCH, "c", "{\"data\":{\"k\":null,\"l\":\"w\"}}", &body), 200);
    assert_int_equal(node_parse(&f->s.a, body, &n, NULL), 0);
    assert_null(node_at(n, "data.k"));
    assert_true(view_is(node_text_at(n, "data.l"), "w"));
    assert_int_equal(call(f, KUBE_PATCH, "c", "{\"dota\":{}}", NULL), 422);
    assert_int_equal(call(f, KUBE_UPDATE, "c", MAP, NULL), 200);
    assert_int_equal(call(f, KUBE_DELETE, "c", NULL, NULL), 200);
    assert_int_equal(call(f, KUBE_DELETE, "c", NULL, NULL), 404);
    assert_true(f->woken >= 8);
}

static void put(struct fixture *f, const char *name, const char *value)
{
    server_put(&f->s, arena_printf(&f->s.a, "{apiVersion: v1, kind: ConfigMap, metadata: {name: %s}, data: {k: '%s'}}",
                                   name, value));
}

struct seen {
    struct kube_watch *w;
    char log[512]; /* "+name=value -name ." */
    const char *until;
};

/* Takes all events into the log; true when it ends in what was waited for. */
static bool log_ends(void *arg)
{
    struct seen *s = arg;
    struct kube_event e;
    while (kube_watch_next(s->w, &e)) {
        size_t n = strlen(s->log);
        if (e.type == KUBE_SYNCED)
            snprintf(s->log + n, sizeof(s->log) - n, ". ");
        else if (e.type == KUBE_GONE)
            snprintf(s->log + n, sizeof(s->log) - n, "-%.*s ", VIEW_ARGS(e.name));
        else if (!view_is(e.name, "istio-ca-root-cert")) {
            assert_true(view_is(node_text_at(e.node, "kind"), "ConfigMap"));
            snprintf(s->log + n, sizeof(s->log) - n, "+%.*s=%.*s ", VIEW_ARGS(e.name),
                     VIEW_ARGS(node_text_at(e.node, "data.k")));
        }
    }
    size_t n = strlen(s->log), m = strlen(s->until);
    return n >= m && strcmp(s->log + n - m, s->until) == 0;
}

static void a_watch_sees_a_list_and_then_changes(void **state)
{
    struct fixture *f = *state;
    put(f, "a", "1");
    struct seen s = {.w = kube_watch_new(f->s.client, &config_maps, VIEW_NONE, &f->task), .until = "+a=1 . "};
    server_until(&f->s, log_ends, &s);
    assert_true(kube_watch_synced(s.w) && kube_watch_connected(s.w));
    put(f, "b", "1");
    put(f, "a", "2");
    store_remove(f->s.store, KIND_CONFIG_MAP, VIEW("default"), VIEW("b"));
    s.until = "+b=1 +a=2 -b ";
    server_until(&f->s, log_ends, &s);
    kube_watch_free(s.w);
}

static void a_watch_resumes_after_the_server_was_away(void **state)
{
    struct fixture *f = *state;
    put(f, "a", "1");
    struct seen s = {.w = kube_watch_new(f->s.client, &config_maps, VIEW_NONE, &f->task), .until = "+a=1 . "};
    server_until(&f->s, log_ends, &s);
    server_down(&f->s);
    put(f, "b", "1");
    store_remove(f->s.store, KIND_CONFIG_MAP, VIEW("default"), VIEW("a"));
    server_for(&f->s, 100 * NS_PER_MS);
    assert_false(kube_watch_connected(s.w));
    server_up(&f->s);
    s.until = "+b=1 -a ";
    server_until(&f->s, log_ends, &s);
    kube_watch_free(s.w);
}

static void a_watch_lists_again_when_its_version_is_forgotten(void **state)
{
    struct fixture *f = *state;
    put(f, "a", "1");
    put(f, "b", "1");
    struct seen s = {.w = kube_watch_new(f->s.client, &config_maps, VIEW_NONE, &f->task), .until = "+a=1 +b=1 . "};
    server_until(&f->s, log_ends, &s);
    server_down(&f->s);
    store_remove(f->s.store, KIND_CONFIG_MAP, VIEW("default"), VIEW("b"));
    for (int i = 0; i < LIMIT_STORE_EVENTS + 2; i++) {
        char value[16];
        snprintf(value, sizeof(value), "%d", i + 100);
        put(f, "a", value);
    }
    server_for(&f->s, 100 * NS_PER_MS);
    server_up(&f->s);
    char until[64];
    snprintf(until, sizeof(until), "+a=%d -b . ", LIMIT_STORE_EVENTS + 101);
    s.until = until;
    server_until(&f->s, log_ends, &s);
    kube_watch_free(s.w);
}

static void a_token_is_reviewed(void **state)
{
    struct fixture *f = *state;
    const struct record *account = server_get(&f->s, KIND_SERVICE_ACCOUNT, "default", "default");
    struct token t = {.issuer = VIEW(API_ISSUER),
                      .audience = VIEW("istio-ca"),
                      .ns = VIEW("default"),
                      .sa = VIEW("default"),
                      .sa_uid = account->uid,
                      .issued = clock_wall(),
                      .expires = clock_wall() + 60 * NS_PER_S};
    struct buf jwt = {0};
    assert_int_equal(token_sign(f->s.key, &t, &jwt), 0);
    static const struct {
        const char *audience;
        bool broken, good;
    } cases[] = {{"istio-ca", false, true}, {"other", false, false}, {"istio-ca", true, false}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct view text = buf_read(&jwt);
        if (cases[i].broken)
            text = view_head(text, text.n - 4);
        struct kube_call *c = kube_token_review(f->s.client, text, view_of(cases[i].audience), &f->task);
        server_until(&f->s, call_is_done, c);
        struct kube_identity who;
        assert_int_equal(kube_token_review_result(c, &who), 0);
        assert_int_equal(who.authenticated, cases[i].good);
        if (cases[i].good)
            assert_true(view_is(who.ns, "default") && view_is(who.service_account, "default"));
        else
            assert_true(who.error.n > 0);
        kube_call_free(c);
    }
    buf_done(&jwt);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(an_object_is_created_changed_and_deleted),
        TEST(a_watch_sees_a_list_and_then_changes),
        TEST(a_watch_resumes_after_the_server_was_away),
        TEST(a_watch_lists_again_when_its_version_is_forgotten),
        TEST(a_token_is_reviewed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
