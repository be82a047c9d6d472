// SPDX-License-Identifier: Apache-2.0
/* Paths and verbs on single objects (api.h). Lists, watches, logs, proxying, tokens and our own paths are in the other files of this folder. */
#include "sandbox/api/api.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "mesh/parse.h"
#include "sandbox/admit.h"
#include "sandbox/api/sd.h"
#include "wire/node.h"

static void write_record(struct api_response *resp, unsigned status, const struct record *r)
{
    resp->status = status;
    node_print_json(r->tree, &resp->body);
}

void api_fail(struct api_response *resp, unsigned status, const char *reason, const char *fmt, ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    resp->status = status;
    buf_clear(&resp->body);
    buf_printf(&resp->body,
               "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\",\"message\":");
    buf_json_str(&resp->body, view_of(text));
    buf_printf(&resp->body, ",\"reason\":\"%s\",\"code\":%u}", reason, status);
}

void api_diags(struct api_response *resp, struct diags *d, unsigned status, const char *reason)
{
    struct view message = VIEW("rejected");
    LIST_EACH (&d->all, struct diag, link, one)
        if (one->severity == DIAG_ERROR) {
            message = one->title;
            break;
        }
    resp->status = status;
    buf_clear(&resp->body);
    buf_printf(&resp->body,
               "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\",\"message\":");
    buf_json_str(&resp->body, message);
    buf_printf(&resp->body, ",\"reason\":\"%s\",\"code\":%u,\"details\":{\"diagnostics\":", reason, status);
    diags_print_json(d, &resp->body);
    buf_str(&resp->body, "}}");
}

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

struct view api_unescape(struct arena *a, struct view text)
{
    char *out = arena_alloc(a, text.n + 1);
    size_t n = 0;
    for (size_t i = 0; i < text.n; i++) {
        int high = text.p[i] == '%' && i + 2 < text.n + 0 ? hex(text.p[i + 1]) : -1;
        int low = high >= 0 ? hex(text.p[i + 2]) : -1;
        if (low >= 0) {
            out[n++] = (char)(high * 16 + low);
            i += 2;
        } else {
            out[n++] = text.p[i] == '+' ? ' ' : text.p[i];
        }
    }
    return view_make(out, n);
}

bool api_query(struct arena *a, struct view query, const char *name, struct view *ret_value)
{
    struct view part;
    while (view_cut(&query, '&', &part)) {
        size_t eq = view_find(part, '=');
        if (!view_is(view_head(part, eq), name))
            continue;
        *ret_value = api_unescape(a, view_from(part, eq + 1));
        return true;
    }
    return false;
}

bool api_query_true(struct view query, const char *name)
{
    struct arena a;
    arena_init(&a, 256);
    struct view v;
    bool on = api_query(&a, query, name, &v) && (view_is(v, "1") || view_is(v, "true"));
    arena_done(&a);
    return on;
}

/* ---- One object. */

static void not_found(struct api_response *resp, const struct api_target *t)
{
    api_fail(resp, 404, "NotFound", "%.*s \"%.*s\" not found", VIEW_ARGS(mesh_kinds[t->kind].plural),
             VIEW_ARGS(t->name));
}

static void get_one(struct api *api, const struct api_target *t, const struct api_request *req,
                    struct api_response *resp)
{
    const struct record *r = store_get(api->cluster->store, t->kind, t->ns, t->name);
    if (r)
        write_record(resp, 200, r);
    else
        not_found(resp, t);
}

/* The body as a tree of the kind, namespace and name that the path says. */
static struct node *body_tree(const struct api_target *t, const struct api_request *req, struct api_response *resp)
{
    struct node *tree;
    struct pull_error error = {0};
    if (node_parse(t->a, req->body, &tree, &error) || !node_is(tree, NODE_MAP)) {
        api_fail(resp, 400, "BadRequest", "the body is not an object: line %u: %.*s", error.line,
                 VIEW_ARGS(error.text));
        return NULL;
    }
    tree = node_copy(t->a, tree);
    if (!node_get(tree, VIEW("apiVersion")))
        node_set_str(t->a, tree, "apiVersion", t->api_version);
    if (!node_get(tree, VIEW("kind")))
        node_set_str(t->a, tree, "kind", mesh_kinds[t->kind].kind);
    struct node *meta = node_make(t->a, tree, "metadata", NODE_MAP);
    if (t->ns.n && !node_text(node_get(meta, VIEW("namespace"))).n)
        node_set_str(t->a, meta, "namespace", t->ns);
    struct view prefix = node_text(node_get(meta, VIEW("generateName")));
    if (prefix.n && !node_text(node_get(meta, VIEW("name"))).n) {
        char suffix[6];
        store_suffix(suffix, 5);
        node_set_str(t->a, meta, "name", arena_printf(t->a, "%.*s%s", VIEW_ARGS(prefix), suffix));
    }
    bool same = view_eq(node_text_at(tree, "kind"), mesh_kinds[t->kind].kind) &&
                (!t->ns.n || view_eq(node_text(node_get(meta, VIEW("namespace"))), t->ns)) &&
                (!t->name.n || view_eq(node_text(node_get(meta, VIEW("name"))), t->name));
    if (same)
        return tree;
    api_fail(resp, 400, "BadRequest", "kind, namespace or name of the body are not those of the path");
    return NULL;
}

