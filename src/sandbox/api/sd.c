// SPDX-License-Identifier: Apache-2.0
/* Pods as Prometheus targets (sd.h). Label names as in Prometheus' documentation of kubernetes_sd_config, role pod. */
#include "sandbox/api/sd.h"

#include <ctype.h>

#include <stdio.h>

#include "sandbox/cluster.h"
#include "wire/node.h"

struct out {
    struct buf *b;
    bool first;
};

/* Characters that a label name may not have become underscores, as Prometheus does. */
static void key(struct out *o, const char *prefix, struct view name)
{
    buf_str(o->b, o->first ? "\"" : ",\"");
    o->first = false;
    buf_str(o->b, "__meta_kubernetes_");
    buf_str(o->b, prefix);
    for (size_t i = 0; i < name.n; i++)
        buf_char(o->b, isalnum((unsigned char)name.p[i]) ? name.p[i] : '_');
    buf_str(o->b, "\":");
}

static void label(struct out *o, const char *name, struct view value)
{
    key(o, name, VIEW_NONE);
    buf_json_str(o->b, value);
}

static void labels(struct out *o, const char *prefix, const char *present, const struct labels *l)
{
    for (uint32_t i = 0; i < l->n; i++) {
        key(o, prefix, l->list[i].key);
        buf_json_str(o->b, l->list[i].value);
        key(o, present, l->list[i].key);
        buf_str(o->b, "\"true\"");
    }
}

static void pod_labels(struct out *o, const struct record *r, const struct pod *pod)
{
    label(o, "namespace", r->ns);
    label(o, "pod_name", r->name);
    label(o, "pod_uid", r->uid);
    label(o, "pod_ip", pod->ip);
    label(o, "pod_ready", pod_is_ready(pod) ? VIEW("true") : VIEW("false"));
    label(o, "pod_phase", pod->phase);
    label(o, "pod_node_name", pod->spec.node_name);
    const struct object_meta *meta = &r->object->meta;
    if (meta->n_owners) {
        label(o, "pod_controller_kind", meta->owners[0].kind);
        label(o, "pod_controller_name", meta->owners[0].name);
    }
    labels(o, "pod_label_", "pod_labelpresent_", &meta->labels);
    labels(o, "pod_annotation_", "pod_annotationpresent_", &meta->annotations);
}

static void target(struct buf *b, const struct record *r, const struct container *c, const struct container_port *port,
                   bool init)
{
    const struct pod *pod = record_pod(r);
    buf_str(b, buf_read(b).p[buf_len(b) - 1] == '[' ? "{\"targets\":[\"" : ",{\"targets\":[\"");
    buf_view(b, pod->ip);
    if (port)
        buf_printf(b, ":%u", port->port);
    buf_str(b, "\"],\"labels\":{");
    struct out o = {.b = b, .first = true};
    pod_labels(&o, r, pod);
    label(&o, "pod_container_name", c->name);
    label(&o, "pod_container_image", c->image);
    label(&o, "pod_container_init", init ? VIEW("true") : VIEW("false"));
    if (port) {
        char number[12];
        int n = snprintf(number, sizeof(number), "%u", port->port);
        label(&o, "pod_container_port_name", port->name);
        label(&o, "pod_container_port_number", view_make(number, (size_t)n));
        label(&o, "pod_container_port_protocol", port->l4 == L4_UDP ? VIEW("UDP") : VIEW("TCP"));
    }
    buf_str(b, "}}");
}

static void containers(struct buf *b, const struct record *r, const struct container *list, uint32_t n, bool init)
{
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t j = 0; j < list[i].n_ports; j++)
            target(b, r, &list[i], &list[i].ports[j], init);
        if (!list[i].n_ports)
            target(b, r, &list[i], NULL, init);
    }
}

void sd_print(const struct store *store, struct buf *out)
{
    struct arena a;
    arena_init(&a, 4096);
    size_t n;
    struct record **pods = store_list(store, KIND_POD, VIEW_NONE, &a, &n);
    buf_char(out, '[');
    for (size_t i = 0; i < n; i++) {
        const struct pod *pod = record_pod(pods[i]);
        if (!pod->ip.n || view_is(pod->phase, "Succeeded") || view_is(pod->phase, "Failed"))
            continue;
        containers(out, pods[i], pod->spec.containers, pod->spec.n_containers, false);
        containers(out, pods[i], pod->spec.init_containers, pod->spec.n_init_containers, true);
    }
    buf_str(out, "]\n");
    arena_done(&a);
}
