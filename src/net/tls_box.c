// SPDX-License-Identifier: Apache-2.0
/* What the TLS box and its simulated twin share: set-up, the result of the handshake, failures (tls_impl.h). */
#include <errno.h>

#include "net/tls_impl.h"

#define TLS_HANDSHAKE_TIMEOUT (10 * NS_PER_S)

void tls_box_init(struct tls_box *b, struct tls_context *x, const struct conn_ops *ops, struct conn *lower, task_fn run,
                  const struct tls_options *o)
{
    *b = (struct tls_box){
        .x = tls_context_ref(x), .sans = o->sans, .n_sans = o->n_sans, .identity = tls_identity_ref(x->identity)};
    conn_init(&b->conn, ops, lower->loop);
    b->conn.lower = lower;
    task_init(&b->task, lower->loop, run, "tls");
    timer_init(&b->timer, &b->task, TLS_BIT_LATE);
    timer_in(&b->timer, o->timeout ? o->timeout : TLS_HANDSHAKE_TIMEOUT);
    if (o->sni.n)
        b->sni = view_dup(o->sni);
}

void tls_box_done(struct tls_box *b)
{
    timer_done(&b->timer);
    task_done(&b->task);
    conn_done(&b->conn);
    tls_names_unref(b->peer);
    tls_identity_unref(b->identity);
    mem_free(b->sni);
    mem_free(b->alpn);
    buf_done(&b->why);
    tls_context_unref(b->x);
}

void tls_box_established(struct tls_box *b, const char *version, const char *cipher)
{
    const struct tls_names *p = b->peer;
    b->established = true;
    timer_done(&b->timer);
    b->sans = NULL;
    b->n_sans = 0;
    b->info = (struct tls_info){
        .local = b->identity ? tls_identity_spiffe(b->identity) : VIEW_NONE,
        .alpn = view_of(b->alpn),
        .sni = view_of(b->sni),
        .version = version,
        .cipher = cipher,
        .verified = b->verified,
    };
    if (p) {
        b->info.spiffe = p->spiffe;
        b->info.uris = p->uris;
        b->info.n_uris = p->n_uris;
        b->info.dns = p->dns;
        b->info.n_dns = p->n_dns;
        b->info.subject = p->subject;
        b->info.hash = p->hash;
        b->info.not_after = p->not_after;
    }
    conn_wake_in(&b->conn);
    conn_wake_out(&b->conn);
}

void tls_box_fail(struct tls_box *b, int error, struct view why)
{
    if (b->conn.error)
        return;
    conn_fail(&b->conn, error);
    timer_done(&b->timer);
    if (why.n) {
        struct buf text = {0};
        buf_str(&text, "TLS error: ");
        buf_view(&text, why);
        buf_done(&b->why);
        b->why = text;
    } else {
        buf_clear(&b->why);
    }
    conn_wake_in(&b->conn);
    conn_wake_out(&b->conn);
}

struct view tls_box_error_text(const struct conn *c)
{
    return buf_read(&CONTAINER_OF(c, struct tls_box, conn)->why);
}

const struct tls_info *tls_box_info(const struct conn *c)
{
    const struct tls_box *b = CONTAINER_OF(c, struct tls_box, conn);
    return b->established ? &b->info : NULL;
}

const struct tls_info *tls_info(const struct conn *c)
{
    for (; c; c = c->lower)
        if (c->ops->tls)
            return c->ops->tls(c);
    return NULL;
}
