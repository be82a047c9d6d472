// SPDX-License-Identifier: Apache-2.0
/* The split in two processes (isolate.h) and what they say to each other: fixed-size requests from the daemon, answers and
 * accepted descriptors from the supervisor, over one SOCK_SEQPACKET pair. The supervisor is a poll loop of its own, since
 * it does nothing but accept and pass on.
 *
 * Who ends whom: the daemon has PR_SET_PDEATHSIG, so the supervisor's end kills it; being process 1 of its PID
 * namespace, its end kills everything in there; and the supervisor leaves when the daemon's pidfd says so.
 */
#include "sandbox/isolate.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/limits.h"
#include "base/view.h"
#include "net/fd_pass.h"
#include "net/task.h"

enum op { OP_LISTEN_TCP, OP_LISTEN_UNIX, OP_CLOSE, OP_SOCKET, OP_ANSWER, OP_ACCEPTED };

struct note {
    enum op op;
    uint32_t id;
    int result; /* answers: 0 or -errno */
    uint16_t port;
    int family, type;
    char name[64]; /* of an abstract socket */
};

struct accepted {
    uint32_t id;
    int fd;
};

struct isolate {
    int sock;
    uint32_t next_id;
    uint32_t resolvers[ISOLATE_RESOLVERS];
    size_t n_resolvers;
    struct accepted *waiting; /* came while an answer was awaited */
    size_t n_waiting;
    struct task *owner;
    uint32_t bits;
};

struct listener {
    uint32_t id;
    int fd;
    bool local; /* a Unix socket: ask who connects */
};

struct supervisor {
    int sock, signals, pidfd;
    pid_t daemon;
    bool ended;
    struct listener listeners[LIMIT_HOST_LISTENERS];
    size_t n;
};

/* ---- The supervisor */

static int open_listener(const struct note *n)
{
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_un un;
    } a = {0};
    socklen_t len;
    if (n->op == OP_LISTEN_TCP) {
        a.in.sin_family = AF_INET;
        a.in.sin_port = htons(n->port);
        a.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        len = sizeof(a.in);
    } else {
        a.un.sun_family = AF_UNIX;
        size_t name = strnlen(n->name, sizeof(n->name));
        memcpy(a.un.sun_path + 1, n->name, name);
        len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + name);
    }
    int on = 1, fd = socket(a.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, &a.any, len) < 0 || listen(fd, 1024) < 0) {
        int err = -errno;
        close(fd);
        return err;
    }
    return fd;
}

static void answer(struct supervisor *s, int result, int fd)
{
    struct note n = {.op = OP_ANSWER, .result = result};
    if (fd_send(s->sock, view_make(&n, sizeof(n)), &fd, fd >= 0 ? 1 : 0) < 0)
        s->ended = true;
}

static void close_listener(struct supervisor *s, uint32_t id)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->listeners[i].id == id) {
            close(s->listeners[i].fd);
            s->listeners[i] = s->listeners[--s->n];
            return;
        }
}

static void serve_request(struct supervisor *s)
{
    struct note n;
    size_t n_fds;
    ssize_t got = fd_recv(s->sock, &n, sizeof(n), NULL, 0, &n_fds);
    if (got == -EAGAIN || got == -EINTR)
        return;
    if (got != sizeof(n)) {
        s->ended = true;
        return;
    }
    int fd = -1;
    if (n.op == OP_CLOSE) {
        close_listener(s, n.id);
    } else if (n.op == OP_SOCKET) {
        fd = socket(n.family, n.type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        answer(s, fd < 0 ? -errno : 0, fd);
        if (fd >= 0)
            close(fd);
    } else if (n.op == OP_LISTEN_TCP || n.op == OP_LISTEN_UNIX) {
        fd = s->n < COUNT_OF(s->listeners) ? open_listener(&n) : -ENFILE;
        if (fd >= 0)
            s->listeners[s->n++] = (struct listener){.id = n.id, .fd = fd, .local = n.op == OP_LISTEN_UNIX};
        answer(s, fd < 0 ? fd : 0, -1);
    }
}

static bool peer_allowed(const struct listener *l, int fd)
{
    struct ucred who = {0};
    socklen_t len = sizeof(who);
    return !l->local ||
           (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) == 0 && (who.uid == geteuid() || who.uid == 0));
}

static void accept_all(struct supervisor *s, const struct listener *l)
{
    for (;;) {
        int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0)
            return;
        struct note n = {.op = OP_ACCEPTED, .id = l->id};
        if (peer_allowed(l, fd) && fd_send(s->sock, view_make(&n, sizeof(n)), &fd, 1) < 0)
            s->ended = true;
        close(fd);
    }
}

