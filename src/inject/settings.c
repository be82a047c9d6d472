// SPDX-License-Identifier: Apache-2.0
/* Reading the injection settings (settings.h): one row of settings.def for each value, one function for each type of row.
 * Below `global` and `sidecarInjectorWebhook` every value must be in the table; what else a chart's values hold is read by
 * others.
 */
#include "inject/settings.h"

#include <errno.h>

#include "base/limits.h"
#include "mesh/decode.h"

#define HUB "docker.io/weft"
#define IMAGE "weft-proxy"

struct values {
    struct inject_config c;
    struct view hub, tag, image, init_image, ca_address, policy;
    struct strings default_templates;
    const struct node *never, *always, *templates;
};

enum setting_type {
    SETTING_STR,
    SETTING_BOOL,
    SETTING_OPT_BOOL,
    SETTING_U32,
    SETTING_TREE,
    SETTING_LIST,
    SETTING_STRS,
    SETTING_LABELS,
    SETTING_CAPTURE,
    SETTING_NOTHING,
    SETTING_REFUSED,
};

static const struct setting {
    const char *path;
    enum setting_type type;
    size_t at;
    const char *note;
} settings[] = {
#define SET(path, type, member, note) {path, SETTING_##type, offsetof(struct values, member), note},
#include "inject/settings.def"
#undef SET
};

struct reader {
    struct arena *arena;
    struct diags *diags;
    struct origin at;
    const char *key; /* of the ConfigMap: values, config */
    bool wrong;
};

static struct diag *complain(struct reader *r, enum diag_severity severity, const char *path, const struct node *n)
{
    struct origin at = r->at;
    at.path = diag_text(r->diags, "data.%s: %s", r->key, path);
    if (n && at.file.n && !at.line) /* a file of its own; inside of an object the path says where */
        at.line = n->line, at.col = n->col, at.span = n->span;
    struct diag *d = diag_add(r->diags, severity, "WEFT0005", &at);
    d->title = diag_text(r->diags,
                         severity == DIAG_ERROR ? "injection settings: %s cannot be used"
                                                : "injection settings: %s has no effect",
                         path);
    if (severity == DIAG_ERROR) {
        d->effect = VIEW("the settings are not used; the last good ones stay");
        r->wrong = true;
    }
    return d;
}

static void wrong(struct reader *r, const char *path, const struct node *n, const char *must_be)
{
    complain(r, DIAG_ERROR, path, n)->label = view_of(must_be);
}

/* ---- values of a type ---- */

static bool scalar_text(const struct node *n, struct view *ret)
{
    if (n->type == NODE_SEQ || n->type == NODE_MAP)
        return false;
    *ret = n->type == NODE_NULL ? VIEW_NONE : n->text;
    return true;
}

static bool scalar_bool(const struct node *n, bool *ret)
{
    *ret = n->type == NODE_BOOL ? node_bool(n, false) : view_is(node_text(n), "true");
    return n->type == NODE_BOOL || view_is(node_text(n), "true") || view_is(node_text(n), "false");
}

static void set_u32(struct reader *r, const char *path, const struct node *n, struct opt_u32 *to)
{
    struct view text;
    uint64_t value;
    if (!scalar_text(n, &text) || view_u64(text, &value) < 0 || value > INT32_MAX)
        wrong(r, path, n, "must be a number");
    else
        *to = (struct opt_u32){.set = true, .value = (uint32_t)value};
}

static void set_strs(struct reader *r, const char *path, const struct node *n, struct strings *to)
{
    *to = (struct strings){0}; /* values replace what config said */
    for (uint32_t i = 0; node_is(n, NODE_SEQ) && i < n->n; i++) {
        struct view text = n->items[i]->type == NODE_MAP ? node_text_at(n->items[i], "name") : node_text(n->items[i]);
        if (!text.n)
            wrong(r, path, n->items[i], "must be a list of texts");
        else
            *ARENA_PUSH(r->arena, to->list, to->n) = text;
    }
    if (!node_is(n, NODE_SEQ) && !node_is(n, NODE_NULL))
        wrong(r, path, n, "must be a list");
}

