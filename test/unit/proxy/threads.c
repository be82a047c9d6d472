// SPDX-License-Identifier: Apache-2.0
/* A proxy as the program runs it: real threads, one for each of three workers, on the kernel's loopback. Clients keep
 * them busy, plans are replaced under them, and all the while the admin port reads what the workers count. Simulations
 * have one thread; this test is what ThreadSanitizer sees of the rest (make tsan).
 */
#include <arpa/inet.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "harness.h"
#include "proxy/static_plan.h"

enum { WORKERS = 3, CLIENTS = 4, CONNECTIONS = 20, REQUESTS = 5 /* on each connection */, PLANS = 30 };

struct busy {
    struct loop *control;
    uint16_t server, proxy, admin;
    int listens;
    _Atomic unsigned answered, finished;
    bool counted; /* the pages said so at the end */
};

static const char *const pages[] = {"/stats", "/stats/prometheus", "/clusters", "/listeners",
                                    "/ready", "/config_dump",      "/plan",     "/server_info"};

/* ---- blocking sockets: clients and the server ---- */

static struct sockaddr_in loopback(uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int listen_somewhere(uint16_t *ret_port)
{
    struct sockaddr_in at = loopback(0);
    socklen_t n = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0 && bind(fd, (struct sockaddr *)&at, n) == 0 && listen(fd, 64) == 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &n), 0);
    *ret_port = ntohs(at.sin_port);
    return fd;
}

static uint16_t free_port(void)
{
    uint16_t port;
    close(listen_somewhere(&port));
    return port;
}

static int dial(uint16_t port)
{
    struct sockaddr_in at = loopback(port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&at, sizeof(at)) == 0)
        return fd;
    close(fd);
    return -1;
}

/* Sends a request and reads to the end of the answer's body of content-length; true: it was a 200. */
static bool ask(int fd, const char *path)
{
    char text[4096];
    int n = snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: web\r\n\r\n", path);
    if (send(fd, text, (size_t)n, 0) != n)
        return false;
    size_t have = 0;
    while (have < sizeof(text) && !request_length(view_make(text, have))) {
        ssize_t got = recv(fd, text + have, sizeof(text) - have, 0);
        if (got <= 0) {
            print_error("%s: after %zu bytes: %zd\n", path, have, got);
            return false;
        }
        have += (size_t)got;
    }
    if (view_starts(view_make(text, have), VIEW("HTTP/1.1 200 ")))
        return true;
    print_error("%s: not 200 but: %.*s\n", path, (int)have, text);
    return false;
}

