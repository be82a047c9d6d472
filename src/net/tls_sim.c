// SPDX-License-Identifier: Apache-2.0
/* TLS in the simulation: the same interface, the same identities, the same rules, and no cryptography, so that a seed
 * decides everything.
 *
 * The client's first bytes are a real ClientHello record with SNI and ALPN, so that sniffing works; a private extension
 * carries its certificates. The server answers with a record of its own: chosen ALPN, certificates, or a refusal with
 * the reason; the client ends with one that accepts or refuses the server. The first two are padded to whole kilobytes: signatures vary in length from run to run, timing must not. After
 * that, bytes pass as they are.
 */
#include <errno.h>
#include <string.h>

#include "base/limits.h"
#include "net/tls_impl.h"

#define SIM_HELLO_BYTES 4096 /* of the certificates, padded */
#define SIM_EXTENSION 0xfe57

struct sim_tls {
    struct tls_box box;
    struct buf in;
    bool said_hello, heard_hello, blocked, shut;
};

static const struct conn_ops sim_tls_ops;

static struct sim_tls *sim_tls_of(const struct conn *c)
{
    return CONTAINER_OF(c, struct sim_tls, box.conn);
}

/* ---- the two messages ---- */

static void add_certs(struct buf *out, struct tls_identity *i)
{
    struct buf certs = {0};
    int n = i ? 1 + sk_X509_num(i->chain) : 0;
    for (int k = 0; k < n; k++) {
        unsigned char *der = NULL;
        int der_n = i2d_X509(k ? sk_X509_value(i->chain, k - 1) : i->leaf, &der);
        must(der_n > 0);
        buf_be16(&certs, (uint16_t)der_n);
        buf_view(&certs, view_make(der, (size_t)der_n));
        OPENSSL_free(der);
    }
    buf_be16(&certs, 0);
    must(buf_len(&certs) <= SIM_HELLO_BYTES);
    while (buf_len(&certs) < SIM_HELLO_BYTES)
        buf_char(&certs, 0);
    buf_view(out, buf_read(&certs));
    buf_done(&certs);
}

static void add_extension(struct buf *out, uint16_t type, struct view body)
{
    buf_be16(out, type);
    buf_be16(out, (uint16_t)body.n);
    buf_view(out, body);
}

static void add_be24(struct buf *out, size_t n)
{
    buf_char(out, (char)(n >> 16));
    buf_be16(out, (uint16_t)n);
}

static void client_hello(struct tls_box *b, struct view alpn, struct buf *out)
{
    struct buf ext = {0}, part = {0}, body = {0};
    if (b->sni) {
        size_t n = strlen(b->sni);
        buf_be16(&part, (uint16_t)(n + 3));
        buf_char(&part, 0);
        buf_be16(&part, (uint16_t)n);
        buf_str(&part, b->sni);
        add_extension(&ext, 0, buf_read(&part));
        buf_clear(&part);
    }
    if (alpn.n) {
        buf_be16(&part, (uint16_t)alpn.n);
        buf_view(&part, alpn);
        add_extension(&ext, 16, buf_read(&part));
        buf_clear(&part);
    }
    add_extension(&ext, 43, VIEW("\x02\x03\x04"));
    add_certs(&part, b->identity);
    add_extension(&ext, SIM_EXTENSION, buf_read(&part));
    buf_be16(&body, 0x0303);
    for (int i = 0; i < 8; i++)
        buf_be32(&body, (uint32_t)rng_next(loop_rng(b->conn.loop)));
    buf_view(&body, view_make("\0\0\2\x13\1\1\0", 7)); /* no session, one suite, no compression */
    buf_be16(&body, (uint16_t)buf_len(&ext));
    buf_view(&body, buf_read(&ext));
    buf_view(out, VIEW("\x16\x03\x01"));
    buf_be16(out, (uint16_t)(buf_len(&body) + 4));
    buf_char(out, 1);
    add_be24(out, buf_len(&body));
    buf_view(out, buf_read(&body));
    buf_done(&ext);
    buf_done(&part);
    buf_done(&body);
}

