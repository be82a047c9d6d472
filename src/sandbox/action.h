// SPDX-License-Identifier: Apache-2.0
/* One thing done to a container from outside: a probe's attempt or a lifecycle hook. GET a path, open a TCP connection,
 * ask grpc.health.v1, run a command inside, or wait. It starts, goes on by itself, and wakes its owner when it has an answer.
 *
 *   action_init(&a, loop, &owner, OWNER_BIT);
 *   action_start(&a, &what, timeout);
 *   … owner runs: if (action_over(&a)) use(a.ok, a.text);
 *   action_cancel(&a);                                      // also when it is over or never began
 *
 * Connections come from the node, as kubelet's do. An HTTP status from 200 to 399 is success; certificates
 * of HTTPS are not verified (kubelet neither).
 */
#pragma once

#include <stdbool.h>

#include "mesh/pod.h"
#include "net/conn.h"
#include "net/task.h"
#include "net/timer.h"
#include "sandbox/process.h"

struct container_run;
struct grpc_call;
struct http_conn;

struct action_what {
    struct container_run *container;
    const struct http_get *http_get;
    const struct tcp_socket *tcp_socket;
    const struct exec_action *exec;
    const struct grpc_probe *grpc;
    const struct sleep_action *sleep;
};

enum action_state {
    ACTION_IDLE,
    ACTION_CONNECTING,
    ACTION_READING,
    ACTION_GRPC,
    ACTION_EXEC,
    ACTION_SLEEPING,
    ACTION_OVER
};

struct action {
    struct task task;
    struct timer timer;
    struct loop *loop;
    struct task *owner;
    uint32_t owner_bits;
    struct action_what what;
    enum action_state state;
    struct conn *conn;
    struct buf in, out;
    struct http_conn *http; /* gRPC */
    struct grpc_call *call;
    struct process process;
    bool ok;
    char text[160]; /* why it failed */
};

void action_init(struct action *a, struct loop *l, struct task *owner, uint32_t owner_bits);
void action_start(struct action *a, const struct action_what *what, uint64_t timeout);
static inline bool action_over(const struct action *a)
{
    return a->state == ACTION_OVER;
}
static inline bool action_running(const struct action *a)
{
    return a->state != ACTION_IDLE && a->state != ACTION_OVER;
}
void action_cancel(struct action *a);
