// SPDX-License-Identifier: Apache-2.0
/* Connections, each test on the kernel's loop over loopback and on the simulated network: the same code, the same answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "net/acceptor.h"
#include "net/conn.h"
#include "net/fd_pass.h"
#include "net/loop.h"
#include "net/mailbox.h"
#include "net/signals.h"
#include "net/sim.h"
#include "net/timer.h"

/* One world with a client's and a server's loop; on the kernel they are one loop. */
struct world {
    struct sim *sim;
    struct sim_host *client_host, *server_host;
    struct loop *client, *server;
    struct addr server_addr;
};

static int kernel_setup(void **state)
{
    struct world *w = mem_alloc(sizeof(*w));
    w->client = w->server = loop_new(NULL);
    w->server_addr = addr_v4(0x7f000001, 0);
    *state = w;
    return 0;
}

static int sim_setup(void **state)
{
    struct world *w = mem_alloc(sizeof(*w));
    w->sim = sim_new(11);
    w->client_host = sim_host(w->sim, "client", "10.0.0.1");
    w->server_host = sim_host(w->sim, "server", "10.0.0.2");
    w->client = sim_loop(w->client_host, SIM_APP);
    w->server = sim_loop(w->server_host, SIM_APP);
    sim_link(w->sim, "client", "server", &(struct sim_link){.latency = NS_PER_MS, .jitter = NS_PER_MS, .loss = 0.05});
    w->server_addr = addr_v4(0x0a000002, 9080);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    if (w->sim)
        sim_free(w->sim);
    else
        loop_free(w->client);
    mem_free(w);
    return 0;
}

static void until(struct world *w, const bool *done)
{
    for (int i = 0; i < 200000 && !*done; i++)
        if (w->sim)
            sim_step(w->sim);
        else
            loop_turn(w->client, true);
    assert_true(*done);
}

/* ---- a server that sends everything back and ends when the client ends ---- */

struct echo {
    struct task task;
    struct acceptor *acceptor;
    struct conn *conn;
    struct buf held;
    bool ended, done;
    size_t seen;
};

enum { ECHO_ACCEPT = 1, ECHO_IN = 2, ECHO_OUT = 4 };

static void echo_run(struct task *t, uint32_t events)
{
    struct echo *e = CONTAINER_OF(t, struct echo, task);
    if (!e->conn && acceptor_accept(e->acceptor, &e->conn) == 0)
        conn_own(e->conn, &e->task, ECHO_IN, ECHO_OUT);
    if (!e->conn)
        return;
    for (;;) {
        int r = conn_send_buf(e->conn, &e->held);
        if (r == -EAGAIN)
            return; /* back-pressure: no reading while the client does not read */
        assert_int_equal(r, 0);
        if (e->ended)
            break;
        ssize_t n = conn_recv_buf(e->conn, &e->held, 4096);
        if (n == -EAGAIN)
            return;
        assert_true(n >= 0);
        e->ended = n == 0;
        e->seen += (size_t)n;
    }
    assert_int_equal(conn_shutdown(e->conn), 0);
    e->done = true;
}

static void echo_open(struct world *w, struct echo *e)
{
    *e = (struct echo){0};
    task_init(&e->task, w->server, echo_run, "echo");
    assert_int_equal(acceptor_open(w->server, &w->server_addr, NULL, &e->task, ECHO_ACCEPT, &e->acceptor), 0);
    w->server_addr.port = acceptor_addr(e->acceptor)->port;
}

static void echo_close(struct echo *e)
{
    conn_close(e->conn);
    acceptor_close(e->acceptor);
    task_done(&e->task);
    buf_done(&e->held);
}

struct client {
    struct task task;
    struct conn *conn;
    size_t to_send, sent, received;
    bool sloth, done, shut;
    struct timer nap;
};

enum { CLIENT_IN = 1, CLIENT_OUT = 2, CLIENT_NAP = 4 };

static char pattern(size_t at)
{
    return (char)(at * 31 + at / 251);
}

