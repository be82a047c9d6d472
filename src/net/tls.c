// SPDX-License-Identifier: Apache-2.0
/* TLS over a conn (tls.h). The record layer works on memory only; between it and the connection below stand two scratch
 * areas of the loop, so that one recv brings many records, many records leave with one send, and an idle connection
 * keeps no buffer.
 *
 * The box's own task owns the connection below: it shakes hands, and sends what the connection below did not take at
 * once. What its owner sees are the same edges as of a socket.
 */
#include "net/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <string.h>

#include "base/limits.h"
#include "net/tls_impl.h"
#include "net/tls_share.h"

#define TLS_IN_BYTES (32 * 1024)
#define TLS_RECORD_BYTES (16 * 1024)
#define TLS_LINGER (5 * NS_PER_S)

struct tls_conn {
    struct tls_box box;
    SSL *ssl;
    struct view in; /* ciphertext not yet read: in the loop's scratch area during a call, else in `held` */
    struct buf held, out;
    bool lower_ended, ended, blocked, shut, shut_sent;
    struct lingerer lingerer;
};

static const struct conn_ops tls_ops;

static struct tls_conn *tls_of(const struct conn *c)
{
    return CONTAINER_OF(c, struct tls_conn, box.conn);
}

/* ---- between the record layer and the connection below ---- */

static int bio_read(BIO *b, char *to, int room)
{
    struct tls_conn *t = BIO_get_data(b);
    struct loop *l = t->box.conn.loop;
    BIO_clear_retry_flags(b);
    if (t->in.n == 0 && !t->lower_ended) {
        buf_clear(&t->held);
        if (!l->tls_in)
            l->tls_in = mem_alloc(TLS_IN_BYTES);
        ssize_t n = conn_recv(t->box.conn.lower, l->tls_in, TLS_IN_BYTES);
        if (n > 0)
            t->in = view_make(l->tls_in, (size_t)n);
        else if (n == -EAGAIN)
            BIO_set_retry_read(b);
        else if (n == 0)
            t->lower_ended = true;
        if (n <= 0)
            return n == 0 ? 0 : -1;
    }
    size_t n = t->in.n < (size_t)room ? t->in.n : (size_t)room;
    if (n)
        memcpy(to, t->in.p, n);
    t->in = view_from(t->in, n);
    return (int)n;
}

static int bio_write(BIO *b, const char *bytes, int n)
{
    struct tls_conn *t = BIO_get_data(b);
    BIO_clear_retry_flags(b);
    buf_view(&t->box.conn.loop->tls_out, view_make(bytes, (size_t)n));
    return n;
}

static long bio_ctrl(BIO *b, int cmd, long num, void *arg)
{
    struct tls_conn *t = BIO_get_data(b);
    return cmd == BIO_CTRL_FLUSH || cmd == BIO_CTRL_DUP ? 1 : cmd == BIO_CTRL_EOF ? t->lower_ended : 0;
}

BIO_METHOD *tls_bio_new(void)
{
    BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "conn");
    must(m != NULL);
    BIO_meth_set_read(m, bio_read);
    BIO_meth_set_write(m, bio_write);
    BIO_meth_set_ctrl(m, bio_ctrl);
    return m;
}

/* After each use of the record layer: ciphertext that was not read moves out of the scratch area, what was written
 * leaves. */
static void settle(struct tls_conn *t)
{
    struct buf *made = &t->box.conn.loop->tls_out;
    bool in_held = t->held.data && t->in.p >= t->held.data && t->in.p < t->held.data + t->held.cap;
    if (t->in.n == 0) {
        buf_done(&t->held);
        t->in = VIEW_NONE;
    } else if (!in_held) {
        buf_clear(&t->held);
        buf_view(&t->held, t->in);
        t->in = buf_read(&t->held);
    }
    if (buf_len(made) == 0)
        return;
    if (buf_len(&t->out) == 0) {
        int r = conn_send_buf(t->box.conn.lower, made);
        if (r < 0 && r != -EAGAIN)
            buf_clear(made); /* the owner learns it from its next call */
    }
    if (buf_len(made)) {
        buf_view(&t->out, buf_read(made));
        buf_clear(made);
    }
}

