// SPDX-License-Identifier: Apache-2.0
/* Whom a bearer token belongs to, by an API server whose answers come from a table: what is refused and why, what is
 * remembered and for how long.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "control/port.h"
#include "control/reply.h"
#include "control/identity/review.h"
#include "http/stream.h"
#include "kube/client.h"
#include "net/loop.h"
#include "trust/token.h"

#define STATUS(more) "{\"kind\":\"TokenReview\",\"status\":{" more "}}"
#define ACCOUNT(name) "\"user\":{\"username\":\"system:serviceaccount:default:" name "\"}"
#define GOOD STATUS("\"authenticated\":true,\"audiences\":[\"istio-ca\"]," ACCOUNT("web"))

struct world {
    struct loop *loop;
    struct http_shared *http;
    struct port *port;
    struct kube_client *api;
    struct reviewer *reviewer;
    struct task task;
    struct token_key *key;
    int status;
    const char *body;
    unsigned asked;
    char path[64];
};

static void serve(void *arg, const struct port_request *q)
{
    struct world *w = arg;
    struct buf body = {0};

    assert_true(view_is(q->path, "/apis/authentication.k8s.io/v1/tokenreviews"));
    w->asked++;
    buf_str(&body, w->body);
    reply_send(w->loop, q->stream, (unsigned)w->status, VIEW("application/json"), &body);
}

static void run(struct task *t, uint32_t events)
{
}

static int setup(void **state)
{
    struct world *w = mem_alloc(sizeof(*w));
    struct port_config config;

    w->loop = loop_new(NULL);
    w->http = http_shared_new(w->loop);
    task_init(&w->task, w->loop, run, "owner");
    snprintf(w->path, sizeof(w->path), "/tmp/weft-review-%d.sock", (int)getpid());
    config = (struct port_config){.loop = w->loop,
                                  .http = w->http,
                                  .version = HTTP_1,
                                  .serve = serve,
                                  .arg = w,
                                  .at = addr_unix(view_of(w->path))};
    assert_int_equal(port_open(&config, &w->port), 0);
    w->api = kube_client_new(w->loop, &(struct kube_config){.unix_path = view_of(w->path)});
    w->reviewer = reviewer_new(&(struct reviewer_config){
        .loop = w->loop, .kube = w->api, .audience = VIEW("istio-ca"), .trust_domain = VIEW("cluster.local")});
    assert_int_equal(token_key_new(&w->key), 0);
    w->status = 201;
    w->body = GOOD;
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;

    reviewer_free(w->reviewer);
    kube_client_free(w->api);
    port_free(w->port);
    http_shared_free(w->http);
    token_key_free(w->key);
    task_done(&w->task);
    loop_free(w->loop);
    unlink(w->path);
    mem_free(w);
    return 0;
}

/* A header with a token that says it ends in so many milliseconds; nobody looks at its signature. */
static struct buf bearer(struct world *w, const char *account, uint64_t ms)
{
    struct token t = {.audience = VIEW("istio-ca"),
                      .ns = VIEW("default"),
                      .sa = view_of(account),
                      .issued = clock_wall() - NS_PER_S,
                      .expires = clock_wall() + ms * NS_PER_MS};
    struct buf text = {0};

    buf_str(&text, "Bearer ");
    assert_int_equal(token_sign(w->key, &t, &text), 0);
    return text;
}

static int ask(struct world *w, struct view header, bool fresh, char why[128])
{
    struct review *v = review_new(w->reviewer, header, fresh, &w->task);
    struct xds_identity who;
    struct view reason = VIEW_NONE;
    uint64_t end = clock_mono() + 5 * NS_PER_S;
    int r;

    while ((r = review_result(v, &who, &reason)) == -EAGAIN && clock_mono() < end)
        if (!loop_turn(w->loop, false))
            usleep(500);
    if (r == 0)
        assert_true(view_is(who.ns, "default") && view_is(who.service_account, "web"));
    snprintf(why, 128, "%.*s", VIEW_ARGS(reason));
    review_free(v);
    return r;
}

