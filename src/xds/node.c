// SPDX-License-Identifier: Apache-2.0
/* xDS Node: id and metadata as Istio has them. One table for the metadata keys in both directions. */
#include "xds/node.h"

#include <errno.h>
#include <stddef.h>

#include "base/limits.h"
#include "xds/node_pb.h"
#include "xds/pb.h"

static const struct key {
    const char *name;
    size_t at;
} keys[] = {
    {"NAMESPACE", offsetof(struct xds_node, ns)},
    {"SERVICE_ACCOUNT", offsetof(struct xds_node, service_account)},
    {"WORKLOAD_NAME", offsetof(struct xds_node, workload_name)},
    {"OWNER", offsetof(struct xds_node, owner)},
    {"CLUSTER_ID", offsetof(struct xds_node, cluster_id)},
    {"MESH_ID", offsetof(struct xds_node, mesh_id)},
    {"NETWORK", offsetof(struct xds_node, network)},
    {"NODE_NAME", offsetof(struct xds_node, node_name)},
    {"ISTIO_VERSION", offsetof(struct xds_node, version)},
    {"ISTIO_REVISION", offsetof(struct xds_node, revision)},
    {"INTERCEPTION_MODE", offsetof(struct xds_node, interception)},
    {"INSTANCE_IPS", offsetof(struct xds_node, ips)},
};

/* Fields besides those of keys[]; all together are what a copy has to take along. */
static const size_t others[] = {
    offsetof(struct xds_node, type),   offsetof(struct xds_node, ip),      offsetof(struct xds_node, pod),
    offsetof(struct xds_node, domain), offsetof(struct xds_node, cluster), offsetof(struct xds_node, build),
    offsetof(struct xds_node, region), offsetof(struct xds_node, zone),    offsetof(struct xds_node, subzone),
};

static struct view *field(struct xds_node *n, size_t at)
{
    return (struct view *)(void *)((char *)n + at);
}

int xds_node_parse_id(struct view id, struct xds_node *ret_node)
{
    struct view part[4] = {0}, rest = id, ip;
    struct xds_node n = {0};
    size_t dot;

    for (int i = 0; i < 4; i++)
        if (!view_cut(&rest, '~', &part[i]) || !part[i].n)
            return -EINVAL;
    if (rest.n)
        return -EINVAL;
    ip = part[1];
    if (!view_cut(&ip, ',', &n.ip))
        return -EINVAL;
    for (dot = part[2].n; dot > 0 && part[2].p[dot - 1] != '.'; dot--)
        ;
    if (dot <= 1 || dot == part[2].n)
        return -EINVAL;
    n.type = part[0];
    n.pod = view_head(part[2], dot - 1);
    n.ns = view_from(part[2], dot);
    n.domain = part[3];
    *ret_node = n;
    return 0;
}

void xds_node_print_id(struct buf *out, const struct xds_node *n)
{
    buf_printf(out, "%.*s~%.*s~%.*s.%.*s~%.*s", VIEW_ARGS(n->type), VIEW_ARGS(n->ip), VIEW_ARGS(n->pod),
               VIEW_ARGS(n->ns), VIEW_ARGS(n->domain));
}

struct view xds_node_label(const struct xds_node *n, struct view name)
{
    for (uint32_t i = 0; i < n->n_labels; i++)
        if (view_eq(n->labels[i].name, name))
            return n->labels[i].value;
    return VIEW_NONE;
}

struct xds_node xds_node_copy(struct arena *a, const struct xds_node *from)
{
    struct xds_node n = *from;

    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        *field(&n, keys[i].at) = arena_view(a, *field(&n, keys[i].at));
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        *field(&n, others[i]) = arena_view(a, *field(&n, others[i]));
    n.labels = n.n_labels ? ARENA_ARRAY(a, struct xds_label, n.n_labels) : NULL;
    for (uint32_t i = 0; i < n.n_labels; i++) {
        n.labels[i].name = arena_view(a, from->labels[i].name);
        n.labels[i].value = arena_view(a, from->labels[i].value);
    }
    return n;
}

