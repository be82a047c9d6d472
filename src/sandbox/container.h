// SPDX-License-Identifier: Apache-2.0
/* One container of a pod: its runs one after another, its hooks and probes, its log.
 *
 * Its pod (pod.c) decides when it shall run; container_poll carries out what is under way: the exec's outcome, hooks,
 * probes, the way from preStop over SIGTERM to SIGKILL, and the end.
 *
 *   waiting → creating (cloned, not yet exec'ed) → running → [stopping] → terminated → waiting …
 */
#pragma once

#include "base/arena.h"
#include "mesh/pod.h"
#include "sandbox/action.h"
#include "sandbox/container_log.h"
#include "sandbox/probe.h"
#include "sandbox/process.h"
#include "sandbox/runtime.h"

struct pod_run;
struct confinement;

enum hook_state { HOOK_NONE, HOOK_RUNNING, HOOK_DONE };

struct container_run {
    struct pod_run *pod;
    const struct container *spec;
    bool init, sidecar;
    struct arena arena; /* of this run: environment, arguments, message */
    struct arena notes; /* of the waiting message */
    struct process process;
    struct fd_watch error_watch;
    int error_fd; /* -1: exec is decided */
    char error[512];
    size_t n_error;
    bool creating, ever_started;
    enum hook_state post_start, pre_stop;
    struct action post_start_action, pre_stop_action;
    struct probe_run probes[PROBE_KINDS];
    bool stopping, term_sent, hard; /* hard: SIGKILL was sent */
    uint64_t stop_deadline;
    uint64_t started_at, backoff, retry_at; /* monotonic */
    uint32_t attempt;
    struct container_log log;
    uid_t uid;
    gid_t gid;
    const struct confinement *confinement; /* of the running process, for exec */
    struct runtime_container_status status;
};

void container_init(struct container_run *c, struct pod_run *pod, const struct container *spec, bool init);
void container_done(struct container_run *c); /* kills */

/* Begins a run; on failure the status says why and retry_at when to try again. */
void container_start(struct container_run *c);
/* Begins to stop: preStop, SIGTERM, SIGKILL at the deadline (loop time). Repeated calls only shorten it. */
void container_stop(struct container_run *c, uint64_t deadline);
/* Carries out; returns when it wants to be asked again (TIMER_NEVER: when woken). */
uint64_t container_poll(struct container_run *c);

static inline bool container_alive(const struct container_run *c)
{
    return c->process.running;
}
bool container_succeeded(const struct container_run *c); /* ended with 0 */
bool container_finished(const struct container_run *c);  /* ended, and its pod's restartPolicy leaves it so */
/* Started: startup probe passed and postStart done. */
bool container_started(const struct container_run *c);

uint32_t container_ip(const struct container_run *c);
uint32_t container_port_number(const struct container_run *c, const struct int_or_str *port); /* 0: no such name */

/* A command inside the running container, with its user and environment. */
int container_exec(struct container_run *c, const struct strings *command, struct process *p) must_check;
int container_exec_stdio(struct container_run *c, char *const *argv, const int stdio[3], struct process *p) must_check;
