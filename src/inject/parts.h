// SPDX-License-Identifier: Apache-2.0
/* What the files of injection hand to each other: the pod being changed and what was decided about it. */
#pragma once

#include "base/arena.h"
#include "base/diag.h"
#include "inject/annotations.h"
#include "inject/inject.h"
#include "mesh/mesh_config.h"
#include "wire/node.h"

struct injection {
    struct arena *arena;
    struct diags *diags;
    const struct inject_config *config;
    const struct mesh_config *mesh;   /* never NULL */
    const struct proxy_config *proxy; /* mesh defaultConfig under the pod's annotation; never NULL */
    struct node *pod, *spec;          /* the copy that is changed */
    struct view ns, service_account;
    struct view workload, owner_api, owner_kind; /* reviews-v1, apps/v1, Deployment; workload may be empty */
    struct view app_containers;                  /* productpage,helper */
    struct view pod_ports;                       /* JSON list of all containerPorts */
    struct node *probers;                        /* NULL, or the map for ISTIO_KUBE_APP_PROBERS */
    struct view scrape;                          /* JSON for ISTIO_PROMETHEUS_ANNOTATIONS; empty: none */
    uint32_t status_port;                        /* 15020; 0: no probes */
    bool gateway, native, hold;
};

/* The fixed texts of container.c. */
enum inject_part {
    PART_VOLUMES,
    PART_MOUNTS,
    PART_PROXY,
    PART_INIT,
    PART_ENV,
    PART_NODE_NAME,
    PART_READY,
    PART_DRAIN,
    PART_WAIT,
    PARTS,
};
struct inject_parts {
    const struct node *tree[PARTS];
};

/* Parses YAML that is part of this program: it cannot fail. */
struct node *inject_yaml(struct arena *a, const char *text);
struct view inject_json(struct arena *a, const struct node *n);

struct node *make_init_container(struct injection *x);  /* istio-init */
struct node *make_proxy_container(struct injection *x); /* istio-proxy */
struct node *make_volumes(struct injection *x);         /* what the proxy mounts */

/* A traffic annotation of the pod, else the settings' default, else `otherwise`. */
struct view traffic_setting(const struct injection *x, enum annotation a, struct view otherwise);

/* Lays what the user wrote about the container istio-proxy over ours: lists by name, port or path, the rest replaced. */
void overlay_container(struct arena *a, struct node *ours, const struct node *users);

/* Probes and lifecycle hooks of the applications go through the proxy, which knows the originals (x->probers). */
void rewrite_probes(struct injection *x);