static void set_labels(struct reader *r, const char *path, const struct node *n, struct labels *to)
{
    struct view text;
    *to = (struct labels){0};
    for (uint32_t i = 0; node_is(n, NODE_MAP) && i < n->n; i++) {
        if (!scalar_text(n->fields[i].value, &text))
            wrong(r, path, n->fields[i].value, "must be a map of texts");
        else
            *ARENA_PUSH(r->arena, to->list, to->n) = (struct label){n->fields[i].key, text};
    }
    if (!node_is(n, NODE_MAP) && !node_is(n, NODE_NULL))
        wrong(r, path, n, "must be a map");
}

static void set_container(struct reader *r, const char *path, const struct node *n, enum node_type type,
                          const struct node **to)
{
    if (node_is(n, type))
        *to = n->n ? n : NULL;
    else if (!node_is(n, NODE_NULL))
        wrong(r, path, n, type == NODE_MAP ? "must be a map" : "must be a list");
}

static void set(struct reader *r, const struct setting *s, const struct node *n, struct values *v)
{
    void *to = (char *)v + s->at;
    bool yes;
    switch (s->type) {
    case SETTING_STR:
    case SETTING_CAPTURE:
        if (!scalar_text(n, to))
            wrong(r, s->path, n, "must be a text");
        return;
    case SETTING_BOOL:
        if (!node_is(n, NODE_NULL) && !scalar_bool(n, to))
            wrong(r, s->path, n, "must be true or false");
        return;
    case SETTING_OPT_BOOL:
        if (node_is(n, NODE_NULL))
            return;
        if (!scalar_bool(n, &yes))
            wrong(r, s->path, n, "must be true or false");
        *(struct opt_bool *)to = (struct opt_bool){.set = true, .value = yes};
        return;
    case SETTING_U32:
        if (!node_is(n, NODE_NULL))
            set_u32(r, s->path, n, to);
        return;
    case SETTING_TREE:
        set_container(r, s->path, n, NODE_MAP, to);
        return;
    case SETTING_LIST:
        set_container(r, s->path, n, NODE_SEQ, to);
        return;
    case SETTING_STRS:
        set_strs(r, s->path, n, to);
        return;
    case SETTING_LABELS:
        set_labels(r, s->path, n, to);
        return;
    case SETTING_NOTHING:
        return;
    case SETTING_REFUSED:
        if (scalar_bool(n, &yes) && yes)
            wrong(r, s->path, n, s->note);
        return;
    }
}

/* ---- what no row knows ---- */

static bool is_known(struct view path, bool *ret_below)
{
    *ret_below = false;
    for (size_t i = 0; i < COUNT_OF(settings); i++) {
        struct view row = view_of(settings[i].path);
        if (view_eq(row, path))
            return true;
        if (view_starts(row, path) && row.p[path.n] == '.')
            *ret_below = true;
    }
    return false;
}

static void warn_unknown(struct reader *r, const struct node *n, struct view path)
{
    struct view names[COUNT_OF(settings)];
    bool below;
    if (is_known(path, &below))
        return;
    if (below && node_is(n, NODE_MAP)) {
        for (uint32_t i = 0; i < n->n; i++)
            warn_unknown(r, n->fields[i].value,
                         arena_printf(r->arena, "%.*s.%.*s", VIEW_ARGS(path), VIEW_ARGS(n->fields[i].key)));
        return;
    }
    for (size_t i = 0; i < COUNT_OF(settings); i++)
        names[i] = view_of(settings[i].path);
    struct diag *d = complain(r, DIAG_WARNING, arena_str(r->arena, path), n);
    struct view near = diag_nearest(path, names, COUNT_OF(names));
    d->label = VIEW("not known to weft's injector");
    if (near.n)
        d->hint = diag_text(r->diags, "did you mean `%.*s`?", VIEW_ARGS(near));
}