/* record: refused (1 byte), ALPN (1 byte length), reason (2 bytes length), certificates */
static void server_hello(struct tls_box *b, bool refused, struct buf *out)
{
    struct buf body = {0};
    struct view alpn = view_of(b->alpn), why = refused ? buf_read(&b->why) : VIEW_NONE;
    buf_char(&body, refused);
    buf_char(&body, (char)alpn.n);
    buf_view(&body, alpn);
    buf_be16(&body, (uint16_t)why.n);
    buf_view(&body, why);
    add_certs(&body, b->identity);
    buf_view(out, VIEW("\x16\x03\x03"));
    buf_be16(out, (uint16_t)buf_len(&body));
    buf_view(out, buf_read(&body));
    buf_done(&body);
}

static bool take(struct view *rest, size_t n, struct view *ret_part)
{
    if (rest->n < n)
        return false;
    *ret_part = view_head(*rest, n);
    *rest = view_from(*rest, n);
    return true;
}

static bool take_sized(struct view *rest, int size_bytes, struct view *ret_part)
{
    struct view head;
    size_t n = 0;
    if (!take(rest, (size_t)size_bytes, &head))
        return false;
    for (int i = 0; i < size_bytes; i++)
        n = n << 8 | (uint8_t)head.p[i];
    return take(rest, n, ret_part);
}

/* ---- judging the peer ---- */

static bool check_certs(struct tls_box *b, struct view certs)
{
    struct tls_context *x = b->x;
    struct view der;
    X509 *leaf = NULL;
    STACK_OF(X509) *others = sk_X509_new_null();
    while (take_sized(&certs, 2, &der) && der.n) {
        const unsigned char *at = (const unsigned char *)der.p;
        X509 *cert = d2i_X509(NULL, &at, (long)der.n);
        if (!cert)
            break;
        if (!leaf)
            leaf = cert;
        else
            sk_X509_push(others, cert);
    }
    const char *why = NULL;
    if (!leaf && (!x->server || x->client_cert == TLS_CLIENT_REQUIRED))
        why = "the peer did not return a certificate";
    if (leaf && !(x->server && x->client_cert == TLS_CLIENT_NONE)) {
        X509_STORE_CTX *store = X509_STORE_CTX_new();
        must(store && X509_STORE_CTX_init(store, x->trust ? x->trust->store : NULL, leaf, others));
        X509_STORE_CTX_set_default(store, x->server ? "ssl_client" : "ssl_server");
        if (tls_verify(x, store, leaf, &b->peer, &why) == 0 && !tls_names_match(b->peer, b->sans, b->n_sans))
            why = "SAN is not the expected one";
        X509_STORE_CTX_free(store);
    }
    X509_free(leaf);
    sk_X509_pop_free(others, X509_free);
    b->verified = !why && b->peer && x->trust;
    if (why) {
        buf_clear(&b->why);
        buf_printf(&b->why, "certificate verify failed: %s", why);
    }
    return !why;
}

static bool read_client_hello(struct tls_box *b, struct view body)
{
    struct view part, ext, certs = VIEW_NONE, name;
    if (!take(&body, 4 + 2 + 32, &part) || !take_sized(&body, 1, &part) || !take_sized(&body, 2, &part) ||
        !take_sized(&body, 1, &part) || !take_sized(&body, 2, &ext))
        return false;
    while (ext.n) {
        struct view type, value;
        if (!take(&ext, 2, &type) || !take_sized(&ext, 2, &value))
            return false;
        unsigned id = (unsigned)(uint8_t)type.p[0] << 8 | (uint8_t)type.p[1];
        if (id == SIM_EXTENSION) {
            certs = value;
        } else if (id == 0) {
            if (!take(&value, 3, &part) || !take_sized(&value, 2, &name))
                return false;
            b->sni = view_dup(name);
        } else if (id == 16 && take_sized(&value, 2, &part)) {
            struct view chosen = tls_alpn_choose(buf_read(&b->x->alpn), part);
            b->alpn = chosen.n ? view_dup(chosen) : NULL;
        }
    }
    return check_certs(b, certs);
}