static void write_tree(struct api *api, const struct api_target *t, const struct node *tree, bool create,
                       struct api_response *resp)
{
    struct diags d;
    diags_init(&d, t->a);
    struct store_put put = {.tree = tree, .create = create};
    put.mode = view_is(t->sub, "status") ? STORE_STATUS : STORE_SPEC;
    uint64_t expect;
    if (!create && view_u64(node_text_at(tree, "metadata.resourceVersion"), &expect) == 0)
        put.expect = expect;
    struct record *r = NULL;
    int err = admit_write(api->cluster, &put, &d, &r);
    if (err == 0)
        write_record(resp, create ? 201 : 200, r);
    else if (err == -EEXIST)
        api_fail(resp, 409, "AlreadyExists", "%.*s \"%.*s\" already exists", VIEW_ARGS(mesh_kinds[t->kind].plural),
                 VIEW_ARGS(node_text_at(tree, "metadata.name")));
    else if (err == -ESTALE)
        api_fail(resp, 409, "Conflict", "the object has been modified; read it again and repeat the change");
    else if (err == -ENOENT && !d.n_errors)
        not_found(resp, t);
    else
        api_diags(resp, &d, 422, "Invalid");
}

static void create(struct api *api, const struct api_target *t, const struct api_request *req,
                   struct api_response *resp)
{
    if (view_is(t->sub, "token")) {
        api_token_request(api, t, req, resp);
        return;
    }
    struct node *tree = body_tree(t, req, resp);
    if (tree)
        write_tree(api, t, tree, true, resp);
}

static void update(struct api *api, const struct api_target *t, const struct api_request *req,
                   struct api_response *resp)
{
    struct node *tree = body_tree(t, req, resp);
    if (!tree)
        return;
    if (!store_get(api->cluster->store, t->kind, t->ns, t->name))
        not_found(resp, t);
    else
        write_tree(api, t, tree, false, resp);
}

static void patch(struct api *api, const struct api_target *t, const struct api_request *req, struct api_response *resp)
{
    struct view type = view_head(req->content_type, view_find(req->content_type, ';'));
    if (!view_is(type, "application/merge-patch+json")) {
        api_fail(resp, 415, "UnsupportedMediaType", "only application/merge-patch+json is understood here");
        return;
    }
    const struct record *r = store_get(api->cluster->store, t->kind, t->ns, t->name);
    struct node *change;
    if (!r) {
        not_found(resp, t);
        return;
    }
    if (node_parse(t->a, req->body, &change, NULL) || !node_is(change, NODE_MAP)) {
        api_fail(resp, 400, "BadRequest", "the patch is not an object");
        return;
    }
    struct node *tree = merge_patch(t->a, r->tree, change);
    if (!node_at(change, "metadata.resourceVersion"))
        node_del(node_get(tree, VIEW("metadata")), VIEW("resourceVersion"));
    write_tree(api, t, tree, false, resp);
}

static void delete_one(struct api *api, const struct api_target *t, const struct api_request *req,
                       struct api_response *resp)
{
    struct view text;
    uint64_t grace;
    int64_t seconds = -1;
    if (api_query(t->a, req->query, "gracePeriodSeconds", &text) && view_u64(text, &grace) == 0 && grace < 86400)
        seconds = (int64_t)grace;
    if (cluster_delete(api->cluster, t->kind, t->ns, t->name, seconds)) {
        not_found(resp, t);
        return;
    }
    resp->status = 200;
    buf_str(&resp->body, "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Success\"}");
}

/* ---- Paths. */

/* The next part of a path; false at its end. */
static bool next(struct view *rest, struct view *part)
{
    while (rest->n && rest->p[0] == '/')
        *rest = view_from(*rest, 1);
    return rest->n && view_cut(rest, '/', part);
}

