// SPDX-License-Identifier: Apache-2.0
/* Reading and checking annotations (annotations.h). */
#include "inject/annotations.h"

#include <errno.h>

#include "mesh/decode.h"
#include "wire/json.h"

enum check {
    CHECK_ANY,
    CHECK_BOOL,
    CHECK_NUMBER,
    CHECK_PORT_OR_ZERO,
    CHECK_PORTS,
    CHECK_PORTS_OR_ALL,
    CHECK_CIDRS,
    CHECK_CIDRS_OR_ALL,
    CHECK_INTERCEPTION,
    CHECK_TEMPLATES,
    CHECK_JSON,
    CHECK_IGNORED,
};

const char *const annotation_names[ANNOTATIONS] = {
#define ANNOTATION(symbol, name, check, meaning) [ANNOTATION_##symbol] = name,
#include "inject/annotations.def"
#undef ANNOTATION
};

static const struct {
    enum check check;
    const char *meaning;
} checks[ANNOTATIONS] = {
#define ANNOTATION(symbol, name, check, meaning) [ANNOTATION_##symbol] = {CHECK_##check, meaning},
#include "inject/annotations.def"
#undef ANNOTATION
};

static const struct node *annotations_of(const struct node *pod)
{
    return node_get(node_get(pod, VIEW("metadata")), VIEW("annotations"));
}

struct view annotation_get(const struct node *pod, enum annotation a, struct view otherwise)
{
    const struct node *n = node_get(annotations_of(pod), view_of(annotation_names[a]));
    return node_is(n, NODE_STR) ? n->text : otherwise;
}

bool annotation_has(const struct node *pod, enum annotation a)
{
    return node_is(node_get(annotations_of(pod), view_of(annotation_names[a])), NODE_STR);
}

static bool is_number(struct view v, uint64_t most)
{
    uint64_t n;
    return view_u64(v, &n) == 0 && n <= most;
}

static bool is_port_list(struct view v)
{
    struct view port;
    uint64_t n;
    while (view_cut(&v, ',', &port))
        if (view_u64(view_trim(port), &n) < 0 || !n || n > 65535)
            return false;
    return true;
}

static bool is_cidr_list(struct view v)
{
    struct view one;
    while (view_cut(&v, ',', &one))
        if (!is_cidr(view_trim(one)))
            return false;
    return true;
}

static bool is_json(struct arena *a, struct view v)
{
    struct node *n = NULL;
    struct pull *in = json_pull(a, arena_view(a, v), 1);
    return node_read(a, in, &n) == 0 && (node_is(n, NODE_MAP) || node_is(n, NODE_SEQ));
}

/* NULL when it is right, else what it must be. */
static const char *wrong(struct arena *a, enum check check, struct view v)
{
    bool all = view_is(v, "*");
    switch (check) {
    case CHECK_ANY:
    case CHECK_IGNORED:
        return NULL;
    case CHECK_BOOL:
        return view_is(v, "true") || view_is(v, "false") ? NULL : "must be \"true\" or \"false\"";
    case CHECK_NUMBER:
        return is_number(v, INT32_MAX) ? NULL : "must be a number";
    case CHECK_PORT_OR_ZERO:
        return is_number(v, 65535) ? NULL : "must be a port";
    case CHECK_PORTS:
        return is_port_list(v) ? NULL : "must be ports, separated by commas";
    case CHECK_PORTS_OR_ALL:
        return all || is_port_list(v) ? NULL : "must be `*` or ports, separated by commas";
    case CHECK_CIDRS:
        return is_cidr_list(v) ? NULL : "must be address ranges (10.0.0.0/8), separated by commas";
    case CHECK_CIDRS_OR_ALL:
        return all || is_cidr_list(v) ? NULL : "must be `*` or address ranges (10.0.0.0/8), separated by commas";
    case CHECK_INTERCEPTION:
        return view_is(v, "REDIRECT") || view_is(v, "NONE") ? NULL
                                                            : "must be REDIRECT or NONE (TPROXY is not supported yet)";
    case CHECK_TEMPLATES:
        return view_is(v, "sidecar") || view_is(v, "gateway")
                   ? NULL
                   : "must be sidecar or gateway (others are not supported yet)";
    case CHECK_JSON:
        return is_json(a, v) ? NULL : "must be a JSON list or map";
    }
    return NULL;
}

/* Words of the injector's own domains that it does not know: most often a slip. Others' annotations are not ours to judge. */
static void warn_unknown(struct diags *d, const struct node_field *f, const struct origin *at)
{
    static const char *const domains[] = {"sidecar.istio.io/",
                                          "proxy.istio.io/",
                                          "inject.istio.io/",
                                          "status.sidecar.istio.io/",
                                          "readiness.status.sidecar.istio.io/",
                                          "traffic.sidecar.istio.io/"};
    struct view names[ANNOTATIONS];
    bool ours = false;
    for (size_t i = 0; i < COUNT_OF(domains); i++)
        ours = ours || view_starts(f->key, view_of(domains[i]));
    if (!ours)
        return;
    for (int a = 0; a < ANNOTATIONS; a++) {
        names[a] = view_of(annotation_names[a]);
        if (view_eq(names[a], f->key))
            return;
    }
    struct origin place = *at;
    place.path = diag_text(d, "metadata.annotations[%.*s]", VIEW_ARGS(f->key));
    struct diag *one = diag_add(d, DIAG_WARNING, "WEFT0005", &place);
    struct view near = diag_nearest(f->key, names, ANNOTATIONS);
    one->title = diag_text(d, "annotation %.*s is not known", VIEW_ARGS(f->key));
    one->effect = VIEW("the pod is injected without it");
    if (near.n)
        one->hint = diag_text(d, "did you mean `%.*s`?", VIEW_ARGS(near));
}

int annotations_check(struct diags *d, const struct node *pod, const struct origin *at)
{
    const struct node *all = annotations_of(pod);
    int err = 0;
    for (uint32_t i = 0; node_is(all, NODE_MAP) && i < all->n; i++)
        warn_unknown(d, &all->fields[i], at);
    for (int a = 0; a < ANNOTATIONS; a++) {
        const struct node *n = node_get(all, view_of(annotation_names[a]));
        bool ignored = checks[a].check == CHECK_IGNORED;
        const char *must_be = node_is(n, NODE_STR) ? wrong(d->arena, checks[a].check, n->text) : NULL;
        if (!n || (!must_be && !ignored))
            continue;
        struct origin place = *at;
        if (n->line) {
            place.line = n->line;
            place.col = n->col;
            place.span = n->span;
        }
        place.path = diag_text(d, "metadata.annotations[%s]", annotation_names[a]);
        struct diag *one = diag_add(d, ignored ? DIAG_WARNING : DIAG_ERROR, ignored ? "WEFT0005" : "IST0125", &place);
        one->title = diag_text(d, ignored ? "annotation %s has no effect" : "annotation %s has a wrong value",
                               annotation_names[a]);
        one->label = ignored ? diag_text(d, "not supported: %s", checks[a].meaning) : view_of(must_be);
        one->effect = ignored ? VIEW("the pod is injected without it") : VIEW("the pod is not created");
        if (!ignored)
            err = -EINVAL;
    }
    return err;
}
