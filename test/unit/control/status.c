// SPDX-License-Identifier: Apache-2.0
/* What the writer of statuses asks of an API server: each row is a small world, the answers that it gets, and the requests
 * that it makes. Against a server on a Unix socket, in real time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "control/port.h"
#include "control/push.h"
#include "control/reply.h"
#include "control/status/status.h"
#include "control/store.h"
#include "http/stream.h"
#include "kube/client.h"
#include "net/loop.h"
#include "xds/server.h"

#define META(name, rv, generation)                                                                                     \
    "\"metadata\":{\"name\":\"" name "\",\"namespace\":\"default\",\"uid\":\"u-" name "\",\"resourceVersion\":\"" rv   \
    "\",\"generation\":" generation ",\"creationTimestamp\":\"2026-01-01T00:00:00Z\"}"
#define SERVICE                                                                                                        \
    "{\"apiVersion\":\"v1\",\"kind\":\"Service\"," META("web", "1",                                                    \
                                                        "0") ",\"spec\":{\"clusterIP\":\"10.96.0.1\","                 \
                                                             "\"ports\":[{\"port\":80,\"name\":\"http\"}]}}"
#define VS(rv, generation, host, status)                                                                               \
    "{\"apiVersion\":\"networking.istio.io/v1\",\"kind\":\"VirtualService\"," META(                                    \
        "web", rv,                                                                                                     \
        generation) ",\"spec\":{\"hosts\":[\"web\"],\"http\":[{\"route\":[{\"destination\":{\"host\":\"" host          \
                    "\"}}]}]}" status "}"
#define GOOD(rv, generation) VS(rv, generation, "web", "")
#define CONDITION(type, reason, message)                                                                               \
    "{\"type\":\"" type "\",\"status\":\"True\",\"reason\":\"" reason "\"," message                                    \
    "\"lastTransitionTime\":\"2026-01-01T00:00:00Z\",\"observedGeneration\":1}"
#define STATUS                                                                                                         \
    ",\"status\":{\"observedGeneration\":1,\"conditions\":[" CONDITION("Accepted", "Accepted", "") "," CONDITION(      \
        "ResolvedRefs", "ResolvedRefs",                                                                                \
        "") "," CONDITION("Programmed", "Programmed",                                                                  \
                          "\"message\":\"0 of 0 proxies\",") "," CONDITION("Reconciled", "Programmed",                 \
                                                                           "\"message\":\"0/0 proxies "                \
                                                                           "up to date.\",") "]}"

#define VS_PATH "/apis/networking.istio.io/v1/namespaces/default/virtualservices/web"
#define PATCHED "PATCH " VS_PATH "/status\n"
#define EVENT "POST /api/v1/namespaces/default/events\n"

struct row {
    const char *name;
    const char *objects[3]; /* what the source says */
    const char *listed;     /* and what a list of VirtualServices gives; NULL: the same */
    const char *read;       /* and a GET of the object */
    int patch[3];           /* answers; the last one stays */
    int event;              /* of POST events; 0: 201 */
    const char *later;      /* comes after a second and a half */
    const char *want;       /* requests that change or read something */
    const char *bodies[3];  /* parts of what was sent, in this order */
};

struct world {
    struct loop *loop;
    struct task task;
    const struct row *row;
    struct store *store;
    struct http_shared *http;
    struct port *port;
    struct kube_client *api;
    struct xds_server *xds;
    struct push *push;
    struct status *status;
    char path[64];
    struct buf seen, bodies;
    unsigned patches;
};

static void answer(struct world *w, const struct port_request *q, unsigned code, const char *text)
{
    struct buf body = {0};

    buf_str(&body, text);
    reply_send(w->loop, q->stream, code, VIEW("application/json"), &body);
}