/* ---- selectors and templates ---- */

static bool read_requirement(struct reader *r, const struct node *n, struct label_requirement *ret)
{
    static const struct {
        const char *word;
        enum label_op op;
    } ops[] = {
        {"In", LABEL_IN}, {"NotIn", LABEL_NOT_IN}, {"Exists", LABEL_EXISTS}, {"DoesNotExist", LABEL_DOES_NOT_EXIST}};
    const struct node *values = node_get(n, VIEW("values"));
    ret->key = node_text_at(n, "key");
    for (uint32_t i = 0; node_is(values, NODE_SEQ) && i < values->n; i++)
        *ARENA_PUSH(r->arena, ret->values.list, ret->values.n) = node_text(values->items[i]);
    for (size_t i = 0; i < COUNT_OF(ops); i++)
        if (view_is(node_text_at(n, "operator"), ops[i].word)) {
            ret->op = ops[i].op;
            return ret->key.n > 0;
        }
    return false;
}

static const struct label_selector *read_selectors(struct reader *r, const char *path, const struct node *list,
                                                   uint32_t *ret_n)
{
    uint32_t n = list ? list->n : 0;
    struct label_selector *all = ARENA_ARRAY(r->arena, struct label_selector, n + 1);
    for (uint32_t i = 0; i < n; i++) {
        const struct node *labels = node_get(list->items[i], VIEW("matchLabels"));
        const struct node *exprs = node_get(list->items[i], VIEW("matchExpressions"));
        all[i].set = true;
        if (labels)
            set_labels(r, path, labels, &all[i].match_labels);
        for (uint32_t j = 0; node_is(exprs, NODE_SEQ) && j < exprs->n; j++)
            if (!read_requirement(r, exprs->items[j], ARENA_PUSH(r->arena, all[i].exprs, all[i].n_exprs)))
                wrong(r, path, exprs->items[j], "must have key and operator In, NotIn, Exists or DoesNotExist");
        if (!all[i].match_labels.n && !all[i].n_exprs)
            wrong(r, path, list->items[i], "a selector without a condition would match every pod");
    }
    *ret_n = n;
    return all;
}

/* Istio's own installation carries its templates as text; a chart of ours has none. */
static bool is_istios(struct view name)
{
    static const char *const names[] = {"sidecar",  "gateway",      "grpc-simple",  "grpc-agent",
                                        "waypoint", "kube-gateway", "agentgateway", "spire"};
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (view_is(name, names[i]))
            return true;
    return false;
}

static void check_templates(struct reader *r, const char *path, const struct node *templates, bool istios_may)
{
    for (uint32_t i = 0; node_is(templates, NODE_MAP) && i < templates->n; i++) {
        struct view name = templates->fields[i].key;
        if (istios_may && is_istios(name))
            continue;
        struct diag *d = complain(r, DIAG_ERROR, path, templates->fields[i].value);
        d->label = diag_text(r->diags, "template `%.*s`: Go templates of one's own are not supported", VIEW_ARGS(name));
        d->hint = VIEW("the templates sidecar and gateway are built in; annotations and a container named istio-proxy "
                       "change what they make");
    }
}

static void check_defaults(struct reader *r, const char *path, const struct strings *names, struct inject_config *c)
{
    if (names->n > 1 || (names->n && !view_is(names->list[0], "sidecar") && !view_is(names->list[0], "gateway")))
        wrong(r, path, NULL, "must be [sidecar] or [gateway]: the two templates that are built in");
    if (names->n)
        c->gateway_template = view_is(names->list[0], "gateway");
}

/* ---- the whole ---- */