void xds_node_encode(struct buf *out, const struct xds_node *n)
{
    struct buf id = {0};
    struct arena a;
    Core__Node *m;
    Pb__Struct *labels;

    arena_init(&a, 0);
    m = PB_NEW(&a, Core__Node, core__node__init);
    xds_node_print_id(&id, n);
    m->id = pb_str(&a, buf_read(&id));
    buf_done(&id);
    m->cluster = pb_str(&a, n->cluster);
    m->metadata = pb_struct(&a);
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        pb_put_str(&a, m->metadata, keys[i].name, *field((struct xds_node *)(uintptr_t)n, keys[i].at));
    if (n->n_labels) {
        labels = pb_put_struct(&a, m->metadata, "LABELS");
        for (uint32_t i = 0; i < n->n_labels; i++)
            pb_put_view(&a, labels, n->labels[i].name, n->labels[i].value);
    }
    if (n->region.n || n->zone.n || n->subzone.n) {
        m->locality = PB_NEW(&a, Core__Locality, core__locality__init);
        m->locality->region = pb_str(&a, n->region);
        m->locality->zone = pb_str(&a, n->zone);
        m->locality->sub_zone = pb_str(&a, n->subzone);
    }
    m->user_agent_name = (char *)(uintptr_t) "weft";
    m->user_agent_version_type_case = CORE__NODE__USER_AGENT_VERSION_TYPE_USER_AGENT_VERSION;
    m->user_agent_version = pb_str(&a, n->build);
    pb_pack(m, out);
    arena_done(&a);
}

static int get_labels(const Pb__Struct *s, struct arena *a, struct xds_node *n)
{
    if (!s)
        return 0;
    if (s->n_fields > LIMIT_XDS_NODE_LABELS)
        return -EINVAL;
    n->labels = s->n_fields ? ARENA_ARRAY(a, struct xds_label, s->n_fields) : NULL;
    for (size_t i = 0; i < s->n_fields; i++) {
        const Pb__Value *v = s->fields[i]->value;
        if (!v || v->kind_case != PB__VALUE__KIND_STRING_VALUE)
            continue;
        n->labels[n->n_labels].name = arena_view(a, view_of(s->fields[i]->key));
        n->labels[n->n_labels++].value = arena_view(a, view_of(v->string_value));
    }
    return 0;
}

int xds_node_decode(struct xds_codec *d, struct view bytes, struct arena *a, struct xds_node *ret_node,
                    struct view *ret_why)
{
    struct xds_node n = {0};
    const Core__Node *m;

    xds_codec_reset(d);
    m = pb_unpack(d, &core__node__descriptor, bytes);
    if (!m) {
        *ret_why = buf_read(&d->why);
        return -EINVAL;
    }
    if (bytes.n > LIMIT_XDS_NODE_BYTES) {
        *ret_why = VIEW("node is too large");
        return -EINVAL;
    }
    if (xds_node_parse_id(arena_view(a, view_of(m->id)), &n) < 0) {
        *ret_why = VIEW("node id is not of the form type~ip~pod.namespace~domain");
        return -EINVAL;
    }
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        struct view v = pb_find_str(m->metadata, keys[i].name);
        if (v.n && keys[i].at != offsetof(struct xds_node, ns)) /* the namespace is the id's */
            *field(&n, keys[i].at) = arena_view(a, v);
    }
    if (get_labels(pb_find_struct(m->metadata, "LABELS"), a, &n) < 0) {
        *ret_why = VIEW("node has too many labels");
        return -EINVAL;
    }
    n.cluster = arena_view(a, view_of(m->cluster));
    if (m->user_agent_version_type_case == CORE__NODE__USER_AGENT_VERSION_TYPE_USER_AGENT_VERSION)
        n.build = arena_view(a, view_of(m->user_agent_version));
    if (m->locality) {
        n.region = arena_view(a, view_of(m->locality->region));
        n.zone = arena_view(a, view_of(m->locality->zone));
        n.subzone = arena_view(a, view_of(m->locality->sub_zone));
    }
    *ret_node = n;
    return 0;
}