/* Group, version, namespace, kind, name and what follows. false: no such resource. */
static bool parse_target(struct arena *a, struct view path, struct api_target *t)
{
    struct view rest = path, root, group = VIEW_NONE, version, word;
    *t = (struct api_target){.a = a};
    if (!next(&rest, &root) || (!view_is(root, "api") && !view_is(root, "apis")))
        return false;
    if (view_is(root, "apis") && !next(&rest, &group))
        return false;
    if (!next(&rest, &version) || !next(&rest, &word))
        return false;
    t->api_version = group.n ? arena_printf(a, "%.*s/%.*s", VIEW_ARGS(group), VIEW_ARGS(version)) : version;
    struct view after = rest, ns, plural;
    if (view_is(word, "namespaces") && next(&after, &ns) && next(&after, &plural) && !view_is(plural, "status")) {
        t->ns = api_unescape(a, ns);
        word = plural;
        rest = after;
    }
    for (int kind = 0; kind < MESH_KINDS; kind++) {
        const struct mesh_kind_info *k = &mesh_kinds[kind];
        struct view versions = k->versions, one;
        if (!view_eq(k->plural, word) || !view_eq(k->group, group))
            continue;
        while (view_cut(&versions, ',', &one))
            if (view_eq(one, version)) {
                t->kind = (enum mesh_kind)kind;
                struct view name = VIEW_NONE;
                if (next(&rest, &name))
                    t->name = api_unescape(a, name);
                if (next(&rest, &t->sub))
                    t->rest = rest;
                return k->namespaced || !t->ns.n;
            }
    }
    return false;
}

static void collection(struct api *api, const struct api_target *t, const struct api_request *req,
                       struct api_response *resp)
{
    if (view_is(req->method, "POST"))
        create(api, t, req, resp);
    else if (!view_is(req->method, "GET"))
        api_fail(resp, 405, "MethodNotAllowed", "a collection knows GET and POST");
    else if (api_query_true(req->query, "watch"))
        api_watch(api, t, req, resp);
    else
        api_list(api, t, req, resp);
}

typedef void (*api_fn)(struct api *api, const struct api_target *t, const struct api_request *req,
                       struct api_response *resp);

static const struct {
    const char *method, *sub;
    api_fn run;
} object_routes[] = {
    {"GET", "", get_one},        {"GET", "status", get_one}, {"PUT", "", update},        {"PUT", "status", update},
    {"PATCH", "", patch},        {"PATCH", "status", patch}, {"DELETE", "", delete_one}, {"GET", "log", api_log},
    {"GET", "proxy", api_proxy}, {"POST", "token", create},
};

static void object(struct api *api, const struct api_target *t, const struct api_request *req,
                   struct api_response *resp)
{
    bool known = false;
    for (size_t i = 0; i < COUNT_OF(object_routes); i++) {
        if (!view_is(t->sub, object_routes[i].sub))
            continue;
        known = true;
        if (view_is(req->method, object_routes[i].method)) {
            object_routes[i].run(api, t, req, resp);
            return;
        }
    }
    if (known)
        api_fail(resp, 405, "MethodNotAllowed", "%.*s is not possible here", VIEW_ARGS(req->method));
    else
        api_fail(resp, 404, "NotFound", "the sandbox does not have the subresource %.*s", VIEW_ARGS(t->sub));
}

void api_handle(struct api *api, const struct api_request *req, struct api_response *resp)
{
    *resp = (struct api_response){.type = "application/json"};
    struct arena a;
    arena_init(&a, 16 * 1024);
    struct api_target t;
    if (view_is(req->path, "/prometheus/sd") && view_is(req->method, "GET")) {
        resp->status = 200;
        sd_print(api->cluster->store, &resp->body);
    } else if (api->discovery_only) {
        api_fail(resp, 404, "NotFound", "only /prometheus/sd is here");
    } else if (view_is(req->path, "/healthz") || view_is(req->path, "/readyz")) {
        resp->status = 200;
        resp->type = "text/plain";
        buf_str(&resp->body, "ok");
    } else if (view_is(req->path, "/version")) {
        resp->status = 200;
        buf_str(&resp->body, "{\"major\":\"1\",\"minor\":\"34\",\"gitVersion\":\"v1.34.0+weft-sandbox\"}");
    } else if (view_starts(req->path, VIEW("/weft/v1/"))) {
        api_weft(api, view_from(req->path, sizeof("/weft/v1/") - 1), req, resp);
    } else if (view_is(req->path, "/apis/authentication.k8s.io/v1/tokenreviews") && view_is(req->method, "POST")) {
        api_token_review(api, req, resp);
    } else if (!parse_target(&a, req->path, &t)) {
        api_fail(resp, 404, "NotFound", "the sandbox does not have %.*s", VIEW_ARGS(req->path));
    } else if (t.name.n) {
        object(api, &t, req, resp);
    } else {
        collection(api, &t, req, resp);
    }
    arena_done(&a);
}
