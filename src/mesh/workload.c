// SPDX-License-Identifier: Apache-2.0
/* Deployment, ReplicaSet, StatefulSet, DaemonSet and Job (workload.h): a pod template and how many of it. */
#include "mesh/workload.h"

#include "mesh/messages.h"

static const struct field template_fields[] = {
    {"metadata", FIELD_EMBED, AT(struct pod_template, meta), .msg = &object_meta_message},
    {"spec", FIELD_EMBED, AT(struct pod_template, spec), .msg = &pod_spec_message, .required = true},
};
const struct message pod_template_message = PART("PodTemplateSpec", struct pod_template, template_fields);

static void check_selector(struct decoder *d, const struct label_selector *s, const struct pod_template *t,
                           const struct node *n, const struct place *at)
{
    if (label_selector_match(s, &t->meta.labels))
        return;
    struct diag *one =
        decode_bad_field(d, n, at, "selector", "the selector does not match the labels of its own template");
    one->label = VIEW("`template.metadata.labels` differ from this");
}

/* One check for each struct: their selectors and templates lie at different places. */
#define CHECK_SELECTOR(type)                                                                                           \
    static void check_##type(struct decoder *d, void *msg, const struct node *n, const struct place *at)               \
    {                                                                                                                  \
        struct type *w = msg;                                                                                          \
        check_selector(d, &w->selector, &w->template, n, at);                                                          \
    }                                                                                                                  \
    static void init_##type(void *msg)

#define SELECTOR(type)                                                                                                 \
    {                                                                                                                  \
        "selector", FIELD_EMBED, AT(struct type, selector), .msg = &label_selector_message, .required = true           \
    }
#define TEMPLATE(type)                                                                                                 \
    {                                                                                                                  \
        "template", FIELD_EMBED, AT(struct type, template), .msg = &pod_template_message, .required = true             \
    }
#define REPLICAS(type)                                                                                                 \
    {                                                                                                                  \
        "replicas", FIELD_U32, AT(struct type, replicas), .lo = 0, .hi = 100000                                        \
    }
#define MIN_READY(type)                                                                                                \
    {                                                                                                                  \
        "minReadySeconds", FIELD_U32, AT(struct type, min_ready_s), .lo = 0, .hi = INT32_MAX                           \
    }