static void serve(void *arg, const struct port_request *q)
{
    struct world *w = arg;
    const struct row *r = w->row;
    struct view method = headers_value(&q->stream->in, HEADER_METHOD), body;
    bool list = view_ends(q->path, VIEW("virtualservices"));
    struct buf text = {0};
    int code = 200;

    while (http_stream_peek(q->stream, &body)) {
        buf_view(&w->bodies, body);
        http_stream_consume(q->stream, body.n);
    }
    if (view_is(method, "GET") && !view_is(q->path, VS_PATH)) {
        buf_printf(&text,
                   "{\"kind\":\"List\",\"apiVersion\":\"v1\",\"metadata\":{\"resourceVersion\":\"9\"},\"items\":[%s]}",
                   list ? (r->listed ? r->listed : r->objects[1]) : "");
        answer(w, q, 200, buf_cstr(&text));
        buf_done(&text);
        return;
    }
    buf_printf(&w->seen, "%.*s %.*s\n", VIEW_ARGS(method), VIEW_ARGS(q->path));
    if (view_is(method, "PATCH")) {
        unsigned i = w->patches++;
        while (i && !r->patch[i < 3 ? i : 2])
            i--;
        code = r->patch[0] ? r->patch[i < 3 ? i : 2] : 200;
    } else if (view_is(method, "POST")) {
        code = r->event ? r->event : 201;
    }
    answer(w, q, (unsigned)code,
           view_is(method, "GET") ? r->read
           : code < 300           ? "{\"metadata\":{\"resourceVersion\":\"50\"}}"
                                  : "{\"message\":\"no\"}");
}

static void world_run(struct task *t, uint32_t events)
{
    struct world *w = CONTAINER_OF(t, struct world, task);

    push_snapshot(w->push, store_take(w->store));
    status_snapshot(w->status);
}

static void check(const struct row *r, const struct world *w)
{
    struct view rest = buf_read(&w->bodies);

    if (!view_is(buf_read(&w->seen), r->want))
        fail_msg("%s: requests:\n%.*s", r->name, VIEW_ARGS(buf_read(&w->seen)));
    for (int i = 0; i < 3 && r->bodies[i]; i++) {
        size_t at = view_find_view(rest, view_of(r->bodies[i]));
        if (at == rest.n)
            fail_msg("%s: no %s in %.*s", r->name, r->bodies[i], VIEW_ARGS(buf_read(&w->bodies)));
        rest = view_from(rest, at + 1);
    }
}

static void start(struct world *w, const struct row *r, unsigned number)
{
    struct port_config config = {.version = HTTP_1, .serve = serve, .arg = w};

    *w = (struct world){.loop = loop_new(NULL), .row = r};
    w->http = http_shared_new(w->loop);
    config.loop = w->loop;
    config.http = w->http;
    snprintf(w->path, sizeof(w->path), "/tmp/weft-status-%d-%u.sock", (int)getpid(), number);
    config.at = addr_unix(view_of(w->path));
    assert_int_equal(port_open(&config, &w->port), 0);
    w->api = kube_client_new(w->loop, &(struct kube_config){.unix_path = view_of(w->path)});
    task_init(&w->task, w->loop, world_run, "world");
    w->store = store_new(w->loop, &w->task, 1);
    w->xds = xds_server_new(w->loop, &w->task, 1);
    w->push = push_new(&(struct push_config){.loop = w->loop, .store = w->store, .server = w->xds});
    w->status = status_new(
        &(struct status_config){.loop = w->loop, .api = w->api, .store = w->store, .xds = w->xds, .push = w->push});
    for (int i = 0; i < 3 && r->objects[i]; i++)
        store_put_json(w->store, view_of(r->objects[i]));
}

static void end(struct world *w)
{
    status_free(w->status);
    xds_server_free(w->xds);
    push_free(w->push);
    store_free(w->store);
    kube_client_free(w->api);
    port_free(w->port);
    http_shared_free(w->http);
    task_done(&w->task);
    loop_free(w->loop);
    buf_done(&w->seen);
    buf_done(&w->bodies);
    unlink(w->path);
}

/* All worlds side by side: what they wait for is time. */
static void turn(struct world *worlds, size_t n, uint64_t ms)
{
    for (uint64_t until = clock_mono() + ms * NS_PER_MS; clock_mono() < until; usleep(500))
        for (size_t i = 0; i < n; i++)
            while (loop_turn(worlds[i].loop, false))
                ;
}

