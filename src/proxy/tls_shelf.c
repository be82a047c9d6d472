// SPDX-License-Identifier: Apache-2.0
/* TLS contexts by demand (tls_shelf.h). A demand is turned into a canonical text, which is the key. */
#include "proxy/tls_shelf.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/log.h"
#include "net/loop.h"

struct shelved {
    struct list link;
    struct tls_context *context;
    struct view identity, trust; /* names, in key */
    struct buf key;
    bool stale;         /* a secret or a file has changed: made anew at the next use, if that succeeds */
    uint64_t looked_at; /* when the files' stamp was taken */
    uint64_t stamp;     /* of the files, 0: from none */
};

#define LOOK_AT_FILES_EVERY NS_PER_S /* a renewed file may be found that late; saves system calls at each connection */

void tls_shelf_init(struct tls_shelf *s, struct loop *loop)
{
    *s = (struct tls_shelf){.loop = loop};
    list_init(&s->contexts);
}

static void shelved_free(struct shelved *x)
{
    list_del(&x->link);
    tls_context_free(x->context);
    buf_done(&x->key);
    mem_free(x);
}

void tls_shelf_done(struct tls_shelf *s)
{
    LIST_EACH (&s->contexts, struct shelved, link, x)
        shelved_free(x);
    s->identity = tls_identity_unref(s->identity);
    s->trust = tls_trust_unref(s->trust);
}

static bool is_workload(struct view name)
{
    return view_is(name, "default");
}

static bool is_root(struct view name)
{
    return view_is(name, "ROOTCA");
}

void tls_shelf_renew(struct tls_shelf *s, struct tls_identity *identity, struct tls_trust *trust)
{
    if (identity) {
        tls_identity_unref(s->identity);
        s->identity = tls_identity_ref(identity);
    }
    if (trust) {
        tls_trust_unref(s->trust);
        s->trust = tls_trust_ref(trust);
    }
    LIST_EACH (&s->contexts, struct shelved, link, x) {
        int r = 0;
        if (identity && is_workload(x->identity))
            r = tls_context_set_identity(x->context, identity);
        if (r == 0 && trust && is_root(x->trust))
            r = tls_context_set_trust(x->context, trust);
        if (r < 0) /* made anew at its next use, which will say why */
            shelved_free(x);
    }
}

static bool is_secret(struct view name)
{
    return name.n && !is_workload(name) && !is_root(name) && !view_starts(name, VIEW("file-"));
}

static bool secret_changed(const struct plan *before, const struct plan *after, struct view name)
{
    struct name_ref ref = name_ref(name);
    return is_secret(name) && (!before || plan_secret(before, &ref) != plan_secret(after, &ref));
}

static bool secret_gone(const struct plan *after, struct view name)
{
    struct name_ref ref = name_ref(name);
    return is_secret(name) && !plan_secret(after, &ref);
}

void tls_shelf_plan(struct tls_shelf *s, const struct plan *before, const struct plan *after)
{
    LIST_EACH (&s->contexts, struct shelved, link, x) {
        if (secret_gone(after, x->identity) || secret_gone(after, x->trust))
            shelved_free(x);
        else if (secret_changed(before, after, x->identity) || secret_changed(before, after, x->trust))
            x->stale = true;
    }
}

/* ---- files that change ---- */

static void stamp_file(struct view path, uint64_t *stamp)
{
    struct stat st;
    char name[4096];
    if (!path.n || path.n >= sizeof(name))
        return;
    memcpy(name, path.p, path.n);
    name[path.n] = 0;
    if (stat(name, &st) < 0)
        st = (struct stat){0};
    uint64_t parts[] = {st.st_ino, (uint64_t)st.st_size, (uint64_t)st.st_mtim.tv_sec, (uint64_t)st.st_mtim.tv_nsec};
    *stamp = *stamp * 31 + view_hash(view_make((const char *)parts, sizeof(parts)));
}

/* Whether the files of these names are still what they were; 0 if there are none. */
static uint64_t stamp_of(struct view identity, struct view trust)
{
    uint64_t stamp = 0;
    if (view_starts(identity, VIEW("file-cert:"))) {
        struct view chain = view_from(identity, 10);
        size_t tilde = view_find(chain, '~');
        stamp_file(view_head(chain, tilde), &stamp);
        stamp_file(view_from(chain, tilde + 1), &stamp);
    }
    if (view_starts(trust, VIEW("file-root:")))
        stamp_file(view_from(trust, 10), &stamp);
    return stamp;
}

/* ---- certificates by name ---- */

