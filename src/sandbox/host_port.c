// SPDX-License-Identifier: Apache-2.0
/* Host ports (host_port.h): a table of listeners and a task for each joined pair of connections. */
#include "sandbox/host_port.h"

#include <errno.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/list.h"
#include "net/conn.h"
#include "net/loop.h"
#include "sandbox/isolate.h"

#define CONNECT_TIMEOUT (10 * NS_PER_S)

enum { BIT_OUTSIDE = 1, BIT_INSIDE = 2 };

struct host_port {
    uint32_t id;
    uint16_t port, target_port;
    uint32_t target_ip; /* 0: the slot is free */
};

struct direction {
    struct buf bytes;
    bool ended, passed; /* the source's end was seen; was passed on */
};

struct joined {
    struct list link;
    struct task task;
    struct conn *outside, *inside;
    struct direction in, out;
    bool connected;
};

struct host_port_set {
    struct loop *loop;
    struct isolate *iso;
    struct host_port ports[LIMIT_HOST_LISTENERS];
    struct list joined;
};

struct host_port_set *host_port_set_new(struct loop *loop, struct isolate *iso)
{
    struct host_port_set *s = mem_alloc(sizeof(*s));
    s->loop = loop;
    s->iso = iso;
    list_init(&s->joined);
    return s;
}

static void joined_free(struct joined *j)
{
    conn_close(j->outside);
    conn_close(j->inside);
    buf_done(&j->in.bytes);
    buf_done(&j->out.bytes);
    task_done(&j->task);
    list_del(&j->link);
    mem_free(j);
}

struct host_port_set *host_port_set_free(struct host_port_set *s)
{
    if (!s)
        return NULL;
    LIST_EACH (&s->joined, struct joined, link, j)
        joined_free(j);
    for (size_t i = 0; i < COUNT_OF(s->ports); i++)
        if (s->ports[i].target_ip)
            isolate_close(s->iso, s->ports[i].id);
    mem_free(s);
    return NULL;
}

int host_port_set(struct host_port_set *s, uint16_t port, uint32_t target_ip, uint16_t target_port)
{
    struct host_port *at = NULL, *free_slot = NULL;
    for (size_t i = 0; i < COUNT_OF(s->ports); i++) {
        if (s->ports[i].target_ip && s->ports[i].port == port)
            at = &s->ports[i];
        else if (!s->ports[i].target_ip && !free_slot)
            free_slot = &s->ports[i];
    }
    if (!at && !target_ip)
        return 0;
    if (!at) {
        uint32_t id;
        int err = free_slot ? isolate_listen_tcp(s->iso, port, &id) : -ENFILE;
        if (err)
            return err;
        at = free_slot;
        *at = (struct host_port){.id = id, .port = port};
    } else if (!target_ip) {
        isolate_close(s->iso, at->id);
    }
    at->target_ip = target_ip;
    at->target_port = target_port;
    return 0;
}

/* One direction as far as it goes now; -errno ends both. */
static int pump(struct direction *d, struct conn *from, struct conn *to)
{
    for (;;) {
        if (buf_len(&d->bytes)) {
            int err = conn_send_buf(to, &d->bytes);
            if (err)
                return err == -EAGAIN ? 0 : err;
        }
        if (d->ended) {
            if (!d->passed) {
                d->passed = true;
                return conn_shutdown(to);
            }
            return 0;
        }
        ssize_t n = conn_recv_buf(from, &d->bytes, LIMIT_HTTP_BUFFER_BYTES);
        if (n == -EAGAIN)
            return 0;
        if (n < 0)
            return (int)n;
        if (n == 0)
            d->ended = true;
    }
}

static void joined_run(struct task *t, uint32_t events)
{
    struct joined *j = CONTAINER_OF(t, struct joined, task);
    int err = 0;
    if (!j->connected) {
        err = conn_ready(j->inside);
        if (err == -EAGAIN)
            return;
        j->connected = err == 0;
    }
    if (!err)
        err = pump(&j->in, j->outside, j->inside);
    if (!err)
        err = pump(&j->out, j->inside, j->outside);
    if (err) { /* the peer of a connection that failed shall not take it for an orderly end */
        conn_abort(j->outside);
        j->outside = NULL;
    }
    if (err || (j->in.passed && j->out.passed))
        joined_free(j);
}

bool host_port_accepted(struct host_port_set *s, uint32_t id, int fd)
{
    const struct host_port *p = NULL;
    for (size_t i = 0; i < COUNT_OF(s->ports); i++)
        if (s->ports[i].target_ip && s->ports[i].id == id)
            p = &s->ports[i];
    if (!p)
        return false;
    struct joined *j = mem_alloc(sizeof(*j));
    list_init(&j->link);
    task_init(&j->task, s->loop, joined_run, "host-port");
    struct addr to = addr_v4(p->target_ip, p->target_port);
    if (conn_adopt(s->loop, fd, &j->outside) < 0) {
        close(fd);
        joined_free(j);
        return true;
    }
    if (conn_connect(s->loop, &to, &(struct conn_options){.timeout = CONNECT_TIMEOUT}, &j->inside) < 0) {
        conn_abort(j->outside);
        j->outside = NULL;
        joined_free(j);
        return true;
    }
    list_push(&s->joined, &j->link);
    conn_own(j->outside, &j->task, BIT_OUTSIDE, BIT_OUTSIDE);
    conn_own(j->inside, &j->task, BIT_INSIDE, BIT_INSIDE);
    task_wake(&j->task, BIT_INSIDE);
    return true;
}