/* A name with a slash is a whole reference, as in Istio. */
static struct view image_of(struct reader *r, const char *path, const struct values *v, struct view image)
{
    size_t slash = view_find_view(image, VIEW("proxyv2"));
    if (slash < image.n)
        wrong(r, path, NULL, "that is Istio's proxy, not weft's: leave it out");
    if (view_find(image, '/') < image.n)
        return image;
    return arena_printf(r->arena, "%.*s/%.*s:%.*s", VIEW_ARGS(v->hub), VIEW_ARGS(image), VIEW_ARGS(v->tag));
}

static void finish(struct reader *r, struct values *v)
{
    struct inject_config *c = &v->c;
    c->parts = inject_parts_new(r->arena);
    bool named = c->revision.n && !view_is(c->revision, "default");
    if (!c->revision.n)
        c->revision = VIEW("default");
    c->image_proxy = image_of(r, "global.proxy.image", v, v->image);
    c->image_node = v->init_image.n ? image_of(r, "global.proxy_init.image", v, v->init_image) : c->image_proxy;
    c->discovery = arena_printf(r->arena, "istiod%s%.*s.%.*s.svc:15012", named ? "-" : "",
                                VIEW_ARGS(named ? c->revision : VIEW_NONE), VIEW_ARGS(c->root_ns));
    c->ca_address = v->ca_address.n ? v->ca_address : c->discovery;
    if (v->policy.n && !view_is(v->policy, "enabled") && !view_is(v->policy, "disabled"))
        wrong(r, "global.proxy.autoInject", NULL, "must be enabled or disabled");
    c->default_policy = !view_is(v->policy, "disabled");
    if (c->agent_log_level.n && view_find(c->agent_log_level, ':') == c->agent_log_level.n)
        c->agent_log_level = arena_printf(r->arena, "default:%.*s", VIEW_ARGS(c->agent_log_level));
    c->never = read_selectors(r, "sidecarInjectorWebhook.neverInjectSelector", v->never, &c->n_never);
    c->always = read_selectors(r, "sidecarInjectorWebhook.alwaysInjectSelector", v->always, &c->n_always);
    check_templates(r, "sidecarInjectorWebhook.templates", v->templates, false);
    check_defaults(r, "sidecarInjectorWebhook.defaultTemplates", &v->default_templates, c);
}

static struct values start(void)
{
    struct values v = {.c = inject_config_default(), .hub = VIEW(HUB), .tag = VIEW(WEFT_VERSION), .image = VIEW(IMAGE)};
    v.c.node_command = VIEW("weft-node");
    return v;
}

struct inject_config inject_config_kubernetes(struct arena *a)
{
    struct values v = start();
    struct reader r = {.arena = a};
    finish(&r, &v);
    return v.c;
}

static const struct node *parse(struct reader *r, const char *key, struct view text)
{
    struct pull_error e;
    struct node *n = NULL;
    r->key = key;
    if (!view_trim(text).n)
        return NULL;
    if (text.n > LIMIT_INJECT_SETTINGS_BYTES) {
        wrong(r, "the text", NULL, "it is too large");
    } else if (node_parse(r->arena, arena_view(r->arena, text), &n, &e) < 0 || !node_is(n, NODE_MAP)) {
        struct diag *d = complain(r, DIAG_ERROR, "the text", NULL);
        d->label = n ? VIEW("must be a map") : diag_text(r->diags, "%u:%u: %.*s", e.line, e.col, VIEW_ARGS(e.text));
        n = NULL;
    }
    return n;
}

static void read_values(struct reader *r, const struct node *n, struct values *v)
{
    for (size_t i = 0; i < COUNT_OF(settings); i++) {
        const struct node *one = node_at(n, settings[i].path);
        if (one)
            set(r, &settings[i], one, v);
    }
    static const char *const ours[] = {"global", "sidecarInjectorWebhook"};
    for (size_t i = 0; i < COUNT_OF(ours); i++)
        if (node_get(n, view_of(ours[i])))
            warn_unknown(r, node_get(n, view_of(ours[i])), view_of(ours[i]));
    if (!v->hub.n)
        v->hub = VIEW(HUB);
    if (!v->tag.n)
        v->tag = VIEW(WEFT_VERSION);
    if (!v->image.n)
        v->image = VIEW(IMAGE);
}

