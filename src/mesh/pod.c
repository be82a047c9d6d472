// SPDX-License-Identifier: Apache-2.0
/* Pod (pod.h): the pod itself and its security and status. Containers are in pod_container.c, volumes in pod_volume.c.
 *
 * Rows of FIELD_ANY are what only a real cluster can honour (scheduling, images, resource limits): accepted without
 * effect, so that manifests found anywhere run unchanged.
 */
#include "mesh/pod.h"

#include "mesh/messages.h"
#include "mesh/pod_parts.h"

static const struct field sysctl_fields[] = {
    {"name", FIELD_STR, AT(struct label, key), .required = true},
    {"value", FIELD_STR, AT(struct label, value), .required = true},
};
static const struct message sysctl_message = MESSAGE("Sysctl", struct label, sysctl_fields);

static const struct field capability_fields[] = {
    {"add", FIELD_STRS, AT(struct capabilities, add)},
    {"drop", FIELD_STRS, AT(struct capabilities, drop)},
};
static const struct message capability_message = MESSAGE("Capabilities", struct capabilities, capability_fields);

static const struct field security_fields[] = {
    {"runAsUser", FIELD_OPT_I64, AT(struct security_context, run_as_user), .lo = 0, .hi = INT32_MAX},
    {"runAsGroup", FIELD_OPT_I64, AT(struct security_context, run_as_group), .lo = 0, .hi = INT32_MAX},
    {"fsGroup", FIELD_OPT_I64, AT(struct security_context, fs_group), .lo = 0, .hi = INT32_MAX},
    {"runAsNonRoot", FIELD_OPT_BOOL, AT(struct security_context, run_as_non_root)},
    {"privileged", FIELD_OPT_BOOL, AT(struct security_context, privileged)},
    {"readOnlyRootFilesystem", FIELD_OPT_BOOL, AT(struct security_context, read_only_root)},
    {"allowPrivilegeEscalation", FIELD_OPT_BOOL, AT(struct security_context, allow_escalation)},
    {"capabilities", FIELD_EMBED, AT(struct security_context, caps), .msg = &capability_message},
    {"sysctls", FIELD_LIST, AT_LIST(struct security_context, sysctls.list, sysctls.n), .msg = &sysctl_message},
    {"supplementalGroups", FIELD_ANY},
    {"supplementalGroupsPolicy", FIELD_ANY},
    {"fsGroupChangePolicy", FIELD_ANY},
    {"seLinuxOptions", FIELD_ANY},
    {"seLinuxChangePolicy", FIELD_ANY},
    {"windowsOptions", FIELD_ANY},
    {"seccompProfile", FIELD_ANY},
    {"appArmorProfile", FIELD_ANY},
    {"procMount", FIELD_ANY},
};
const struct message pod_security_message = MESSAGE("SecurityContext", struct security_context, security_fields);

static const struct enum_word restart_words[] = {{"Always", 0}, {"OnFailure", 1}, {"Never", 2}, {NULL}};

static void restart_policy(struct decoder *d, void *base, const struct node *n, const struct place *at)
{
    static const struct field f = {"restartPolicy", FIELD_ENUM, .words = restart_words};
    int checked = 0;
    value_decode(d, &f, &checked, NULL, n, at);
    ((struct pod_spec *)base)->restart_policy = node_text(n);
}

static void service_account_old(struct decoder *d, void *base, const struct node *n, const struct place *at)
{
    struct pod_spec *s = base;
    if (!s->service_account.n)
        s->service_account = node_text(n);
}

static const struct container *find_container(const struct container *list, uint32_t n, struct view name)
{
    for (uint32_t i = 0; i < n; i++)
        if (view_eq(list[i].name, name))
            return &list[i];
    return NULL;
}

static void check_names(struct decoder *d, const struct pod_spec *s, const struct place *at)
{
    for (uint32_t i = 0; i < s->n_containers + s->n_init_containers; i++) {
        bool init = i >= s->n_containers;
        const struct container *c = init ? &s->init_containers[i - s->n_containers] : &s->containers[i];
        if (find_container(s->containers, init ? s->n_containers : i, c->name) ||
            (init && find_container(s->init_containers, i - s->n_containers, c->name)))
            decode_bad(d, node_get(c->part.node, VIEW("name")), at, "two containers are named `%.*s`",
                       VIEW_ARGS(c->name));
        for (uint32_t m = 0; m < c->n_mounts; m++) {
            uint32_t v = 0;
            while (v < s->n_volumes && !view_eq(s->volumes[v].name, c->mounts[m].name))
                v++;
            if (v == s->n_volumes)
                decode_bad(d, node_get(c->mounts[m].part.node, VIEW("name")), at, "volume `%.*s` does not exist",
                           VIEW_ARGS(c->mounts[m].name))
                    ->label = VIEW("no volume of the pod has this name");
        }
    }
}

static void check_spec(struct decoder *d, void *msg, const struct node *n, const struct place *at)
{
    struct pod_spec *s = msg;
    if (!s->service_account.n)
        s->service_account = VIEW("default");
    check_names(d, s, at);
}

