// SPDX-License-Identifier: Apache-2.0
/* Environment variables as kubelet makes them: the image's, then envFrom, then env in order, later ones win, $(NAME)
 * refers to what came before.
 */
#include "sandbox/environment.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <unistd.h>

struct env_list {
    struct arena *a;
    char **list;
    size_t n;
};

static void env_set(struct env_list *e, struct view name, struct view value)
{
    char *text = arena_str(e->a, arena_printf(e->a, "%.*s=%.*s", VIEW_ARGS(name), VIEW_ARGS(value)));
    for (size_t i = 0; i < e->n; i++)
        if (strncmp(e->list[i], text, name.n + 1) == 0) {
            e->list[i] = text;
            return;
        }
    *ARENA_PUSH(e->a, e->list, e->n) = text;
}

static bool env_get(char *const *env, size_t n_env, struct view name, struct view *ret)
{
    for (size_t i = 0; i < n_env; i++)
        if (strncmp(env[i], name.p, name.n) == 0 && env[i][name.n] == '=') {
            *ret = view_of(env[i] + name.n + 1);
            return true;
        }
    return false;
}

struct view expand(struct arena *a, struct view text, char *const *env, size_t n_env)
{
    if (view_find(text, '$') == text.n)
        return text;
    struct buf out = {0};
    while (text.n) {
        size_t dollar = view_find(text, '$');
        buf_view(&out, view_head(text, dollar));
        text = view_from(text, dollar);
        if (!text.n)
            break;
        struct view rest = view_from(text, 2), value;
        size_t end = view_find(rest, ')');
        if (view_starts(text, VIEW("$$"))) {
            buf_char(&out, '$');
            text = rest;
        } else if (view_starts(text, VIEW("$(")) && end < rest.n && env_get(env, n_env, view_head(rest, end), &value)) {
            buf_view(&out, value);
            text = view_from(rest, end + 1);
        } else {
            buf_char(&out, '$');
            text = view_from(text, 1);
        }
    }
    struct view done = arena_view(a, buf_read(&out));
    buf_done(&out);
    return done;
}

int quantity_milli(struct view text, double *ret_milli)
{
    static const struct {
        const char *suffix;
        double factor;
    } units[] = {{"", 1},        {"m", 1e-3},    {"k", 1e3},     {"M", 1e6},        {"G", 1e9},
                 {"T", 1e12},    {"P", 1e15},    {"Ki", 1024.0}, {"Mi", 1048576.0}, {"Gi", 1073741824.0},
                 {"Ti", 0x1p40}, {"Pi", 0x1p50}, {"n", 1e-9},    {"u", 1e-6}};
    char number[40];
    if (text.n >= sizeof(number) || text.n == 0)
        return -EINVAL;
    snprintf(number, sizeof(number), "%.*s", VIEW_ARGS(text));
    char *end;
    double value = strtod(number, &end);
    if (end == number || !isfinite(value))
        return -EINVAL;
    for (size_t i = 0; i < COUNT_OF(units); i++)
        if (strcmp(end, units[i].suffix) == 0) {
            *ret_milli = value * units[i].factor * 1000;
            return 0;
        }
    return -EINVAL;
}

/* metadata.labels['x'] */
static bool subscript(struct view path, const char *field, struct view *ret_key)
{
    struct view f = view_of(field);
    if (!view_starts(path, f) || !view_starts(view_from(path, f.n), VIEW("['")) || !view_ends(path, VIEW("']")) ||
        path.n < f.n + 4)
        return false;
    *ret_key = view_make(path.p + f.n + 2, path.n - f.n - 4);
    return true;
}

static struct view all_labels(struct arena *a, const struct labels *l)
{
    struct buf out = {0};
    for (uint32_t i = 0; i < l->n; i++) {
        buf_view(&out, l->list[i].key);
        buf_char(&out, '=');
        buf_json_str(&out, l->list[i].value);
        buf_char(&out, '\n');
    }
    struct view text = arena_view(a, buf_read(&out));
    buf_done(&out);
    return text;
}

int field_value(struct arena *a, const struct facts *f, struct view path, struct view *ret_value)
{
    const struct object_meta *m = &f->pod->o.meta;
    const struct {
        const char *path;
        struct view value;
    } fields[] = {
        {"metadata.name", m->name},
        {"metadata.namespace", m->ns},
        {"metadata.uid", m->uid},
        {"spec.nodeName", view_empty(f->pod->spec.node_name) ? VIEW("sandbox") : f->pod->spec.node_name},
        {"spec.serviceAccountName", f->pod->spec.service_account},
        {"status.podIP", f->ip},
        {"status.podIPs", f->ip},
        {"status.hostIP", f->host_ip},
        {"status.hostIPs", f->host_ip},
    };
    struct view key;
    for (size_t i = 0; i < COUNT_OF(fields); i++)
        if (view_is(path, fields[i].path)) {
            *ret_value = fields[i].value;
            return 0;
        }
    if (view_is(path, "metadata.labels"))
        *ret_value = all_labels(a, &m->labels);
    else if (view_is(path, "metadata.annotations"))
        *ret_value = all_labels(a, &m->annotations);
    else if (subscript(path, "metadata.labels", &key))
        *ret_value = labels_get(&m->labels, key);
    else if (subscript(path, "metadata.annotations", &key))
        *ret_value = labels_get(&m->annotations, key);
    else
        return -EINVAL;
    return 0;
}

