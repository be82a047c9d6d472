// SPDX-License-Identifier: Apache-2.0
/* Attempts of probes, and hooks (action.h). The answer to a GET is read only as far as its status line matters; the rest
 * is read and dropped up to LIMIT_PROBE_ANSWER_BYTES, so that servers see an orderly end.
 */
#include "sandbox/action.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "http/conn.h"
#include "http/grpc_call.h"
#include "net/loop.h"
#include "net/tls.h"
#include "sandbox/container.h"
#include "sandbox/pod.h"
#include "sandbox/runtime_impl.h"

enum { BIT_IN = 1, BIT_OUT = 2, BIT_TIMEOUT = 4, BIT_EXIT = 8, BIT_GRPC = 16 };

printf_like(3, 4) static void over(struct action *a, bool ok, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(a->text, sizeof(a->text), fmt, args);
    va_end(args);
    action_cancel(a);
    a->ok = ok;
    a->state = ACTION_OVER;
    task_wake(a->owner, a->owner_bits);
}

static void answer_status(struct action *a)
{
    struct view text = buf_read(&a->in);
    uint64_t status = 0;
    if (text.n < 12 || !view_starts(text, VIEW("HTTP/1.")) || view_u64(view_head(view_from(text, 9), 3), &status) < 0)
        over(a, false, "the answer is not HTTP");
    else
        over(a, status >= 200 && status < 400, "HTTP status %u", (unsigned)status);
}

static void run_reading(struct action *a)
{
    for (;;) {
        ssize_t n = conn_recv_buf(a->conn, &a->in, 1024);
        if (n == -EAGAIN)
            return;
        if (n <= 0 || buf_len(&a->in) > LIMIT_PROBE_ANSWER_BYTES) {
            if (n < 0 && buf_len(&a->in) < 12)
                over(a, false, "%.*s", VIEW_ARGS(conn_error_text(a->conn)));
            else
                answer_status(a);
            return;
        }
    }
}

static void run_connecting(struct action *a)
{
    int err = conn_ready(a->conn);
    if (err == -EAGAIN)
        return;
    if (err < 0) {
        over(a, false, "cannot connect: %s", strerror(-err));
    } else if (a->what.tcp_socket) {
        over(a, true, "connected");
    } else {
        err = conn_send_buf(a->conn, &a->out);
        if (err == -EAGAIN)
            return;
        a->state = ACTION_READING;
        run_reading(a);
    }
}

/* grpc.health.v1.HealthCheckRequest { string service = 1 } → HealthCheckResponse { enum status = 1 }, SERVING is 1. */
static void ask_health(struct action *a)
{
    char host[ADDR_TEXT];
    struct addr to = addr_v4(container_ip(a->what.container), (uint16_t)a->what.grpc->port);
    struct view service = view_head(a->what.grpc->service, 127);
    struct grpc_call_config config = {.path = VIEW("/grpc.health.v1.Health/Check"), .authority = addr_print(&to, host)};
    struct buf request = {0};
    int err = grpc_call_start(a->http, &config, &a->task, BIT_GRPC, &a->call);
    if (err == -EAGAIN)
        return;
    if (!err && service.n) {
        buf_char(&request, 0x0a);
        buf_char(&request, (char)service.n);
        buf_view(&request, service);
    }
    if (!err)
        err = grpc_call_send(a->call, buf_read(&request), true);
    buf_done(&request);
    if (err)
        over(a, false, "cannot ask: %s", strerror(-err));
}

static void run_grpc(struct action *a)
{
    struct view message;
    if (!a->call && (http_conn_ready(a->http) & HTTP_CONN_CLOSED)) {
        over(a, false, "the connection failed");
        return;
    }
    if (!a->call)
        ask_health(a);
    if (!a->call || a->state != ACTION_GRPC)
        return;
    int err = grpc_call_recv(a->call, &message);
    if (err == 0)
        over(a, view_eq(message, view_make("\x08\x01", 2)), "the service does not say SERVING");
    else if (err != -EAGAIN)
        over(a, false, "status %s", grpc_status_name(grpc_call_status(a->call)));
}

static void action_run(struct task *t, uint32_t events)
{
    struct action *a = CONTAINER_OF(t, struct action, task);
    if (a->state == ACTION_EXEC && process_ended(&a->process))
        over(a, a->process.exit_code == 0, "the command ended with code %d", a->process.exit_code);
    else if (a->state == ACTION_SLEEPING && (events & BIT_TIMEOUT))
        over(a, true, "slept");
    else if (a->state == ACTION_READING && (events & BIT_TIMEOUT) && buf_len(&a->in) >= 12)
        answer_status(a);
    else if (events & BIT_TIMEOUT)
        over(a, false, "no answer in time");
    else if (a->state == ACTION_CONNECTING)
        run_connecting(a);
    else if (a->state == ACTION_READING)
        run_reading(a);
    else if (a->state == ACTION_GRPC)
        run_grpc(a);
}

