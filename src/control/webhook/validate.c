// SPDX-License-Identifier: Apache-2.0
/* See validate.h. The analyzers want a whole mesh: it is put together from the snapshot's objects (borrowed, not copied) with
 * the new one in its place, and of what they say only what is about this object is passed on.
 */
#include "control/webhook/validate.h"

#include <errno.h>

#include "inject/admission.h"
#include "inject/patch.h"
#include "mesh/analyze.h"
#include "mesh/parse.h"
#include "mesh/snapshot.h"

/* Spec as it was: whatever is wrong with it was so before. */
static bool leaves_spec(const struct admission_request *q)
{
    const struct node *old = node_get(q->old_object, VIEW("spec")), *now = node_get(q->object, VIEW("spec"));
    struct buf patch = {0};
    bool same;
    if (!old || !now)
        return q->old_object && !old && !now;
    json_patch(&patch, old, now);
    same = view_is(buf_read(&patch), "[]");
    buf_done(&patch);
    return same;
}

static bool is_deleting(const struct admission_request *q)
{
    return node_text_at(q->object, "metadata.deletionTimestamp").n > 0;
}

static bool is_ours(const struct admission_request *q)
{
    return view_ends(q->group, VIEW(".istio.io"));
}

static bool is_about(const struct diag *d, const struct object *o)
{
    return view_eq(d->at.kind, o->at.kind) && view_eq(d->at.ns, o->meta.ns) && view_eq(d->at.name, o->meta.name);
}

/* Moves what the analyzers say about `o` from `from` to `to`. */
static void keep_ours(struct diags *to, struct diags *from, const struct object *o)
{
    LIST_EACH (&from->all, struct diag, link, d) {
        if (d->severity == DIAG_ERROR || !is_about(d, o))
            continue;
        list_del(&d->link);
        list_push(&to->all, &d->link);
        to->n_warnings++;
    }
}

static void analyze(struct arena *a, struct diags *d, const struct mesh_snapshot *now, struct object *o)
{
    struct object **list = NULL;
    struct diags all;
    uint32_t n = 0, room = 1;
    for (int k = 0; k < MESH_KINDS; k++)
        room += now->by_kind[k].n;
    list = ARENA_ARRAY(a, struct object *, room);
    for (int k = 0; k < MESH_KINDS; k++)
        for (uint32_t i = 0; i < now->by_kind[k].n; i++)
            list[n++] = now->by_kind[k].list[i];
    list[n++] = o; /* of two with one name the later counts */
    diags_init(&all, a);
    mesh_analyze(snapshot_new(a, &all, list, n), &all);
    keep_ours(d, &all, o);
}

/* A kind that is known and not supported yet. */
static void answer_unsupported(struct arena *a, const struct admission_request *q, struct admission_answer *answer)
{
    if (view_is(q->group, "security.istio.io")) {
        admission_refuse(answer, 422,
                         arena_printf(a,
                                      "[WEFT0003] %.*s is not supported yet: nothing would enforce it; effect: the "
                                      "object is not created, so that nobody relies on it",
                                      VIEW_ARGS(q->kind)));
        return;
    }
    struct diags *d = &answer->said;
    diags_init(d, a);
    struct diag *w = diag_add(d, DIAG_WARNING, "WEFT0003", &(struct origin){0});
    w->title = diag_text(d, "%.*s is not supported yet", VIEW_ARGS(q->kind));
    w->effect = VIEW("the object is kept and has no effect in the mesh");
}

static void answer_object(struct arena *a, const struct admission_request *q, const struct mesh_snapshot *snapshot,
                          struct admission_answer *answer)
{
    const struct node *notes = node_at(q->object, "metadata.annotations");
    struct object *o = NULL;
    if (node_get(notes, VIEW(VALIDATE_PROBE))) {
        admission_refuse(answer, 422, VIEW(VALIDATE_PROBE_ANSWER));
        return;
    }
    int err = mesh_decode(a, &answer->said, NULL, q->object, &o);
    if (err == -ENOTSUP)
        answer_unsupported(a, q, answer);
    else if (err)
        admission_refuse(answer, 422, admission_errors(a, &answer->said));
    else if (snapshot)
        analyze(a, &answer->said, snapshot, o);
}

int validate_review(struct arena *a, struct view body, const struct mesh_snapshot *snapshot, struct buf *out,
                    struct validate_outcome *ret)
{
    struct admission_request q;
    struct admission_answer answer;
    *ret = (struct validate_outcome){0};
    int status = admission_read(a, body, &q, &answer, &ret->why);
    if (status)
        return status;
    bool asks = (view_is(q.operation, "CREATE") || view_is(q.operation, "UPDATE")) && !q.subresource.n && is_ours(&q);
    if (asks && !q.object)
        admission_refuse(&answer, 400, VIEW("the AdmissionReview has no object"));
    else if (asks && !is_deleting(&q) && !leaves_spec(&q))
        answer_object(a, &q, snapshot, &answer);
    *ret = (struct validate_outcome){.allowed = answer.allowed,
                                     .probe = view_is(answer.message, VALIDATE_PROBE_ANSWER),
                                     .group = q.group,
                                     .version = q.version,
                                     .resource = q.resource,
                                     .ns = q.ns,
                                     .name = q.name,
                                     .why = answer.message};
    admission_write(out, &q, &answer);
    return 0;
}
