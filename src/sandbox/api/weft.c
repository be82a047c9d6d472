// SPDX-License-Identifier: Apache-2.0
/* Our own paths, /weft/v1/…: whole manifests with their diagnostics, and the sandbox itself (api.h). */
#include <errno.h>

#include "sandbox/admit.h"
#include "sandbox/api/api.h"

/* {"objects":[{"verb":"created","kind":…}],"diagnostics":[…],"text":"what people read"} */
static void write_outcome(struct api_response *resp, const struct apply_result *results, size_t n, struct diags *d,
                          bool color)
{
    struct buf *out = &resp->body;
    buf_str(out, "{\"objects\":[");
    for (size_t i = 0; i < n; i++) {
        const struct mesh_kind_info *k = &mesh_kinds[results[i].kind];
        buf_printf(out, "%s{\"verb\":\"%s\",\"kind\":\"%.*s\",\"group\":\"%.*s\",\"namespace\":", i ? "," : "",
                   apply_verb_name(results[i].verb), VIEW_ARGS(k->kind), VIEW_ARGS(k->group));
        buf_json_str(out, results[i].ns);
        buf_str(out, ",\"name\":");
        buf_json_str(out, results[i].name);
        buf_char(out, '}');
    }
    buf_str(out, "],\"diagnostics\":");
    diags_print_json(d, out);
    struct buf text = {0};
    diags_print(d, &text, color);
    buf_str(out, ",\"text\":");
    buf_json_str(out, buf_read(&text));
    buf_char(out, '}');
    buf_done(&text);
}

static void manifest(struct api *api, const struct api_request *req, struct api_response *resp, bool apply)
{
    struct arena a;
    arena_init(&a, 64 * 1024);
    struct diags d;
    diags_init(&d, &a);
    struct view file = VIEW("manifest"), ns = VIEW_NONE;
    (void)api_query(&a, req->query, "file", &file);
    (void)api_query(&a, req->query, "namespace", &ns);
    struct apply_result *results = NULL;
    size_t n = 0;
    int err = (apply ? admit_apply : admit_delete)(api->cluster, file, req->body, ns, &a, &d, &results, &n);
    resp->status = err ? 422 : 200;
    write_outcome(resp, results, n, &d, api_query_true(req->query, "color"));
    arena_done(&a);
}

static void do_apply(struct api *api, const struct api_request *req, struct api_response *resp)
{
    manifest(api, req, resp, true);
}

static void do_delete(struct api *api, const struct api_request *req, struct api_response *resp)
{
    manifest(api, req, resp, false);
}

static void do_analyze(struct api *api, const struct api_request *req, struct api_response *resp)
{
    struct arena a;
    arena_init(&a, 64 * 1024);
    struct diags d;
    diags_init(&d, &a);
    admit_analyze(api->cluster, &a, &d, NULL, NULL);
    resp->status = 200;
    write_outcome(resp, NULL, 0, &d, api_query_true(req->query, "color"));
    arena_done(&a);
}

static void do_sandbox(struct api *api, const struct api_request *req, struct api_response *resp)
{
    resp->status = 200;
    if (api->describe)
        api->describe(api->arg, &resp->body);
    else
        buf_str(&resp->body, "{}");
}

static void do_down(struct api *api, const struct api_request *req, struct api_response *resp)
{
    resp->status = 200;
    buf_str(&resp->body, "{}");
    if (api->down)
        api->down(api->arg);
}

static const struct {
    const char *method, *path;
    void (*run)(struct api *api, const struct api_request *req, struct api_response *resp);
} routes[] = {
    {"POST", "apply", do_apply},    {"POST", "delete", do_delete}, {"GET", "analyze", do_analyze},
    {"GET", "sandbox", do_sandbox}, {"POST", "down", do_down},
};

void api_weft(struct api *api, struct view path, const struct api_request *req, struct api_response *resp)
{
    for (size_t i = 0; i < COUNT_OF(routes); i++)
        if (view_is(path, routes[i].path) && view_is(req->method, routes[i].method)) {
            routes[i].run(api, req, resp);
            return;
        }
    api_fail(resp, 404, "NotFound", "the sandbox does not have /weft/v1/%.*s", VIEW_ARGS(path));
}
