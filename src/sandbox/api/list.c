// SPDX-License-Identifier: Apache-2.0
/* Lists, watches and their selectors (api.h). A watch starts behind a resourceVersion and hands out what the store
 * remembers from there on; a version that it no longer knows is 410 Gone, upon which a client lists again. Bookmarks
 * tell an idle client how far it has come.
 */
#include <errno.h>
#include <stdio.h>

#include "base/clock.h"
#include "mesh/pod.h"
#include "sandbox/api/api.h"
#include "wire/node.h"

/* ---- Selectors. */

/* "a in (b,c)" → the part behind the word; false when the word is not there. */
static bool cut_word(struct view text, const char *word, struct view *ret_left, struct view *ret_right)
{
    size_t at = view_find_view(text, view_of(word));
    if (at == text.n)
        return false;
    *ret_left = view_trim(view_head(text, at));
    *ret_right = view_trim(view_from(text, at + view_of(word).n));
    return true;
}

static int parse_set(struct arena *a, struct view text, struct strings *ret)
{
    if (text.n < 2 || text.p[0] != '(' || text.p[text.n - 1] != ')')
        return -EINVAL;
    struct view rest = view_make(text.p + 1, text.n - 2), one;
    while (view_cut(&rest, ',', &one))
        *ARENA_PUSH(a, ret->list, ret->n) = view_trim(one);
    return 0;
}

static int parse_requirement(struct arena *a, struct view text, struct label_requirement *ret)
{
    struct view value = VIEW_NONE;
    *ret = (struct label_requirement){0};
    if (cut_word(text, " notin ", &ret->key, &value)) {
        ret->op = LABEL_NOT_IN;
        return parse_set(a, value, &ret->values);
    }
    if (cut_word(text, " in ", &ret->key, &value)) {
        ret->op = LABEL_IN;
        return parse_set(a, value, &ret->values);
    }
    if (cut_word(text, "!=", &ret->key, &value))
        ret->op = LABEL_NOT_IN;
    else if (cut_word(text, "==", &ret->key, &value) || cut_word(text, "=", &ret->key, &value))
        ret->op = LABEL_IN;
    else {
        ret->op = text.p[0] == '!' ? LABEL_DOES_NOT_EXIST : LABEL_EXISTS;
        ret->key = view_trim(text.p[0] == '!' ? view_from(text, 1) : text);
        return ret->key.n ? 0 : -EINVAL;
    }
    *ARENA_PUSH(a, ret->values.list, ret->values.n) = value;
    return ret->key.n ? 0 : -EINVAL;
}

/* Commas inside parentheses do not separate. */
static bool cut_requirement(struct view *rest, struct view *ret)
{
    if (!rest->n)
        return false;
    int depth = 0;
    size_t i = 0;
    for (; i < rest->n && (rest->p[i] != ',' || depth > 0); i++)
        depth += rest->p[i] == '(' ? 1 : rest->p[i] == ')' ? -1 : 0;
    *ret = view_trim(view_head(*rest, i));
    *rest = view_from(*rest, i + 1);
    return true;
}

int api_filter_parse(struct arena *a, struct view query, struct api_filter *ret, struct view *ret_why)
{
    struct view text, one;
    *ret = (struct api_filter){0};
    if (api_query(a, query, "labelSelector", &text)) {
        while (cut_requirement(&text, &one)) {
            struct label_requirement r;
            if (!one.n || parse_requirement(a, one, &r)) {
                *ret_why = arena_printf(
                    a, "label selector: `%.*s` is none of k, !k, k=v, k!=v, k in (v,w), k notin (v,w)", VIEW_ARGS(one));
                return -EINVAL;
            }
            *ARENA_PUSH(a, ret->labels.exprs, ret->labels.n_exprs) = r;
            ret->labels.set = true;
        }
    }
    if (!api_query(a, query, "fieldSelector", &text))
        return 0;
    while (cut_requirement(&text, &one)) {
        struct label f;
        bool known = cut_word(one, "=", &f.key, &f.value) &&
                     (view_is(f.key, "metadata.name") || view_is(f.key, "metadata.namespace") ||
                      view_is(f.key, "status.phase") || view_is(f.key, "spec.nodeName"));
        if (!known) {
            *ret_why = arena_printf(a, "field selector `%.*s` is not supported", VIEW_ARGS(one));
            return -EINVAL;
        }
        *ARENA_PUSH(a, ret->fields, ret->n_fields) = f;
    }
    return 0;
}

bool api_filter_match(const struct api_filter *f, const struct record *r)
{
    if (f->labels.set && !label_selector_match(&f->labels, &r->object->meta.labels))
        return false;
    for (size_t i = 0; i < f->n_fields; i++) {
        char path[32];
        snprintf(path, sizeof(path), "%.*s", VIEW_ARGS(f->fields[i].key));
        if (!view_eq(node_text_at(r->tree, path), f->fields[i].value))
            return false;
    }
    return true;
}

static bool in_namespace(struct view ns, const struct record *r)
{
    return !ns.n || !mesh_kinds[r->kind].namespaced || view_eq(ns, r->ns);
}

/* ---- Lists. */

