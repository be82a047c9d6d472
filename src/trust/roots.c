// SPDX-License-Identifier: Apache-2.0
/* Reading, joining and comparing bundles (roots.h): texts are compared, since reading made them canonical. */
#include "trust/roots.h"

#include <errno.h>

#include "base/limits.h"
#include "trust/ca.h"
#include "trust/crypto.h"

static bool contains(struct view bundle, struct view one)
{
    return one.n && view_find_view(bundle, one) < bundle.n;
}

static int read_all(struct view pem, struct buf *out)
{
    struct view one;
    unsigned n = 0;
    int r = 0;

    while (r == 0 && ca_cut_pem(&pem, &one)) {
        X509 *cert = crypto_cert_read(one);
        struct buf text = {0};
        r = cert && ++n <= LIMIT_TRUST_ROOTS ? crypto_cert_print(cert, &text) : -EINVAL;
        if (r == 0 && !contains(buf_read(out), buf_read(&text)))
            buf_view(out, buf_read(&text));
        buf_done(&text);
        X509_free(cert);
    }
    return r == 0 && n == 0 ? -EINVAL : r;
}

int roots_read(struct view pem, struct buf *out, const char **ret_why)
{
    struct buf all = {0};
    int r = pem.n > LIMIT_CERT_CHAIN_BYTES ? -EINVAL : read_all(pem, &all);

    if (r == 0)
        buf_view(out, buf_read(&all));
    else if (ret_why)
        *ret_why = "the root certificates are no PEM certificates, or too many";
    buf_done(&all);
    return r;
}

void roots_add(struct buf *bundle, struct view more)
{
    struct view one;

    while (ca_cut_pem(&more, &one))
        if (!contains(buf_read(bundle), one))
            buf_view(bundle, one);
}

bool roots_share(struct view a, struct view b)
{
    struct view one;

    while (ca_cut_pem(&b, &one))
        if (contains(a, one))
            return true;
    return false;
}

bool roots_contain(struct view all, struct view some)
{
    struct view one;

    while (ca_cut_pem(&some, &one))
        if (!contains(all, one))
            return false;
    return true;
}

unsigned roots_count(struct view bundle)
{
    struct view one;
    unsigned n = 0;

    while (ca_cut_pem(&bundle, &one))
        n++;
    return n;
}

uint64_t roots_end(struct view bundle)
{
    uint64_t first = 0;
    struct view one;

    while (ca_cut_pem(&bundle, &one)) {
        X509 *cert = crypto_cert_read(one);
        uint64_t end = cert ? crypto_wall(X509_get0_notAfter(cert)) : 0;
        if (end && (first == 0 || end < first))
            first = end;
        X509_free(cert);
    }
    return first;
}