static void client_send(struct client *c)
{
    char bytes[8192];
    while (c->sent < c->to_send) {
        size_t n = c->to_send - c->sent < sizeof(bytes) ? c->to_send - c->sent : sizeof(bytes);
        for (size_t i = 0; i < n; i++)
            bytes[i] = pattern(c->sent + i);
        struct iovec iov[2] = {{bytes, n / 2}, {bytes + n / 2, n - n / 2}};
        ssize_t sent = conn_send(c->conn, iov, 2);
        if (sent == -EAGAIN)
            return;
        assert_true(sent > 0);
        c->sent += (size_t)sent;
    }
    if (!c->shut)
        assert_int_equal(conn_shutdown(c->conn), 0);
    c->shut = true;
}

static void client_run(struct task *t, uint32_t events)
{
    struct client *c = CONTAINER_OF(t, struct client, task);
    if (conn_ready(c->conn) == -EAGAIN)
        return;
    assert_int_equal(conn_ready(c->conn), 0);
    client_send(c);
    char bytes[5000];
    ssize_t n;
    if (c->sloth && !(events & CLIENT_NAP)) {
        if (!timer_is_set(&c->nap))
            timer_in(&c->nap, NS_PER_MS);
        return;
    }
    while ((n = conn_recv(c->conn, bytes, c->sloth ? 1000 : sizeof(bytes))) > 0) {
        for (ssize_t i = 0; i < n; i++)
            assert_int_equal(bytes[i], pattern(c->received + (size_t)i));
        c->received += (size_t)n;
        if (c->sloth && c->received % 50000 < 1000) {
            timer_in(&c->nap, NS_PER_MS);
            return;
        }
    }
    c->done = n == 0;
    assert_true(n == 0 || n == -EAGAIN);
}

static void transfer(struct world *w, size_t n, bool sloth)
{
    struct echo e;
    struct client c = {.to_send = n, .sloth = sloth};
    echo_open(w, &e);
    task_init(&c.task, w->client, client_run, "client");
    timer_init(&c.nap, &c.task, CLIENT_NAP);
    assert_int_equal(conn_connect(w->client, &w->server_addr, NULL, &c.conn), 0);
    conn_own(c.conn, &c.task, CLIENT_IN, CLIENT_OUT);
    until(w, &c.done);
    assert_int_equal(c.received, n);
    assert_int_equal(e.seen, n);
    assert_true(e.done);
    assert_int_equal(c.conn->bytes_out, n);
    assert_int_equal(c.conn->bytes_in, n);
    assert_true(addr_eq(conn_remote(c.conn), &w->server_addr));
    assert_true(addr_eq(conn_local(e.conn), &w->server_addr));
    assert_true(addr_eq(conn_local(c.conn), conn_remote(e.conn)));
    struct addr original;
    assert_int_equal(conn_original_dst(e.conn, &original), -ENOENT);
    timer_done(&c.nap);
    conn_close(c.conn);
    echo_close(&e);
}

static void bytes_come_back_and_the_end_travels_both_ways(void **state)
{
    transfer(*state, 0, false);
    transfer(*state, 1, false);
    transfer(*state, 100000, false);
    transfer(*state, 5000000, false);
}

static void a_slow_reader_loses_nothing(void **state)
{
    transfer(*state, 3000000, true);
}

/* ---- failures ---- */

struct watcher {
    struct task task;
    struct conn *conn;
    bool done;
};

static void watcher_run(struct task *t, uint32_t events)
{
    struct watcher *w = CONTAINER_OF(t, struct watcher, task);
    w->done = conn_ready(w->conn) != -EAGAIN;
}

