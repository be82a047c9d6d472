// SPDX-License-Identifier: Apache-2.0
/* The containers of a pod (pod.h): ports, environment, probes, lifecycle, mounts. */
#include "mesh/messages.h"
#include "mesh/pod_parts.h"

static const struct field port_fields[] = {
    {"containerPort", FIELD_PORT, AT(struct container_port, port), .required = true},
    {"name", FIELD_STR, AT(struct container_port, name)},
    {"hostPort", FIELD_U32, AT(struct container_port, host_port), .lo = 0, .hi = 65535},
    {"protocol", FIELD_ENUM, AT(struct container_port, l4), .words = l4_words},
    {"hostIP", FIELD_ANY},
};
static const struct message port_message = PART("ContainerPort", struct container_port, port_fields);

static const struct field key_ref_fields[] = {
    {"name", FIELD_STR, AT(struct key_ref, name), .required = true},
    {"key", FIELD_STR, AT(struct key_ref, key), .required = true},
    {"optional", FIELD_BOOL, AT(struct key_ref, optional)},
};
static const struct message key_ref_message = MESSAGE("KeySelector", struct key_ref, key_ref_fields);

static const struct field field_ref_fields[] = {
    {"fieldPath", FIELD_STR, AT(struct env_var, field_path), .required = true},
    {"apiVersion", FIELD_ANY},
};
static const struct message field_ref_message = MESSAGE("ObjectFieldSelector", struct env_var, field_ref_fields);

static void divisor(struct decoder *d, void *base, const struct node *n, const struct place *at)
{
    ((struct env_var *)base)->resource_divisor = n->text;
}

static const struct field resource_ref_fields[] = {
    {"resource", FIELD_STR, AT(struct env_var, resource), .required = true},
    {"containerName", FIELD_STR, AT(struct env_var, resource_container)},
    {"divisor", FIELD_CUSTOM, .custom = divisor},
};
static const struct message resource_ref_message =
    MESSAGE("ResourceFieldSelector", struct env_var, resource_ref_fields);

static const struct field value_from_fields[] = {
    {"fieldRef", FIELD_INLINE, .msg = &field_ref_message},
    {"resourceFieldRef", FIELD_INLINE, .msg = &resource_ref_message},
    {"configMapKeyRef", FIELD_MSG, AT(struct env_var, config_map), .msg = &key_ref_message},
    {"secretKeyRef", FIELD_MSG, AT(struct env_var, secret), .msg = &key_ref_message},
    {"fileKeyRef", FIELD_REFUSED},
};
static const struct message value_from_message = MESSAGE("EnvVarSource", struct env_var, value_from_fields);

static void check_env(struct decoder *d, void *msg, const struct node *n, const struct place *at)
{
    const struct env_var *e = msg;
    const struct node *from = node_get(n, VIEW("valueFrom"));
    if (node_is(from, NODE_MAP) && (e->value.n || from->n != 1))
        decode_bad_field(d, n, at, "valueFrom",
                         e->value.n ? "`value` and `valueFrom` exclude each other"
                                    : "`valueFrom` needs exactly one source");
}

static const struct field env_fields[] = {
    {"name", FIELD_STR, AT(struct env_var, name), .required = true},
    {"value", FIELD_STR, AT(struct env_var, value)},
    {"valueFrom", FIELD_INLINE, .msg = &value_from_message},
};
static const struct message env_message = {MESSAGE_FIELDS("EnvVar", struct env_var, env_fields), .part = true,
                                           .check = check_env};

static const struct field env_source_fields[] = {
    {"name", FIELD_STR, AT(struct key_ref, name), .required = true},
    {"optional", FIELD_BOOL, AT(struct key_ref, optional)},
};
static const struct message env_source_message = MESSAGE("EnvSource", struct key_ref, env_source_fields);

static const struct field env_from_fields[] = {
    {"prefix", FIELD_STR, AT(struct env_from, prefix)},
    {"configMapRef", FIELD_MSG, AT(struct env_from, config_map), .msg = &env_source_message},
    {"secretRef", FIELD_MSG, AT(struct env_from, secret), .msg = &env_source_message},
};
static const struct message env_from_message = PART("EnvFromSource", struct env_from, env_from_fields);

static const struct field header_fields[] = {
    {"name", FIELD_STR, AT(struct http_header, name), .required = true},
    {"value", FIELD_STR, AT(struct http_header, value)},
};
static const struct message header_message = MESSAGE("HTTPHeader", struct http_header, header_fields);

static void check_port(struct decoder *d, const struct int_or_str *port, const struct node *n, const struct place *at)
{
    if (!port->text.n && (port->number < 1 || port->number > 65535))
        decode_bad_field(d, n, at, "port", "`port` is out of range")->label =
            VIEW("must be 1 to 65535, or a port's name");
}

static void check_http_get(struct decoder *d, void *msg, const struct node *n, const struct place *at)
{
    struct http_get *h = msg;
    check_port(d, &h->port, n, at);
    if (h->scheme.n && !view_is(h->scheme, "HTTP") && !view_is(h->scheme, "HTTPS"))
        decode_bad_field(d, n, at, "scheme", "`scheme` must be HTTP or HTTPS");
}

