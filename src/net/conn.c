// SPDX-License-Identifier: Apache-2.0
/* What all boxes share: owners, push-back, sending from buffers (conn.h). */
#include "net/conn.h"

#include <string.h>

#include "net/loop_impl.h"

void conn_init(struct conn *c, const struct conn_ops *ops, struct loop *l)
{
    *c = (struct conn){.ops = ops, .loop = l};
}

void conn_done(struct conn *c)
{
    mem_free(c->unread);
    c->unread = NULL;
    c->owner = NULL;
}

int conn_fail(struct conn *c, int error)
{
    if (!c->error)
        c->error = error;
    return error;
}

int conn_connect(struct loop *l, const struct addr *to, const struct conn_options *options, struct conn **ret_conn)
{
    static const struct conn_options none;
    return l->ops->connect(l, to, options ? options : &none, ret_conn);
}

int conn_pair(struct loop *l, struct conn **ret_a, struct conn **ret_b)
{
    return l->ops->pair(l, ret_a, ret_b);
}

void conn_own(struct conn *c, struct task *owner, uint32_t in_bits, uint32_t out_bits)
{
    c->owner = owner;
    c->in_bits = in_bits;
    c->out_bits = out_bits;
    if (!owner)
        return;
    if (c->unread)
        conn_wake_in(c);
    if (c->ops->owned)
        c->ops->owned(c);
}

ssize_t conn_recv_unread(struct conn *c, void *to, size_t room)
{
    size_t n = c->unread_end - c->unread_at;
    if (n > room)
        n = room;
    memcpy(to, c->unread + c->unread_at, n);
    c->unread_at += (uint32_t)n;
    if (c->unread_at == c->unread_end) {
        mem_free(c->unread);
        c->unread = NULL;
    }
    return (ssize_t)n;
}

void conn_unread(struct conn *c, struct view bytes)
{
    if (bytes.n == 0)
        return;
    size_t kept = c->unread ? c->unread_end - c->unread_at : 0;
    char *all = mem_alloc(bytes.n + kept);
    memcpy(all, bytes.p, bytes.n);
    if (kept)
        memcpy(all + bytes.n, c->unread + c->unread_at, kept);
    mem_free(c->unread);
    c->unread = all;
    c->unread_at = 0;
    c->unread_end = (uint32_t)(bytes.n + kept);
    conn_wake_in(c);
}

ssize_t conn_recv_buf(struct conn *c, struct buf *b, size_t at_least)
{
    size_t room;
    char *to = buf_room(b, at_least, &room);
    ssize_t n = conn_recv(c, to, room);
    if (n > 0)
        buf_added(b, (size_t)n);
    return n;
}

ssize_t conn_send_view(struct conn *c, struct view v)
{
    struct iovec iov = {.iov_base = (void *)(uintptr_t)v.p, .iov_len = v.n};
    return conn_send(c, &iov, 1);
}

int conn_send_buf(struct conn *c, struct buf *b)
{
    while (buf_len(b)) {
        ssize_t n = conn_send_view(c, buf_read(b));
        if (n < 0)
            return (int)n;
        buf_drop(b, (size_t)n);
    }
    return 0;
}

void conn_close(struct conn *c)
{
    if (c)
        c->ops->close(c, false);
}

void conn_abort(struct conn *c)
{
    if (c)
        c->ops->close(c, true);
}

static const struct addr addr_unknown;

const struct addr *conn_local(struct conn *c)
{
    return c->ops->local ? c->ops->local(c) : c->lower ? conn_local(c->lower) : &addr_unknown;
}

const struct addr *conn_remote(struct conn *c)
{
    return c->ops->remote ? c->ops->remote(c) : c->lower ? conn_remote(c->lower) : &addr_unknown;
}

int conn_original_dst(struct conn *c, struct addr *ret_addr)
{
    return c->ops->original_dst ? c->ops->original_dst(c, ret_addr)
           : c->lower           ? conn_original_dst(c->lower, ret_addr)
                                : -ENOENT;
}

struct view conn_error_text(const struct conn *c)
{
    struct view text = c->ops->error_text ? c->ops->error_text(c) : VIEW_NONE;
    return text.n || !c->lower ? text : conn_error_text(c->lower);
}

int acceptor_open(struct loop *l, const struct addr *at, const struct acceptor_options *options, struct task *owner,
                  uint32_t bits, struct acceptor **ret_acceptor)
{
    static const struct acceptor_options none;
    struct acceptor *a;
    int r = l->ops->listen(l, at, options ? options : &none, &a);
    if (r < 0)
        return r;
    a->owner = owner;
    a->bits = bits;
    *ret_acceptor = a;
    return 0;
}

int acceptor_accept(struct acceptor *a, struct conn **ret_conn)
{
    return a->ops->accept(a, ret_conn);
}

const struct addr *acceptor_addr(const struct acceptor *a)
{
    return &a->addr;
}

struct acceptor *acceptor_close(struct acceptor *a)
{
    if (a)
        a->ops->close(a);
    return NULL;
}