static void a_refused_connection_says_so(void **state)
{
    struct world *w = *state;
    struct watcher c = {0};
    struct echo e;
    echo_open(w, &e);
    acceptor_close(e.acceptor); /* its port is now free, and closed */
    task_init(&c.task, w->client, watcher_run, "watcher");
    assert_int_equal(conn_connect(w->client, &w->server_addr, NULL, &c.conn), 0);
    conn_own(c.conn, &c.task, 1, 2);
    until(w, &c.done);
    assert_int_equal(conn_ready(c.conn), -ECONNREFUSED);
    assert_int_equal(conn_send_view(c.conn, VIEW("x")), -ECONNREFUSED);
    assert_true(view_is(conn_error_text(c.conn), "delayed connect error: Connection refused"));
    conn_close(c.conn);
}

static void connecting_to_nowhere_ends_at_its_deadline(void **state)
{
    struct world *w = *state;
    struct watcher c = {0};
    struct addr nowhere;
    assert_int_equal(addr_parse(VIEW("10.9.9.9:80"), &nowhere), 0);
    if (!w->sim)
        skip(); /* needs a network that drops */
    task_init(&c.task, w->client, watcher_run, "watcher");
    uint64_t start = loop_now(w->client);
    assert_int_equal(conn_connect(w->client, &nowhere, &(struct conn_options){.timeout = 250 * NS_PER_MS}, &c.conn), 0);
    conn_own(c.conn, &c.task, 1, 2);
    until(w, &c.done);
    assert_int_equal(conn_ready(c.conn), -ETIMEDOUT);
    assert_int_equal(loop_now(w->client) - start, 250 * NS_PER_MS);
    conn_close(c.conn);
}

static void an_aborted_connection_is_reset_at_the_other_end(void **state)
{
    struct world *w = *state;
    struct watcher c = {0};
    struct echo e;
    echo_open(w, &e);
    task_init(&c.task, w->client, watcher_run, "watcher");
    assert_int_equal(conn_connect(w->client, &w->server_addr, NULL, &c.conn), 0);
    conn_own(c.conn, &c.task, 1, 2);
    until(w, &c.done);
    for (int i = 0; i < 1000 && !e.conn; i++)
        w->sim ? (void)sim_step(w->sim) : (void)loop_turn(w->client, true);
    assert_non_null(e.conn);
    conn_own(e.conn, NULL, 0, 0);
    conn_own(c.conn, &c.task, 1, 2);
    conn_abort(e.conn);
    e.conn = NULL;
    char byte;
    ssize_t n = -EAGAIN;
    for (int i = 0; i < 1000 && n == -EAGAIN; i++) {
        w->sim ? (void)sim_step(w->sim) : (void)loop_turn(w->client, false);
        n = conn_recv(c.conn, &byte, 1);
    }
    assert_int_equal(n, -ECONNRESET);
    conn_close(c.conn);
    echo_close(&e);
}

/* ---- push-back, pairs, messages ---- */

static void bytes_pushed_back_are_read_first_and_wake_the_owner(void **state)
{
    struct world *w = *state;
    struct watcher a = {0};
    struct conn *b;
    char bytes[16];
    assert_int_equal(conn_pair(w->client, &a.conn, &b), 0);
    task_init(&a.task, w->client, watcher_run, "watcher");
    assert_int_equal(conn_send_view(b, VIEW("world")), 5);
    ssize_t n = -EAGAIN;
    for (int i = 0; i < 100 && n == -EAGAIN; i++) {
        w->sim ? (void)sim_step(w->sim) : (void)loop_turn(w->client, false);
        n = conn_recv(a.conn, bytes, sizeof(bytes));
    }
    assert_int_equal(n, 5);
    conn_unread(a.conn, view_make(bytes, 5));
    conn_unread(a.conn, VIEW("hello "));
    conn_own(a.conn, &a.task, 1, 2);
    until(w, &a.done);
    assert_int_equal(conn_recv(a.conn, bytes, 8), 8);
    assert_memory_equal(bytes, "hello wo", 8);
    assert_int_equal(conn_recv(a.conn, bytes, 8), 3);
    assert_memory_equal(bytes, "rld", 3);
    assert_int_equal(conn_recv(a.conn, bytes, 8), -EAGAIN);
    conn_close(a.conn);
    conn_close(b);
}

struct number {
    struct letter letter;
    unsigned from, n;
};