static const struct field http_get_fields[] = {
    {"path", FIELD_STR, AT(struct http_get, path)},
    {"port", FIELD_INT_OR_STR, AT(struct http_get, port), .required = true},
    {"host", FIELD_STR, AT(struct http_get, host)},
    {"scheme", FIELD_STR, AT(struct http_get, scheme)},
    {"httpHeaders", FIELD_LIST, AT_LIST(struct http_get, headers, n_headers), .msg = &header_message},
};
static const struct message http_get_message = {MESSAGE_FIELDS("HTTPGetAction", struct http_get, http_get_fields),
                                                .part = true, .check = check_http_get};

static void check_tcp(struct decoder *d, void *msg, const struct node *n, const struct place *at)
{
    check_port(d, &((struct tcp_socket *)msg)->port, n, at);
}

static const struct field tcp_fields[] = {
    {"port", FIELD_INT_OR_STR, AT(struct tcp_socket, port), .required = true},
    {"host", FIELD_STR, AT(struct tcp_socket, host)},
};
static const struct message tcp_message = {MESSAGE_FIELDS("TCPSocketAction", struct tcp_socket, tcp_fields),
                                           .part = true, .check = check_tcp};

static const struct field exec_fields[] = {
    {"command", FIELD_STRS, AT(struct exec_action, command), .required = true},
};
static const struct message exec_message = PART("ExecAction", struct exec_action, exec_fields);

static const struct field grpc_fields[] = {
    {"port", FIELD_PORT, AT(struct grpc_probe, port), .required = true},
    {"service", FIELD_STR, AT(struct grpc_probe, service)},
};
static const struct message grpc_message = PART("GRPCAction", struct grpc_probe, grpc_fields);

static void probe_defaults(void *msg)
{
    struct probe *p = msg;
    p->period_s = 10;
    p->timeout_s = 1;
    p->success_threshold = 1;
    p->failure_threshold = 3;
}

static void check_probe(struct decoder *d, void *msg, const struct node *n, const struct place *at)
{
    const struct probe *p = msg;
    int actions = (p->http_get != NULL) + (p->tcp_socket != NULL) + (p->exec != NULL) + (p->grpc != NULL);
    if (actions != 1)
        decode_bad(d, n, at, "a probe needs exactly one of httpGet, tcpSocket, exec and grpc");
}

static const struct field probe_fields[] = {
    {"httpGet", FIELD_MSG, AT(struct probe, http_get), .msg = &http_get_message},
    {"tcpSocket", FIELD_MSG, AT(struct probe, tcp_socket), .msg = &tcp_message},
    {"exec", FIELD_MSG, AT(struct probe, exec), .msg = &exec_message},
    {"grpc", FIELD_MSG, AT(struct probe, grpc), .msg = &grpc_message},
    {"initialDelaySeconds", FIELD_U32, AT(struct probe, initial_delay_s), .lo = 0, .hi = INT32_MAX},
    {"periodSeconds", FIELD_U32, AT(struct probe, period_s), .lo = 1, .hi = INT32_MAX},
    {"timeoutSeconds", FIELD_U32, AT(struct probe, timeout_s), .lo = 1, .hi = INT32_MAX},
    {"successThreshold", FIELD_U32, AT(struct probe, success_threshold), .lo = 1, .hi = INT32_MAX},
    {"failureThreshold", FIELD_U32, AT(struct probe, failure_threshold), .lo = 1, .hi = INT32_MAX},
    {"terminationGracePeriodSeconds", FIELD_OPT_I64, AT(struct probe, termination_grace_s), .lo = 1, .hi = INT32_MAX},
};
static const struct message probe_message = {MESSAGE_FIELDS("Probe", struct probe, probe_fields), .part = true,
                                             .init = probe_defaults, .check = check_probe};

static const struct field sleep_fields[] = {
    {"seconds", FIELD_I64, AT(struct sleep_action, seconds), .required = true, .lo = 0, .hi = INT32_MAX},
};
static const struct message sleep_message = PART("SleepAction", struct sleep_action, sleep_fields);

static void check_handler(struct decoder *d, void *msg, const struct node *n, const struct place *at)
{
    const struct lifecycle_handler *h = msg;
    int actions = (h->http_get != NULL) + (h->tcp_socket != NULL) + (h->exec != NULL) + (h->sleep != NULL);
    if (actions != 1)
        decode_bad(d, n, at, "a lifecycle handler needs exactly one of exec, httpGet, tcpSocket and sleep");
}

static const struct field handler_fields[] = {
    {"httpGet", FIELD_MSG, AT(struct lifecycle_handler, http_get), .msg = &http_get_message},
    {"tcpSocket", FIELD_MSG, AT(struct lifecycle_handler, tcp_socket), .msg = &tcp_message},
    {"exec", FIELD_MSG, AT(struct lifecycle_handler, exec), .msg = &exec_message},
    {"sleep", FIELD_MSG, AT(struct lifecycle_handler, sleep), .msg = &sleep_message},
};
static const struct message handler_message = {
    MESSAGE_FIELDS("LifecycleHandler", struct lifecycle_handler, handler_fields), .part = true, .check = check_handler};