/* Istio's older form of the same: what it sets comes before the values. */
static void read_config(struct reader *r, const struct node *n, struct values *v)
{
    static const struct setting rows[] = {
        {"policy", SETTING_STR, offsetof(struct values, policy), NULL},
        {"neverInjectSelector", SETTING_LIST, offsetof(struct values, never), NULL},
        {"alwaysInjectSelector", SETTING_LIST, offsetof(struct values, always), NULL},
        {"injectedAnnotations", SETTING_LABELS, offsetof(struct values, c.annotations), NULL},
        {"defaultTemplates", SETTING_STRS, offsetof(struct values, default_templates), NULL},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const struct node *one = node_get(n, view_of(rows[i].path));
        if (one)
            set(r, &rows[i], one, v);
    }
    check_templates(r, "templates", node_get(n, VIEW("templates")), true);
    check_templates(r, "aliases", node_get(n, VIEW("aliases")), false);
}

int inject_settings_read(struct arena *a, struct diags *d, const struct origin *at, const struct inject_settings *text,
                         struct inject_config *ret)
{
    struct values v = start();
    struct reader r = {.arena = a, .diags = d, .at = *at};
    const struct node *n = parse(&r, "config", text->config);
    if (n)
        read_config(&r, n, &v);
    n = parse(&r, "values", text->values);
    if (n)
        read_values(&r, n, &v);
    if (text->revision.n)
        v.c.revision = arena_view(a, text->revision);
    finish(&r, &v);
    if (r.wrong)
        return -EINVAL;
    *ret = v.c;
    return 0;
}

/* ---- the webhook's path ---- */

static bool is_env_name(struct view v)
{
    for (size_t i = 0; i < v.n; i++) {
        char c = v.p[i];
        bool letter = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
        if (!letter && !(i && c >= '0' && c <= '9'))
            return false;
    }
    return v.n > 0 && v.n <= 256;
}

static struct view unslash(struct arena *a, struct view v)
{
    struct view slash = VIEW("--slash--");
    struct buf b = {0};
    for (size_t at; (at = view_find_view(v, slash)) < v.n; v = view_from(v, at + slash.n)) {
        buf_view(&b, view_head(v, at));
        buf_char(&b, '/');
    }
    buf_view(&b, v);
    struct view text = arena_view(a, buf_read(&b));
    buf_done(&b);
    return text;
}

static int add_env(struct arena *a, struct inject_config *c, struct view key, struct view value)
{
    value = unslash(a, value);
    if (view_is(key, "cluster"))
        c->cluster_id = value;
    else if (view_is(key, "net"))
        c->network = value;
    else if (!is_env_name(key) || c->env.n == LIMIT_INJECT_ENV)
        return -EINVAL;
    else
        *ARENA_PUSH(a, c->env.list, c->env.n) = (struct label){arena_view(a, key), value};
    return 0;
}

int inject_settings_path(struct arena *a, struct view path, struct inject_config *c)
{
    struct view legacy = VIEW(":ENV:"), key, value;
    int err = 0;
    if (view_starts(path, legacy)) {
        while (!err && path.n) {
            path = view_from(path, legacy.n);
            value = view_head(path, view_find_view(path, legacy));
            path = view_from(path, value.n);
            size_t equals = view_find(value, '=');
            err = equals == value.n ? -EINVAL : add_env(a, c, view_head(value, equals), view_from(value, equals + 1));
        }
        return err;
    }
    while (!err && view_cut(&path, '/', &key))
        err = !key.n && !path.n ? 0 : !view_cut(&path, '/', &value) ? -EINVAL : add_env(a, c, key, value);
    return err;
}