static void *server_conn_thread(void *arg)
{
    int fd = (int)(intptr_t)arg;
    char text[4096];
    size_t have = 0, length;
    ssize_t got;
    while (have < sizeof(text) && (got = recv(fd, text + have, sizeof(text) - have, 0)) > 0) {
        have += (size_t)got;
        while ((length = request_length(view_make(text, have)))) {
            memmove(text, text + length, have -= length);
            if (send(fd, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", 40, 0) < 0)
                have = sizeof(text);
        }
    }
    close(fd);
    return NULL;
}

static void *server_thread(void *arg)
{
    const struct busy *b = arg;
    pthread_t threads[256];
    size_t n = 0;
    int fd;
    while (n < COUNT_OF(threads) && (fd = accept(b->listens, NULL, NULL)) >= 0)
        if (pthread_create(&threads[n], NULL, server_conn_thread, (void *)(intptr_t)fd) == 0)
            n++;
    for (size_t i = 0; i < n; i++)
        pthread_join(threads[i], NULL);
    return NULL;
}

static void finished(struct busy *b)
{
    b->finished++;
    loop_poke(b->control);
}

static void *client_thread(void *arg)
{
    struct busy *b = arg;
    for (int i = 0; i < CONNECTIONS; i++) {
        int fd = dial(b->proxy);
        for (int j = 0; fd >= 0 && j < REQUESTS; j++)
            b->answered += ask(fd, "/");
        close(fd);
    }
    finished(b);
    return NULL;
}

static bool page_says(uint16_t port, const char *path, const char *text)
{
    char request[128];
    struct buf in = {0};
    size_t room;
    ssize_t got = -1;
    int fd = dial(port);
    int n = snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", path);
    if (fd >= 0 && send(fd, request, (size_t)n, 0) == n)
        do {
            char *to = buf_room(&in, 4096, &room);
            got = recv(fd, to, room, 0);
            buf_added(&in, got > 0 ? (size_t)got : 0);
        } while (got > 0);
    close(fd);
    bool said = has(&in, text);
    if (!said)
        print_error("%s does not say \"%s\" but:\n%s\n", path, text, buf_cstr(&in));
    buf_done(&in);
    return said;
}

static void *reader_thread(void *arg)
{
    struct busy *b = arg;
    char text[4096];
    for (size_t i = 0; b->finished < CLIENTS; i++) {
        int fd = dial(b->admin);
        bool level = i % 9 == 8; /* written by one thread, read by all */
        int n = snprintf(text, sizeof(text), "%s %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n%s\r\n",
                         level ? "POST" : "GET", level ? "/logging?level=error" : pages[i % COUNT_OF(pages)],
                         level ? "Content-Length: 0\r\n" : "");
        if (fd >= 0 && send(fd, text, (size_t)n, 0) == n)
            while (recv(fd, text, sizeof(text), 0) > 0)
                ;
        close(fd);
    }
    b->counted = page_says(b->admin, "/stats", "downstream.requests_total: 400\n") &&
                 page_says(b->admin, "/stats", "downstream.connections_total: 80\n") &&
                 page_says(b->admin, "/stats/prometheus", "\nistio_requests_total{");
    finished(b);
    return NULL;
}

/* ---- the proxy ---- */

static void *worker_thread(void *loop)
{
    loop_run(loop);
    return NULL;
}

/* The static plan, with the filters that make metrics. */
static struct plan *plan_with_stats(const struct busy *b)
{
    static struct http_filter filters[] = {{.kind = HTTP_FILTER_PEER_METADATA}, {.kind = HTTP_FILTER_STATS}};
    struct arena a;
    arena_init(&a, 256);
    struct plan *plan = plan_new();
    static_plan_add(plan, STATIC_HTTP, b->proxy, b->server, false);
    struct name_ref name = name_ref_copy(&a, arena_printf(&a, "static_%u", b->proxy));
    struct http_manager *m = (struct http_manager *)(uintptr_t)plan_listener(plan, &name)->chains->http;
    m->filters = filters;
    m->n_filters = COUNT_OF(filters);
    arena_done(&a);
    return plan;
}

/* Turns the control loop, with new plans now and then, until all clients and the reader are through. */
static void control(struct proxy *p, const struct busy *b, struct loop *loop)
{
    unsigned plans = 0;
    for (unsigned turn = 0; b->finished < CLIENTS + 1; turn++) {
        loop_turn(loop, true);
        if (turn % 8 || plans == PLANS)
            continue;
        struct plan *plan = plan_with_stats(b);
        proxy_run_plan(p, plan);
        plan_unref(plan);
        plans++;
    }
    assert_int_equal(plans, PLANS);
}

static void workers_serve_while_plans_change_and_pages_are_read(void **state)
{
    struct busy b = {.control = loop_new(NULL), .proxy = free_port(), .admin = free_port()};
    pthread_t server, reader, clients[CLIENTS], threads[WORKERS];
    struct loop *loops[WORKERS];
    b.listens = listen_somewhere(&b.server);
    struct plan *plan = plan_with_stats(&b);
    struct proxy_options options = {.type = VIEW("sidecar"),
                                    .pod = VIEW("client"),
                                    .ns = VIEW("default"),
                                    .ip = VIEW("127.0.0.1"),
                                    .plan = plan,
                                    .admin_port = b.admin,
                                    .admin_address = VIEW("127.0.0.1"),
                                    .drain = 5 * NS_PER_S};
    for (int i = 0; i < WORKERS; i++)
        loops[i] = loop_new(NULL);
    struct proxy *p = proxy_new(&options, b.control, loops, WORKERS);
    for (int i = 0; i < WORKERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, worker_thread, loops[i]), 0);
    while (!proxy_ready(p))
        loop_turn(b.control, true);
    assert_int_equal(pthread_create(&server, NULL, server_thread, &b), 0);
    for (int i = 0; i < CLIENTS; i++)
        assert_int_equal(pthread_create(&clients[i], NULL, client_thread, &b), 0);
    assert_int_equal(pthread_create(&reader, NULL, reader_thread, &b), 0);
    control(p, &b, b.control);
    for (int i = 0; i < CLIENTS; i++)
        pthread_join(clients[i], NULL);
    pthread_join(reader, NULL);
    assert_int_equal(b.answered, CLIENTS * CONNECTIONS * REQUESTS);
    assert_true(b.counted);

    proxy_stop(p);
    while (!proxy_stopped(p))
        loop_turn(b.control, true);
    for (int i = 0; i < WORKERS; i++) {
        loop_stop(loops[i]);
        pthread_join(threads[i], NULL);
    }
    shutdown(b.listens, SHUT_RDWR);
    pthread_join(server, NULL);
    close(b.listens);
    proxy_free(p);
    for (int i = 0; i < WORKERS; i++)
        loop_free(loops[i]);
    loop_free(b.control);
    plan_unref(plan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(workers_serve_while_plans_change_and_pages_are_read)};
    signal(SIGPIPE, SIG_IGN);
    log_set(LOG_WARN, false);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
