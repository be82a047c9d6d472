// SPDX-License-Identifier: Apache-2.0
/* Connections of the kernel: TCP and Unix stream sockets (conn.h). Each is registered once, edge-triggered, for
 * everything; `readable` and `blocked` remember what the last edge and the last call said, so that no call is made
 * whose answer is known.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/sock.h"

#include "base/must.h"
#include "net/loop_impl.h"

#ifndef SO_ORIGINAL_DST /* linux/netfilter_ipv4.h, which clashes with netinet/in.h */
#define SO_ORIGINAL_DST 80
#endif

enum dial_bits {
    DIAL_LATE = 1,
};

/* What is needed while connecting only. */
struct dial {
    struct task task;
    struct timer timer;
    struct sock *sock;
};

struct sock {
    struct conn conn;
    struct fd_source source;
    int fd;
    bool readable; /* bytes, end or error may be there */
    bool hung;     /* the peer's end was announced: a short read does not mean drained */
    bool ended;    /* the end was read */
    bool blocked;  /* the kernel took less than offered; waits for EPOLLOUT */
    bool shut;     /* we ended our direction */
    bool announce; /* connected before it had an owner */
    bool delayed;  /* the failure came after connect() had returned */
    bool has_local, has_remote;
    struct addr local, remote;
    struct dial *dial; /* while connecting */
    char *text;        /* of the error, made when asked for */
};

static const struct conn_ops sock_ops;

static struct sock *sock_of(const struct conn *c)
{
    return CONTAINER_OF(c, struct sock, conn);
}

static void dial_end(struct sock *s)
{
    struct dial *d = s->dial;
    if (!d)
        return;
    timer_done(&d->timer);
    task_done(&d->task);
    pool_give(loop_pool(s->conn.loop, sizeof(*d)), d);
    s->dial = NULL;
}

static void dial_result(struct sock *s, int error)
{
    dial_end(s);
    if (error) {
        conn_fail(&s->conn, error);
        s->delayed = true;
        s->readable = true;
    } else if (s->shut) {
        shutdown(s->fd, SHUT_WR);
    }
    s->blocked = false;
    s->announce = s->conn.owner == NULL;
    conn_wake_in(&s->conn);
    conn_wake_out(&s->conn);
}

static void dial_run(struct task *t, uint32_t events)
{
    struct dial *d = CONTAINER_OF(t, struct dial, task);
    dial_result(d->sock, -ETIMEDOUT);
}

static void dial_ready(struct sock *s, uint32_t events)
{
    int error = 0;
    socklen_t len = sizeof(error);
    if (!(events & (EPOLLOUT | EPOLLERR | EPOLLHUP)))
        return;
    s->conn.loop->stats.system_calls++;
    if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
        error = errno;
    if (events & (EPOLLIN | EPOLLRDHUP))
        s->readable = true;
    if (events & (EPOLLRDHUP | EPOLLHUP))
        s->hung = true;
    dial_result(s, -error);
}

static void sock_ready(struct fd_source *source, uint32_t events)
{
    struct sock *s = CONTAINER_OF(source, struct sock, source);
    if (s->dial) {
        dial_ready(s, events);
        return;
    }
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        s->hung = true;
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) {
        s->readable = true;
        conn_wake_in(&s->conn);
    }
    if (s->blocked && (events & (EPOLLOUT | EPOLLERR | EPOLLHUP))) {
        s->blocked = false;
        conn_wake_out(&s->conn);
    }
}

static ssize_t sock_recv(struct conn *c, void *to, size_t room)
{
    struct sock *s = sock_of(c);
    if (!s->readable)
        return -EAGAIN;
    if (c->error)
        return c->error;
    if (s->ended)
        return 0;
    for (;;) {
        ssize_t n = recv(s->fd, to, room, 0);
        c->loop->stats.system_calls++;
        if (n > 0) {
            if ((size_t)n < room && !s->hung)
                s->readable = false; /* drained: what comes later is a new edge */
            c->bytes_in += (uint64_t)n;
            return n;
        }
        if (n == 0) {
            s->ended = true;
            return 0;
        }
        if (errno == EAGAIN) {
            s->readable = false;
            return -EAGAIN;
        }
        if (errno != EINTR)
            return conn_fail(c, -errno);
    }
}

static size_t iov_bytes(const struct iovec *iov, int n_iov)
{
    size_t n = 0;
    for (int i = 0; i < n_iov; i++)
        n += iov[i].iov_len;
    return n;
}

static ssize_t sock_send(struct conn *c, const struct iovec *iov, int n_iov)
{
    struct sock *s = sock_of(c);
    if (c->error)
        return c->error;
    if (s->dial)
        s->blocked = true;
    if (s->blocked)
        return -EAGAIN;
    size_t offered = n_iov == 1 ? iov[0].iov_len : iov_bytes(iov, n_iov);
    if (offered == 0)
        return 0;
    for (;;) {
        struct msghdr msg = {.msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = (size_t)n_iov};
        ssize_t n = n_iov == 1 ? send(s->fd, iov[0].iov_base, iov[0].iov_len, MSG_NOSIGNAL)
                               : sendmsg(s->fd, &msg, MSG_NOSIGNAL);
        c->loop->stats.system_calls++;
        if (n >= 0) {
            if ((size_t)n < offered)
                s->blocked = true;
            c->bytes_out += (uint64_t)n;
            return n;
        }
        if (errno == EAGAIN) {
            s->blocked = true;
            return -EAGAIN;
        }
        if (errno != EINTR)
            return conn_fail(c, -errno);
    }
}