static void flush_out(struct tls_conn *t)
{
    if (buf_len(&t->out) == 0)
        return;
    int r = conn_send_buf(t->box.conn.lower, &t->out);
    if (r < 0 && r != -EAGAIN) {
        buf_clear(&t->out);
        tls_box_fail(&t->box, r, VIEW_NONE);
    }
    if (buf_len(&t->out) == 0)
        buf_done(&t->out);
}

/* Why the record layer gave up, in words; what the peer's rules said wins over the library's reason. */
static void fail_ssl(struct tls_conn *t)
{
    struct view why = buf_read(&t->box.why);
    int below = conn_error(t->box.conn.lower);
    if (below) {
        tls_box_fail(&t->box, below, VIEW_NONE);
    } else if (why.n) {
        tls_box_fail(&t->box, -EPROTO, why);
    } else if (t->lower_ended && !t->box.established) {
        tls_box_fail(&t->box, -ECONNRESET, VIEW("the peer closed the connection during the handshake"));
    } else {
        const char *reason = ERR_reason_error_string(ERR_peek_last_error());
        tls_box_fail(&t->box, -EPROTO, view_of(reason ? reason : "protocol error"));
    }
    ERR_clear_error();
}

/* ---- the handshake ---- */

static void established(struct tls_conn *t)
{
    const unsigned char *alpn;
    unsigned n;
    struct tls_box *b = &t->box;
    SSL_get0_alpn_selected(t->ssl, &alpn, &n);
    if (n) {
        b->alpn = mem_alloc(n + 1);
        memcpy(b->alpn, alpn, n);
    }
    if (b->x->server) {
        const char *name = SSL_get_servername(t->ssl, TLSEXT_NAMETYPE_host_name);
        if (name) {
            size_t length = strlen(name);
            b->sni = mem_alloc(length + 1);
            memcpy(b->sni, name, length);
        }
    }
    tls_box_established(b, SSL_get_version(t->ssl), SSL_get_cipher_name(t->ssl));
}

static void shake_hands(struct tls_conn *t)
{
    int r = conn_ready(t->box.conn.lower);
    if (r == -EAGAIN)
        return;
    if (r < 0) {
        tls_box_fail(&t->box, r, VIEW_NONE);
        return;
    }
    ERR_clear_error();
    tls_share_begin(t->box.conn.loop->tls_share);
    r = SSL_do_handshake(t->ssl);
    tls_share_end();
    int error = r == 1 ? SSL_ERROR_NONE : SSL_get_error(t->ssl, r);
    settle(t); /* an alert, too */
    if (error == SSL_ERROR_NONE)
        established(t);
    else if (error != SSL_ERROR_WANT_READ)
        fail_ssl(t);
}

/* ---- the box ---- */

static void send_close_notify(struct tls_conn *t)
{
    if (t->shut_sent || !t->box.established || t->box.conn.error)
        return;
    t->shut_sent = true;
    ERR_clear_error();
    SSL_shutdown(t->ssl);
    ERR_clear_error();
    settle(t);
}

static void tls_destroy(struct tls_conn *t, bool reset)
{
    struct conn *lower = t->box.conn.lower;
    list_del(&t->lingerer.link);
    SSL_free(t->ssl);
    ERR_clear_error();
    buf_done(&t->held);
    buf_done(&t->out);
    struct loop *l = t->box.conn.loop;
    tls_box_done(&t->box);
    pool_give(loop_pool(l, sizeof(*t)), t);
    if (reset)
        conn_abort(lower);
    else
        conn_close(lower);
}