static const struct field spec_fields[] = {
    {"containers", FIELD_LIST, AT_LIST(struct pod_spec, containers, n_containers), .msg = &pod_container_message,
     .required = true},
    {"initContainers", FIELD_LIST, AT_LIST(struct pod_spec, init_containers, n_init_containers),
     .msg = &pod_init_container_message},
    {"volumes", FIELD_LIST, AT_LIST(struct pod_spec, volumes, n_volumes), .msg = &pod_volume_message},
    {"serviceAccountName", FIELD_STR, AT(struct pod_spec, service_account), .format = FORMAT_NAME},
    {"serviceAccount", FIELD_CUSTOM, .custom = service_account_old},
    {"automountServiceAccountToken", FIELD_OPT_BOOL, AT(struct pod_spec, automount_token)},
    {"nodeName", FIELD_STR, AT(struct pod_spec, node_name)},
    {"hostname", FIELD_STR, AT(struct pod_spec, hostname), .format = FORMAT_LABEL},
    {"subdomain", FIELD_STR, AT(struct pod_spec, subdomain), .format = FORMAT_LABEL},
    {"restartPolicy", FIELD_CUSTOM, .custom = restart_policy},
    {"dnsPolicy", FIELD_STR, AT(struct pod_spec, dns_policy)},
    {"hostNetwork", FIELD_BOOL, AT(struct pod_spec, host_network)},
    {"hostPID", FIELD_BOOL, AT(struct pod_spec, host_pid)},
    {"shareProcessNamespace", FIELD_BOOL, AT(struct pod_spec, share_process_namespace)},
    {"enableServiceLinks", FIELD_OPT_BOOL, AT(struct pod_spec, enable_service_links)},
    {"terminationGracePeriodSeconds", FIELD_OPT_I64, AT(struct pod_spec, termination_grace_s), .lo = 0,
     .hi = INT32_MAX},
    {"activeDeadlineSeconds", FIELD_OPT_I64, AT(struct pod_spec, active_deadline_s), .lo = 1, .hi = INT32_MAX},
    {"securityContext", FIELD_EMBED, AT(struct pod_spec, security), .msg = &pod_security_message},
    {"affinity", FIELD_ANY},
    {"dnsConfig", FIELD_ANY},
    {"ephemeralContainers", FIELD_ANY},
    {"hostAliases", FIELD_ANY},
    {"hostIPC", FIELD_ANY},
    {"hostUsers", FIELD_ANY},
    {"hostnameOverride", FIELD_ANY},
    {"imagePullSecrets", FIELD_ANY},
    {"nodeSelector", FIELD_ANY},
    {"os", FIELD_ANY},
    {"overhead", FIELD_ANY},
    {"preemptionPolicy", FIELD_ANY},
    {"priority", FIELD_ANY},
    {"priorityClassName", FIELD_ANY},
    {"readinessGates", FIELD_ANY},
    {"resourceClaims", FIELD_ANY},
    {"resources", FIELD_ANY},
    {"runtimeClassName", FIELD_ANY},
    {"schedulerName", FIELD_ANY},
    {"schedulingGates", FIELD_ANY},
    {"setHostnameAsFQDN", FIELD_ANY},
    {"tolerations", FIELD_ANY},
    {"topologySpreadConstraints", FIELD_ANY},
};
const struct message pod_spec_message = {MESSAGE_FIELDS("PodSpec", struct pod_spec, spec_fields), .check = check_spec};

/* The status is written by the cluster and grows with its versions: what we need is picked, the rest left alone. */
static void decode_status(struct decoder *d, void *base, const struct node *n, const struct place *at)
{
    struct pod *p = base;
    p->ip = node_text_at(n, "podIP");
    p->phase = node_text_at(n, "phase");
    p->host_ip = node_text_at(n, "hostIP");
    const struct node *ips = node_get(n, VIEW("podIPs")), *conditions = node_get(n, VIEW("conditions"));
    for (uint32_t i = 0; node_is(ips, NODE_SEQ) && i < ips->n; i++)
        *ARENA_PUSH(d->arena, p->ips.list, p->ips.n) = node_text_at(ips->items[i], "ip");
    for (uint32_t i = 0; node_is(conditions, NODE_SEQ) && i < conditions->n; i++)
        *ARENA_PUSH(d->arena, p->conditions, p->n_conditions) = (struct pod_condition){
            node_text_at(conditions->items[i], "type"), node_text_at(conditions->items[i], "status")};
}

static const struct field pod_fields[] = {
    OBJECT_FIELDS,
    {"spec", FIELD_EMBED, AT(struct pod, spec), .msg = &pod_spec_message, .required = true},
    {"status", FIELD_CUSTOM, .custom = decode_status},
};
const struct message pod_message = MESSAGE("Pod", struct pod, pod_fields);

bool pod_is_ready(const struct pod *p)
{
    for (uint32_t i = 0; i < p->n_conditions; i++)
        if (view_is(p->conditions[i].type, "Ready"))
            return view_is(p->conditions[i].status, "True");
    return false;
}

uint32_t pod_port(const struct pod_spec *spec, const struct int_or_str *port)
{
    if (!port->text.n)
        return (uint32_t)port->number;
    for (uint32_t i = 0; i < spec->n_containers + spec->n_init_containers; i++) {
        const struct container *c =
            i < spec->n_containers ? &spec->containers[i] : &spec->init_containers[i - spec->n_containers];
        if (i >= spec->n_containers && !container_is_sidecar(c))
            continue;
        for (uint32_t j = 0; j < c->n_ports; j++)
            if (view_eq(c->ports[j].name, port->text))
                return c->ports[j].port;
    }
    return 0;
}

bool container_is_sidecar(const struct container *c)
{
    return view_is(c->restart_policy, "Always");
}