struct inbox {
    struct task task;
    struct mailbox box;
    unsigned next[2], got;
    bool done;
};

#define LETTERS 2000

static void inbox_run(struct task *t, uint32_t events)
{
    struct inbox *in = CONTAINER_OF(t, struct inbox, task);
    struct letter *l;
    while ((l = mailbox_take(&in->box))) {
        struct number *n = CONTAINER_OF(l, struct number, letter);
        assert_int_equal(n->n, in->next[n->from]++);
        free(n);
        in->done = ++in->got == 2 * LETTERS;
    }
}

struct sender {
    struct mailbox *to;
    unsigned from;
};

static void *send_letters(void *arg)
{
    struct sender *s = arg;
    for (unsigned i = 0; i < LETTERS; i++) {
        struct number *n = mem_alloc(sizeof(*n));
        n->from = s->from;
        n->n = i;
        mailbox_post(s->to, &n->letter);
    }
    return NULL;
}

static void letters_of_two_threads_arrive_each_in_order(void **state)
{
    struct world *w = *state;
    struct inbox in = {0};
    task_init(&in.task, w->client, inbox_run, "inbox");
    mailbox_init(&in.box, w->client, &in.task, 1);
    struct sender senders[2] = {{&in.box, 0}, {&in.box, 1}};
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        if (w->sim)
            send_letters(&senders[i]);
        else
            assert_int_equal(pthread_create(&threads[i], NULL, send_letters, &senders[i]), 0);
    until(w, &in.done);
    for (int i = 0; i < 2 && !w->sim; i++)
        pthread_join(threads[i], NULL);
    mailbox_done(&in.box);
}

static void a_passed_descriptor_becomes_a_connection(void **state)
{
    struct world *w = *state;
    if (w->sim)
        skip();
    int carrier[2], cargo[2], fd;
    size_t n_fds;
    char text[32];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, carrier), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, cargo), 0);
    assert_int_equal(fd_send(carrier[0], VIEW("here"), &cargo[0], 1), 0);
    assert_int_equal(fd_recv(carrier[1], text, sizeof(text), &fd, 1, &n_fds), 4);
    assert_int_equal(n_fds, 1);
    close(cargo[0]);
    struct watcher a = {0};
    assert_int_equal(conn_adopt(w->client, fd, &a.conn), 0);
    task_init(&a.task, w->client, watcher_run, "watcher");
    conn_own(a.conn, &a.task, 1, 2);
    assert_int_equal(write(cargo[1], "x", 1), 1);
    until(w, &a.done);
    assert_int_equal(conn_recv(a.conn, text, sizeof(text)), 1);
    pid_t pid;
    assert_int_equal(conn_peer_pid(a.conn, &pid), 0);
    assert_int_equal(pid, getpid());
    conn_close(a.conn);
    assert_int_equal(read(cargo[1], text, 1), 0);
    assert_int_equal(fd_send(carrier[0], VIEW("two"), carrier, 2), 0);
    assert_int_equal(fd_recv(carrier[1], text, sizeof(text), &fd, 1, &n_fds), -EMSGSIZE);
    close(cargo[1]);
    close(carrier[0]);
    close(carrier[1]);
}

/* The steady state asks the heap for nothing and registers nothing: a request and its answer are send and recv. */
static void a_round_trip_costs_no_needless_system_call(void **state)
{
    struct world *w = *state;
    if (w->sim)
        skip();
    struct conn *a, *b;
    struct watcher wa = {0}, wb = {0};
    assert_int_equal(conn_pair(w->client, &a, &b), 0);
    wa.conn = a;
    wb.conn = b;
    task_init(&wa.task, w->client, watcher_run, "a");
    task_init(&wb.task, w->client, watcher_run, "b");
    conn_own(a, &wa.task, 1, 2);
    conn_own(b, &wb.task, 1, 2);
    loop_turn(w->client, false);
    char bytes[64];
    uint64_t before = loop_stats(w->client)->system_calls;
    for (int i = 0; i < 10; i++) {
        assert_int_equal(conn_send_view(a, VIEW("ping")), 4);
        loop_turn(w->client, true);
        assert_int_equal(conn_recv(b, bytes, sizeof(bytes)), 4);
        assert_int_equal(conn_recv(b, bytes, sizeof(bytes)), -EAGAIN); /* known, not asked */
    }
    assert_int_equal(loop_stats(w->client)->system_calls - before, 10 * 3); /* send, epoll_wait, recv */
    conn_close(a);
    conn_close(b);
}

