// SPDX-License-Identifier: Apache-2.0
/* Connections: one interface for TCP, Unix sockets, TLS over either, and for the simulated network. A connection is a
 * box with four holes (recv, send, shutdown, close); boxes stack (TLS wraps a conn and is a conn).
 *
 *   r = conn_connect(loop, &to, &(struct conn_options){.timeout = 10 * NS_PER_S}, &c);
 *   conn_own(c, &task, MY_IN, MY_OUT);
 *   … in run(): r = conn_ready(c);                         // -EAGAIN: still connecting or shaking hands
 *   while ((n = conn_recv(c, to, room)) > 0) consume(…);   // until -EAGAIN, 0 (end) or another error
 *   n = conn_send(c, iov, n_iov);                          // directly; -EAGAIN: wait for MY_OUT
 *   conn_close(c);
 *
 * Readiness is an edge: after MY_IN read until -EAGAIN, or remember that there is more. That costs no extra system
 * call: a read shorter than the room counts as drained, and the next conn_recv answers -EAGAIN by itself until the
 * kernel reports more. After a short or refused send the same holds for writing, and MY_OUT comes when there is room.
 *
 * Invariants: the owner's bits are set from the loop only. conn_close frees; no bit of it comes afterwards. The first
 * failure is kept (conn_error, conn_error_text). Addresses stay valid until conn_close.
 */
#pragma once

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "base/buf.h"
#include "base/must.h"
#include "base/view.h"
#include "net/addr.h"
#include "net/task.h"

struct conn;
struct loop;
struct tls_info;

struct conn_ops {
    const char *name;
    ssize_t (*recv)(struct conn *c, void *to, size_t room);
    ssize_t (*send)(struct conn *c, const struct iovec *iov, int n_iov);
    int (*shutdown)(struct conn *c); /* no more sending; what was accepted is still delivered */
    void (*close)(struct conn *c, bool reset);
    int (*ready)(struct conn *c);
    void (*owned)(struct conn *c); /* the owner changed; may be NULL */
    struct view (*error_text)(const struct conn *c);
    const struct addr *(*local)(struct conn *c);
    const struct addr *(*remote)(struct conn *c);
    int (*original_dst)(struct conn *c, struct addr *ret_addr);
    void (*acknowledge)(struct conn *c);                 /* NULL: nothing to do */
    const struct tls_info *(*tls)(const struct conn *c); /* NULL: not a TLS box */
};

struct conn {
    const struct conn_ops *ops;
    struct loop *loop;
    struct conn *lower; /* the box below; NULL for a socket */
    struct task *owner;
    uint32_t in_bits, out_bits;
    char *unread; /* bytes pushed back by conn_unread */
    uint32_t unread_at, unread_end;
    int error;                    /* first failure, -errno; 0 while all is well */
    uint64_t bytes_in, bytes_out; /* through this box */
};

struct conn_options {
    const struct addr *bind; /* local address to come from, e.g. 127.0.0.6 (port 0: any); NULL: the kernel's choice */
    uint64_t timeout;        /* to connect, in ns; 0: none of ours */
    uint32_t keepalive_idle, keepalive_interval; /* seconds */
    uint32_t keepalive_probes;
    bool keepalive;
    bool transparent; /* IP_TRANSPARENT: bind may be an address that is not ours */
};

/* Starts to connect; 0 even while connecting. -errno only when there is nothing to wait for (then no conn). */
int conn_connect(struct loop *l, const struct addr *to, const struct conn_options *options,
                 struct conn **ret_conn) must_check;

/* A connected stream socket that came from elsewhere (inherited, passed). Owns fd on success. Kernel loops only. */
int conn_adopt(struct loop *l, int fd, struct conn **ret_conn) must_check;

/* Two ends of one connection inside a loop (tests, internal calls); works on kernel and simulated loops. */
int conn_pair(struct loop *l, struct conn **ret_a, struct conn **ret_b) must_check;

/* Whose bits are set. Wakes in_bits at once when bytes, end or failure may already be there. */
void conn_own(struct conn *c, struct task *owner, uint32_t in_bits, uint32_t out_bits);

static inline int conn_ready(struct conn *c) /* 0: usable; -EAGAIN: not yet; -errno: failed */
{
    return c->ops->ready(c);
}

ssize_t conn_recv_unread(struct conn *c, void *to, size_t room);
static inline ssize_t conn_recv(struct conn *c, void *to, size_t room) /* > 0, 0: end, -EAGAIN, -errno; room > 0 */
{
    if (__builtin_expect(c->unread != NULL, 0))
        return conn_recv_unread(c, to, room);
    return c->ops->recv(c, to, room);
}

static inline ssize_t conn_send(struct conn *c, const struct iovec *iov, int n_iov) /* bytes taken, -EAGAIN, -errno */
{
    return c->ops->send(c, iov, n_iov);
}

ssize_t conn_recv_buf(struct conn *c, struct buf *b, size_t at_least); /* appends; results as conn_recv */
ssize_t conn_send_view(struct conn *c, struct view v);                 /* results as conn_send */
int conn_send_buf(struct conn *c, struct buf *b); /* drops what was taken; 0: all gone, -EAGAIN: a rest waits, -errno */

static inline int conn_shutdown(struct conn *c) /* half-close; repeated calls are harmless */
{
    return c->ops->shutdown(c);
}

void conn_close(struct conn *c); /* frees; NULL is allowed. Accepted bytes are still delivered (as close(2)) */
void conn_abort(struct conn *c); /* the same, but the peer sees a reset */

/* Puts bytes back in front of what is to be read (protocol sniffing); may be repeated. */
void conn_unread(struct conn *c, struct view bytes);

const struct addr *conn_local(struct conn *c);  /* ADDR_NONE when unknown */
const struct addr *conn_remote(struct conn *c); /* peer */
/* Where the peer wanted to connect to before iptables redirected it here; -ENOENT when not redirected. */
int conn_original_dst(struct conn *c, struct addr *ret_addr) must_check;

/* What was received is acknowledged at once, not up to 40 ms later (TCP_QUICKACK): for a peer whose kernel holds the rest
 * of a message back until then (Nagle), as after a head written apart from its body. One system call on a socket. */
static inline void conn_acknowledge(struct conn *c)
{
    if (c->ops->acknowledge)
        c->ops->acknowledge(c);
}

static inline int conn_error(const struct conn *c)
{
    return c->error;
}
/* A sentence for logs (%UPSTREAM_TRANSPORT_FAILURE_REASON%): "delayed connect error: Connection refused"; empty when
 * nothing failed. Valid until conn_close. */
struct view conn_error_text(const struct conn *c);

/* The pid of the process at the other end of a Unix socket, or -errno. */
int conn_peer_pid(struct conn *c, pid_t *ret_pid) must_check;