static bool read_server_hello(struct tls_box *b, struct view body)
{
    struct view refused, alpn, why;
    if (!take(&body, 1, &refused) || !take_sized(&body, 1, &alpn) || !take_sized(&body, 2, &why))
        return false;
    if (refused.p[0]) {
        buf_clear(&b->why);
        buf_str(&b->why, "the peer refused: ");
        buf_view(&b->why, why);
        return false;
    }
    if (alpn.n)
        b->alpn = view_dup(alpn);
    return check_certs(b, body);
}

/* ---- the box ---- */

static void fail_peer(struct sim_tls *t)
{
    struct view why = buf_read(&t->box.why);
    tls_box_fail(&t->box, -EPROTO, why.n ? why : VIEW("malformed handshake"));
}

/* record: refused (1 byte), reason (2 bytes length) */
static void client_finish(struct tls_box *b, bool refused, struct buf *out)
{
    struct view why = refused ? buf_read(&b->why) : VIEW_NONE;
    buf_view(out, VIEW("\x16\x03\x03"));
    buf_be16(out, (uint16_t)(3 + why.n));
    buf_char(out, refused);
    buf_be16(out, (uint16_t)why.n);
    buf_view(out, why);
}

static bool read_client_finish(struct tls_box *b, struct view body)
{
    struct view refused, why;
    if (!take(&body, 1, &refused) || !take_sized(&body, 2, &why))
        return false;
    if (refused.p[0]) {
        buf_clear(&b->why);
        buf_str(&b->why, "the peer refused: ");
        buf_view(&b->why, why);
    }
    return !refused.p[0];
}

/* One record of the peer: what it says, and what we answer. */
static void heard(struct sim_tls *t, struct view body)
{
    struct tls_box *b = &t->box;
    struct buf out = {0};
    bool server = b->x->server, last = !server || t->heard_hello;
    bool good = !server          ? read_server_hello(b, body)
                : t->heard_hello ? read_client_finish(b, body)
                                 : read_client_hello(b, body);
    t->heard_hello = true;
    buf_drop(&t->in, 5 + body.n);
    if (server && !last)
        server_hello(b, !good, &out);
    else if (!server)
        client_finish(b, !good, &out);
    conn_send_buf(b->conn.lower, &out); /* fits into the window of a new connection */
    buf_done(&out);
    if (!good)
        fail_peer(t);
    else if (last)
        tls_box_established(b, "TLSv1.3", "SIMULATED");
}

static void shake_hands(struct sim_tls *t)
{
    struct tls_box *b = &t->box;
    int r = conn_ready(b->conn.lower);
    if (r == -EAGAIN)
        return;
    if (r == 0 && !b->x->server && !t->said_hello) {
        struct buf out = {0};
        buf_view(&out, view_make(b->alpn, b->alpn ? strlen(b->alpn) : 0));
        struct buf hello = {0};
        client_hello(b, buf_read(&out), &hello);
        mem_free(b->alpn);
        b->alpn = NULL;
        r = conn_send_buf(b->conn.lower, &hello);
        buf_done(&hello);
        buf_done(&out);
        t->said_hello = true;
    }
    ssize_t n = 0;
    while (r == 0 && (n = conn_recv_buf(b->conn.lower, &t->in, 1024)) > 0)
        ;
    struct view got = buf_read(&t->in), head, body;
    if (take(&got, 3, &head) && head.p[0] == 0x16 && take_sized(&got, 2, &body)) {
        heard(t, body);
        if (!b->established && !b->conn.error)
            task_wake(&b->task, TLS_BIT_IN); /* more may have come with it */
    } else if (r < 0 || (n < 0 && n != -EAGAIN)) {
        tls_box_fail(b, r < 0 ? r : (int)n, VIEW_NONE);
    } else if (n == 0) {
        tls_box_fail(b, -ECONNRESET, VIEW("the peer closed the connection during the handshake"));
    } else if (buf_len(&t->in) > 3 * SIM_HELLO_BYTES || (buf_len(&t->in) && buf_read(&t->in).p[0] != 0x16)) {
        fail_peer(t);
    }
}