static void tls_run(struct task *task, uint32_t events)
{
    struct tls_conn *t = CONTAINER_OF(task, struct tls_conn, box.task);
    struct tls_box *b = &t->box;
    bool lingering = !list_empty(&t->lingerer.link);
    if (events & TLS_BIT_LATE) {
        if (lingering) {
            tls_destroy(t, true);
            return;
        }
        if (!b->established)
            tls_box_fail(b, -ETIMEDOUT, VIEW("handshake timeout"));
    }
    if (b->conn.error && !lingering)
        return;
    flush_out(t);
    if (lingering) {
        if (buf_len(&t->out) == 0)
            tls_destroy(t, false);
        return;
    }
    if (!b->established) {
        shake_hands(t);
        return;
    }
    if (buf_len(&t->out) == 0) {
        if (t->shut) {
            send_close_notify(t);
            if (buf_len(&t->out) == 0)
                conn_shutdown(b->conn.lower);
        }
        if (t->blocked) {
            t->blocked = false;
            conn_wake_out(&b->conn);
        }
    }
    if (events & TLS_BIT_IN)
        conn_wake_in(&b->conn);
}

static ssize_t tls_recv(struct conn *c, void *to, size_t room)
{
    struct tls_conn *t = tls_of(c);
    size_t got = 0;
    int error = SSL_ERROR_NONE;
    if (!t->box.established || t->ended)
        return c->error ? c->error : t->ended ? 0 : -EAGAIN;
    ERR_clear_error();
    while (got < room && error == SSL_ERROR_NONE) {
        int n = SSL_read(t->ssl, (char *)to + got, (int)(room - got > INT32_MAX ? INT32_MAX : room - got));
        if (n > 0)
            got += (size_t)n;
        else
            error = SSL_get_error(t->ssl, n);
    }
    bool notified = (SSL_get_shutdown(t->ssl) & SSL_RECEIVED_SHUTDOWN) != 0 && !t->lower_ended;
    settle(t);
    c->bytes_in += got;
    switch (error) {
    case SSL_ERROR_NONE:
    case SSL_ERROR_WANT_READ:
        break;
    case SSL_ERROR_ZERO_RETURN:
        t->ended = true;
        t->box.info.truncated = !notified;
        break;
    default:
        if (t->lower_ended && !conn_error(c->lower)) {
            t->ended = true;
            t->box.info.truncated = true;
        } else {
            fail_ssl(t);
        }
    }
    if (got)
        return (ssize_t)got; /* an end or failure is told by the next call */
    return c->error ? c->error : t->ended ? 0 : -EAGAIN;
}

/* Small pieces become one record, large ones go as they are. Returns what was taken, or -1. */
static ssize_t write_records(struct tls_conn *t, const struct iovec *iov, int n_iov)
{
    size_t taken = 0;
    for (int i = 0; i < n_iov && taken < LIMIT_TLS_SEND_BYTES;) {
        char gathered[TLS_RECORD_BYTES];
        const char *bytes = iov[i].iov_base;
        size_t n = iov[i].iov_len;
        if (n < TLS_RECORD_BYTES && i + 1 < n_iov) {
            for (n = 0; i < n_iov && n + iov[i].iov_len <= sizeof(gathered); i++) {
                memcpy(gathered + n, iov[i].iov_base, iov[i].iov_len);
                n += iov[i].iov_len;
            }
            bytes = gathered;
        } else {
            i++;
        }
        if (n > LIMIT_TLS_SEND_BYTES - taken) {
            n = LIMIT_TLS_SEND_BYTES - taken;
            i = n_iov;
        }
        while (n) {
            int wrote = SSL_write(t->ssl, bytes, (int)n);
            if (wrote <= 0)
                return -1;
            bytes += wrote;
            n -= (size_t)wrote;
            taken += (size_t)wrote;
        }
    }
    return (ssize_t)taken;
}

static ssize_t tls_send(struct conn *c, const struct iovec *iov, int n_iov)
{
    struct tls_conn *t = tls_of(c);
    if (c->error)
        return c->error;
    if (t->shut)
        return -EPIPE;
    if (!t->box.established || buf_len(&t->out)) {
        t->blocked = true;
        return -EAGAIN;
    }
    size_t offered = 0;
    for (int i = 0; i < n_iov; i++)
        offered += iov[i].iov_len;
    ERR_clear_error();
    ssize_t taken = write_records(t, iov, n_iov);
    settle(t);
    if (taken < 0) {
        fail_ssl(t);
        return c->error;
    }
    int below = conn_error(c->lower);
    if (below) {
        tls_box_fail(&t->box, below, VIEW_NONE);
        return c->error;
    }
    c->bytes_out += (size_t)taken;
    if ((size_t)taken < offered) { /* as a socket: short means that there will be an edge */
        t->blocked = true;
        if (buf_len(&t->out) == 0)
            task_wake(&t->box.task, TLS_BIT_OUT);
    }
    return taken;
}

