// SPDX-License-Identifier: Apache-2.0
/* Acceptors of the kernel (acceptor.h): listening sockets, edge-triggered. */
#include "net/acceptor.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "net/loop_impl.h"
#include "net/sock.h"

#define ACCEPTOR_BACKLOG 4096
#define ACCEPTOR_PAUSE (100 * NS_PER_MS)

struct sock_acceptor {
    struct acceptor acceptor;
    struct fd_source source;
    int fd;
    bool pending; /* there may be connections to take */
    struct task task;
    struct timer pause; /* after running out of descriptors: no edge comes for what already waits */
    char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
};

static struct sock_acceptor *sock_acceptor_of(struct acceptor *a)
{
    return CONTAINER_OF(a, struct sock_acceptor, acceptor);
}

int sock_set_nonblocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || (!(flags & O_NONBLOCK) && fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0))
        return -errno;
    return fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 ? -errno : 0;
}

static void acceptor_announce(struct sock_acceptor *s)
{
    s->pending = true;
    if (s->acceptor.owner)
        task_wake(s->acceptor.owner, s->acceptor.bits);
}

static void acceptor_ready(struct fd_source *source, uint32_t events)
{
    acceptor_announce(CONTAINER_OF(source, struct sock_acceptor, source));
}

static void acceptor_retry(struct task *t, uint32_t events)
{
    acceptor_announce(CONTAINER_OF(t, struct sock_acceptor, task));
}

static int sock_accept(struct acceptor *a, struct conn **ret_conn)
{
    struct sock_acceptor *s = sock_acceptor_of(a);
    while (s->pending) {
        struct sockaddr_storage ss;
        socklen_t len = sizeof(ss);
        int fd = accept4(s->fd, (struct sockaddr *)&ss, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);
        a->loop->stats.system_calls++;
        if (fd >= 0) {
            struct addr remote;
            int r = sock_conn_new(a->loop, fd, ret_conn);
            if (r < 0) {
                close(fd); /* no memory for it in the kernel: as if it had been refused */
                continue;
            }
            if (a->addr.family == ADDR_UNIX) {
                sock_set_addrs(*ret_conn, &a->addr, &(struct addr){.family = ADDR_UNIX, .path = ""});
            } else {
                addr_from_sockaddr(&remote, (struct sockaddr *)&ss, len);
                sock_set_addrs(*ret_conn, addr_is_any(&a->addr) ? NULL : &a->addr, &remote);
            }
            return 0;
        }
        if (errno == EAGAIN) {
            s->pending = false;
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            s->pending = false;
            timer_in(&s->pause, ACCEPTOR_PAUSE);
        } /* else: that connection died in the queue, on to the next */
    }
    return -EAGAIN;
}

static void sock_acceptor_close(struct acceptor *a)
{
    struct sock_acceptor *s = sock_acceptor_of(a);
    timer_done(&s->pause);
    task_done(&s->task);
    kernel_forget(a->loop, s->fd); /* a descriptor that was passed to another process would stay registered */
    close(s->fd);
    mem_free(s);
}

static const struct acceptor_ops sock_acceptor_ops = {
    .accept = sock_accept,
    .close = sock_acceptor_close,
};