static int identity_of(struct tls_shelf *s, const struct plan *plan, const struct name_ref *name,
                       struct tls_identity **ret, const char **why)
{
    if (is_workload(name->name)) {
        *why = "the workload's certificate has not been issued yet";
        if (!s->identity)
            return -ENOENT;
        *ret = tls_identity_ref(s->identity);
        return 0;
    }
    if (view_starts(name->name, VIEW("file-cert:"))) {
        struct view chain = view_from(name->name, 10), key;
        key = view_from(chain, view_find(chain, '~') + 1);
        chain = view_head(chain, view_find(chain, '~'));
        struct buf chain_pem = {0}, key_pem = {0};
        *why = "a certificate file cannot be read";
        int r = file_read(chain, LIMIT_CERT_CHAIN_BYTES, &chain_pem);
        if (r == 0)
            r = file_read(key, LIMIT_CERT_CHAIN_BYTES, &key_pem);
        if (r == 0)
            r = tls_identity_new(buf_read(&chain_pem), buf_read(&key_pem), ret, why);
        buf_done(&chain_pem);
        buf_wipe(&key_pem);
        return r;
    }
    const struct tls_secret *secret = plan ? plan_secret(plan, name) : NULL;
    *why = "the secret of the certificate does not exist";
    return secret && secret->private_key.n ? tls_identity_new(secret->cert_chain, secret->private_key, ret, why)
                                           : -ENOENT;
}

static int trust_of(struct tls_shelf *s, const struct plan *plan, const struct name_ref *name, struct tls_trust **ret,
                    const char **why)
{
    if (is_root(name->name)) {
        *why = "the mesh's root certificate is not here yet";
        if (!s->trust)
            return -ENOENT;
        *ret = tls_trust_ref(s->trust);
        return 0;
    }
    if (view_is(name->name, "file-root:system") || view_starts(name->name, VIEW("file-root:/etc/ssl/certs/")))
        return tls_trust_new_system(ret, why);
    if (view_starts(name->name, VIEW("file-root:"))) {
        struct buf pem = {0};
        *why = "a file of root certificates cannot be read";
        int r = file_read(view_from(name->name, 10), LIMIT_CERT_CHAIN_BYTES, &pem);
        struct view v = buf_read(&pem);
        if (r == 0)
            r = tls_trust_new(&v, 1, ret, why);
        buf_done(&pem);
        return r;
    }
    const struct tls_secret *secret = plan ? plan_secret(plan, name) : NULL;
    *why = "the secret of the root certificates does not exist";
    return secret && secret->trusted_ca.n ? tls_trust_new(&secret->trusted_ca, 1, ret, why) : -ENOENT;
}

/* ---- contexts ---- */

static enum tls_version version_of(enum tls_protocol v)
{
    switch (v) {
    case TLS_PROTOCOL_1_3:
        return TLS_1_3;
    case TLS_PROTOCOL_1_0: /* never below 1.2 */
    case TLS_PROTOCOL_1_1:
    case TLS_PROTOCOL_1_2:
        return TLS_1_2;
    case TLS_PROTOCOL_AUTO:
        break;
    }
    return TLS_VERSION_DEFAULT;
}

static void print_key(struct buf *key, bool server, bool need_client, const struct tls_common *c)
{
    buf_printf(key, "%d %d %d %d ", server, need_client, (int)c->min, (int)c->max);
    for (uint32_t i = 0; i < c->n_ciphers; i++) {
        if (i)
            buf_char(key, ':');
        buf_view(key, c->ciphers[i]);
    }
    buf_char(key, ' ');
    for (uint32_t i = 0; i < c->n_alpn; i++) {
        buf_view(key, c->alpn[i]);
        buf_char(key, ',');
    }
    buf_char(key, '\n');
    if (c->n_identities)
        buf_view(key, c->identities[0].name);
    buf_char(key, '\n');
    buf_view(key, c->trust.name);
}

