// SPDX-License-Identifier: Apache-2.0
/* The certificate authority (ca.h). */
#include "trust/ca.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "trust/crypto.h"
#include "trust/csr.h"

#define DAY (24 * 3600 * NS_PER_S)
#define CA_ROOT_TTL (3650 * DAY)
#define CA_LEAF_TTL DAY
#define CA_LEAF_MAX (90 * DAY)
#define CA_BACKDATE (2 * 60 * NS_PER_S) /* clocks of hosts differ; as istiod */

struct ca {
    _Atomic uint32_t refs;
    X509 *cert; /* signs */
    EVP_PKEY *key;
    struct buf cert_pem, chain_pem, root_pem; /* chain: intermediates below the root, maybe none */
    struct buf full_chain;                    /* chain, then root */
    uint64_t root_not_after, default_ttl, max_ttl;
};

static int refuse(int r, const char *why, const char **ret_why)
{
    if (ret_why)
        *ret_why = why;
    ERR_clear_error();
    return r;
}

struct ca *ca_ref(struct ca *ca)
{
    atomic_fetch_add_explicit(&ca->refs, 1, memory_order_relaxed);
    return ca;
}

struct ca *ca_unref(struct ca *ca)
{
    if (!ca || atomic_fetch_sub_explicit(&ca->refs, 1, memory_order_acq_rel) != 1)
        return NULL;
    X509_free(ca->cert);
    EVP_PKEY_free(ca->key);
    buf_done(&ca->cert_pem);
    buf_done(&ca->chain_pem);
    buf_done(&ca->root_pem);
    buf_done(&ca->full_chain);
    mem_free(ca);
    return NULL;
}

bool ca_cut_pem(struct view *rest, struct view *ret_one)
{
    static const struct view begin = {"-----BEGIN CERTIFICATE-----", 27}, end = {"-----END CERTIFICATE-----", 25};
    size_t from = view_find_view(*rest, begin);
    if (from == rest->n)
        return false;
    struct view v = view_from(*rest, from);
    size_t to = view_find_view(v, end);
    if (to == v.n)
        return false;
    to += end.n;
    if (to < v.n && v.p[to] == '\n')
        to++;
    *ret_one = view_head(v, to);
    *rest = view_from(v, to);
    return true;
}

static void append_pem(struct buf *out, struct view pem)
{
    buf_view(out, pem);
    if (pem.n && !view_ends(pem, VIEW("\n")))
        buf_char(out, '\n');
}

/* ---- making one ---- */

int ca_from_pem(struct view cert, struct view key, struct view root, struct view chain, const struct ca_options *o,
                struct ca **ret_ca, const char **ret_why)
{
    struct ca *ca = mem_alloc(sizeof(*ca));
    atomic_init(&ca->refs, 1);
    ca->default_ttl = o->default_ttl ? o->default_ttl : CA_LEAF_TTL;
    ca->max_ttl = o->max_ttl ? o->max_ttl : CA_LEAF_MAX;
    ca->cert = crypto_cert_read(cert);
    ca->key = crypto_key_read(key);
    X509 *root_cert = crypto_cert_read(root);
    const char *why = NULL;
    if (!ca->cert)
        why = "the CA certificate is no PEM certificate";
    else if (!ca->key)
        why = "the CA key is no PEM key without passphrase";
    else if (X509_check_private_key(ca->cert, ca->key) != 1)
        why = "the CA key does not belong to the CA certificate";
    else if (X509_check_ca(ca->cert) != 1)
        why = "the CA certificate must not sign certificates (basicConstraints CA:TRUE, keyUsage keyCertSign)";
    else if (!root_cert)
        why = "the root certificate is no PEM certificate";
    if (root_cert)
        ca->root_not_after = crypto_wall(X509_get0_notAfter(root_cert));
    bool is_root = root_cert && ca->cert && X509_cmp(root_cert, ca->cert) == 0;
    X509_free(root_cert);
    if (why) {
        ca_unref(ca);
        return refuse(-EINVAL, why, ret_why);
    }
    append_pem(&ca->cert_pem, cert);
    append_pem(&ca->root_pem, root);
    struct view rest = chain, one;
    for (X509 *c; ca_cut_pem(&rest, &one); X509_free(c)) { /* cert-chain.pem often ends in the root: once is enough */
        c = crypto_cert_read(one);
        if (c && view_find_view(root, view_trim(one)) == root.n && !(is_root && X509_cmp(c, ca->cert) == 0))
            append_pem(&ca->chain_pem, one);
    }
    if (buf_len(&ca->chain_pem) == 0 && !is_root)
        append_pem(&ca->chain_pem, cert);
    buf_view(&ca->full_chain, buf_read(&ca->chain_pem));
    buf_view(&ca->full_chain, buf_read(&ca->root_pem));
    ERR_clear_error();
    *ret_ca = ca;
    return 0;
}