static int acceptor_new(struct loop *l, int fd, struct acceptor **ret_acceptor)
{
    struct sock_acceptor *s = mem_alloc(sizeof(*s));
    s->acceptor = (struct acceptor){.ops = &sock_acceptor_ops, .loop = l};
    s->source.ready = acceptor_ready;
    s->fd = fd;
    task_init(&s->task, l, acceptor_retry, "acceptor");
    timer_init(&s->pause, &s->task, 1);
    struct sockaddr_storage ss;
    socklen_t len = sizeof(ss);
    int r = getsockname(fd, (struct sockaddr *)&ss, &len) < 0 ? -errno : 0;
    if (r == 0) {
        addr_from_sockaddr(&s->acceptor.addr, (struct sockaddr *)&ss, len);
        if (ss.ss_family == AF_UNIX) {
            const struct sockaddr_un *un = (const struct sockaddr_un *)&ss;
            size_t room = len - offsetof(struct sockaddr_un, sun_path);
            memcpy(s->path, un->sun_path, room);
            if (room && s->path[0] == 0) {
                s->path[0] = '@';
                s->acceptor.addr = addr_unix(view_make(s->path, room));
            } else {
                s->acceptor.addr = addr_unix(view_make(s->path, strnlen(s->path, room)));
            }
        }
        r = kernel_register(l, fd, EPOLLIN | EPOLLET, &s->source);
    }
    if (r < 0) {
        mem_free(s);
        return r;
    }
    *ret_acceptor = &s->acceptor;
    return 0;
}

static int set_on(int fd, int level, int name)
{
    int on = 1;
    return setsockopt(fd, level, name, &on, sizeof(on)) < 0 ? -errno : 0;
}

static int listen_options(int fd, const struct addr *at, const struct acceptor_options *o)
{
    int r = 0;
    if (at->family == ADDR_UNIX)
        return 0;
    set_on(fd, SOL_SOCKET, SO_REUSEADDR);
    set_on(fd, IPPROTO_TCP, TCP_NODELAY); /* accepted sockets inherit it */
    if (o->reuse_port)
        r = set_on(fd, SOL_SOCKET, SO_REUSEPORT);
    if (r == 0 && o->transparent)
        r = set_on(fd, SOL_IP, IP_TRANSPARENT);
    if (r == 0 && at->family == ADDR_V6) {
        int only = o->v6_only;
        r = setsockopt(fd, SOL_IPV6, IPV6_V6ONLY, &only, sizeof(only)) < 0 ? -errno : 0;
    }
    return r;
}

int sock_listen(struct loop *l, const struct addr *at, const struct acceptor_options *o, struct acceptor **ret_acceptor)
{
    int domain = at->family == ADDR_V4 ? AF_INET : at->family == ADDR_V6 ? AF_INET6 : AF_UNIX;
    if (at->family == ADDR_NONE)
        return -EAFNOSUPPORT;
    int fd = socket(domain, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    struct sockaddr_storage ss;
    socklen_t len = addr_to_sockaddr(at, &ss);
    const char *path = ((struct sockaddr_un *)&ss)->sun_path;
    bool is_file = at->family == ADDR_UNIX && path[0] != 0;
    struct stat st;
    if (is_file && lstat(path, &st) == 0 && S_ISSOCK(st.st_mode))
        unlink(path); /* left behind by a process that died */
    int r = listen_options(fd, at, o);
    if (r == 0 && is_file && o->mode && fchmod(fd, o->mode) < 0)
        r = -errno; /* before bind: the file never has another mode (less the umask) */
    if (r == 0 && bind(fd, (struct sockaddr *)&ss, len) < 0)
        r = -errno;
    if (r == 0 && is_file && o->mode && chmod(path, o->mode) < 0)
        r = -errno;
    if (r == 0 && listen(fd, o->backlog ? o->backlog : ACCEPTOR_BACKLOG) < 0)
        r = -errno;
    if (r == 0)
        r = acceptor_new(l, fd, ret_acceptor);
    if (r < 0)
        close(fd);
    return r;
}

int acceptor_adopt(struct loop *l, int fd, struct task *owner, uint32_t bits, struct acceptor **ret_acceptor)
{
    if (loop_simulated(l))
        return -ENOTSUP;
    int listening = 0;
    socklen_t len = sizeof(listening);
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) < 0)
        return -errno;
    if (!listening)
        return -EINVAL;
    struct acceptor *a;
    int r = sock_set_nonblocking(fd);
    if (r == 0)
        r = acceptor_new(l, fd, &a);
    if (r < 0)
        return r;
    a->owner = owner;
    a->bits = bits;
    *ret_acceptor = a;
    return 0;
}
