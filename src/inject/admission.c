// SPDX-License-Identifier: Apache-2.0
/* Reading AdmissionReviews, writing answers, and the injector's answer (admission.h). */
#include "inject/admission.h"

#include "base/limits.h"
#include "inject/patch.h"
#include "wire/base64.h"
#include "wire/json.h"

/* ---- the request ---- */

static int unreadable(struct view *ret_why, int status, struct view why)
{
    *ret_why = why;
    return status;
}

static int parse(struct arena *a, struct view body, struct node **ret, struct view *ret_why)
{
    struct pull *in = json_pull(a, body, 1);
    struct node *n = NULL, *more = NULL;
    if (node_read(a, in, &n) < 0 || (n && node_read(a, in, &more) < 0))
        return unreadable(ret_why, 400,
                          arena_printf(a, "the body is not JSON: %u:%u: %.*s", in->error.line, in->error.col,
                                       VIEW_ARGS(in->error.text)));
    if (!node_is(n, NODE_MAP) || more)
        return unreadable(ret_why, 400, VIEW("the body is not one JSON object"));
    *ret = n;
    return 0;
}

int admission_read(struct arena *a, struct view body, struct admission_request *ret,
                   struct admission_answer *ret_answer, struct view *ret_why)
{
    struct node *n = NULL;
    if (body.n > LIMIT_ADMISSION_BYTES)
        return unreadable(ret_why, 413, VIEW("the AdmissionReview is too large"));
    int status = parse(a, body, &n, ret_why);
    if (status)
        return status;
    const struct node *q = node_get(n, VIEW("request"));
    struct admission_request r = {.api_version = node_text_at(n, "apiVersion")};
    if (!view_is(node_text_at(n, "kind"), "AdmissionReview") ||
        (!view_is(r.api_version, "admission.k8s.io/v1") && !view_is(r.api_version, "admission.k8s.io/v1beta1")))
        return unreadable(ret_why, 400, VIEW("not an AdmissionReview of admission.k8s.io/v1 or v1beta1"));
    if (!node_is(q, NODE_MAP))
        return unreadable(ret_why, 400, VIEW("the AdmissionReview has no request"));
    r.uid = node_text_at(q, "uid");
    if (!r.uid.n)
        return unreadable(ret_why, 400, VIEW("the AdmissionReview's request has no uid"));
    r.group = node_text_at(q, "kind.group");
    r.version = node_text_at(q, "kind.version");
    r.kind = node_text_at(q, "kind.kind");
    r.resource = node_text_at(q, "resource.resource");
    r.subresource = node_text_at(q, "subResource");
    r.ns = node_text_at(q, "namespace");
    r.name = node_text_at(q, "name");
    r.operation = node_text_at(q, "operation");
    r.dry_run = node_bool(node_get(q, VIEW("dryRun")), false);
    const struct node *object = node_get(q, VIEW("object")), *old = node_get(q, VIEW("oldObject"));
    r.object = node_is(object, NODE_MAP) ? object : NULL;
    r.old_object = node_is(old, NODE_MAP) ? old : NULL;
    if (!r.name.n)
        r.name = node_text_at(r.object, "metadata.name");
    *ret = r;
    *ret_answer = (struct admission_answer){.allowed = true};
    diags_init(&ret_answer->said, a);
    return 0;
}

/* ---- the answer ---- */

void admission_refuse(struct admission_answer *answer, unsigned code, struct view message)
{
    answer->allowed = false;
    answer->code = code;
    answer->message = message;
}

/* At most n bytes, cut between characters. */
static struct view cut_text(struct view v, size_t n)
{
    if (v.n <= n)
        return v;
    while (n && ((unsigned char)v.p[n] & 0xc0) == 0x80)
        n--;
    return view_head(v, n);
}

static void print_part(struct buf *out, const char *before, struct view text)
{
    if (text.n) {
        buf_str(out, before);
        buf_view(out, text);
    }
}

void admission_print_diag(struct buf *out, const struct diag *d)
{
    print_part(out, "[", view_of(d->code));
    print_part(out, "] ", d->title);
    if (d->at.path.n || d->label.n) {
        print_part(out, "; ", d->at.path);
        print_part(out, d->at.path.n ? ": " : "; ", d->label);
    }
    print_part(out, "; help: ", d->hint);
    print_part(out, "; effect: ", d->effect);
}