int resource_value(struct arena *a, const struct facts *f, const struct container *c, struct view resource,
                   struct view divisor, struct view *ret_value)
{
    size_t dot = view_find(resource, '.');
    struct view which = view_head(resource, dot), name = view_from(resource, dot + 1);
    bool limits = view_is(which, "limits");
    if (!limits && !view_is(which, "requests"))
        return -EINVAL;
    double milli = 0, by = 1000;
    struct view given = labels_get(limits ? &c->resources.limits : &c->resources.requests, name);
    if (!view_empty(given)) {
        if (quantity_milli(given, &milli) < 0)
            return -EINVAL;
    } else if (limits) { /* unlimited: what the machine has */
        struct sysinfo info = {0};
        if (view_is(name, "cpu"))
            milli = 1000.0 * (double)sysconf(_SC_NPROCESSORS_ONLN);
        else if (view_is(name, "memory") && sysinfo(&info) == 0)
            milli = 1000.0 * (double)info.totalram * info.mem_unit;
    }
    if (!view_empty(divisor) && !view_is(divisor, "0") && (quantity_milli(divisor, &by) < 0 || by <= 0))
        return -EINVAL;
    *ret_value = arena_printf(a, "%.0f", ceil(milli / by));
    return 0;
}

static const struct runtime_item *item_find(const struct runtime_item *items, size_t n, struct view key)
{
    for (size_t i = 0; i < n; i++)
        if (view_eq(items[i].key, key))
            return &items[i];
    return NULL;
}

static const char *source_word(enum runtime_source s)
{
    return s == RUNTIME_SECRET ? "Secret" : "ConfigMap";
}

static int from_key(struct env_list *e, const struct facts *f, enum runtime_source source, const struct key_ref *ref,
                    struct view name, struct view *ret_why)
{
    struct runtime_item *items = NULL;
    size_t n = 0;
    struct view ns = f->pod->o.meta.ns;
    int err = f->config->items(f->config->arg, source, ns, ref->name, e->a, &items, &n);
    const struct runtime_item *item = err ? NULL : item_find(items, n, ref->key);
    if (item) {
        env_set(e, name, item->value);
        return 0;
    }
    if (ref->optional)
        return 0;
    *ret_why = err ? arena_printf(e->a, "%s \"%.*s\" not found", source_word(source), VIEW_ARGS(ref->name))
                   : arena_printf(e->a, "couldn't find key %.*s in %s %.*s/%.*s", VIEW_ARGS(ref->key),
                                  source_word(source), VIEW_ARGS(ns), VIEW_ARGS(ref->name));
    return -ENOENT;
}

static int from_all(struct env_list *e, const struct facts *f, const struct env_from *from, struct view *ret_why)
{
    enum runtime_source source = from->secret ? RUNTIME_SECRET : RUNTIME_CONFIG_MAP;
    const struct key_ref *ref = from->secret ? from->secret : from->config_map;
    struct runtime_item *items = NULL;
    size_t n = 0;
    if (!ref)
        return 0;
    int err = f->config->items(f->config->arg, source, f->pod->o.meta.ns, ref->name, e->a, &items, &n);
    if (err && !ref->optional) {
        *ret_why = arena_printf(e->a, "%s \"%.*s\" not found", source_word(source), VIEW_ARGS(ref->name));
        return -ENOENT;
    }
    for (size_t i = 0; i < n; i++)
        env_set(e, arena_printf(e->a, "%.*s%.*s", VIEW_ARGS(from->prefix), VIEW_ARGS(items[i].key)), items[i].value);
    return 0;
}

static const struct container *container_named(const struct pod_spec *s, struct view name, const struct container *same)
{
    for (uint32_t i = 0; i < s->n_containers; i++)
        if (view_eq(s->containers[i].name, name))
            return &s->containers[i];
    for (uint32_t i = 0; i < s->n_init_containers; i++)
        if (view_eq(s->init_containers[i].name, name))
            return &s->init_containers[i];
    return same;
}

static int set_one(struct env_list *e, const struct facts *f, const struct container *c, const struct env_var *v,
                   struct view *ret_why)
{
    struct view value = VIEW_NONE;
    int err = 0;
    if (v->config_map)
        return from_key(e, f, RUNTIME_CONFIG_MAP, v->config_map, v->name, ret_why);
    if (v->secret)
        return from_key(e, f, RUNTIME_SECRET, v->secret, v->name, ret_why);
    if (!view_empty(v->field_path))
        err = field_value(e->a, f, v->field_path, &value);
    else if (!view_empty(v->resource))
        err = resource_value(e->a, f, container_named(&f->pod->spec, v->resource_container, c), v->resource,
                             v->resource_divisor, &value);
    else
        value = expand(e->a, v->value, e->list, e->n);
    if (err) {
        *ret_why = arena_printf(e->a, "env %.*s: there is no `%.*s`", VIEW_ARGS(v->name),
                                VIEW_ARGS(view_empty(v->field_path) ? v->resource : v->field_path));
        return err;
    }
    env_set(e, v->name, value);
    return 0;
}

int environment_build(struct arena *a, const struct facts *f, const struct container *c, const struct image *image,
                      char ***ret_envp, struct view *ret_why)
{
    struct env_list e = {.a = a};
    env_set(&e, VIEW("PATH"), f->path);
    env_set(&e, VIEW("HOSTNAME"), f->hostname);
    env_set(&e, VIEW("HOME"), VIEW("/"));
    for (uint32_t i = 0; image && i < image->env.n; i++)
        env_set(&e, image->env.list[i].key, image->env.list[i].value);
    for (uint32_t i = 0; i < c->n_env_from; i++) {
        int err = from_all(&e, f, &c->env_from[i], ret_why);
        if (err)
            return err;
    }
    for (uint32_t i = 0; i < c->n_env; i++) {
        int err = set_one(&e, f, c, &c->env[i], ret_why);
        if (err)
            return err;
    }
    *ARENA_PUSH(a, e.list, e.n) = NULL;
    *ret_envp = e.list;
    return 0;
}