static void pass_signal(struct supervisor *s)
{
    struct signalfd_siginfo info;
    while (read(s->signals, &info, sizeof(info)) == sizeof(info))
        (void)kill(s->daemon, SIGTERM);
}

static int supervise(struct supervisor *s)
{
    while (!s->ended) {
        struct pollfd fds[3 + LIMIT_HOST_LISTENERS] = {{.fd = s->sock, .events = POLLIN},
                                                       {.fd = s->signals, .events = POLLIN},
                                                       {.fd = s->pidfd, .events = POLLIN}};
        for (size_t i = 0; i < s->n; i++)
            fds[3 + i] = (struct pollfd){.fd = s->listeners[i].fd, .events = POLLIN};
        size_t n = s->n;
        if (poll(fds, 3 + n, -1) < 0)
            continue;
        if (fds[1].revents)
            pass_signal(s);
        if (fds[2].revents)
            s->ended = true;
        for (size_t i = 0; i < n && !s->ended; i++)
            if (fds[3 + i].revents)
                accept_all(s, &s->listeners[i]);
        if (fds[0].revents) /* last: it may change the listeners */
            serve_request(s);
    }
    close(s->sock);
    for (size_t i = 0; i < s->n; i++)
        close(s->listeners[i].fd);
    int status = 0;
    while (waitpid(s->daemon, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* ---- The daemon */

/* Before /run is covered: the file may be a link into it. */
static void read_resolvers(struct isolate *iso)
{
    char line[256], text[64];
    struct in_addr ip;
    FILE *f = fopen("/etc/resolv.conf", "re");
    while (f && fgets(line, sizeof(line), f) && iso->n_resolvers < ISOLATE_RESOLVERS)
        if (sscanf(line, " nameserver %63s", text) == 1 && inet_pton(AF_INET, text, &ip) == 1)
            iso->resolvers[iso->n_resolvers++] = ntohl(ip.s_addr);
    if (f)
        fclose(f);
}

static int make_home(const char *name)
{
    static const struct {
        const char *what, *where, *type;
        unsigned long flags;
        const char *data;
    } mounts[] = {
        {"none", "/", NULL, MS_REC | MS_PRIVATE, NULL},
        {"proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL},
        {"sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY, NULL},
        {"weft", "/run", "tmpfs", MS_NODEV, "mode=0755"},
    };
    for (size_t i = 0; i < COUNT_OF(mounts); i++)
        if (mount(mounts[i].what, mounts[i].where, mounts[i].type, mounts[i].flags, mounts[i].data) < 0) {
            int err = -errno;
            log_error("cannot mount %s of the sandbox: %s", mounts[i].where, strerror(-err));
            return err;
        }
    if (mkdir(ISOLATE_STATE_DIR, 0700) < 0)
        return -errno;
    (void)!sethostname(name, strlen(name));
    return 0;
}

static void run_daemon(const struct isolate_config *config, int sock)
{
    struct isolate iso = {.sock = sock};
    sigset_t none;
    sigemptyset(&none);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    umask(022);
    sigprocmask(SIG_SETMASK, &none, NULL);
    read_resolvers(&iso);
    if (make_home(config->name ? config->name : "weft") < 0)
        _exit(1);
    int code = config->main(&iso, config->arg);
    fflush(NULL);
    _exit(code);
}

int isolate_run(const struct isolate_config *config)
{
    int pair[2], pidfd = -1;
    sigset_t ours, before;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    sigemptyset(&ours);
    sigaddset(&ours, SIGINT);
    sigaddset(&ours, SIGTERM);
    sigaddset(&ours, SIGHUP);
    sigprocmask(SIG_BLOCK, &ours, &before);
    fflush(NULL);
    struct clone_args args = {
        .flags = CLONE_PIDFD | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC,
        .pidfd = (uintptr_t)&pidfd,
        .exit_signal = SIGCHLD,
    };
    long pid = syscall(SYS_clone3, &args, sizeof(args));
    if (pid == 0) {
        close(pair[0]);
        run_daemon(config, pair[1]);
    }
    int err = pid < 0 ? -errno : 0;
    close(pair[1]);
    if (err < 0) {
        close(pair[0]);
        sigprocmask(SIG_SETMASK, &before, NULL);
        return err;
    }
    struct supervisor s = {.sock = pair[0], .pidfd = pidfd, .daemon = (pid_t)pid};
    s.signals = signalfd(-1, &ours, SFD_CLOEXEC | SFD_NONBLOCK);
    int code = supervise(&s);
    close(s.signals);
    close(pidfd);
    sigprocmask(SIG_SETMASK, &before, NULL);
    return code;
}

int isolate_fd(const struct isolate *iso)
{
    return iso->sock;
}

void isolate_own(struct isolate *iso, struct task *task, uint32_t bits)
{
    iso->owner = task;
    iso->bits = bits;
    if (iso->n_waiting)
        task_wake(task, bits);
}

/* One message; accepted descriptors are put aside while an answer is awaited. */
static int receive(struct isolate *iso, bool block, struct note *n, int *ret_fd)
{
    struct pollfd p = {.fd = iso->sock, .events = POLLIN};
    int fds[1];
    size_t n_fds = 0;
    for (;;) {
        int ready = poll(&p, 1, block ? -1 : 0);
        if (ready == 0)
            return -EAGAIN;
        if (ready < 0)
            continue;
        ssize_t got = fd_recv(iso->sock, n, sizeof(*n), fds, 1, &n_fds);
        if (got == -EINTR || got == -EAGAIN)
            continue;
        *ret_fd = n_fds ? fds[0] : -1;
        return got == sizeof(*n) ? 0 : -EPIPE;
    }
}

static int ask(struct isolate *iso, const struct note *question, int *ret_fd)
{
    struct note n;
    int fd;
    if (fd_send(iso->sock, view_make(question, sizeof(*question)), NULL, 0) < 0)
        return -EPIPE;
    for (;;) {
        int err = receive(iso, true, &n, &fd);
        if (err < 0)
            return err;
        if (n.op == OP_ANSWER) {
            if (ret_fd)
                *ret_fd = fd;
            else if (fd >= 0)
                close(fd);
            return n.result;
        }
        iso->waiting = mem_grow(iso->waiting, (iso->n_waiting + 1) * sizeof(*iso->waiting));
        iso->waiting[iso->n_waiting++] = (struct accepted){.id = n.id, .fd = fd};
        if (iso->owner)
            task_wake(iso->owner, iso->bits);
    }
}

int isolate_listen_tcp(struct isolate *iso, uint16_t port, uint32_t *ret_id)
{
    struct note n = {.op = OP_LISTEN_TCP, .id = ++iso->next_id, .port = port};
    int err = ask(iso, &n, NULL);
    if (!err)
        *ret_id = n.id;
    return err;
}

int isolate_listen_unix(struct isolate *iso, const char *abstract_name, uint32_t *ret_id)
{
    struct note n = {.op = OP_LISTEN_UNIX, .id = ++iso->next_id};
    if (strlen(abstract_name) >= sizeof(n.name))
        return -ENAMETOOLONG;
    snprintf(n.name, sizeof(n.name), "%s", abstract_name);
    int err = ask(iso, &n, NULL);
    if (!err)
        *ret_id = n.id;
    return err;
}

void isolate_close(struct isolate *iso, uint32_t id)
{
    struct note n = {.op = OP_CLOSE, .id = id};
    if (fd_send(iso->sock, view_make(&n, sizeof(n)), NULL, 0) < 0)
        log_warn("the supervisor does not answer");
}

int isolate_host_socket(struct isolate *iso, int family, int type, int *ret_fd)
{
    struct note n = {.op = OP_SOCKET, .family = family, .type = type};
    int fd = -1, err = ask(iso, &n, &fd);
    if (!err && fd < 0)
        return -EIO;
    if (!err)
        *ret_fd = fd;
    return err;
}

size_t isolate_resolvers(const struct isolate *iso, uint32_t ret_ips[ISOLATE_RESOLVERS])
{
    memcpy(ret_ips, iso->resolvers, sizeof(iso->resolvers));
    return iso->n_resolvers;
}

int isolate_next(struct isolate *iso, uint32_t *ret_id, int *ret_fd)
{
    struct note n = {0};
    int fd;
    if (iso->n_waiting) {
        *ret_id = iso->waiting[0].id;
        *ret_fd = iso->waiting[0].fd;
        memmove(iso->waiting, iso->waiting + 1, --iso->n_waiting * sizeof(*iso->waiting));
        return 0;
    }
    int err = receive(iso, false, &n, &fd);
    if (err < 0)
        return err;
    if (n.op != OP_ACCEPTED || fd < 0)
        return -EAGAIN;
    *ret_id = n.id;
    *ret_fd = fd;
    return 0;
}
