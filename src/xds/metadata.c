// SPDX-License-Identifier: Apache-2.0
/* filter_metadata: where a part of the plan comes from.
 *
 * Two forms stand side by side. Istio's, which Kiali and istioctl read: "istio" → config:
 * /apis/networking.istio.io/v1alpha3/namespaces/default/virtual-service/reviews. Ours, which says more: "weft" → origin:
 * {kind, ns, name, rule, file, line}. Reading prefers ours and falls back to Istio's, so that a plan from a real istiod
 * also names its objects.
 */
#include <string.h>

#include "xds/pb.h"

Pb__Struct *pb_metadata_put(struct pb_metadata *b, const char *filter)
{
    Core__Metadata__FilterMetadataEntry *e;

    if (!b->m)
        b->m = PB_NEW(b->arena, Core__Metadata, core__metadata__init);
    for (size_t i = 0; i < b->m->n_filter_metadata; i++)
        if (strcmp(b->m->filter_metadata[i]->key, filter) == 0)
            return b->m->filter_metadata[i]->value;
    e = PB_NEW(b->arena, Core__Metadata__FilterMetadataEntry, core__metadata__filter_metadata_entry__init);
    e->key = (char *)(uintptr_t)filter;
    e->value = pb_struct(b->arena);
    PB_PUSH(b->arena, b->m, filter_metadata, e);
    return e->value;
}

void pb_metadata_origin(struct pb_metadata *b, const struct plan_origin *o)
{
    Pb__Struct *s;

    if (!plan_origin_known(o))
        return;
    pb_put_str(b->arena, pb_metadata_put(b, "istio"), "config", plan_origin_config_path(b->arena, o));
    s = pb_put_struct(b->arena, pb_metadata_put(b, "weft"), "origin");
    pb_put_str(b->arena, s, "kind", o->kind);
    pb_put_str(b->arena, s, "ns", o->ns);
    pb_put_str(b->arena, s, "name", o->name);
    pb_put_str(b->arena, s, "rule", o->rule);
    pb_put_str(b->arena, s, "file", o->file);
    if (o->line)
        pb_put_number(b->arena, s, "line", o->line);
}

Core__Metadata *pb_origin(struct arena *a, const struct plan_origin *o)
{
    struct pb_metadata b = {.arena = a};

    pb_metadata_origin(&b, o);
    return b.m;
}

const Pb__Struct *pb_metadata_get(const Core__Metadata *m, const char *filter)
{
    for (size_t i = 0; m && i < m->n_filter_metadata; i++)
        if (strcmp(m->filter_metadata[i]->key, filter) == 0)
            return m->filter_metadata[i]->value;
    return NULL;
}

/* virtual-service → VirtualService */
static struct view kind_of(struct arena *a, struct view kebab)
{
    char *to = arena_alloc_raw(a, kebab.n + 1, 1);
    size_t n = 0;
    bool up = true;

    for (size_t i = 0; i < kebab.n; i++) {
        char c = kebab.p[i];
        if (c == '-') {
            up = true;
            continue;
        }
        to[n++] = up && c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
        up = false;
    }
    to[n] = 0;
    return view_make(to, n);
}

/* /apis/<group>/<version>/namespaces/<ns>/<kind>/<name> */
static struct plan_origin from_config_path(struct xds_codec *d, struct view path)
{
    struct plan_origin o = {0};
    struct view part[8] = {0}, rest = path;
    size_t n = 0;

    while (n < 8 && view_cut(&rest, '/', &part[n]))
        n++;
    if (n < 8 || !view_is(part[1], "apis") || !view_is(part[4], "namespaces") || view_empty(part[6]))
        return o;
    o.kind = kind_of(d->out, part[6]);
    o.ns = arena_view(d->out, part[5]);
    o.name = arena_view(d->out, part[7]);
    return o;
}

struct plan_origin pb_get_origin(struct xds_codec *d, const Core__Metadata *m)
{
    const Pb__Struct *s = pb_find_struct(pb_metadata_get(m, "weft"), "origin");
    struct plan_origin o = {0};
    const Pb__Value *line;

    if (!s) {
        struct view path = pb_find_str(pb_metadata_get(m, "istio"), "config");
        return path.n ? from_config_path(d, path) : o;
    }
    o.kind = arena_view(d->out, pb_find_str(s, "kind"));
    o.ns = arena_view(d->out, pb_find_str(s, "ns"));
    o.name = arena_view(d->out, pb_find_str(s, "name"));
    o.rule = arena_view(d->out, pb_find_str(s, "rule"));
    o.file = arena_view(d->out, pb_find_str(s, "file"));
    line = pb_find(s, "line");
    if (line && line->kind_case == PB__VALUE__KIND_NUMBER_VALUE && line->number_value > 0 && line->number_value < 1e9)
        o.line = (uint32_t)line->number_value;
    return o;
}
