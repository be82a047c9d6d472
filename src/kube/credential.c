// SPDX-License-Identifier: Apache-2.0
/* Tokens and certificates (credential.h). A file that cannot be read now leaves what was read before in use. */
#include "kube/credential.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/limits.h"
#include "kube/exec.h"
#include "kube/link.h"
#include "net/loop.h"

#define TOKEN_LOOK (60 * NS_PER_S) /* how old what we know of a token file may be */
#define REFUSED_LOOK (NS_PER_S)    /* and when the server refuses what it held */

/* ---- the token ---- */

static bool is_token(struct view t)
{
    for (size_t i = 0; i < t.n; i++)
        if ((unsigned char)t.p[i] <= ' ' || (unsigned char)t.p[i] >= 0x7f)
            return false;
    return t.n > 0 && t.n <= LIMIT_JWT_BYTES;
}

static void set_token(struct kube_client *c, struct view token)
{
    struct credential *k = &c->credential;
    if (k->header.data && view_eq(view_from(buf_read(&k->header), 7), token))
        return;
    buf_wipe(&k->header);
    buf_str(&k->header, "Bearer ");
    buf_view(&k->header, token);
    k->generation++;
}

static void look(struct kube_client *c)
{
    struct buf text = {0};
    c->credential.read_at = loop_now(c->loop);
    if (c->config.token_file.n && file_read(c->config.token_file, LIMIT_JWT_BYTES, &text) == 0) {
        struct view t = buf_read(&text);
        while (t.n && (unsigned char)t.p[t.n - 1] <= ' ')
            t.n--;
        if (is_token(t))
            set_token(c, t);
    }
    buf_wipe(&text);
    if (!c->credential.header.data && is_token(c->config.token))
        set_token(c, c->config.token);
}

int credential_header(struct kube_client *c, struct view *ret)
{
    struct credential *k = &c->credential;
    if (c->config.exec) {
        struct view token;
        int err = kube_exec_token(c, &token);
        if (err)
            return err;
        if (is_token(token))
            set_token(c, token);
    } else if (!k->read_at || (c->config.token_file.n && loop_now(c->loop) - k->read_at >= TOKEN_LOOK)) {
        look(c);
    }
    *ret = buf_read(&k->header);
    return 0;
}

bool credential_refused(struct kube_client *c, uint64_t generation)
{
    struct credential *k = &c->credential;
    if (k->generation != generation)
        return true; /* another exchange has found the new one */
    if (c->config.exec)
        return kube_exec_refused(c);
    if (c->config.token_file.n && loop_now(c->loop) - k->read_at >= REFUSED_LOOK)
        look(c);
    return k->generation != generation;
}

/* ---- certificates ---- */

struct pems {
    struct buf ca, cert, key;
};

static int pem(struct view file, struct view text, struct buf *out)
{
    if (!file.n) {
        buf_view(out, text);
        return 0;
    }
    return file_read(file, LIMIT_YAML_BYTES, out);
}

static int read_pems(struct kube_client *c, struct pems *p, const char **ret_why)
{
    const struct kube_config *g = &c->config;
    const struct {
        struct view file, text;
        struct buf *out;
        const char *why;
    } rows[] = {
        {g->ca_file, g->ca_pem, &p->ca, "the file with the cluster's certificate authority cannot be read"},
        {g->cert_file, g->cert_pem, &p->cert, "the file with our client certificate cannot be read"},
        {g->key_file, g->key_pem, &p->key, "the file with our client key cannot be read"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        int err = pem(rows[i].file, rows[i].text, rows[i].out);
        if (err) {
            *ret_why = rows[i].why;
            return err;
        }
    }
    if (g->exec && kube_exec_cert(c).n) {
        buf_clear(&p->cert);
        buf_view(&p->cert, kube_exec_cert(c));
        buf_clear(&p->key);
        buf_view(&p->key, kube_exec_key(c));
    }
    return 0;
}

static int make_context(struct kube_client *c, const struct pems *p, const char **ret_why)
{
    static const struct view alpn[] = {{"h2", 2}, {"http/1.1", 8}};
    struct tls_config t = {.alpn = alpn, .n_alpn = 2};
    struct tls_context *x = NULL;
    struct view ca = buf_read(&p->ca);
    int err = 0;

    if (!c->config.insecure)
        err = ca.n ? tls_trust_new(&ca, 1, &t.trust, ret_why) : tls_trust_new_system(&t.trust, ret_why);
    if (!err && buf_len(&p->cert))
        err = tls_identity_new(buf_read(&p->cert), buf_read(&p->key), &t.identity, ret_why);
    if (!err)
        err = tls_context_new(c->loop, &t, &x, ret_why);
    if (!err) {
        tls_context_free(c->context);
        c->context = x;
    }
    tls_trust_unref(t.trust);
    tls_identity_unref(t.identity);
    return err;
}

int credential_tls(struct kube_client *c, const char **ret_why)
{
    struct pems p = {0};
    int err = read_pems(c, &p, ret_why);
    uint64_t hash = view_hash(buf_read(&p.ca)) ^ 3 * view_hash(buf_read(&p.cert)) ^ 5 * view_hash(buf_read(&p.key));

    if (!err && (!c->context || hash != c->context_hash))
        err = make_context(c, &p, ret_why);
    if (!err)
        c->context_hash = hash;
    buf_done(&p.ca);
    buf_done(&p.cert);
    buf_wipe(&p.key);
    return err && c->context ? 0 : err; /* a file that is just being replaced: with what we had */
}

void credential_done(struct kube_client *c)
{
    kube_exec_done(c);
    buf_wipe(&c->credential.header);
    tls_context_free(c->context);
}