void api_list(struct api *api, const struct api_target *t, const struct api_request *req, struct api_response *resp)
{
    struct api_filter filter;
    struct view why;
    if (api_filter_parse(t->a, req->query, &filter, &why)) {
        api_fail(resp, 400, "BadRequest", "%.*s", VIEW_ARGS(why));
        return;
    }
    size_t n;
    struct record **all = store_list(api->cluster->store, t->kind, t->ns, t->a, &n);
    resp->status = 200;
    buf_printf(&resp->body,
               "{\"kind\":\"%.*sList\",\"apiVersion\":\"%.*s\",\"metadata\":{\"resourceVersion\":\"%llu\"},\"items\":[",
               VIEW_ARGS(mesh_kinds[t->kind].kind), VIEW_ARGS(t->api_version),
               (unsigned long long)store_version(api->cluster->store));
    bool first = true;
    for (size_t i = 0; i < n; i++) {
        if (!api_filter_match(&filter, all[i]))
            continue;
        if (!first)
            buf_char(&resp->body, ',');
        first = false;
        node_print_json(all[i]->tree, &resp->body);
    }
    buf_str(&resp->body, "]}");
}

/* ---- Watches. */

struct watch {
    struct api_stream stream;
    struct api *api;
    struct arena arena;
    enum mesh_kind kind;
    struct view ns, api_version;
    struct api_filter filter;
    uint64_t version; /* everything up to here was sent */
    uint64_t told;    /* the client knows this version */
    bool bookmarks, listed;
    uint64_t due; /* next bookmark, monotonic */
    uint64_t end; /* timeoutSeconds */
};

enum { BOOKMARK_S = 30 };

static void write_event(struct buf *out, const char *type, const struct node *tree)
{
    buf_printf(out, "{\"type\":\"%s\",\"object\":", type);
    node_print_json(tree, out);
    buf_str(out, "}\n");
}

/* Without a version the watch begins with everything that is there. */
static void send_all(struct watch *w, struct buf *out)
{
    struct arena a;
    arena_init(&a, 0);
    size_t n;
    struct record **all = store_list(w->api->cluster->store, w->kind, w->ns, &a, &n);
    for (size_t i = 0; i < n; i++)
        if (api_filter_match(&w->filter, all[i]))
            write_event(out, "ADDED", all[i]->tree);
    w->version = w->told = store_version(w->api->cluster->store);
    arena_done(&a);
}

static void send_bookmark(struct watch *w, struct buf *out)
{
    buf_printf(out,
               "{\"type\":\"BOOKMARK\",\"object\":{\"kind\":\"%.*s\",\"apiVersion\":\"%.*s\",\"metadata\":{"
               "\"resourceVersion\":\"%llu\"}}}\n",
               VIEW_ARGS(mesh_kinds[w->kind].kind), VIEW_ARGS(w->api_version), (unsigned long long)w->version);
    w->told = w->version;
}

static int watch_more(struct api_stream *s, struct buf *out)
{
    static const char *const types[] = {
        [STORE_ADDED] = "ADDED", [STORE_MODIFIED] = "MODIFIED", [STORE_DELETED] = "DELETED"};
    struct watch *w = CONTAINER_OF(s, struct watch, stream);
    if (!w->listed && w->version == 0)
        send_all(w, out);
    w->listed = true;
    const struct store_event *e;
    int err;
    while ((e = store_event(w->api->cluster->store, w->version, &err))) {
        w->version = e->version;
        if (e->record->kind != w->kind || !in_namespace(w->ns, e->record))
            continue;
        bool shown = api_filter_match(&w->filter, e->record);
        if (!shown && e->type != STORE_MODIFIED)
            continue;
        write_event(out, shown ? types[e->type] : "DELETED", e->record->tree); /* it left the selection */
        w->told = e->version;
    }
    if (err) {
        buf_str(out, "{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"status\":\"Failure\","
                     "\"message\":\"too old resource version\",\"reason\":\"Expired\",\"code\":410}}\n");
        return 1;
    }
    uint64_t now = clock_mono();
    if (w->bookmarks && w->told != w->version && now >= w->due)
        send_bookmark(w, out);
    if (now >= w->due)
        w->due = now + BOOKMARK_S * NS_PER_S;
    return w->end && now >= w->end;
}

static void watch_free(struct api_stream *s)
{
    struct watch *w = CONTAINER_OF(s, struct watch, stream);
    arena_done(&w->arena);
    mem_free(w);
}

void api_watch(struct api *api, const struct api_target *t, const struct api_request *req, struct api_response *resp)
{
    struct watch *w = mem_alloc(sizeof(*w));
    arena_init(&w->arena, 1024);
    w->stream = (struct api_stream){.more = watch_more, .free = watch_free, .poll_ns = 5 * NS_PER_S};
    w->api = api;
    w->kind = t->kind;
    w->ns = arena_view(&w->arena, t->ns);
    w->api_version = arena_view(&w->arena, t->api_version);
    struct view why, text, query = arena_view(&w->arena, req->query);
    uint64_t seconds;
    if (api_filter_parse(&w->arena, query, &w->filter, &why)) {
        api_fail(resp, 400, "BadRequest", "%.*s", VIEW_ARGS(why));
        watch_free(&w->stream);
        return;
    }
    if (api_query(&w->arena, query, "resourceVersion", &text) && view_u64(text, &w->version))
        w->version = 0;
    w->told = w->version;
    w->bookmarks = api_query_true(query, "allowWatchBookmarks");
    w->due = clock_mono() + BOOKMARK_S * NS_PER_S;
    if (api_query(&w->arena, query, "timeoutSeconds", &text) && view_u64(text, &seconds) == 0 && seconds)
        w->end = clock_mono() + seconds * NS_PER_S;
    resp->status = 200;
    resp->stream = &w->stream;
}
