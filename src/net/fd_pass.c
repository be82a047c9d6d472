// SPDX-License-Identifier: Apache-2.0
/* Descriptors over Unix sockets (fd_pass.h). */
#include "net/fd_pass.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

union control {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(FD_PASS_MOST * sizeof(int))];
};

int fd_send(int sock, struct view message, const int *fds, size_t n_fds)
{
    if (message.n == 0 || n_fds > FD_PASS_MOST)
        return -EINVAL;
    union control control = {0};
    struct iovec iov = {.iov_base = (void *)(uintptr_t)message.p, .iov_len = message.n};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    if (n_fds) {
        msg.msg_control = control.bytes;
        msg.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
        struct cmsghdr *head = CMSG_FIRSTHDR(&msg);
        head->cmsg_level = SOL_SOCKET;
        head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
        memcpy(CMSG_DATA(head), fds, n_fds * sizeof(int));
    }
    ssize_t n;
    while ((n = sendmsg(sock, &msg, MSG_NOSIGNAL)) < 0 && errno == EINTR)
        ;
    if (n < 0)
        return -errno;
    return (size_t)n == message.n ? 0 : -EMSGSIZE;
}

ssize_t fd_recv(int sock, void *to, size_t room, int *fds, size_t most, size_t *ret_n_fds)
{
    union control control = {0};
    struct iovec iov = {.iov_base = to, .iov_len = room};
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes)};
    ssize_t n;
    while ((n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC)) < 0 && errno == EINTR)
        ;
    if (n < 0)
        return -errno;
    size_t got = 0;
    bool lost = (msg.msg_flags & MSG_CTRUNC) != 0;
    for (struct cmsghdr *head = CMSG_FIRSTHDR(&msg); head; head = CMSG_NXTHDR(&msg, head)) {
        if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS)
            continue;
        size_t here = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < here; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(head) + i * sizeof(int), sizeof(fd));
            if (got < most) {
                fds[got++] = fd;
            } else {
                close(fd);
                lost = true;
            }
        }
    }
    if (lost) {
        while (got)
            close(fds[--got]);
        return -EMSGSIZE;
    }
    *ret_n_fds = got;
    return n;
}
