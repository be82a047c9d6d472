// SPDX-License-Identifier: Apache-2.0
/* Reading whole files (file.h). */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

int file_read_fd(int fd, size_t most, struct buf *out)
{
    size_t before = buf_len(out), room;
    ssize_t n = 1;

    while (n > 0 && buf_len(out) - before <= most) {
        char *to = buf_room(out, 4096, &room);
        n = read(fd, to, room);
        if (n > 0)
            buf_added(out, (size_t)n);
    }
    return n < 0 ? -errno : buf_len(out) - before > most ? -EFBIG : 0;
}

int file_read(struct view path, size_t most, struct buf *out)
{
    char name[PATH_MAX];

    if (path.n >= sizeof(name))
        return -ENAMETOOLONG;
    memcpy(name, path.p, path.n);
    name[path.n] = 0;
    int fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not hold us */
    if (fd < 0)
        return -errno;
    int err = file_read_fd(fd, most, out);
    close(fd);
    return err;
}