void action_init(struct action *a, struct loop *l, struct task *owner, uint32_t owner_bits)
{
    *a = (struct action){.loop = l, .owner = owner, .owner_bits = owner_bits};
    task_init(&a->task, l, action_run, "action");
    timer_init(&a->timer, &a->task, BIT_TIMEOUT);
    process_init(&a->process, &a->task, BIT_EXIT);
}

void action_cancel(struct action *a)
{
    if (a->state == ACTION_IDLE)
        return;
    timer_clear(&a->timer);
    a->call = grpc_call_free(a->call);
    a->http = http_conn_free(a->http);
    conn_close(a->conn);
    a->conn = NULL;
    process_done(&a->process);
    buf_done(&a->in);
    buf_done(&a->out);
    a->in = a->out = (struct buf){0};
    task_done(&a->task);
    task_init(&a->task, a->loop, action_run, "action");
    a->state = ACTION_IDLE;
}

static void write_request(struct action *a, const struct http_get *get, const char *host)
{
    bool has_host = false, has_agent = false;
    buf_printf(&a->out, "GET %s%.*s HTTP/1.1\r\n", view_starts(get->path, VIEW("/")) ? "" : "/", VIEW_ARGS(get->path));
    for (uint32_t i = 0; i < get->n_headers; i++) {
        has_host |= view_ieq(get->headers[i].name, VIEW("host"));
        has_agent |= view_ieq(get->headers[i].name, VIEW("user-agent"));
        buf_printf(&a->out, "%.*s: %.*s\r\n", VIEW_ARGS(get->headers[i].name), VIEW_ARGS(get->headers[i].value));
    }
    if (!has_host)
        buf_printf(&a->out, "Host: %s\r\n", host);
    if (!has_agent)
        buf_str(&a->out, "User-Agent: kube-probe/1.34\r\n");
    buf_str(&a->out, "Accept: */*\r\nConnection: close\r\n\r\n");
}

static void start_connection(struct action *a, struct view host, const struct int_or_str *port, uint64_t timeout)
{
    char text[ADDR_TEXT];
    struct addr to;
    uint32_t number = container_port_number(a->what.container, port);
    int err = number ? 0 : -EINVAL;
    if (!err && view_empty(host))
        to = addr_v4(container_ip(a->what.container), (uint16_t)number);
    else if (!err)
        err = addr_parse_ip(host, (uint16_t)number, &to);
    if (!err) {
        if (a->what.http_get) {
            addr_print(&to, text);
            write_request(a, a->what.http_get, text);
        }
        err = conn_connect(a->loop, &to, &(struct conn_options){.timeout = timeout}, &a->conn);
    }
    if (!err && a->what.http_get && view_ieq(a->what.http_get->scheme, VIEW("HTTPS"))) {
        struct conn *secure;
        err = tls_connect(a->what.container->pod->rt->tls, a->conn, &(struct tls_options){.timeout = timeout}, &secure);
        a->conn = err ? a->conn : secure;
    }
    if (err) {
        over(a, false, "cannot connect: %s", strerror(-err));
        return;
    }
    if (a->what.grpc) {
        struct http_conn_config config = {.role = HTTP_CLIENT, .version = HTTP_2, .scheme = VIEW("http")};
        a->state = ACTION_GRPC;
        a->http = http_conn_new(a->what.container->pod->rt->http, a->conn, &config, &a->task, BIT_GRPC);
        a->conn = NULL;
        task_wake(&a->task, BIT_GRPC);
        return;
    }
    a->state = ACTION_CONNECTING;
    conn_own(a->conn, &a->task, BIT_IN, BIT_OUT);
    task_wake(&a->task, BIT_OUT);
}

void action_start(struct action *a, const struct action_what *what, uint64_t timeout)
{
    action_cancel(a);
    a->what = *what;
    a->state = ACTION_CONNECTING;
    timer_in(&a->timer, timeout);
    if (what->sleep) {
        a->state = ACTION_SLEEPING;
        timer_in(&a->timer, (uint64_t)(what->sleep->seconds > 0 ? what->sleep->seconds : 0) * NS_PER_S);
    } else if (what->exec) {
        int err = container_exec(what->container, &what->exec->command, &a->process);
        a->state = ACTION_EXEC;
        if (err)
            over(a, false, "cannot run the command: %s", strerror(-err));
    } else if (what->http_get) {
        start_connection(a, what->http_get->host, &what->http_get->port, timeout);
    } else if (what->tcp_socket) {
        start_connection(a, what->tcp_socket->host, &what->tcp_socket->port, timeout);
    } else if (what->grpc) {
        struct int_or_str port = {.set = true, .number = (int32_t)what->grpc->port};
        start_connection(a, VIEW_NONE, &port, timeout);
    } else {
        over(a, false, "nothing to do");
    }
}
