// SPDX-License-Identifier: Apache-2.0
/* The sandbox's kubelet: runs pods as processes in network namespaces, on this machine, and says how they are.
 *
 *   rt = runtime_new(loop, &config);                       // inside the sandbox's own namespaces (isolate.h)
 *   runtime_pod_start(rt, pod, &why);                      // an already injected mesh/pod.h object; has its IP at once
 *   while ((s = runtime_next(rt))) …store and publish…     // whenever config.changed was woken
 *   runtime_services_set(rt, &table);                      // ClusterIP rules and DNS follow the table
 *   runtime_pod_stop(rt, uid, grace_ns);                   // preStop, SIGTERM, grace, SIGKILL; ends in a status with gone
 *
 * It behaves as kubelet 1.34 does for what it supports: init containers in order, native sidecars, startup, readiness and
 * liveness probes, restart policies with back-off (100 ms doubling to 10 s: a stand-in must not make people wait), hooks,
 * volumes, environment. What a pod asks for and the runtime cannot give is refused by name when the pod starts.
 *
 * Everything runs on the caller's loop in one thread; no call waits for a process. Views in a status are valid until the
 * runtime runs again (the next loop turn).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/must.h"
#include "base/view.h"

struct loop; /* net/loop.h */
struct task; /* net/task.h */
struct pod;  /* mesh/pod.h */
struct runtime;
struct isolate;

/* One key of a ConfigMap or Secret (values decoded, any bytes). */
struct runtime_item {
    struct view key, value;
};

enum runtime_source { RUNTIME_CONFIG_MAP, RUNTIME_SECRET };

struct runtime_config {
    struct isolate *isolate; /* gives host ports, the host's resolvers, the state directory */
    uint32_t pod_cidr;       /* host byte order, /16; 0: 10.244.0.0 */
    uint32_t service_cidr;   /* host byte order, /16; 0: 10.96.0.0 */
    uint32_t dns_ip;         /* host byte order; 0: the tenth address of service_cidr */
    struct view images_yaml; /* text of the user's images.yaml, may be empty: looked at before the built-in entries */
    struct view images_file; /* its name, for messages */
    struct view bin_dir; /* where weft-proxy, weft-node, weft-control and bookinfo lie; empty: next to this program */

    struct task *changed; /* woken when runtime_next has something */
    void *arg;            /* for the callbacks */
    /* The items of a ConfigMap or Secret, allocated in `a`. -ENOENT: there is none (the container waits and retries,
     * unless the reference is optional). */
    int (*items)(void *arg, enum runtime_source source, struct view ns, struct view name, struct arena *a,
                 struct runtime_item **ret_items, size_t *ret_n);
    /* A signed token for a pod's service account. audience empty: the API server's own. */
    int (*token)(void *arg, const struct pod *pod, struct view audience, uint64_t expires_s, struct arena *a,
                 struct view *ret_token);
};

enum runtime_phase { PHASE_PENDING, PHASE_RUNNING, PHASE_SUCCEEDED, PHASE_FAILED };
enum container_state { CONTAINER_WAITING, CONTAINER_RUNNING, CONTAINER_TERMINATED };

struct runtime_container_status {
    struct view name, image;
    bool init; /* from initContainers (native sidecars too) */
    enum container_state state;
    struct view reason; /* waiting or terminated: CrashLoopBackOff, ErrImagePull, Completed, Error … */
    struct view message;
    int exit_code;                    /* terminated: 128 + signal when killed by one */
    uint64_t started_ns, finished_ns; /* wall clock; 0: not yet */
    bool has_last;                    /* lastState.terminated is known */
    int last_exit_code;
    struct view last_reason;
    uint64_t last_started_ns, last_finished_ns;
    uint32_t restarts;
    bool started, ready;
};

struct runtime_pod_status {
    struct view ns, name, uid;
    const struct pod *pod; /* what runtime_pod_start was given */
    enum runtime_phase phase;
    uint32_t ip; /* host byte order */
    char ip_text[16];
    uint64_t started_ns;                       /* wall clock: status.startTime */
    bool initialized, containers_ready, ready; /* conditions; PodScheduled is always true */
    uint64_t ready_since_ns;                   /* wall clock of the last change of `ready` */
    bool stopping;
    bool gone; /* last message about this uid: every process, address and file of it is gone, `pod` may be freed */
    struct view reason, message;                       /* of a failed pod */
    const struct runtime_container_status *containers; /* init containers first, in the order of the pod */
    size_t n_containers;
};

/* -errno. Leaves the calling program with the node's addresses, routes, rules and DNS server in place. */
int runtime_new(struct loop *loop, const struct runtime_config *config, struct runtime **ret_rt) must_check;
/* Kills everything without grace. The end of the sandbox's PID namespace does the same if this is never called. */
struct runtime *runtime_free(struct runtime *rt);