#define SPEC(type)                                                                                                     \
    {"spec", FIELD_INLINE, .msg = &type##_spec, .required = true},                                                     \
    {                                                                                                                  \
        "status", FIELD_ANY                                                                                            \
    }
#define SPEC_MESSAGE(type, what, fields)                                                                               \
    static const struct message type##_spec = {MESSAGE_FIELDS(what, struct type, fields), .init = init_##type,         \
                                               .check = check_##type}

CHECK_SELECTOR(deployment)
{
    struct deployment *w = msg;
    w->replicas = 1;
    w->progress_deadline_s = 600;
}

static void strategy_type(struct decoder *d, void *base, const struct node *n, const struct place *at)
{
    struct deployment *w = base;
    w->recreate = view_is(node_text(n), "Recreate");
    if (!w->recreate && !view_is(node_text(n), "RollingUpdate"))
        decode_bad(d, n, at, "strategy `%.*s` does not exist", VIEW_ARGS(n->text))->label =
            VIEW("must be RollingUpdate or Recreate");
}

static const struct field rolling_fields[] = {
    {"maxSurge", FIELD_INT_OR_STR, AT(struct deployment, max_surge)},
    {"maxUnavailable", FIELD_INT_OR_STR, AT(struct deployment, max_unavailable)},
};
static const struct message rolling_message = MESSAGE("RollingUpdateDeployment", struct deployment, rolling_fields);
static const struct field strategy_fields[] = {
    {"type", FIELD_CUSTOM, .custom = strategy_type},
    {"rollingUpdate", FIELD_INLINE, .msg = &rolling_message},
};
static const struct message strategy_message = MESSAGE("DeploymentStrategy", struct deployment, strategy_fields);

static const struct field deployment_spec_fields[] = {
    REPLICAS(deployment),
    SELECTOR(deployment),
    TEMPLATE(deployment),
    MIN_READY(deployment),
    {"strategy", FIELD_INLINE, .msg = &strategy_message},
    {"progressDeadlineSeconds", FIELD_U32, AT(struct deployment, progress_deadline_s), .lo = 1, .hi = INT32_MAX},
    {"paused", FIELD_BOOL, AT(struct deployment, paused)},
    {"revisionHistoryLimit", FIELD_ANY},
};
SPEC_MESSAGE(deployment, "DeploymentSpec", deployment_spec_fields);
static const struct field deployment_fields[] = {OBJECT_FIELDS, SPEC(deployment)};
const struct message deployment_message = MESSAGE("Deployment", struct deployment, deployment_fields);

CHECK_SELECTOR(replica_set)
{
    ((struct replica_set *)msg)->replicas = 1;
}
static const struct field replica_set_spec_fields[] = {REPLICAS(replica_set), SELECTOR(replica_set),
                                                       TEMPLATE(replica_set), MIN_READY(replica_set)};
SPEC_MESSAGE(replica_set, "ReplicaSetSpec", replica_set_spec_fields);
static const struct field replica_set_fields[] = {OBJECT_FIELDS, SPEC(replica_set)};
const struct message replica_set_message = MESSAGE("ReplicaSet", struct replica_set, replica_set_fields);

CHECK_SELECTOR(stateful_set)
{
    ((struct stateful_set *)msg)->replicas = 1;
}

static void pod_management(struct decoder *d, void *base, const struct node *n, const struct place *at)
{
    ((struct stateful_set *)base)->parallel = view_is(node_text(n), "Parallel");
}

static const struct field stateful_set_spec_fields[] = {
    REPLICAS(stateful_set),
    SELECTOR(stateful_set),
    TEMPLATE(stateful_set),
    MIN_READY(stateful_set),
    {"serviceName", FIELD_STR, AT(struct stateful_set, service_name)},
    {"podManagementPolicy", FIELD_CUSTOM, .custom = pod_management},
    {"updateStrategy", FIELD_ANY},
    {"revisionHistoryLimit", FIELD_ANY},
    {"ordinals", FIELD_ANY},
    {"persistentVolumeClaimRetentionPolicy", FIELD_ANY},
    {"volumeClaimTemplates", FIELD_REFUSED, .why = "storage of a cluster is not available; use an emptyDir volume"},
};
SPEC_MESSAGE(stateful_set, "StatefulSetSpec", stateful_set_spec_fields);
static const struct field stateful_set_fields[] = {OBJECT_FIELDS, SPEC(stateful_set)};
const struct message stateful_set_message = MESSAGE("StatefulSet", struct stateful_set, stateful_set_fields);

CHECK_SELECTOR(daemon_set)
{
    (void)msg;
}
static const struct field daemon_set_spec_fields[] = {
    SELECTOR(daemon_set),
    TEMPLATE(daemon_set),
    MIN_READY(daemon_set),
    {"updateStrategy", FIELD_ANY},
    {"revisionHistoryLimit", FIELD_ANY},
};
SPEC_MESSAGE(daemon_set, "DaemonSetSpec", daemon_set_spec_fields);
static const struct field daemon_set_fields[] = {OBJECT_FIELDS, SPEC(daemon_set)};
const struct message daemon_set_message = MESSAGE("DaemonSet", struct daemon_set, daemon_set_fields);

static void init_job(void *msg)
{
    struct job *j = msg;
    j->parallelism = 1;
    j->completions = 1;
    j->backoff_limit = 6;
}

static void check_job(struct decoder *d, void *msg, const struct node *n, const struct place *at)
{
    const struct job *j = msg;
    struct view policy = j->template.spec.restart_policy;
    if (!view_is(policy, "Never") && !view_is(policy, "OnFailure"))
        decode_bad(d, node_at(n, "template.spec"), at, "a Job's pods need `restartPolicy: Never` or `OnFailure`");
}

static const struct field job_spec_fields[] = {
    TEMPLATE(job),
    {"parallelism", FIELD_U32, AT(struct job, parallelism), .lo = 0, .hi = 100000},
    {"completions", FIELD_U32, AT(struct job, completions), .lo = 0, .hi = 100000},
    {"backoffLimit", FIELD_U32, AT(struct job, backoff_limit), .lo = 0, .hi = INT32_MAX},
    {"activeDeadlineSeconds", FIELD_OPT_I64, AT(struct job, active_deadline_s), .lo = 1, .hi = INT32_MAX},
    {"ttlSecondsAfterFinished", FIELD_OPT_I64, AT(struct job, ttl_after_finished_s), .lo = 0, .hi = INT32_MAX},
    {"suspend", FIELD_BOOL, AT(struct job, suspend)},
    {"selector", FIELD_ANY},
    {"manualSelector", FIELD_ANY},
    {"completionMode", FIELD_ANY},
    {"podReplacementPolicy", FIELD_ANY},
    {"podFailurePolicy", FIELD_ANY},
    {"successPolicy", FIELD_ANY},
    {"backoffLimitPerIndex", FIELD_ANY},
    {"maxFailedIndexes", FIELD_ANY},
    {"managedBy", FIELD_ANY},
};
SPEC_MESSAGE(job, "JobSpec", job_spec_fields);
static const struct field job_fields[] = {OBJECT_FIELDS, SPEC(job)};
const struct message job_message = MESSAGE("Job", struct job, job_fields);
