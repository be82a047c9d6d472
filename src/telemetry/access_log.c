// SPDX-License-Identifier: Apache-2.0
/* The file behind an access log (access_log.h): lines collect and leave in one write at the end of a turn of the loop, when
 * 16 KB are there, or a second after the first.
 */
#include "telemetry/access_log.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "net/loop.h"
#include "net/timer.h"
#include "telemetry/log_format.h"

enum { WRITE_AT = 16 * 1024, AWAKE = 1 };

struct access_logger {
    struct task task;
    struct timer timer;
    struct loop *loop;
    struct log_format *format;
    struct buf lines;
    uint64_t lost;
    int fd;
    bool waiting; /* the timer is set */
};

static void logger_run(struct task *t, uint32_t events)
{
    struct access_logger *log = CONTAINER_OF(t, struct access_logger, task);
    (void)events;
    log->waiting = false;
    access_logger_flush(log);
}

static int log_open(struct view path)
{
    char name[4096];
    if (view_is(path, "/dev/stdout"))
        return fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3); /* opening the path again fails for sockets and after setuid */
    if (view_is(path, "/dev/stderr"))
        return fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    if (path.n >= sizeof(name)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(name, path.p, path.n);
    name[path.n] = 0;
    return open(name, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
}

struct access_logger *access_logger_new(struct loop *l, struct log_format *f, struct view path)
{
    int fd = log_open(path);
    if (fd < 0)
        return NULL;
    struct access_logger *log = mem_alloc(sizeof(*log));
    log->loop = l;
    log->format = f;
    log->fd = fd;
    task_init(&log->task, l, logger_run, "access log");
    timer_init(&log->timer, &log->task, AWAKE);
    return log;
}

void access_logger_write(struct access_logger *log, const struct access_entry *e)
{
    if (buf_len(&log->lines) >= LIMIT_ACCESS_LOG_BUFFER_BYTES) {
        log->lost++;
        return;
    }
    log_format_print(log->format, e, &log->lines);
    if (buf_len(&log->lines) >= WRITE_AT) {
        access_logger_flush(log);
    } else if (!log->waiting) {
        log->waiting = true;
        timer_set(&log->timer, loop_now(log->loop) + NS_PER_S);
    }
}

/* A reader that is slow (a full pipe) gets the rest later; a file that takes nothing loses lines, whole ones. */
void access_logger_flush(struct access_logger *log)
{
    while (buf_len(&log->lines)) {
        struct view v = buf_read(&log->lines);
        ssize_t n = write(log->fd, v.p, v.n);
        if (n > 0) {
            buf_drop(&log->lines, (size_t)n);
        } else if (errno == EAGAIN) {
            log->waiting = true;
            timer_set(&log->timer, loop_now(log->loop) + NS_PER_S / 10);
            return;
        } else if (errno != EINTR) {
            for (size_t i = 0; i < v.n; i++)
                log->lost += v.p[i] == '\n';
            buf_clear(&log->lines);
        }
    }
}

uint64_t access_logger_lost(const struct access_logger *log)
{
    return log->lost;
}

struct access_logger *access_logger_free(struct access_logger *log)
{
    if (!log)
        return NULL;
    access_logger_flush(log);
    timer_done(&log->timer);
    task_done(&log->task);
    log_format_free(log->format);
    buf_done(&log->lines);
    close(log->fd);
    mem_free(log);
    return NULL;
}
