// SPDX-License-Identifier: Apache-2.0
/* The Prometheus text format (scrape.h) and how pods are asked for it: through the daemon's pod proxy. */
#include "cli/scrape.h"

#include <stdlib.h>

#include "cli/client.h"
#include "wire/node.h"

struct view series_label(const struct series *s, const char *key)
{
    for (size_t i = 0; i < s->n_labels; i++)
        if (view_is(s->labels[i].key, key))
            return s->labels[i].value;
    return VIEW_NONE;
}

/* A quoted value at the start of *rest, unescaped; false: malformed. */
static bool quoted(struct arena *a, struct view *rest, struct view *ret)
{
    if (!rest->n || rest->p[0] != '"')
        return false;
    size_t i = 1;
    bool escaped = false;
    while (i < rest->n && rest->p[i] != '"') {
        escaped = escaped || rest->p[i] == '\\';
        i += rest->p[i] == '\\' ? 2 : 1;
    }
    if (i >= rest->n)
        return false;
    struct view raw = view_make(rest->p + 1, i - 1);
    *rest = view_from(*rest, i + 1);
    *ret = raw;
    if (!escaped)
        return true;
    char *out = arena_alloc(a, raw.n + 1);
    size_t n = 0;
    for (size_t k = 0; k < raw.n; k++) {
        char c = raw.p[k];
        if (c == '\\' && k + 1 < raw.n)
            c = raw.p[++k] == 'n' ? '\n' : raw.p[k];
        out[n++] = c;
    }
    *ret = view_make(out, n);
    return true;
}

static bool parse_labels(struct arena *a, struct view *rest, struct series *s)
{
    while (rest->n && rest->p[0] != '}') {
        if (rest->p[0] == ',' || rest->p[0] == ' ') {
            *rest = view_from(*rest, 1);
            continue;
        }
        size_t eq = view_find(*rest, '=');
        if (eq == rest->n || s->n_labels == SERIES_LABELS)
            return false;
        s->labels[s->n_labels].key = view_trim(view_head(*rest, eq));
        *rest = view_from(*rest, eq + 1);
        if (!quoted(a, rest, &s->labels[s->n_labels++].value))
            return false;
    }
    *rest = view_from(*rest, 1);
    return true;
}

static bool parse_line(struct arena *a, struct view line, struct series *s)
{
    size_t end = 0;
    while (end < line.n && line.p[end] != '{' && line.p[end] != ' ')
        end++;
    s->n_labels = 0;
    s->name = view_head(line, end);
    line = view_from(line, end);
    if (line.n && line.p[0] == '{') {
        line = view_from(line, 1);
        if (!parse_labels(a, &line, s))
            return false;
    }
    char number[64];
    line = view_trim(line);
    struct view value = view_head(line, view_find(line, ' '));
    if (!s->name.n || !value.n || value.n >= sizeof(number))
        return false;
    memcpy(number, value.p, value.n);
    number[value.n] = 0;
    char *stop;
    s->value = strtod(number, &stop);
    return *stop == 0;
}

bool series_next(struct arena *a, struct view *rest, struct series *ret)
{
    struct view line;
    while (view_cut(rest, '\n', &line)) {
        line = view_trim(line);
        if (line.n && line.p[0] != '#' && parse_line(a, line, ret))
            return true;
    }
    return false;
}

static bool has_proxy(const struct node *pod)
{
    static const char *const lists[] = {"spec.containers", "spec.initContainers"};
    for (size_t l = 0; l < COUNT_OF(lists); l++) {
        const struct node *list = node_at(pod, lists[l]);
        for (uint32_t i = 0; node_is(list, NODE_SEQ) && i < list->n; i++)
            if (view_is(node_text_at(list->items[i], "name"), "istio-proxy"))
                return true;
    }
    return false;
}

int scrape_pods(struct cli *c, struct scraped_pod **ret_pods, size_t *ret_n)
{
    int r;
    const struct node *list = client_get(c, VIEW("/api/v1/pods"), &r),
                      *items = list ? node_get(list, VIEW("items")) : NULL;
    *ret_pods = NULL;
    *ret_n = 0;
    for (uint32_t i = 0; node_is(items, NODE_SEQ) && i < items->n; i++) {
        struct node *pod = items->items[i];
        if (!has_proxy(pod) || !view_is(node_text_at(pod, "status.phase"), "Running"))
            continue;
        struct scraped_pod *p = ARENA_PUSH(&c->arena, *ret_pods, *ret_n);
        p->ns = node_text_at(pod, "metadata.namespace");
        p->name = node_text_at(pod, "metadata.name");
        p->pod = pod;
    }
    return r;
}

struct view scrape_get(struct cli *c, struct view ns, struct view pod, unsigned port, const char *path)
{
    struct view base = client_path(c, KIND_POD, ns, pod);
    struct answer a = {0};
    struct view url = arena_printf(&c->arena, "%.*s:%u/proxy%s", VIEW_ARGS(base), port, path);
    int err = client_try(c, "GET", url, VIEW_NONE, &a);
    struct view body = err || a.status != 200 ? VIEW_NONE : arena_view(&c->arena, buf_read(&a.body));
    answer_done(&a);
    return body;
}