static void what_the_api_server_says_decides_and_what_it_leaves_open_is_refused(void **state)
{
    static const struct {
        int status;
        const char *body;
        int want;
        const char *why;
    } rows[] = {
        {201, GOOD, 0, ""},
        {200, GOOD, 0, ""},
        {201, STATUS("\"authenticated\":false,\"error\":\"token has expired\""), -EACCES, "token has expired"},
        {201, STATUS("\"error\":\"x\""), -EACCES, "x"},
        {201, STATUS("\"authenticated\":false"), -EACCES, "the token is not valid"},
        /* An authenticator that does not know audiences must not pass for one that does. */
        {201, STATUS("\"authenticated\":true," ACCOUNT("web")), -EACCES, "the token is for another audience"},
        {201, STATUS("\"authenticated\":true,\"audiences\":[\"vault\"]," ACCOUNT("web")), -EACCES,
         "the token is for another audience"},
        {201, STATUS("\"authenticated\":true,\"audiences\":[\"istio-ca\"],\"user\":{\"username\":\"admin\"}"), -EACCES,
         "the token is not a service account's"},
        {201, "{}", -EACCES, "the token is not valid"},
        {201, "nonsense", -EIO, "the API server could not review the token"},
        {403, "{}", -EIO, "the API server could not review the token"},
        {500, "{}", -EIO, "the API server could not review the token"},
    };
    struct world *w = *state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct buf header = bearer(w, "web", 3600000);
        char why[128];
        w->status = rows[i].status;
        w->body = rows[i].body;
        int r = ask(w, buf_read(&header), true, why);
        if (r != rows[i].want || strcmp(why, rows[i].why) != 0)
            fail_msg("row %zu: %d %s", i, r, why);
        buf_done(&header);
    }
}

static void a_good_answer_is_remembered_but_not_for_a_certificate_and_not_beyond_the_tokens_end(void **state)
{
    struct world *w = *state;
    struct buf header = bearer(w, "web", 3600000), ending = bearer(w, "web", 1000);
    char why[128];

    assert_int_equal(ask(w, buf_read(&header), true, why), 0);
    assert_int_equal(ask(w, buf_read(&header), false, why), 0);
    assert_int_equal(w->asked, 1);
    w->body = STATUS("\"authenticated\":false,\"error\":\"the pod is gone\"");
    assert_int_equal(ask(w, buf_read(&header), false, why), 0);
    assert_int_equal(ask(w, buf_read(&header), true, why), -EACCES);
    assert_int_equal(w->asked, 2);
    w->body = GOOD;
    assert_int_equal(ask(w, buf_read(&ending), false, why), 0);
    assert_int_equal(w->asked, 3);
    usleep(1100000);
    loop_turn(w->loop, false);
    w->body = STATUS("\"authenticated\":false,\"error\":\"token has expired\"");
    assert_int_equal(ask(w, buf_read(&ending), false, why), -EACCES);
    assert_int_equal(w->asked, 4);
    assert_int_equal(reviewer_stats(w->reviewer)->remembered, 2);
    assert_int_equal(reviewer_stats(w->reviewer)->refused, 2);
    buf_done(&header);
    buf_done(&ending);
}

static void what_is_no_bearer_token_is_not_even_asked_about(void **state)
{
    struct world *w = *state;
    char why[128];

    assert_int_equal(ask(w, VIEW_NONE, true, why), -EACCES);
    assert_int_equal(ask(w, VIEW("Basic eDp5"), true, why), -EACCES);
    assert_string_equal(why, "no bearer token");
    assert_int_equal(w->asked, 0);
}

int main(void)
{
#define IN_WORLD(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        IN_WORLD(what_the_api_server_says_decides_and_what_it_leaves_open_is_refused),
        IN_WORLD(a_good_answer_is_remembered_but_not_for_a_certificate_and_not_beyond_the_tokens_end),
        IN_WORLD(what_is_no_bearer_token_is_not_even_asked_about),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
