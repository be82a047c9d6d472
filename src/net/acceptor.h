// SPDX-License-Identifier: Apache-2.0
/* Acceptors: sockets that listen. (The word listener belongs to plan/listener.h: what a proxy does there.)
 *
 *   r = acceptor_open(loop, &addr, &(struct acceptor_options){.reuse_port = true}, &task, MY_ACCEPT, &a);
 *   … in run():  while (acceptor_accept(a, &c) == 0) adopt(c);      // until -EAGAIN
 *   acceptor_close(a);
 *
 * Each worker opens its own with SO_REUSEPORT; the kernel spreads connections and they never migrate. When the process
 * runs out of descriptors or memory, accepting pauses and is tried again in 100 ms.
 *
 * Invariants: accepted connections outlive the acceptor. acceptor_close leaves nothing registered.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/must.h"
#include "net/addr.h"
#include "net/conn.h"
#include "net/task.h"

struct acceptor;

struct acceptor_options {
    int backlog; /* 0: 4096 */
    bool reuse_port;
    bool transparent; /* IP_TRANSPARENT (TPROXY) */
    bool v6_only;
    uint32_t mode; /* of a Unix socket's file; 0: as the umask says. A stale file is replaced */
};

int acceptor_open(struct loop *l, const struct addr *at, const struct acceptor_options *options, struct task *owner,
                  uint32_t bits, struct acceptor **ret_acceptor) must_check;
/* A listening socket that was inherited or passed. Owns fd on success. Kernel loops only. */
int acceptor_adopt(struct loop *l, int fd, struct task *owner, uint32_t bits,
                   struct acceptor **ret_acceptor) must_check;
int acceptor_accept(struct acceptor *a, struct conn **ret_conn) must_check; /* 0, -EAGAIN */
const struct addr *acceptor_addr(const struct acceptor *a);                 /* with the port that was chosen for 0 */
struct acceptor *acceptor_close(struct acceptor *a);                        /* NULL */