static int sock_shutdown(struct conn *c)
{
    struct sock *s = sock_of(c);
    if (s->shut)
        return 0;
    s->shut = true;
    if (s->dial)
        return 0; /* done when connected */
    c->loop->stats.system_calls++;
    return shutdown(s->fd, SHUT_WR) < 0 && errno != ENOTCONN ? -errno : 0;
}

static void sock_close(struct conn *c, bool reset)
{
    struct sock *s = sock_of(c);
    dial_end(s);
    if (reset) {
        struct linger linger = {.l_onoff = 1};
        setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    }
    if (c->loop->forks)
        kernel_forget(c->loop, s->fd);
    close(s->fd);
    c->loop->stats.system_calls++;
    conn_done(c);
    mem_free(s->text);
    pool_give(loop_pool(c->loop, sizeof(*s)), s);
}

static int sock_is_ready(struct conn *c)
{
    return c->error ? c->error : sock_of(c)->dial ? -EAGAIN : 0;
}

static void sock_owned(struct conn *c)
{
    struct sock *s = sock_of(c);
    if (s->readable || s->announce)
        conn_wake_in(c);
    if (s->announce)
        conn_wake_out(c);
    s->announce = false;
}

static struct view sock_error_text(const struct conn *c)
{
    struct sock *s = sock_of(c);
    if (!c->error)
        return VIEW_NONE;
    if (!s->text) {
        char why[64];
        const char *what = c->error == -ETIMEDOUT ? "connection timeout" : strerror_r(-c->error, why, sizeof(why));
        const char *when = s->delayed ? "delayed connect error: " : "";
        size_t n = strlen(what) + strlen(when) + 1;
        s->text = mem_alloc(n);
        snprintf(s->text, n, "%s%s", when, what);
    }
    return view_of(s->text);
}

static const struct addr *sock_local(struct conn *c)
{
    struct sock *s = sock_of(c);
    if (!s->has_local) {
        struct sockaddr_storage ss;
        socklen_t len = sizeof(ss);
        c->loop->stats.system_calls++;
        if (getsockname(s->fd, (struct sockaddr *)&ss, &len) == 0)
            addr_from_sockaddr(&s->local, (struct sockaddr *)&ss, len);
        s->has_local = !s->dial;
    }
    return &s->local;
}

static const struct addr *sock_remote(struct conn *c)
{
    struct sock *s = sock_of(c);
    if (!s->has_remote) {
        struct sockaddr_storage ss;
        socklen_t len = sizeof(ss);
        c->loop->stats.system_calls++;
        if (getpeername(s->fd, (struct sockaddr *)&ss, &len) == 0)
            addr_from_sockaddr(&s->remote, (struct sockaddr *)&ss, len);
        s->has_remote = true;
    }
    return &s->remote;
}

static int sock_original_dst(struct conn *c, struct addr *ret_addr)
{
    struct sock *s = sock_of(c);
    const struct addr *remote = sock_remote(c), *local = sock_local(c);
    if (remote->family == ADDR_UNIX || remote->family == ADDR_NONE)
        return -ENOENT;
    struct sockaddr_storage ss;
    socklen_t len = sizeof(ss);
    bool v6 = remote->family == ADDR_V6;
    c->loop->stats.system_calls++;
    int r = getsockopt(s->fd, v6 ? SOL_IPV6 : SOL_IP, SO_ORIGINAL_DST, &ss, &len);
    if (r < 0)
        return -ENOENT; /* no connection tracking here, or not redirected */
    struct addr a;
    addr_from_sockaddr(&a, (struct sockaddr *)&ss, len);
    if (a.family == ADDR_NONE || addr_eq(&a, local))
        return -ENOENT;
    *ret_addr = a;
    return 0;
}

static void sock_acknowledge(struct conn *c)
{
    int on = 1;
    setsockopt(sock_of(c)->fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof(on)); /* not TCP: there is nothing to hasten */
}

static const struct conn_ops sock_ops = {
    .name = "socket",
    .recv = sock_recv,
    .send = sock_send,
    .shutdown = sock_shutdown,
    .close = sock_close,
    .ready = sock_is_ready,
    .owned = sock_owned,
    .error_text = sock_error_text,
    .local = sock_local,
    .remote = sock_remote,
    .original_dst = sock_original_dst,
    .acknowledge = sock_acknowledge,
};

