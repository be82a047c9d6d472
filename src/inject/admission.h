// SPDX-License-Identifier: Apache-2.0
/* Admission: what an API server asks before it keeps an object (AdmissionReview of admission.k8s.io/v1 and v1beta1), and
 * the answer. Text in, text out; nothing here knows a socket or a clock.
 *
 *   struct admission_stats seen;
 *   status = inject_review(&arena, body, &config, &out, &seen);       // the whole of the injector's /inject
 *
 * What cannot be read as a review has no uid to answer to: an HTTP status and one sentence. Everything else is an
 * AdmissionReview that echoes uid and version: allowed, allowed with a JSON Patch and warnings, or refused with the reason.
 *
 * Invariants: bodies are bounded by LIMIT_ADMISSION_BYTES; nothing of a request outlives the arena; the answer depends on
 * the request and the configuration alone, so dry runs need no exception.
 */
#pragma once

#include <stdbool.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/diag.h"
#include "base/must.h"
#include "inject/inject.h"
#include "wire/node.h"

struct admission_request {
    struct view api_version; /* admission.k8s.io/v1 */
    struct view uid;
    struct view group, version, kind; /* of the object */
    struct view resource, subresource;
    struct view ns, name;          /* name: the object's where the request has none; empty for generateName */
    struct view operation;         /* CREATE, UPDATE, DELETE, CONNECT */
    const struct node *object;     /* NULL for DELETE */
    const struct node *old_object; /* of UPDATE and DELETE; else NULL */
    bool dry_run;
};

struct admission_answer {
    bool allowed;
    unsigned code;       /* of a refusal: 400, 403, 422 … */
    struct view message; /* of a refusal */
    struct view patch;   /* JSON Patch as text; empty: none */
    struct diags said;   /* warnings and notes go along, cut to what the API server passes on */
};

/* A request, and its answer as long as nobody objects: allowed, with nothing to say. 0, or the HTTP status to answer with
 * (400, 413) and why. Views live in the arena and in `body`. */
int admission_read(struct arena *a, struct view body, struct admission_request *ret,
                   struct admission_answer *ret_answer, struct view *ret_why) must_check;

void admission_refuse(struct admission_answer *answer, unsigned code, struct view message);

/* The AdmissionReview that answers q. */
void admission_write(struct buf *out, const struct admission_request *q, const struct admission_answer *answer);

/* A diagnostic as one line for people who see it through an API server: code, title, field, label, help, effect. */
void admission_print_diag(struct buf *out, const struct diag *d);
/* All errors of d, a line each, as the message of a refusal; bounded. */
struct view admission_errors(struct arena *a, const struct diags *d);

/* What became of one request, for metrics and the log. */
struct inject_outcome {
    enum { INJECT_DONE, INJECT_SKIPPED, INJECT_FAILED } result;
    struct view ns, name, why; /* in the arena */
    bool dry_run;
};

/* The webhook's answer to one review. The API server's selectors (decide.c) have chosen the pod already, so that only
 * inject_required() is asked. 0: `out` holds an AdmissionReview; else an HTTP status, ret->why says it. */
int inject_review(struct arena *a, struct view body, const struct inject_config *c, struct buf *out,
                  struct inject_outcome *ret) must_check;
