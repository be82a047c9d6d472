// SPDX-License-Identifier: Apache-2.0
/* Passing descriptors over a Unix socket (SCM_RIGHTS): host ports hand accepted connections into a network namespace,
 * a new process takes over listening sockets. These work on plain descriptors, blocking or not: programs that set up
 * the world use them, code on a loop adopts the result (conn_adopt, acceptor_adopt).
 *
 *   r = fd_send(sock, VIEW("host port 8080"), &fd, 1);
 *   n = fd_recv(sock, text, sizeof(text), fds, COUNT_OF(fds), &n_fds);
 *
 * Invariants: received descriptors are close-on-exec and never lost silently: a truncated message closes what came and
 * is -EMSGSIZE.
 */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#include "base/must.h"
#include "base/view.h"

#define FD_PASS_MOST 64

int fd_send(int sock, struct view message, const int *fds, size_t n_fds) must_check; /* message may not be empty */
/* Bytes of the message, 0 at the end, -EAGAIN, -errno. *ret_n_fds descriptors are the caller's. */
ssize_t fd_recv(int sock, void *to, size_t room, int *fds, size_t most, size_t *ret_n_fds) must_check;
