// SPDX-License-Identifier: Apache-2.0
/* A CA from and to a folder (ca.h): Istio's names or those of a kubernetes.io/tls Secret, as they are mounted. */
#include "trust/ca.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/limits.h"

enum ca_file { CA_CERT, CA_KEY, CA_ROOT, CA_CHAIN, CA_FILES };

static const char *const istio_names[CA_FILES] = {"ca-cert.pem", "ca-key.pem", "root-cert.pem", "cert-chain.pem"};
static const char *const tls_names[CA_FILES] = {"tls.crt", "tls.key", "ca.crt", "tls.crt"};

static int read_file(const char *folder, const char *name, struct buf *out)
{
    char path[4096];
    if (snprintf(path, sizeof(path), "%s/%s", folder, name) >= (int)sizeof(path))
        return -ENAMETOOLONG;
    return file_read(view_of(path), LIMIT_CERT_CHAIN_BYTES, out);
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
        if (ret_why)
            *ret_why = "there is no CA certificate";
        return r;
    }
    for (int i = CA_KEY; i < CA_FILES && r == 0; i++) {
        r = read_file(folder, names[i], &file[i]);
        if (r == -ENOENT && i == CA_CHAIN)
            r = 0;
    }
    if (r < 0) { /* -ENOENT would mean that nothing is there; here something is, and not all */
        r = r == -ENOENT ? -EINVAL : r;
        if (ret_why)
            *ret_why = "a file of the CA (key, root or chain) is missing or cannot be read";
    } else {
        r = ca_from_pem(buf_read(&file[CA_CERT]), buf_read(&file[CA_KEY]), buf_read(&file[CA_ROOT]),
                        buf_read(&file[CA_CHAIN]), o, ret_ca, ret_why);
    }
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
    int r = ca_key_pem(ca, &key);
    if (r == 0)
        r = write_file(folder, istio_names[CA_KEY], buf_read(&key), 0600);
    if (r == 0)
        r = write_file(folder, istio_names[CA_ROOT], ca_root_pem(ca), 0644);
    if (r == 0)
        r = write_file(folder, istio_names[CA_CHAIN], ca_chain_pem(ca), 0644);
    if (r == 0) /* last: its presence says that the rest is there */
        r = write_file(folder, istio_names[CA_CERT], ca_cert_pem(ca), 0644);
    buf_wipe(&key);
    return r;
}
