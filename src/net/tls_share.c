// SPDX-License-Identifier: Apache-2.0
/* The cache of decoded certificates, and the function that libssl finds instead of libcrypto's (tls_share.h). */
#include "net/tls_share.h"

#include <dlfcn.h>
#include <openssl/x509.h>
#include <string.h>

#include "base/must.h"
#include "base/view.h"

#define SHARE_SLOTS 256 /* direct-mapped */
#define SHARE_MOST 4096 /* bytes of a certificate worth keeping */

struct share_slot {
    X509 *cert;
    char *der;
    size_t n;
};

struct tls_share {
    uint64_t hits;
    struct share_slot slots[SHARE_SLOTS];
};

struct tls_share *tls_share_new(void)
{
    return mem_alloc(sizeof(struct tls_share));
}

struct tls_share *tls_share_free(struct tls_share *s)
{
    for (int i = 0; s && i < SHARE_SLOTS; i++) {
        X509_free(s->slots[i].cert);
        mem_free(s->slots[i].der);
    }
    mem_free(s);
    return NULL;
}

uint64_t tls_share_hits(const struct tls_share *s)
{
    return s->hits;
}

/* The function below has OpenSSL's signature and no room for a context; only set while SSL_do_handshake runs. */
static _Thread_local struct tls_share *active;

void tls_share_begin(struct tls_share *s)
{
    active = s;
}

void tls_share_end(void)
{
    active = NULL;
}

#ifdef WEFT_SHARE_X509

#ifdef WEFT_STATIC /* the linker's --wrap gives libcrypto's own the name __real_… and every caller the name __wrap_… */

X509 *__real_d2i_X509(X509 **out, const unsigned char **in, long n);
X509 *__wrap_d2i_X509(X509 **out, const unsigned char **in, long n);
#define decode __real_d2i_X509
#define d2i_X509 __wrap_d2i_X509

#else

typedef X509 *(*d2i_x509_fn)(X509 **, const unsigned char **, long);

static X509 *decode(X509 **out, const unsigned char **in, long n)
{
    static _Atomic(d2i_x509_fn) real; /* a constant that only the dynamic linker knows */
    d2i_x509_fn fn = real;
    if (!fn) {
        void *symbol = dlsym(RTLD_NEXT, "d2i_X509");
        must(symbol != NULL);
        memcpy(&fn, &symbol, sizeof(fn));
        real = fn;
    }
    return fn(out, in, n);
}

#endif

__attribute__((visibility("default"))) X509 *d2i_X509(X509 **out, const unsigned char **in, long n)
{
    struct tls_share *s = active;
    if (!s || !out || n <= 0 || n > SHARE_MOST)
        return decode(out, in, n);
    struct view der = view_make(*in, (size_t)n);
    struct share_slot *slot = &s->slots[view_hash(der) % SHARE_SLOTS];
    if (slot->cert && view_eq(der, view_make(slot->der, slot->n))) {
        s->hits++;
        X509_up_ref(slot->cert);
        X509_free(*out); /* libssl hands in an empty one */
        *out = slot->cert;
        *in += n;
        return slot->cert;
    }
    const unsigned char *start = *in;
    X509 *cert = decode(out, in, n);
    if (cert && *in == start + n) { /* all of it was one certificate */
        X509_free(slot->cert);
        X509_up_ref(cert);
        slot->cert = cert;
        slot->der = mem_grow(slot->der, (size_t)n);
        slot->n = (size_t)n;
        memcpy(slot->der, start, (size_t)n);
    }
    return cert;
}

#endif