struct view admission_errors(struct arena *a, const struct diags *d)
{
    struct buf b = {0};
    LIST_EACH (&d->all, struct diag, link, one) {
        if (one->severity != DIAG_ERROR || buf_len(&b) > LIMIT_ADMISSION_MESSAGE_BYTES)
            continue;
        if (buf_len(&b))
            buf_char(&b, '\n');
        admission_print_diag(&b, one);
    }
    struct view text = arena_view(a, cut_text(buf_read(&b), LIMIT_ADMISSION_MESSAGE_BYTES));
    buf_done(&b);
    return text;
}

static void write_warnings(struct buf *out, const struct diags *d)
{
    struct buf one = {0};
    uint32_t n = 0;
    LIST_EACH (&d->all, struct diag, link, w) {
        if (w->severity == DIAG_ERROR || n == LIMIT_ADMISSION_WARNINGS)
            continue;
        buf_clear(&one);
        admission_print_diag(&one, w);
        buf_str(out, n++ ? "," : ",\"warnings\":[");
        buf_json_str(out, cut_text(buf_read(&one), LIMIT_ADMISSION_WARNING_BYTES));
    }
    if (n)
        buf_char(out, ']');
    buf_done(&one);
}

void admission_write(struct buf *out, const struct admission_request *q, const struct admission_answer *answer)
{
    buf_str(out, "{\"apiVersion\":");
    buf_json_str(out, q->api_version);
    buf_str(out, ",\"kind\":\"AdmissionReview\",\"response\":{\"uid\":");
    buf_json_str(out, q->uid);
    buf_printf(out, ",\"allowed\":%s", answer->allowed ? "true" : "false");
    if (!answer->allowed) {
        buf_printf(out, ",\"status\":{\"status\":\"Failure\",\"code\":%u,\"message\":", answer->code);
        buf_json_str(out, answer->message);
        buf_char(out, '}');
    }
    if (answer->allowed && answer->patch.n) {
        buf_str(out, ",\"patchType\":\"JSONPatch\",\"patch\":\"");
        base64_write(out, BASE64_STANDARD, answer->patch);
        buf_char(out, '"');
    }
    write_warnings(out, &answer->said);
    buf_str(out, "}}");
}

/* ---- the injector ---- */

static bool is_new_pod(const struct admission_request *q)
{
    return view_is(q->operation, "CREATE") && view_is(q->kind, "Pod") && !q->group.n && !q->subresource.n;
}

static struct view name_of(const struct admission_request *q)
{
    return q->name.n ? q->name : node_text_at(q->object, "metadata.generateName");
}

/* Fills the answer for a new pod; what is skipped is allowed as it is. */
static void answer_pod(struct arena *a, const struct admission_request *q, const struct inject_config *c,
                       struct admission_answer *answer, struct inject_outcome *ret)
{
    struct inject_decision why = inject_required(q->ns, q->object, c);
    struct node *pod = NULL;
    struct buf patch = {0};
    ret->why = view_of(why.why);
    if (!why.inject)
        return;
    if (annotation_has(q->object, ANNOTATION_STATUS)) {
        ret->why = VIEW("the pod is injected already");
        return;
    }
    if (inject_pod(a, &answer->said, q->object, q->ns, c, &pod) < 0) {
        ret->result = INJECT_FAILED;
        admission_refuse(answer, 422, admission_errors(a, &answer->said));
        ret->why = answer->message;
        return;
    }
    ret->result = INJECT_DONE;
    json_patch(&patch, q->object, pod);
    answer->patch = arena_view(a, buf_read(&patch));
    buf_done(&patch);
}

int inject_review(struct arena *a, struct view body, const struct inject_config *c, struct buf *out,
                  struct inject_outcome *ret)
{
    struct admission_request q;
    struct admission_answer answer;
    *ret = (struct inject_outcome){.result = INJECT_FAILED};
    int status = admission_read(a, body, &q, &answer, &ret->why);
    if (status)
        return status;
    *ret = (struct inject_outcome){.result = INJECT_SKIPPED, .ns = q.ns, .dry_run = q.dry_run};
    if (!is_new_pod(&q)) {
        ret->why = VIEW("only new pods are injected");
    } else if (!q.object) {
        ret->result = INJECT_FAILED;
        ret->why = VIEW("the AdmissionReview has no object");
        admission_refuse(&answer, 400, ret->why);
    } else {
        ret->name = name_of(&q);
        answer_pod(a, &q, c, &answer, ret);
    }
    admission_write(out, &q, &answer);
    return 0;
}