/* No edge comes for connections that were waiting when descriptors ran out: the acceptor must try again by itself. */
static void accepting_goes_on_after_descriptors_ran_out(void **state)
{
    struct world *w = *state;
    struct echo e;
    struct watcher c = {0};
    struct rlimit was, none;
    echo_open(w, &e);
    task_init(&c.task, w->client, watcher_run, "watcher");
    assert_int_equal(conn_connect(w->client, &w->server_addr, NULL, &c.conn), 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
    none = was;
    none.rlim_cur = 3;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    for (int i = 0; i < 10; i++)
        loop_turn(w->client, false);
    assert_null(e.conn);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
    for (int i = 0; i < 100 && !e.conn; i++)
        loop_turn(w->client, true);
    assert_non_null(e.conn);
    conn_close(c.conn);
    echo_close(&e);
}

static void a_signal_sets_bits_and_kills_nobody(void **state)
{
    struct world *w = *state;
    struct watcher c = {0};
    struct signals s;
    struct conn *other;
    assert_int_equal(conn_pair(w->client, &c.conn, &other), 0); /* for the watcher to look at */
    task_init(&c.task, w->client, watcher_run, "watcher");
    assert_int_equal(signals_open(&s, w->client, (int[]){SIGUSR1, SIGTERM, 0}, &c.task, 1), 0);
    assert_int_equal(signals_take(&s), 0);
    kill(getpid(), SIGTERM);
    until(w, &c.done);
    assert_int_equal(signals_take(&s), SIGTERM);
    assert_int_equal(signals_take(&s), 0);
    signals_done(&s);
    task_done(&c.task);
    conn_close(c.conn);
    conn_close(other);
}

static void workers_share_a_port(void **state)
{
    struct world *w = *state;
    struct acceptor *a, *b;
    struct acceptor_options shared = {.reuse_port = true};
    struct watcher o = {0};
    task_init(&o.task, w->server, watcher_run, "watcher");
    assert_int_equal(acceptor_open(w->server, &w->server_addr, &shared, &o.task, 1, &a), 0);
    struct addr at = *acceptor_addr(a);
    assert_int_equal(acceptor_open(w->server, &at, &shared, &o.task, 1, &b), 0);
    struct acceptor *c;
    assert_int_equal(acceptor_open(w->server, &at, NULL, &o.task, 1, &c), -EADDRINUSE);
    acceptor_close(a);
    acceptor_close(b);
    task_done(&o.task);
}

#define ON(setup, test) cmocka_unit_test_setup_teardown(test, setup, teardown)
#define BOTH(test) ON(kernel_setup, test), ON(sim_setup, test)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(bytes_come_back_and_the_end_travels_both_ways),
        BOTH(a_slow_reader_loses_nothing),
        BOTH(a_refused_connection_says_so),
        ON(sim_setup, connecting_to_nowhere_ends_at_its_deadline),
        BOTH(an_aborted_connection_is_reset_at_the_other_end),
        BOTH(bytes_pushed_back_are_read_first_and_wake_the_owner),
        BOTH(letters_of_two_threads_arrive_each_in_order),
        ON(kernel_setup, a_passed_descriptor_becomes_a_connection),
        ON(kernel_setup, accepting_goes_on_after_descriptors_ran_out),
        ON(kernel_setup, a_signal_sets_bits_and_kills_nobody),
        BOTH(workers_share_a_port),
        ON(kernel_setup, a_round_trip_costs_no_needless_system_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