static int make(struct tls_shelf *s, const struct plan *plan, bool server, bool need_client, const struct tls_common *c,
                struct tls_context **ret, const char **why)
{
    struct tls_identity *identity = NULL;
    struct tls_trust *trust = NULL;
    struct buf ciphers = {0};
    int r = 0;
    if (c->n_identities)
        r = identity_of(s, plan, &c->identities[0], &identity, why);
    if (r == 0 && c->trust.name.n)
        r = trust_of(s, plan, &c->trust, &trust, why);
    if (r == 0 && need_client && !trust) {
        *why = "clients need a certificate, and nothing says whose";
        r = -EINVAL;
    }
    for (uint32_t i = 0; i < c->n_ciphers; i++) {
        if (i)
            buf_char(&ciphers, ':');
        buf_view(&ciphers, c->ciphers[i]);
    }
    if (r == 0) {
        struct tls_config config = {
            .server = server,
            .identity = identity,
            .trust = trust,
            .client_cert = !server || !trust ? TLS_CLIENT_NONE
                           : need_client     ? TLS_CLIENT_REQUIRED
                                             : TLS_CLIENT_OPTIONAL,
            .min = version_of(c->min),
            .max = version_of(c->max),
            .ciphers = buf_read(&ciphers),
            .alpn = c->alpn,
            .n_alpn = c->n_alpn,
        };
        *why = "the TLS library refuses the settings";
        r = tls_context_new(s->loop, &config, ret, why);
    }
    buf_done(&ciphers);
    tls_identity_unref(identity);
    tls_trust_unref(trust);
    return r;
}

static void renew_if_changed(struct tls_shelf *s, const struct plan *plan, struct shelved *x, bool server,
                             bool need_client, const struct tls_common *c)
{
    uint64_t now = loop_now(s->loop);
    if (x->stamp && now - x->looked_at >= LOOK_AT_FILES_EVERY) {
        uint64_t stamp = stamp_of(x->identity, x->trust);
        x->stale |= stamp != x->stamp;
        x->stamp = stamp;
        x->looked_at = now;
    }
    if (!x->stale)
        return;
    x->stale = false;
    struct tls_context *context = NULL;
    const char *why = "";
    if (make(s, plan, server, need_client, c, &context, &why) < 0) {
        log_warn("TLS %.*s%s%.*s has changed and cannot be used: %s; what was there before stays",
                 VIEW_ARGS(x->identity), x->identity.n && x->trust.n ? " with " : "", VIEW_ARGS(x->trust), why);
        return;
    }
    tls_context_free(x->context);
    x->context = context;
}

static int find_or_make(struct tls_shelf *s, const struct plan *plan, bool server, bool need_client,
                        const struct tls_common *c, struct tls_context **ret, const char **why)
{
    struct buf key = {0};
    print_key(&key, server, need_client, c);
    LIST_EACH (&s->contexts, struct shelved, link, x)
        if (view_eq(buf_read(&x->key), buf_read(&key))) {
            buf_done(&key);
            renew_if_changed(s, plan, x, server, need_client, c);
            *ret = x->context;
            return 0;
        }
    int r = make(s, plan, server, need_client, c, ret, why);
    if (r < 0) {
        buf_done(&key);
        return r;
    }
    struct shelved *x = mem_alloc(sizeof(*x));
    x->key = key;
    x->context = *ret;
    struct view k = buf_read(&x->key);
    x->identity = view_from(k, view_find(k, '\n') + 1);
    x->trust = view_from(x->identity, view_find(x->identity, '\n') + 1);
    x->identity = view_head(x->identity, view_find(x->identity, '\n'));
    x->stamp = stamp_of(x->identity, x->trust);
    x->looked_at = loop_now(s->loop);
    list_push_front(&s->contexts, &x->link);
    return 0;
}

int tls_shelf_server(struct tls_shelf *s, const struct plan *plan, const struct tls_server *want,
                     struct tls_context **ret_context, const char **ret_why)
{
    return find_or_make(s, plan, true, want->require_client_cert, &want->common, ret_context, ret_why);
}

int tls_shelf_client(struct tls_shelf *s, const struct plan *plan, const struct tls_client *want,
                     struct tls_context **ret_context, const char **ret_why)
{
    return find_or_make(s, plan, false, false, &want->common, ret_context, ret_why);
}

int tls_sans_of(struct arena *a, const struct tls_common *common, struct tls_san **ret_sans, size_t *ret_n)
{
    *ret_sans = NULL;
    *ret_n = 0;
    if (!common->n_sans)
        return 0;
    struct tls_san *sans = ARENA_ARRAY(a, struct tls_san, common->n_sans);
    for (uint32_t i = 0; i < common->n_sans; i++) {
        const struct text_match *m = &common->sans[i];
        sans[i].text = m->value;
        switch (m->kind) {
        case TEXT_EXACT:
            sans[i].kind = TLS_SAN_ANY;
            break;
        case TEXT_PREFIX:
            sans[i].kind = TLS_SAN_ANY_PREFIX;
            break;
        case TEXT_SUFFIX:
            sans[i].kind = TLS_SAN_ANY_SUFFIX;
            break;
        case TEXT_CONTAINS:
        case TEXT_REGEX:
        case TEXT_PRESENT:
            return -ENOTSUP;
        }
    }
    *ret_sans = sans;
    *ret_n = common->n_sans;
    return 0;
}
