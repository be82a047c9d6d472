// SPDX-License-Identifier: Apache-2.0
/* What a person must act on: one type for the CLI, the webhook, the status of an object and the dashboard.
 *
 *   struct diag *d = diag_add(diags, DIAG_ERROR, "IST0101", &origin);
 *   d->title  = diag_text(diags, "VirtualService `%.*s` routes to a host that does not exist", VIEW_ARGS(name));
 *   d->label  = …what is wrong at the marked place…
 *   d->effect = …what the mesh does now…
 *   d->hint   = …what to do next, e.g. did you mean `reviews`?…
 *
 * Prints as
 *   error[IST0101]: VirtualService `reviews` routes to a host that does not exist
 *     --> reviews.yaml:14:17   (VirtualService default/reviews, spec.http[1].route[0].destination.host)
 *      |
 *   14 |         host: reviewz
 *      |               ^^^^^^^ no Service or ServiceEntry named `reviewz` …
 *      = help: did you mean `reviews`?
 *      = effect: requests matching rule 2 get 503 (flag NC); other rules keep working
 *
 * Codes: IST… are those of `istioctl analyze` where the meaning is the same; WEFT… are ours. All in diag.def.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/list.h"
#include "base/view.h"

enum diag_severity {
    DIAG_ERROR,   /* the object is rejected; the last good one stays */
    DIAG_WARNING, /* accepted, with an effect that is probably not meant */
    DIAG_INFO,    /* accepted, worth knowing */
};

/* Where a value was written. Travels from the YAML into the plan and over xDS, so that a proxy can name it. */
struct origin {
    struct view file;              /* empty when it came from an API server */
    uint32_t line, col, span;      /* 1-based; span: bytes to underline; 0: unknown */
    struct view api_version, kind; /* of the object, e.g. networking.istio.io/v1, VirtualService */
    struct view ns, name;
    struct view path; /* field path: spec.http[1].route[0].destination.host */
};

struct diag {
    struct list link;
    enum diag_severity severity;
    const char *code;
    struct origin at;
    struct view title, label, effect, hint;
    struct view source_line; /* the text of line at.line, for the picture; may be empty */
};

struct diags {
    struct list all; /* in order of discovery */
    struct arena *arena;
    uint32_t n_errors, n_warnings;
};

void diags_init(struct diags *d, struct arena *a);
struct diag *diag_add(struct diags *d, enum diag_severity severity, const char *code, const struct origin *at);
struct view diag_text(struct diags *d, const char *fmt, ...) printf_like(2, 3);

/* What a code means, one phrase of diag.def; NULL: no such code. */
const char *diag_meaning(const char *code);

void diag_print(const struct diag *d, struct buf *out, bool color);
void diag_print_json(const struct diag *d, struct buf *out); /* one object, no newline */
void diags_print(const struct diags *d, struct buf *out,
                 bool color);                                  /* worst first, then by file and line; a summary line */
void diags_print_json(const struct diags *d, struct buf *out); /* an array */

/* The nearest of `known` by edit distance (at most 2, or a third of the length), or the empty view. */
struct view diag_nearest(struct view word, const struct view *known, size_t n_known);
