// SPDX-License-Identifier: Apache-2.0
/* The inside of the runtime, shared by its files only: the pods and what they share. Others use runtime.h.
 *
 *   runtime.c owns the list of pods; pod.c walks one pod's life; container.c one container's. All of a pod's events
 *   (processes, probes, hooks, timers) wake the pod's one task, which looks at everything again: nothing is remembered
 *   about why it was woken, so nothing can be missed.
 */
#pragma once

#include "base/list.h"
#include "base/map.h"
#include "sandbox/image.h"
#include "sandbox/isolate.h"
#include "sandbox/network.h"
#include "sandbox/runtime.h"

struct pod_run;
struct service_nat;
struct dns_server;
struct host_port_set;
struct http_shared;
struct tls_context;

struct runtime {
    struct loop *loop;
    struct runtime_config config;
    struct arena arena;
    struct network network;
    struct image_table images;
    const char *const *host_mounts;
    const char *const *program_dirs;
    struct view path; /* PATH of containers */
    struct list pods;
    struct list changed;    /* pods that runtime_next has not handed out */
    struct pod_run *handed; /* gone and handed out: freed at the next call */
    size_t n_pods;
    struct service_nat *nat;
    struct dns_server *dns;
    struct host_port_set *host_ports;
    struct tls_context *tls;  /* of probes: verifies nothing */
    struct http_shared *http; /* of probes */
};

struct pod_run *runtime_pod(struct runtime *rt, struct view uid); /* NULL */
void runtime_pod_changed(struct runtime *rt, struct pod_run *p);
