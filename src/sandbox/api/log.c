// SPDX-License-Identifier: Apache-2.0
/* …/pods/<name>/log: what a container wrote, from the start or the last lines, and on while it writes (api.h). */
#include <errno.h>

#include "base/clock.h"
#include "mesh/pod.h"
#include "sandbox/api/api.h"
#include "sandbox/runtime.h"

enum { PIECE = 256 * 1024, POLL_MS = 100 };

struct log_stream {
    struct api_stream stream;
    struct api *api;
    struct arena arena;
    struct view uid, container;
    uint64_t at;
    bool previous, follow;
};

static int log_more(struct api_stream *s, struct buf *out)
{
    struct log_stream *l = CONTAINER_OF(s, struct log_stream, stream);
    size_t before = buf_len(out);
    int err = runtime_log_read(l->api->runtime, l->uid, l->container, l->previous, &l->at, PIECE, out);
    if (err)
        return 1; /* the pod is gone: that was all */
    if (buf_len(out) > before)
        return 0;
    const struct runtime_pod_status *pod = runtime_status(l->api->runtime, l->uid);
    bool over = !pod || pod->phase == PHASE_SUCCEEDED || pod->phase == PHASE_FAILED;
    return !l->follow || over;
}

static void log_free(struct api_stream *s)
{
    struct log_stream *l = CONTAINER_OF(s, struct log_stream, stream);
    arena_done(&l->arena);
    mem_free(l);
}

/* The one asked for, else the pod's default container, else the first. Empty: there is none of that name. */
static struct view choose_container(const struct pod *pod, struct view wanted)
{
    if (!wanted.n)
        wanted = labels_get(&pod->o.meta.annotations, VIEW("kubectl.kubernetes.io/default-container"));
    if (!wanted.n)
        return pod->spec.n_containers ? pod->spec.containers[0].name : VIEW_NONE;
    for (uint32_t i = 0; i < pod->spec.n_containers; i++)
        if (view_eq(pod->spec.containers[i].name, wanted))
            return wanted;
    for (uint32_t i = 0; i < pod->spec.n_init_containers; i++)
        if (view_eq(pod->spec.init_containers[i].name, wanted))
            return wanted;
    return VIEW_NONE;
}

void api_log(struct api *api, const struct api_target *t, const struct api_request *req, struct api_response *resp)
{
    const struct record *r = store_get(api->cluster->store, t->kind, t->ns, t->name);
    if (t->kind != KIND_POD || !r || !api->runtime) {
        api_fail(resp, 404, "NotFound", "pods \"%.*s\" not found", VIEW_ARGS(t->name));
        return;
    }
    struct view wanted = VIEW_NONE, text;
    (void)api_query(t->a, req->query, "container", &wanted);
    struct view container = choose_container(record_pod(r), wanted);
    if (!container.n) {
        api_fail(resp, 400, "BadRequest", "pod %.*s has no container %.*s", VIEW_ARGS(t->name), VIEW_ARGS(wanted));
        return;
    }
    struct log_stream *l = mem_alloc(sizeof(*l));
    arena_init(&l->arena, 256);
    l->stream = (struct api_stream){.more = log_more, .free = log_free, .poll_ns = POLL_MS * NS_PER_MS};
    l->api = api;
    l->uid = arena_view(&l->arena, r->uid);
    l->container = arena_view(&l->arena, container);
    l->previous = api_query_true(req->query, "previous");
    l->follow = api_query_true(req->query, "follow");
    uint64_t lines;
    int err = 0;
    if (api_query(t->a, req->query, "tailLines", &text) && view_u64(text, &lines) == 0)
        err = runtime_log_tail(api->runtime, l->uid, l->container, l->previous, lines, &l->at);
    uint64_t at = l->at;
    struct buf probe = {0};
    if (!err)
        err = runtime_log_read(api->runtime, l->uid, l->container, l->previous, &at, 1, &probe);
    buf_done(&probe);
    if (err) {
        log_free(&l->stream);
        bool previous = api_query_true(req->query, "previous");
        api_fail(resp, 400, "BadRequest",
                 previous ? "previous terminated container \"%.*s\" not found" : "container \"%.*s\" has not started",
                 VIEW_ARGS(container));
        return;
    }
    resp->status = 200;
    resp->type = "text/plain";
    resp->stream = &l->stream;
}