int sock_conn_new(struct loop *l, int fd, struct conn **ret_conn)
{
    struct pool *p = loop_pool(l, sizeof(struct sock));
    struct sock *s = pool_take(p);
    *s = (struct sock){.fd = fd, .source.ready = sock_ready};
    conn_init(&s->conn, &sock_ops, l);
    int r = kernel_register(l, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, &s->source);
    if (r < 0) {
        pool_give(p, s);
        return r;
    }
    *ret_conn = &s->conn;
    return 0;
}

void sock_set_addrs(struct conn *c, const struct addr *local, const struct addr *remote)
{
    struct sock *s = sock_of(c);
    if (local) {
        s->local = *local;
        s->has_local = true;
    }
    if (remote) {
        s->remote = *remote;
        s->has_remote = true;
    }
}

static int set_int(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof(value)) < 0 ? -errno : 0;
}

static int dial_options(int fd, const struct addr *to, const struct conn_options *o)
{
    int r = 0;
    if (to->family == ADDR_UNIX)
        return 0;
    set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    if (o->keepalive) {
        set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
        if (o->keepalive_idle)
            set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, (int)o->keepalive_idle);
        if (o->keepalive_interval)
            set_int(fd, IPPROTO_TCP, TCP_KEEPINTVL, (int)o->keepalive_interval);
        if (o->keepalive_probes)
            set_int(fd, IPPROTO_TCP, TCP_KEEPCNT, (int)o->keepalive_probes);
    }
    if (o->transparent)
        r = set_int(fd, SOL_IP, IP_TRANSPARENT, 1);
    if (r == 0 && o->bind) {
        struct sockaddr_storage ss;
        socklen_t len = addr_to_sockaddr(o->bind, &ss);
        if (o->bind->port == 0)
            set_int(fd, SOL_IP, IP_BIND_ADDRESS_NO_PORT, 1); /* the kernel may share ports between destinations */
        if (bind(fd, (struct sockaddr *)&ss, len) < 0)
            r = -errno;
    }
    return r;
}

static int socket_for(const struct addr *a)
{
    static const int domains[] = {[ADDR_V4] = AF_INET, [ADDR_V6] = AF_INET6, [ADDR_UNIX] = AF_UNIX};
    if (a->family == ADDR_NONE || a->family >= COUNT_OF(domains))
        return -EAFNOSUPPORT;
    int fd = socket(domains[a->family], SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return fd < 0 ? -errno : fd;
}

int sock_connect(struct loop *l, const struct addr *to, const struct conn_options *options, struct conn **ret_conn)
{
    int fd = socket_for(to);
    if (fd < 0)
        return fd;
    struct sockaddr_storage ss;
    socklen_t len = addr_to_sockaddr(to, &ss);
    int r = dial_options(fd, to, options);
    if (r == 0 && connect(fd, (struct sockaddr *)&ss, len) < 0)
        r = errno == EAGAIN ? -ECONNREFUSED : -errno; /* EAGAIN: the backlog of a Unix socket is full */
    struct conn *c = NULL;
    bool waiting = r == -EINPROGRESS;
    if (r == 0 || waiting)
        r = sock_conn_new(l, fd, &c);
    l->stats.system_calls += 3;
    if (r < 0) {
        close(fd);
        return r;
    }
    struct sock *s = sock_of(c);
    sock_set_addrs(c, NULL, to);
    if (waiting) {
        s->dial = pool_take(loop_pool(l, sizeof(*s->dial)));
        s->dial->sock = s;
        task_init(&s->dial->task, l, dial_run, "dial");
        timer_init(&s->dial->timer, &s->dial->task, DIAL_LATE);
        if (options->timeout)
            timer_in(&s->dial->timer, options->timeout);
    } else {
        s->announce = true;
    }
    *ret_conn = c;
    return 0;
}

int conn_adopt(struct loop *l, int fd, struct conn **ret_conn)
{
    if (loop_simulated(l))
        return -ENOTSUP;
    int type = 0;
    socklen_t len = sizeof(type);
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0)
        return -errno;
    if (type != SOCK_STREAM)
        return -EPROTOTYPE;
    int on = 1;
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0) {
        /* a Unix socket: nothing to set */
    }
    struct conn *c;
    int r = sock_set_nonblocking(fd);
    if (r == 0)
        r = sock_conn_new(l, fd, &c);
    if (r == 0)
        *ret_conn = c;
    return r;
}

int sock_pair(struct loop *l, struct conn **ret_a, struct conn **ret_b)
{
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0)
        return -errno;
    struct conn *a;
    int r = sock_conn_new(l, fds[0], &a);
    if (r < 0) {
        close(fds[0]);
        close(fds[1]);
        return r;
    }
    r = sock_conn_new(l, fds[1], ret_b);
    if (r < 0) {
        conn_close(a);
        close(fds[1]);
        return r;
    }
    *ret_a = a;
    return 0;
}

int conn_peer_pid(struct conn *c, pid_t *ret_pid)
{
    struct ucred cred;
    socklen_t len = sizeof(cred);
    if (c->ops != &sock_ops)
        return -ENOTSUP;
    if (getsockopt(sock_of(c)->fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
        return -errno;
    *ret_pid = cred.pid;
    return 0;
}