static void sim_tls_run(struct task *task, uint32_t events)
{
    struct sim_tls *t = CONTAINER_OF(task, struct sim_tls, box.task);
    struct tls_box *b = &t->box;
    if (b->conn.error)
        return;
    if (!b->established) {
        if (events & TLS_BIT_LATE)
            tls_box_fail(b, -ETIMEDOUT, VIEW("handshake timeout"));
        else
            shake_hands(t);
        return;
    }
    if (events & TLS_BIT_IN)
        conn_wake_in(&b->conn);
    if (t->shut)
        conn_shutdown(b->conn.lower);
    if (t->blocked && (events & TLS_BIT_OUT)) {
        t->blocked = false;
        conn_wake_out(&b->conn);
    }
}

static ssize_t sim_tls_recv(struct conn *c, void *to, size_t room)
{
    struct sim_tls *t = sim_tls_of(c);
    if (!t->box.established)
        return c->error ? c->error : -EAGAIN;
    size_t n = buf_len(&t->in);
    if (n) {
        n = n < room ? n : room;
        memcpy(to, buf_read(&t->in).p, n);
        buf_drop(&t->in, n);
    } else {
        ssize_t r = conn_recv(c->lower, to, room);
        if (r <= 0)
            return r < 0 && r != -EAGAIN ? conn_fail(c, (int)r) : r;
        n = (size_t)r;
    }
    c->bytes_in += n;
    return (ssize_t)n;
}

static ssize_t sim_tls_send(struct conn *c, const struct iovec *iov, int n_iov)
{
    struct sim_tls *t = sim_tls_of(c);
    if (c->error)
        return c->error;
    if (!t->box.established) {
        t->blocked = true;
        return -EAGAIN;
    }
    ssize_t n = conn_send(c->lower, iov, n_iov);
    if (n < 0 && n != -EAGAIN)
        return conn_fail(c, (int)n);
    size_t offered = 0;
    for (int i = 0; i < n_iov; i++)
        offered += iov[i].iov_len;
    t->blocked = n < 0 || (size_t)n < offered;
    if (n > 0)
        c->bytes_out += (uint64_t)n;
    return n;
}

static int sim_tls_shutdown(struct conn *c)
{
    struct sim_tls *t = sim_tls_of(c);
    t->shut = true;
    return t->box.established ? conn_shutdown(c->lower) : 0;
}

static void sim_tls_close(struct conn *c, bool reset)
{
    struct sim_tls *t = sim_tls_of(c);
    struct conn *lower = c->lower;
    buf_done(&t->in);
    tls_box_done(&t->box);
    mem_free(t);
    if (reset)
        conn_abort(lower);
    else
        conn_close(lower);
}

static int sim_tls_ready(struct conn *c)
{
    return c->error ? c->error : sim_tls_of(c)->box.established ? 0 : -EAGAIN;
}

static void sim_tls_owned(struct conn *c)
{
    if (c->error || sim_tls_of(c)->box.established) {
        conn_wake_in(c);
        conn_wake_out(c);
    }
}

static const struct conn_ops sim_tls_ops = {
    .name = "tls (simulated)",
    .recv = sim_tls_recv,
    .send = sim_tls_send,
    .shutdown = sim_tls_shutdown,
    .close = sim_tls_close,
    .ready = sim_tls_ready,
    .owned = sim_tls_owned,
    .error_text = tls_box_error_text,
    .tls = tls_box_info,
};

int tls_sim_start(struct tls_context *x, struct conn *lower, const struct tls_options *o, struct conn **ret_conn)
{
    struct buf alpn = {0};
    if (o->n_alpn == 0 && !x->server)
        buf_view(&alpn, buf_read(&x->alpn));
    if (tls_alpn_wire(o->alpn, o->n_alpn, &alpn) < 0) {
        buf_done(&alpn);
        return -EINVAL;
    }
    struct sim_tls *t = mem_alloc(sizeof(*t));
    tls_box_init(&t->box, x, &sim_tls_ops, lower, sim_tls_run, o);
    if (!x->server && buf_len(&alpn)) /* what we offer stands here until it was said */
        t->box.alpn = view_dup(buf_read(&alpn));
    buf_done(&alpn);
    conn_own(lower, &t->box.task, TLS_BIT_IN, TLS_BIT_OUT);
    task_wake(&t->box.task, TLS_BIT_IN);
    *ret_conn = &t->box.conn;
    return 0;
}