static int set_name(X509 *cert, const char *field, struct view text)
{
    X509_NAME *name = X509_get_subject_name(cert);
    return X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8, (const unsigned char *)text.p, (int)text.n, -1, 0) ==
                   1
               ? 0
               : -EINVAL;
}

int ca_new(const struct ca_options *o, uint64_t wall_ns, struct ca **ret_ca, const char **ret_why)
{
    EVP_PKEY *key = crypto_key_new();
    X509 *cert = X509_new();
    struct view org = o->organization.n ? o->organization : o->trust_domain;
    uint64_t ttl = o->root_ttl ? o->root_ttl : CA_ROOT_TTL;
    struct buf cert_pem = {0}, key_pem = {0};
    int r = -EIO;
    if (key && cert && X509_set_version(cert, 2) == 1 && crypto_set_serial(cert) == 0 &&
        crypto_set_times(cert, wall_ns - CA_BACKDATE, wall_ns + ttl) == 0 && set_name(cert, "O", org) == 0 &&
        X509_set_issuer_name(cert, X509_get_subject_name(cert)) == 1 && X509_set_pubkey(cert, key) == 1 &&
        crypto_extend(cert, NULL, NID_basic_constraints, "critical,CA:TRUE") == 0 &&
        crypto_extend(cert, NULL, NID_key_usage, "critical,keyCertSign,cRLSign") == 0 &&
        crypto_extend(cert, NULL, NID_subject_key_identifier, "hash") == 0 && X509_sign(cert, key, EVP_sha256()) > 0 &&
        crypto_cert_print(cert, &cert_pem) == 0 && crypto_key_print(key, &key_pem) == 0)
        r = ca_from_pem(buf_read(&cert_pem), buf_read(&key_pem), buf_read(&cert_pem), VIEW_NONE, o, ret_ca, ret_why);
    else
        refuse(r, "the TLS library could not make a root certificate", ret_why);
    X509_free(cert);
    EVP_PKEY_free(key);
    buf_done(&cert_pem);
    buf_wipe(&key_pem);
    return r;
}

/* ---- files ---- */

enum ca_file { CA_CERT, CA_KEY, CA_ROOT, CA_CHAIN, CA_FILES };

static const char *const istio_names[CA_FILES] = {"ca-cert.pem", "ca-key.pem", "root-cert.pem", "cert-chain.pem"};
static const char *const tls_names[CA_FILES] = {"tls.crt", "tls.key", "ca.crt", "tls.crt"};

static int read_file(const char *folder, const char *name, struct buf *out)
{
    char path[4096];
    if (snprintf(path, sizeof(path), "%s/%s", folder, name) >= (int)sizeof(path))
        return -ENAMETOOLONG;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    ssize_t n;
    size_t room;
    char *to;
    while (to = buf_room(out, 4096, &room), (n = read(fd, to, room)) > 0) {
        buf_added(out, (size_t)n);
        if (buf_len(out) > LIMIT_CERT_CHAIN_BYTES) {
            n = -1;
            errno = EFBIG;
            break;
        }
    }
    int r = n < 0 ? -errno : 0;
    close(fd);
    return r;
}