static const struct field lifecycle_fields[] = {
    {"postStart", FIELD_MSG, AT(struct lifecycle, post_start), .msg = &handler_message},
    {"preStop", FIELD_MSG, AT(struct lifecycle, pre_stop), .msg = &handler_message},
    {"stopSignal", FIELD_ANY},
};
static const struct message lifecycle_message = PART("Lifecycle", struct lifecycle, lifecycle_fields);

static const struct field mount_fields[] = {
    {"name", FIELD_STR, AT(struct volume_mount, name), .required = true},
    {"mountPath", FIELD_STR, AT(struct volume_mount, mount_path), .required = true},
    {"subPath", FIELD_STR, AT(struct volume_mount, sub_path)},
    {"readOnly", FIELD_BOOL, AT(struct volume_mount, read_only)},
    {"subPathExpr", FIELD_REFUSED, .why = "use subPath"},
    {"mountPropagation", FIELD_ANY},
    {"recursiveReadOnly", FIELD_ANY},
};
static const struct message mount_message = PART("VolumeMount", struct volume_mount, mount_fields);

static const struct field resource_fields[] = {
    {"requests", FIELD_QUANTITIES, AT(struct resources, requests)},
    {"limits", FIELD_QUANTITIES, AT(struct resources, limits)},
    {"claims", FIELD_ANY},
};
static const struct message resource_message = MESSAGE("ResourceRequirements", struct resources, resource_fields);

#define CONTAINER_FIELDS                                                                                               \
    {"name", FIELD_STR, AT(struct container, name), .required = true, .format = FORMAT_LABEL},                         \
        {"image", FIELD_STR, AT(struct container, image)}, {"command", FIELD_STRS, AT(struct container, command)},     \
        {"args", FIELD_STRS, AT(struct container, args)},                                                              \
        {"workingDir", FIELD_STR, AT(struct container, working_dir)},                                                  \
        {"ports", FIELD_LIST, AT_LIST(struct container, ports, n_ports), .msg = &port_message},                        \
        {"env", FIELD_LIST, AT_LIST(struct container, env, n_env), .msg = &env_message},                               \
        {"envFrom", FIELD_LIST, AT_LIST(struct container, env_from, n_env_from), .msg = &env_from_message},            \
        {"volumeMounts", FIELD_LIST, AT_LIST(struct container, mounts, n_mounts), .msg = &mount_message},              \
        {"livenessProbe", FIELD_MSG, AT(struct container, liveness), .msg = &probe_message},                           \
        {"readinessProbe", FIELD_MSG, AT(struct container, readiness), .msg = &probe_message},                         \
        {"startupProbe", FIELD_MSG, AT(struct container, startup), .msg = &probe_message},                             \
        {"lifecycle", FIELD_MSG, AT(struct container, lifecycle), .msg = &lifecycle_message},                          \
        {"securityContext", FIELD_EMBED, AT(struct container, security), .msg = &pod_security_message},                \
        {"resources", FIELD_EMBED, AT(struct container, resources), .msg = &resource_message},                         \
        {"tty", FIELD_BOOL, AT(struct container, tty)}, {"stdin", FIELD_BOOL, AT(struct container, stdin)},            \
        {"stdinOnce", FIELD_ANY}, {"imagePullPolicy", FIELD_ANY}, {"terminationMessagePath", FIELD_ANY},               \
        {"terminationMessagePolicy", FIELD_ANY}, {"resizePolicy", FIELD_ANY}, {"restartPolicyRules", FIELD_ANY},       \
    {                                                                                                                  \
        "volumeDevices", FIELD_REFUSED, .why = "block devices are not available; mount a volume instead"               \
    }

static const struct field container_fields[] = {
    CONTAINER_FIELDS,
    {"restartPolicy", FIELD_REFUSED, .why = "only init containers may set it (to Always: a native sidecar)"},
};
const struct message pod_container_message = PART("Container", struct container, container_fields);

static void check_init_container(struct decoder *d, void *msg, const struct node *n, const struct place *at)
{
    const struct container *c = msg;
    if (c->restart_policy.n && !container_is_sidecar(c))
        decode_bad_field(d, n, at, "restartPolicy", "an init container's `restartPolicy` can only be Always");
    if (!container_is_sidecar(c) && (c->liveness || c->readiness || c->startup || c->lifecycle))
        decode_bad(d, n, at,
                   "an init container without `restartPolicy: Always` cannot have probes or lifecycle handlers");
}

static const struct field init_container_fields[] = {
    CONTAINER_FIELDS,
    {"restartPolicy", FIELD_STR, AT(struct container, restart_policy)},
};
const struct message pod_init_container_message = {MESSAGE_FIELDS("Container", struct container, init_container_fields),
                                                   .part = true, .check = check_init_container};
