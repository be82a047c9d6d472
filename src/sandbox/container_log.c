// SPDX-License-Identifier: Apache-2.0
/* Container logs: a file of the tmpfs that the program itself appends to, so that logging costs the daemon nothing. It is
 * bounded by giving its oldest part back to the kernel (punching a hole): offsets stay what they are, so a follower is
 * not disturbed, and reading begins behind the hole. The file has no name: it is reached by descriptors only.
 */
#include "sandbox/container.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"
#include "sandbox/pod.h"
#include "sandbox/runtime_impl.h"

int container_log_open(struct container_run *c, int *ret_write_fd)
{
    char path[64];
    int fd = open(ISOLATE_STATE_DIR, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0 || fchown(fd, c->uid, c->gid) < 0) {
        int err = -errno;
        if (fd >= 0)
            close(fd);
        return err;
    }
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    int out = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
    if (out < 0) {
        int err = -errno;
        close(fd);
        return err;
    }
    if (c->last_log_fd >= 0)
        close(c->last_log_fd);
    c->last_log_fd = c->log_fd;
    c->log_fd = fd;
    c->log_start = 0;
    *ret_write_fd = out;
    return 0;
}

void container_log_trim(struct container_run *c)
{
    struct stat st;
    if (c->log_fd < 0 || fstat(c->log_fd, &st) < 0)
        return;
    uint64_t size = (uint64_t)st.st_size;
    if (size - c->log_start <= LIMIT_CONTAINER_LOG_BYTES)
        return;
    uint64_t start = (size - LIMIT_CONTAINER_LOG_BYTES / 2) & ~UINT64_C(4095);
    if (fallocate(c->log_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)start) == 0)
        c->log_start = start;
}

static struct container_run *find(struct runtime *rt, struct view uid, struct view name)
{
    struct pod_run *p = runtime_pod(rt, uid);
    for (size_t i = 0; p && i < p->n_containers; i++)
        if (view_eq(p->containers[i].spec->name, name))
            return &p->containers[i];
    return NULL;
}

static int log_of(struct runtime *rt, struct view uid, struct view name, bool previous, int *ret_fd,
                  uint64_t *ret_start, uint64_t *ret_size)
{
    struct container_run *c = find(rt, uid, name);
    struct stat st;
    int fd = !c ? -1 : previous ? c->last_log_fd : c->log_fd;
    if (!c || (previous && fd < 0))
        return -ENOENT;
    *ret_fd = fd;
    *ret_start = *ret_size = 0;
    if (fd < 0)
        return 0; /* nothing was started yet */
    if (fstat(fd, &st) < 0)
        return -errno;
    *ret_size = (uint64_t)st.st_size;
    off_t data = lseek(fd, 0, SEEK_DATA); /* behind the hole */
    *ret_start = data < 0 ? *ret_size : (uint64_t)data;
    return 0;
}

int runtime_log_read(struct runtime *rt, struct view uid, struct view container, bool previous, uint64_t *at,
                     size_t max, struct buf *out)
{
    int fd;
    uint64_t start, size;
    int err = log_of(rt, uid, container, previous, &fd, &start, &size);
    if (err < 0 || fd < 0)
        return err;
    if (*at > size) /* a new run began */
        *at = 0;
    bool cut = *at < start && start > 0;
    if (*at < start)
        *at = start;
    while (max > 0 && *at < size) {
        size_t room;
        char *to = buf_room(out, max < 65536 ? max : 65536, &room);
        ssize_t n = pread(fd, to, room < max ? room : max, (off_t)*at);
        if (n <= 0)
            return n < 0 ? -errno : 0;
        char *line = cut ? memchr(to, '\n', (size_t)n) : NULL; /* not with half a line */
        size_t skip = line ? (size_t)(line + 1 - to) : 0;
        if (skip)
            memmove(to, to + skip, (size_t)n - skip);
        cut = false;
        buf_added(out, (size_t)n - skip);
        *at += (uint64_t)n;
        max -= (size_t)n;
    }
    return 0;
}

int runtime_log_tail(struct runtime *rt, struct view uid, struct view container, bool previous, uint64_t lines,
                     uint64_t *ret_at)
{
    int fd;
    uint64_t start, size;
    char block[4096];
    int err = log_of(rt, uid, container, previous, &fd, &start, &size);
    if (err < 0)
        return err;
    *ret_at = size;
    if (fd < 0 || lines == 0)
        return 0;
    uint64_t at = size, seen = 0;
    while (at > start) {
        size_t n = at - start < sizeof(block) ? (size_t)(at - start) : sizeof(block);
        if (pread(fd, block, n, (off_t)(at - n)) != (ssize_t)n)
            return -EIO;
        for (size_t i = n; i > 0; i--)
            if (block[i - 1] == '\n' && at - n + i != size && ++seen == lines) {
                *ret_at = at - n + i;
                return 0;
            }
        at -= n;
    }
    *ret_at = start;
    return 0;
}
