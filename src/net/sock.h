// SPDX-License-Identifier: Apache-2.0
/* Sockets of the kernel as connections: what acceptor.c needs from sock.c. Not for use outside of net/. */
#pragma once

#include "net/conn.h"

int sock_conn_new(struct loop *l, int fd, struct conn **ret_conn); /* connected and non-blocking; owns fd on success */
void sock_set_addrs(struct conn *c, const struct addr *local, const struct addr *remote); /* NULL: ask when needed */
int sock_set_nonblocking(int fd);
