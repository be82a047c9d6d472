// SPDX-License-Identifier: Apache-2.0
/* What makes pods: Deployment, ReplicaSet, StatefulSet, DaemonSet (apps/v1) and Job (batch/v1). */
#pragma once

#include "mesh/object.h"
#include "mesh/pod.h"

struct pod_template {
    struct part part;        /* part.node: the template's own tree, metadata and spec, to make pods from */
    struct object_meta meta; /* labels and annotations only */
    struct pod_spec spec;
};

struct deployment {
    struct object o;
    uint32_t replicas; /* 1 when absent */
    struct label_selector selector;
    struct pod_template template;
    bool recreate;                                /* strategy.type: Recreate */
    struct int_or_str max_surge, max_unavailable; /* 25 % when unset */
    uint32_t min_ready_s;
    uint32_t progress_deadline_s; /* 600 when absent */
    bool paused;
};

struct replica_set {
    struct object o;
    uint32_t replicas;
    struct label_selector selector;
    struct pod_template template;
    uint32_t min_ready_s;
};

struct stateful_set {
    struct object o;
    uint32_t replicas;
    struct label_selector selector;
    struct pod_template template;
    struct view service_name;
    bool parallel; /* podManagementPolicy: Parallel */
    uint32_t min_ready_s;
};

struct daemon_set {
    struct object o;
    struct label_selector selector;
    struct pod_template template;
    uint32_t min_ready_s;
};

struct job {
    struct object o;
    struct pod_template template;
    uint32_t parallelism, completions; /* 1 when absent */
    uint32_t backoff_limit;            /* 6 when absent */
    struct opt_i64 active_deadline_s, ttl_after_finished_s;
    bool suspend;
};
