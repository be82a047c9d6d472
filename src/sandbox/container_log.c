// SPDX-License-Identifier: Apache-2.0
/* Container logs (container_log.h): pipe to file by splice, in batches; and reading them for `weft logs`. The file has no
 * name: it is reached by descriptors only, and ends with the daemon.
 */
#include "sandbox/container_log.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"
#include "net/loop.h"
#include "sandbox/isolate.h"
#include "sandbox/pod.h"
#include "sandbox/runtime_impl.h"

#define PAUSE (10 * NS_PER_MS) /* between two batches: a program that logs each request must not wake us for each */
#define PIPE_BYTES (256 * 1024)

enum { BIT_PIPE = 1, BIT_PAUSE = 2 };

static void trim(struct container_log *l)
{
    if (l->size - l->start <= LIMIT_CONTAINER_LOG_BYTES)
        return;
    uint64_t start = (l->size - LIMIT_CONTAINER_LOG_BYTES / 2) & ~UINT64_C(4095);
    if (fallocate(l->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)start) == 0)
        l->start = start;
}

static void close_pipe(struct container_log *l)
{
    timer_rest(&l->pause);
    fd_watch_done(&l->watch);
    if (l->pipe >= 0)
        close(l->pipe);
    l->pipe = -1;
}

/* What the pipe holds now. */
static void drain(struct container_log *l)
{
    while (l->pipe >= 0) {
        loff_t at = (loff_t)l->size;
        ssize_t n = splice(l->pipe, NULL, l->fd, &at, PIPE_BYTES, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
        if (n < 0 && errno == EINTR)
            continue;
        if (n > 0)
            l->size += (uint64_t)n;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0)
            close_pipe(l);
        else
            trim(l);
    }
}

static void log_run(struct task *t, uint32_t events)
{
    struct container_log *l = CONTAINER_OF(t, struct container_log, task);
    if (l->pipe < 0)
        return;
    if (events & BIT_PAUSE) {
        if (fd_watch_change(&l->watch, FD_IN) < 0)
            close_pipe(l);
        return;
    }
    drain(l);
    if (l->pipe >= 0 && fd_watch_change(&l->watch, 0) == 0)
        timer_in(&l->pause, PAUSE);
}

void container_log_init(struct container_log *l, struct loop *loop)
{
    *l = (struct container_log){.loop = loop, .pipe = -1, .fd = -1, .last_fd = -1};
    task_init(&l->task, loop, log_run, "container-log");
    timer_init(&l->pause, &l->task, BIT_PAUSE);
    fd_watch_init(&l->watch, &l->task, BIT_PIPE);
}

void container_log_done(struct container_log *l)
{
    close_pipe(l);
    timer_done(&l->pause);
    task_done(&l->task);
    if (l->fd >= 0)
        close(l->fd);
    if (l->last_fd >= 0)
        close(l->last_fd);
    l->fd = l->last_fd = -1;
}

int container_log_open(struct container_log *l, uid_t uid, gid_t gid, int *ret_write_fd)
{
    int ends[2];
    container_log_finish(l);
    int fd = open(ISOLATE_STATE_DIR, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    if (pipe2(ends, O_CLOEXEC) < 0) {
        int err = -errno;
        close(fd);
        return err;
    }
    (void)!fcntl(ends[0], F_SETPIPE_SZ, PIPE_BYTES);
    (void)!fchown(ends[1], uid, gid); /* so that /dev/stdout can be opened */
    l->pipe = ends[0];
    int err = fd_watch_open(&l->watch, l->loop, l->pipe, FD_IN);
    if (err < 0) {
        close_pipe(l);
        close(ends[1]);
        close(fd);
        return err;
    }
    if (l->last_fd >= 0)
        close(l->last_fd);
    l->last_fd = l->fd;
    l->fd = fd;
    l->size = l->start = 0;
    *ret_write_fd = ends[1];
    return 0;
}

void container_log_finish(struct container_log *l)
{
    drain(l);
    close_pipe(l);
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
    int fd = !c ? -1 : previous ? c->log.last_fd : c->log.fd;
    if (!c || (previous && fd < 0))
        return -ENOENT;
    if (!previous)
        drain(&c->log); /* what is in the pipe counts as said */
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
