// SPDX-License-Identifier: Apache-2.0
/* One pod that runs here: its network, volumes and containers, and the order in which they live (pod.c).
 *
 *   p = pod_new(rt, pod, …);    // network is there at once, containers follow by the pod's task
 *   pod_stop(p, grace);         // ends in a status with gone; then pod_free
 *
 * Invariant: `pod` (the manifest) does not change except for labels and annotations, and outlives the run.
 */
#pragma once

#include "base/arena.h"
#include "base/list.h"
#include "net/task.h"
#include "net/timer.h"
#include "sandbox/container.h"
#include "sandbox/environment.h"
#include "sandbox/network.h"
#include "sandbox/runtime_impl.h"
#include "sandbox/volume.h"

struct pod_run {
    struct list link, changed_link;
    struct runtime *rt;
    const struct pod *pod;
    struct arena arena;
    struct task task;
    struct timer timer;
    struct facts facts;
    struct network_pod net;
    struct volume_set volumes;
    bool volumes_ready, terminal, stopping, torn_down;
    uint64_t volumes_retry, token_renewal, stop_deadline;
    struct arena volume_notes;
    struct view volume_why;
    char dir[128], hostname[64];
    const char *resolv_conf, *hosts;
    struct container_run *containers; /* init containers first */
    size_t n_containers, n_init;
    struct runtime_container_status *statuses; /* the array that the status points to */
    struct runtime_pod_status status;
    uint64_t status_hash;
};

int pod_new(struct runtime *rt, const struct pod *pod, struct arena *a, struct pod_run **ret_pod,
            struct view *ret_why) must_check;
void pod_stop(struct pod_run *p, uint64_t grace_ns);
struct pod_run *pod_free(struct pod_run *p); /* kills what still runs */

/* What the sandbox cannot do for this pod, by name; 0 when it can. */
int pod_check(struct runtime *rt, const struct pod *pod, struct arena *a, struct view *ret_why) must_check;
