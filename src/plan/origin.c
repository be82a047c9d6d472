// SPDX-License-Identifier: Apache-2.0
/* Origins (origin.h): copied into a resource, printed for people, and as the config path that Istio's metadata carries. */
#include "plan/origin.h"

struct plan_origin plan_origin_of(struct arena *a, const struct origin *from, struct view rule)
{
    return (struct plan_origin){
        .kind = arena_view(a, from->kind),
        .ns = arena_view(a, from->ns),
        .name = arena_view(a, from->name),
        .rule = rule.n ? arena_view(a, rule) : VIEW_NONE,
        .file = from->file.n ? arena_view(a, from->file) : VIEW_NONE,
        .line = from->line,
    };
}

struct plan_origin plan_origin_copy(struct arena *a, const struct plan_origin *from)
{
    if (!plan_origin_known(from))
        return (struct plan_origin){0};
    return (struct plan_origin){
        .kind = arena_view(a, from->kind),
        .ns = arena_view(a, from->ns),
        .name = arena_view(a, from->name),
        .rule = from->rule.n ? arena_view(a, from->rule) : VIEW_NONE,
        .file = from->file.n ? arena_view(a, from->file) : VIEW_NONE,
        .line = from->line,
    };
}

bool plan_origin_eq(const struct plan_origin *a, const struct plan_origin *b)
{
    return view_eq(a->kind, b->kind) && view_eq(a->ns, b->ns) && view_eq(a->name, b->name) &&
           view_eq(a->rule, b->rule) && view_eq(a->file, b->file) && a->line == b->line;
}

void plan_origin_print(struct buf *out, const struct plan_origin *o)
{
    if (!plan_origin_known(o))
        return;
    buf_view(out, o->kind);
    buf_char(out, ' ');
    if (o->ns.n) {
        buf_view(out, o->ns);
        buf_char(out, '/');
    }
    buf_view(out, o->name);
    if (o->rule.n) {
        buf_char(out, ' ');
        buf_view(out, o->rule);
    }
    if (!o->file.n)
        return;
    buf_str(out, " (");
    buf_view(out, o->file);
    buf_char(out, ':');
    buf_u64(out, o->line);
    buf_char(out, ')');
}

/* Istio names kinds in kebab case there, under their API group. */
static const struct {
    const char *kind, *group, *path;
} config_paths[] = {
    {"VirtualService", "networking.istio.io/v1", "virtual-service"},
    {"DestinationRule", "networking.istio.io/v1", "destination-rule"},
    {"Gateway", "networking.istio.io/v1", "gateway"},
    {"ServiceEntry", "networking.istio.io/v1", "service-entry"},
    {"PeerAuthentication", "security.istio.io/v1", "peer-authentication"},
    {"Service", "v1", "service"},
};

struct view plan_origin_config_path(struct arena *a, const struct plan_origin *o)
{
    for (size_t i = 0; i < COUNT_OF(config_paths); i++)
        if (view_is(o->kind, config_paths[i].kind))
            return arena_printf(a, "/apis/%s/namespaces/%.*s/%s/%.*s", config_paths[i].group, VIEW_ARGS(o->ns),
                                config_paths[i].path, VIEW_ARGS(o->name));
    return VIEW_NONE;
}