static int tls_shutdown(struct conn *c)
{
    struct tls_conn *t = tls_of(c);
    if (!t->shut) {
        t->shut = true;
        task_wake(&t->box.task, TLS_BIT_OUT);
    }
    return 0;
}

static void linger_end(struct lingerer *g)
{
    tls_destroy(CONTAINER_OF(g, struct tls_conn, lingerer), true);
}

static void tls_close(struct conn *c, bool reset)
{
    struct tls_conn *t = tls_of(c);
    if (!reset)
        send_close_notify(t);
    if (reset || c->error || !t->box.established || buf_len(&t->out) == 0) {
        tls_destroy(t, reset);
        return;
    }
    c->owner = NULL; /* what was taken is still sent */
    list_push(&c->loop->lingerers, &t->lingerer.link);
    timer_in(&t->box.timer, TLS_LINGER);
}

static int tls_ready(struct conn *c)
{
    return c->error ? c->error : tls_of(c)->box.established ? 0 : -EAGAIN;
}

static void tls_owned(struct conn *c)
{
    struct tls_conn *t = tls_of(c);
    if (c->error || t->box.established) {
        conn_wake_in(c);
        conn_wake_out(c);
    }
}

static const struct conn_ops tls_ops = {
    .name = "tls",
    .recv = tls_recv,
    .send = tls_send,
    .shutdown = tls_shutdown,
    .close = tls_close,
    .ready = tls_ready,
    .owned = tls_owned,
    .error_text = tls_box_error_text,
    .tls = tls_box_info,
};

static int tls_start(struct tls_context *x, struct conn *lower, const struct tls_options *options,
                     struct conn **ret_conn)
{
    static const struct tls_options none;
    const struct tls_options *o = options ? options : &none;
    if (loop_simulated(lower->loop))
        return tls_sim_start(x, lower, o, ret_conn);
    struct buf alpn = {0};
    if (tls_alpn_wire(o->alpn, o->n_alpn, &alpn) < 0) {
        buf_done(&alpn);
        return -EINVAL;
    }
    if (!lower->loop->tls_share)
        lower->loop->tls_share = tls_share_new();
    SSL *ssl = SSL_new(x->ctx);
    BIO *bio = BIO_new(x->bio);
    must(ssl && bio);
    struct tls_conn *t = pool_take(loop_pool(lower->loop, sizeof(*t)));
    *t = (struct tls_conn){.ssl = ssl};
    list_init(&t->lingerer.link);
    t->lingerer.end = linger_end;
    tls_box_init(&t->box, x, &tls_ops, lower, tls_run, o);
    BIO_set_data(bio, t);
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl, bio, bio);
    SSL_set_app_data(ssl, &t->box);
    if (x->server) {
        SSL_set_accept_state(ssl);
    } else {
        SSL_set_connect_state(ssl);
        if (t->box.sni)
            SSL_set_tlsext_host_name(ssl, t->box.sni);
        if (buf_len(&alpn))
            SSL_set_alpn_protos(ssl, (const unsigned char *)buf_read(&alpn).p, (unsigned)buf_len(&alpn));
    }
    buf_done(&alpn);
    conn_own(lower, &t->box.task, TLS_BIT_IN, TLS_BIT_OUT);
    task_wake(&t->box.task, TLS_BIT_IN);
    *ret_conn = &t->box.conn;
    return 0;
}

int tls_accept(struct tls_context *x, struct conn *lower, const struct tls_options *options, struct conn **ret_conn)
{
    must(x->server);
    return tls_start(x, lower, options, ret_conn);
}

int tls_connect(struct tls_context *x, struct conn *lower, const struct tls_options *options, struct conn **ret_conn)
{
    must(!x->server);
    return tls_start(x, lower, options, ret_conn);
}