int ca_load(const char *folder, const struct ca_options *o, struct ca **ret_ca, const char **ret_why)
{
    struct buf file[CA_FILES] = {0};
    const char *const *names = istio_names;
    int r = read_file(folder, names[CA_CERT], &file[CA_CERT]);
    if (r == -ENOENT) {
        names = tls_names;
        r = read_file(folder, names[CA_CERT], &file[CA_CERT]);
    }
    if (r == -ENOENT) {
        buf_done(&file[CA_CERT]);
        return refuse(r, "there is no CA certificate", ret_why);
    }
    for (int i = CA_KEY; i < CA_FILES && r == 0; i++) {
        r = read_file(folder, names[i], &file[i]);
        if (r == -ENOENT && i == CA_CHAIN)
            r = 0;
    }
    if (r < 0) /* -ENOENT would mean that nothing is there; here something is, and not all */
        r = refuse(r == -ENOENT ? -EINVAL : r, "a file of the CA (key, root or chain) is missing or cannot be read",
                   ret_why);
    else
        r = ca_from_pem(buf_read(&file[CA_CERT]), buf_read(&file[CA_KEY]), buf_read(&file[CA_ROOT]),
                        buf_read(&file[CA_CHAIN]), o, ret_ca, ret_why);
    for (int i = 0; i < CA_FILES; i++)
        buf_wipe(&file[i]);
    return r;
}

/* Beside its place, then renamed: a reader never sees half a file. */
static int write_file(const char *folder, const char *name, struct view text, mode_t mode)
{
    char path[4096], part[4096 + 8];
    if (snprintf(path, sizeof(path), "%s/%s", folder, name) >= (int)sizeof(path))
        return -ENAMETOOLONG;
    snprintf(part, sizeof(part), "%s.part", path);
    int fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0)
        return -errno;
    int r = 0;
    while (text.n && r == 0) {
        ssize_t n = write(fd, text.p, text.n);
        if (n < 0 && errno != EINTR)
            r = -errno;
        else if (n > 0)
            text = view_from(text, (size_t)n);
    }
    if (r == 0 && fsync(fd) < 0)
        r = -errno;
    close(fd);
    if (r == 0 && rename(part, path) < 0)
        r = -errno;
    if (r < 0)
        unlink(part);
    return r;
}

int ca_save(const struct ca *ca, const char *folder)
{
    struct buf key = {0};
    if (mkdir(folder, 0700) < 0 && errno != EEXIST)
        return -errno;
    int r = crypto_key_print(ca->key, &key);
    if (r == 0)
        r = write_file(folder, istio_names[CA_KEY], buf_read(&key), 0600);
    if (r == 0)
        r = write_file(folder, istio_names[CA_ROOT], buf_read(&ca->root_pem), 0644);
    if (r == 0)
        r = write_file(folder, istio_names[CA_CHAIN], buf_read(&ca->full_chain), 0644);
    if (r == 0) /* last: its presence says that the rest is there */
        r = write_file(folder, istio_names[CA_CERT], buf_read(&ca->cert_pem), 0644);
    buf_wipe(&key);
    return r;
}

/* ---- asking ---- */

struct view ca_root_pem(const struct ca *ca)
{
    return buf_read(&ca->root_pem);
}

struct view ca_chain_pem(const struct ca *ca)
{
    return buf_read(&ca->full_chain);
}

uint64_t ca_not_after(const struct ca *ca)
{
    return crypto_wall(X509_get0_notAfter(ca->cert));
}

uint64_t ca_root_not_after(const struct ca *ca)
{
    return ca->root_not_after;
}

/* ---- signing ---- */

static bool good_name(struct view v)
{
    for (size_t i = 0; i < v.n; i++)
        if (v.p[i] <= ' ' || v.p[i] == ',' || v.p[i] == '"' || v.p[i] == '\\' || v.p[i] > '~')
            return false;
    return v.n > 0;
}

static int add_sans(X509 *cert, const struct ca_grant *g)
{
    struct buf value = {0};
    int r = g->n_uris + g->n_dns ? 0 : -EINVAL;
    buf_str(&value, "critical"); /* there is no subject */
    for (size_t i = 0; i < g->n_uris + g->n_dns && r == 0; i++) {
        struct view name = i < g->n_uris ? g->uris[i] : g->dns[i - g->n_uris];
        r = good_name(name) ? 0 : -EINVAL;
        buf_str(&value, i < g->n_uris ? ",URI:" : ",DNS:");
        buf_view(&value, name);
    }
    if (r == 0)
        r = crypto_extend(cert, NULL, NID_subject_alt_name, buf_cstr(&value));
    buf_done(&value);
    return r;
}