/* Starts a pod; `pod` must stay valid and unchanged until its status says gone. -EINVAL: the pod asks for something that
 * the sandbox does not have, *ret_why names it (in `a`). -EEXIST: this uid runs already. */
int runtime_pod_start(struct runtime *rt, const struct pod *pod, struct arena *a, struct view *ret_why) must_check;
/* Ends a pod. grace_ns 0: at once; UINT64_MAX: the pod's terminationGracePeriodSeconds. -ENOENT when unknown. */
int runtime_pod_stop(struct runtime *rt, struct view uid, uint64_t grace_ns);

/* The next pod whose status changed since it was last returned, or NULL. */
const struct runtime_pod_status *runtime_next(struct runtime *rt);
/* The present status, or NULL. */
const struct runtime_pod_status *runtime_status(struct runtime *rt, struct view uid);

/* A ConfigMap or Secret changed: mounted files follow (atomically, as kubelet does; not subPath mounts). */
void runtime_items_changed(struct runtime *rt, enum runtime_source source, struct view ns, struct view name);
/* A pod's labels or annotations changed in place in `pod`: downwardAPI files follow. */
void runtime_pod_meta_changed(struct runtime *rt, struct view uid);

/* A connection to 127.0.0.1:port inside the pod, as `kubectl port-forward` makes it: proxies' admin pages are only there. */
int runtime_pod_connect(struct runtime *rt, struct view uid, uint16_t port, int *ret_fd) must_check;

/* ---- Services: what the rules and the DNS server serve. Copied; nothing of the table is kept. */

enum runtime_proto { RUNTIME_TCP, RUNTIME_UDP };

struct runtime_endpoint {
    uint32_t ip;          /* host byte order */
    struct view hostname; /* <hostname>.<service>.<ns>.svc: pod's spec.hostname when spec.subdomain is the service */
    bool ready;           /* or the Service has publishNotReadyAddresses */
};

struct runtime_service_port {
    struct view name;
    enum runtime_proto proto;
    uint16_t port;
    /* Where it leads, ready endpoints only: targetPort may differ between pods. */
    struct {
        uint32_t ip;
        uint16_t port;
    } * targets;
    size_t n_targets;
};

struct runtime_service {
    struct view ns, name;
    uint32_t cluster_ip;       /* host byte order; 0: headless or ExternalName */
    struct view external_name; /* ExternalName: answered as CNAME */
    uint32_t affinity_s;       /* sessionAffinity ClientIP timeout; 0: none */
    struct runtime_service_port *ports;
    size_t n_ports;
    struct runtime_endpoint *endpoints; /* for headless names and SRV */
    size_t n_endpoints;
};

struct runtime_services {
    struct runtime_service *services;
    size_t n_services;
};

/* Applies rules and names. Rules are written once a loop turn at most and only when they differ. */
void runtime_services_set(struct runtime *rt, const struct runtime_services *table);
/* True when the last table given is what the kernel has (for tests and for `weft up` to say ready). */
bool runtime_services_settled(const struct runtime *rt);

/* ---- Logs and exec */

/* Appends log text from *at on (0: from the oldest kept), at most `max` bytes, and moves *at. previous: of the run before.
 * -ENOENT: no such pod or container. A container keeps LIMIT_CONTAINER_LOG_BYTES. */
int runtime_log_read(struct runtime *rt, struct view uid, struct view container, bool previous, uint64_t *at,
                     size_t max, struct buf *out) must_check;
/* The offset at which the last `lines` lines begin. */
int runtime_log_tail(struct runtime *rt, struct view uid, struct view container, bool previous, uint64_t lines,
                     uint64_t *ret_at) must_check;

struct runtime_exec;
struct runtime_exec_config {
    struct view uid, container;
    const char *const *argv; /* NULL-terminated; copied */
    int stdio[3];            /* duplicated into the process; -1: /dev/null */
    struct task *done;       /* woken when the process ended; may be NULL */
};
/* Starts a command in a running container, with its user, environment and view. */
int runtime_exec_start(struct runtime *rt, const struct runtime_exec_config *config,
                       struct runtime_exec **ret_exec) must_check;
bool runtime_exec_ended(const struct runtime_exec *exec, int *ret_exit_code);
void runtime_exec_signal(struct runtime_exec *exec, int sig);
struct runtime_exec *runtime_exec_free(struct runtime_exec *exec); /* kills it when it still runs */

/* ---- Host ports */

/* Connections to 127.0.0.1:host_port of the machine go to ip:port (a ClusterIP or a pod). -EADDRINUSE and others from
 * bind arrive here; closing: target_ip 0. */
int runtime_host_port_set(struct runtime *rt, uint16_t host_port, uint32_t target_ip, uint16_t target_port) must_check;
/* The daemon alone reads isolate_next(); connections of listeners that are not its own go here. Takes fd and is true when
 * `id` is a host port's listener; false: fd stays the caller's. */
bool runtime_host_port_accepted(struct runtime *rt, uint32_t id, int fd) must_check;