static void it_asks_the_api_server_for_what_is_needed_and_no_more(void **state)
{
    static const struct row rows[] = {
        {"a good object gets its status, once",
         {SERVICE, GOOD("7", "1")},
         .want = PATCHED,
         .bodies = {"{\"metadata\":{\"resourceVersion\":\"7\"},\"status\":{\"observedGeneration\":1,\"conditions\":["
                    "{\"type\":\"Accepted\",\"status\":\"True\",\"reason\":\"Accepted\",\"lastTransitionTime\":",
                    "\"message\":\"0 of 0 proxies\"", "\"validationMessages\":null"}},
        {"an object that has its status already is not written",
         {SERVICE, GOOD("7", "1")},
         .listed = VS("7", "1", "web", STATUS),
         .want = ""},
        {"another generation is written again, for the version that the last write made",
         {SERVICE, GOOD("7", "1")},
         .later = GOOD("8", "2"),
         .want = PATCHED PATCHED,
         .bodies = {"\"resourceVersion\":\"7\"", "\"resourceVersion\":\"8\"", "\"observedGeneration\":2"}},
        {"the status coming back is no reason to do anything",
         {SERVICE, GOOD("7", "1")},
         .later = VS("8", "1", "web", STATUS),
         .want = PATCHED},
        {"who was faster is read and believed",
         {SERVICE, GOOD("7", "1")},
         .read = VS("9", "1", "web", STATUS),
         .patch = {409},
         .want = PATCHED "GET " VS_PATH "\n"},
        {"who was faster with something else is read, and the status written again",
         {SERVICE, GOOD("7", "1")},
         .read = VS("9", "1", "web", ",\"status\":{\"conditions\":[{\"type\":\"Theirs\",\"status\":\"True\"}]}"),
         .patch = {409, 200},
         .want = PATCHED "GET " VS_PATH "\n" PATCHED,
         .bodies = {"\"resourceVersion\":\"7\"", "\"resourceVersion\":\"9\"",
                    "{\"type\":\"Theirs\",\"status\":\"True\"}"}},
        {"a server that is not well is asked again",
         {SERVICE, GOOD("7", "1")},
         .patch = {503, 200},
         .want = PATCHED PATCHED},
        {"a server that says no is not asked again at once",
         {SERVICE, GOOD("7", "1")},
         .patch = {403},
         .want = PATCHED},
        {"what is refused for good is not repeated", {SERVICE, GOOD("7", "1")}, .patch = {422}, .want = PATCHED},
        {"a broken reference is told, by an Event, too",
         {SERVICE, VS("7", "1", "wep", "")},
         .want = PATCHED EVENT,
         .bodies =
             {"\"reason\":\"RefNotFound\",\"message\":\"warning[IST0101]: VirtualService `web` routes to a host that "
              "does not exist",
              "\"code\":\"IST0101\"",
              "\"involvedObject\":{\"apiVersion\":\"networking.istio.io/v1\",\"namespace\":\"default\","
              "\"uid\":\"u-web\",\"resourceVersion\":\"50\",\"kind\":\"VirtualService\",\"name\":\"web\"}"}},
        {"and that it is right again",
         {SERVICE, VS("7", "1", "wep", "")},
         .later = GOOD("8", "2"),
         .want = PATCHED EVENT PATCHED EVENT,
         .bodies = {"\"type\":\"Warning\"", "\"type\":\"Normal\"", "everything that it names is there"}},
        {"an API server without Events is left in peace",
         {SERVICE, VS("7", "1", "wep", "")},
         .event = 404,
         .later = GOOD("8", "2"),
         .want = PATCHED EVENT PATCHED},
        {"a rejected object keeps the last good one, and says so",
         {SERVICE, GOOD("7", "1")},
         .later = "{\"apiVersion\":\"networking.istio.io/v1\",\"kind\":\"VirtualService\"," META(
             "web", "8", "2") ",\"spec\":{\"hosts\":[\"web\"],\"htpp\":[]}}",
         .want = PATCHED PATCHED EVENT,
         .bodies = {"\"status\":\"False\",\"reason\":\"Invalid\",\"message\":\"error[WEFT0004]:",
                    "generation 1 of it stays in force", "generation 1 is in force on 0 of 0 proxies"}},
    };
    enum { ROWS = sizeof(rows) / sizeof(rows[0]) };
    struct world worlds[ROWS];

    for (size_t i = 0; i < ROWS; i++)
        start(&worlds[i], &rows[i], (unsigned)i);
    turn(worlds, ROWS, 1500);
    for (size_t i = 0; i < ROWS; i++)
        if (rows[i].later)
            store_put_json(worlds[i].store, view_of(rows[i].later));
    turn(worlds, ROWS, 3500);
    for (size_t i = 0; i < ROWS; i++)
        check(&rows[i], &worlds[i]);
    for (size_t i = 0; i < ROWS; i++)
        end(&worlds[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_asks_the_api_server_for_what_is_needed_and_no_more),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