static int sign_key(const struct ca *ca, EVP_PKEY *key, const struct ca_grant *g, uint64_t wall, struct buf *out,
                    const char **ret_why)
{
    uint64_t ttl = g->ttl ? g->ttl : ca->default_ttl, last = ca_not_after(ca);
    if (ttl > ca->max_ttl)
        return refuse(-EINVAL, "the requested lifetime is longer than the CA grants", ret_why);
    if (wall >= last)
        return refuse(-EIO, "the CA's own certificate has expired", ret_why);
    uint64_t until = wall + ttl < last ? wall + ttl : last;
    X509 *cert = X509_new();
    must(cert != NULL);
    int r = -EIO;
    if (add_sans(cert, g) < 0)
        r = refuse(-EINVAL, "a name to certify is empty or has characters that no name has", ret_why);
    else if (X509_set_version(cert, 2) == 1 && crypto_set_serial(cert) == 0 &&
             crypto_set_times(cert, wall - CA_BACKDATE, until) == 0 &&
             X509_set_issuer_name(cert, X509_get_subject_name(ca->cert)) == 1 && X509_set_pubkey(cert, key) == 1 &&
             crypto_extend(cert, NULL, NID_key_usage, "critical,digitalSignature,keyEncipherment") == 0 &&
             crypto_extend(cert, NULL, NID_ext_key_usage, "serverAuth,clientAuth") == 0 &&
             crypto_extend(cert, NULL, NID_basic_constraints, "critical,CA:FALSE") == 0 &&
             (X509_get0_subject_key_id(ca->cert) == NULL ||
              crypto_extend(cert, ca->cert, NID_authority_key_identifier, "keyid") == 0) &&
             X509_sign(cert, ca->key, EVP_sha256()) > 0)
        r = crypto_cert_print(cert, out);
    else
        refuse(r, "the TLS library could not sign", ret_why);
    X509_free(cert);
    ERR_clear_error();
    return r;
}

/* Small RSA keys and foreign curves are refused: nobody's peer would accept them. */
static bool strong_enough(EVP_PKEY *key)
{
    int bits = EVP_PKEY_get_bits(key);
    return EVP_PKEY_is_a(key, "EC") ? bits == 256 || bits == 384
                                    : EVP_PKEY_is_a(key, "RSA") && bits >= 2048 && bits <= 8192;
}

int ca_sign(const struct ca *ca, struct view csr_pem, const struct ca_grant *grant, uint64_t wall_ns, struct buf *chain,
            const char **ret_why)
{
    if (csr_pem.n == 0 || csr_pem.n > LIMIT_CSR_BYTES)
        return refuse(-EINVAL, "the signing request is empty or too large", ret_why);
    BIO *b = BIO_new_mem_buf(csr_pem.p, (int)csr_pem.n);
    must(b != NULL);
    X509_REQ *req = PEM_read_bio_X509_REQ(b, NULL, NULL, NULL);
    BIO_free(b);
    EVP_PKEY *key = req ? X509_REQ_get0_pubkey(req) : NULL;
    int r = 0;
    if (!key)
        r = refuse(-EINVAL, "the signing request is malformed", ret_why);
    else if (!strong_enough(key))
        r = refuse(-EINVAL, "the key of the signing request is neither P-256, P-384 nor RSA of 2048 bits", ret_why);
    else if (X509_REQ_verify(req, key) != 1)
        r = refuse(-EINVAL, "the signature of the signing request does not verify", ret_why);
    struct buf out = {0};
    if (r == 0)
        r = sign_key(ca, key, grant, wall_ns, &out, ret_why);
    if (r == 0) {
        buf_view(chain, buf_read(&out));
        buf_view(chain, buf_read(&ca->full_chain));
    }
    buf_done(&out);
    X509_REQ_free(req);
    ERR_clear_error();
    return r;
}

int ca_issue(const struct ca *ca, const struct ca_grant *grant, uint64_t wall_ns, struct buf *chain,
             struct buf *key_pem, const char **ret_why)
{
    EVP_PKEY *key = crypto_key_new();
    struct buf cert = {0}, made_key = {0};
    int r = key ? sign_key(ca, key, grant, wall_ns, &cert, ret_why)
                : refuse(-EIO, "the TLS library could not make a key", ret_why);
    if (r == 0)
        r = crypto_key_print(key, &made_key);
    if (r == 0) {
        buf_view(chain, buf_read(&cert));
        buf_view(chain, buf_read(&ca->chain_pem));
        buf_view(key_pem, buf_read(&made_key));
    }
    buf_done(&cert);
    buf_wipe(&made_key);
    EVP_PKEY_free(key);
    return r;
}
