// SPDX-License-Identifier: Apache-2.0
/* Pod (v1), complete enough to run one: containers, init containers and native sidecars, probes, volumes, lifecycle.
 *
 * What has a meaning only on a real cluster (resources, affinity, image pull policy …) is accepted without effect, so
 * that manifests found anywhere apply unchanged; pod.c's tables say which.
 */
#pragma once

#include "mesh/object.h"
#include "mesh/service.h"

struct container_port {
    struct part part;
    struct view name;
    uint32_t port, host_port;
    enum l4_protocol l4;
};

struct key_ref { /* configMapKeyRef, secretKeyRef */
    struct view name, key;
    bool optional;
};

struct env_var {
    struct part part;
    struct view name, value; /* value may hold $(OTHER) */
    struct view field_path;  /* valueFrom.fieldRef: status.podIP, metadata.labels['x'] … */
    struct view resource;    /* valueFrom.resourceFieldRef.resource: limits.cpu … */
    struct view resource_container, resource_divisor;
    struct key_ref *config_map, *secret;
};

struct env_from {
    struct part part;
    struct view prefix;
    struct key_ref *config_map, *secret; /* key is empty: all keys */
};

struct http_header {
    struct view name, value;
};

struct http_get {
    struct part part;
    struct view path, host, scheme; /* scheme: "HTTP" when empty */
    struct int_or_str port;
    struct http_header *headers;
    uint32_t n_headers;
};

struct tcp_socket {
    struct part part;
    struct view host;
    struct int_or_str port;
};

struct grpc_probe {
    struct part part;
    uint32_t port;
    struct view service;
};

struct exec_action {
    struct part part;
    struct strings command;
};

struct probe { /* exactly one of the four actions */
    struct part part;
    struct http_get *http_get;
    struct tcp_socket *tcp_socket;
    struct exec_action *exec;
    struct grpc_probe *grpc;
    uint32_t initial_delay_s;
    uint32_t period_s, timeout_s, success_threshold, failure_threshold; /* defaults filled in: 10, 1, 1, 3 */
    struct opt_i64 termination_grace_s;
};

struct sleep_action {
    struct part part;
    int64_t seconds;
};

struct lifecycle_handler { /* exactly one */
    struct part part;
    struct http_get *http_get;
    struct tcp_socket *tcp_socket;
    struct exec_action *exec;
    struct sleep_action *sleep;
};

struct lifecycle {
    struct part part;
    struct lifecycle_handler *post_start, *pre_stop;
};

struct volume_mount {
    struct part part;
    struct view name, mount_path, sub_path;
    bool read_only;
};

struct capabilities {
    struct strings add, drop;
};

struct security_context { /* of a pod or a container */
    struct opt_i64 run_as_user, run_as_group, fs_group;
    struct opt_bool run_as_non_root, privileged, read_only_root, allow_escalation;
    struct capabilities caps;
    struct labels sysctls;
};

struct resources { /* requests and limits as written, e.g. cpu: 100m */
    struct labels requests, limits;
};

struct container {
    struct part part;
    struct view name, image, working_dir;
    struct view restart_policy; /* "Always" in an init container: a native sidecar */
    struct strings command, args;
    struct container_port *ports;
    uint32_t n_ports;
    struct env_var *env;
    uint32_t n_env;
    struct env_from *env_from;
    uint32_t n_env_from;
    struct volume_mount *mounts;
    uint32_t n_mounts;
    struct probe *liveness, *readiness, *startup;
    struct lifecycle *lifecycle;
    struct security_context security;
    struct resources resources;
    bool tty, stdin;
};

struct key_to_path {
    struct view key, path;
    struct opt_i64 mode;
};

struct downward_item {
    struct view path, field_path;
    struct view resource, resource_container, resource_divisor;
};

struct volume_keys { /* ConfigMap or Secret as files */
    struct part part;
    struct view name;
    struct key_to_path *items; /* none: all keys */
    uint32_t n_items;
    struct opt_i64 mode;
    bool optional;
};

struct downward_api {
    struct part part;
    struct downward_item *items;
    uint32_t n_items;
    struct opt_i64 mode;
};

struct token_projection {
    struct part part;
    struct view audience, path;
    int64_t expiration_s; /* 3600 when absent */
};

struct projected_source { /* exactly one */
    struct part part;
    struct volume_keys *config_map, *secret;
    struct downward_api *downward_api;
    struct token_projection *token;
};

struct projected {
    struct part part;
    struct projected_source *sources;
    uint32_t n_sources;
    struct opt_i64 mode;
};

struct empty_dir {
    struct part part;
    struct view medium, size_limit;
};

struct host_path {
    struct part part;
    struct view path, type;
};

struct volume { /* exactly one source; none means emptyDir */
    struct part part;
    struct view name;
    struct volume_keys *config_map, *secret;
    struct projected *projected;
    struct downward_api *downward_api;
    struct empty_dir *empty_dir;
    struct host_path *host_path;
};

struct pod_spec {
    struct container *containers, *init_containers;
    uint32_t n_containers, n_init_containers;
    struct volume *volumes;
    uint32_t n_volumes;
    struct view service_account; /* "default" when none is named */
    struct view node_name, hostname, subdomain, restart_policy /* Always when empty */, dns_policy;
    struct opt_bool automount_token, enable_service_links;
    bool host_network, host_pid, share_process_namespace;
    struct opt_i64 termination_grace_s; /* 30 when unset */
    struct opt_i64 active_deadline_s;
    struct security_context security;
};

struct pod_condition {
    struct view type, status;
};

struct pod {
    struct object o;
    struct pod_spec spec;
    struct view ip;    /* status.podIP */
    struct view phase; /* status.phase */
    struct view host_ip;
    struct strings ips;
    struct pod_condition *conditions;
    uint32_t n_conditions;
};

bool pod_is_ready(const struct pod *p); /* condition Ready is True */
/* Port of a container by number or name; 0 when no container has that name. */
uint32_t pod_port(const struct pod_spec *spec, const struct int_or_str *port);
bool container_is_sidecar(const struct container *c); /* an init container with restartPolicy: Always */
