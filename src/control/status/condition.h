// SPDX-License-Identifier: Apache-2.0
/* From what is known of one object to the status that it should have, and whether it has it already. No I/O.
 *
 *   status_verdict_add(&v, diag) …                           // what the decoder and the analyzers say about it
 *   status_decide(&facts, &v, wall, &arena, &wish);
 *   status_read(node, &arena, &have);                        // the status that the object has
 *   if (status_settle(&wish, &have, wall)) status_print(&wish, …);   // it differs
 *
 * Texts are those of `weft apply` and `weft analyze`: a diagnostic's title, where, cause, help and effect, in one line each.
 * lastTransitionTime changes with a condition's status only, never with its message. Conditions of other types that
 * somebody else wrote are kept.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/diag.h"
#include "base/view.h"

struct node;

enum status_type { /* in the order in which they are written */
                   STATUS_ACCEPTED,
                   STATUS_RESOLVED_REFS,
                   STATUS_PROGRAMMED,
                   STATUS_RECONCILED, /* Istio's name for Programmed, in Istio's words */
                   STATUS_TYPES,
};
extern const char *const status_type_names[STATUS_TYPES];

enum status_value { STATUS_UNKNOWN, STATUS_FALSE, STATUS_TRUE, STATUS_ABSENT };

struct status_condition {
    enum status_value value;
    struct view reason, message;
    uint64_t since; /* wall ns, whole seconds */
    int64_t generation;
};

/* A whole status: what it should be, or what it is. Texts are borrowed or in the arena that was given. */
struct status_text {
    struct status_condition conditions[STATUS_TYPES];
    struct view messages; /* validationMessages: CODE/LEVEL behind commas; empty: none */
    struct view foreign;  /* conditions of other types as JSON, each behind a comma */
    int64_t generation;   /* observedGeneration */
};

/* What the decoder and the analyzers say about one object, collected. */
struct status_verdict {
    struct buf accepted;        /* warnings, or why it is not accepted */
    struct buf refs;            /* what it names and is not there */
    struct buf messages;        /* CODE/LEVEL, each once, behind commas */
    const char *refused, *lost; /* reasons of Accepted and ResolvedRefs when they are False; NULL: they are not */
    uint32_t n, cut;            /* diagnostics; those that no longer fit */
};
void status_verdict_add(struct status_verdict *v, const struct diag *d);
void status_verdict_clear(struct status_verdict *v);
void status_verdict_done(struct status_verdict *v);

struct status_facts {
    int64_t generation;        /* of the newest version that came */
    int64_t in_force;          /* generation of the last good one, when the newest is rejected; -1: there is none */
    uint32_t acked, proxies;   /* n of m */
    struct view waiting, nack; /* one proxy that has not acknowledged; one that refused, and why */
    struct view refused_by;
    struct view silent; /* a replica that has not said what its proxies have */
};

void status_decide(const struct status_facts *f, const struct status_verdict *v, struct arena *a,
                   struct status_text *ret);

/* The status of an object as it came; NULL: it has none. */
void status_read(const struct node *status, struct arena *a, struct status_text *ret);

enum status_difference {
    STATUS_SAME,
    STATUS_COUNTS, /* only how many proxies have it: no hurry */
    STATUS_NEWS,
};
/* Fills in lastTransitionTime: that of `have` where the value is the same. */
enum status_difference status_settle(struct status_text *wish, const struct status_text *have, uint64_t wall);

/* m of Programmed's n of m. */
uint32_t status_proxies(const struct status_text *s);

/* {"metadata":{"resourceVersion":…},"status":{…}}: a merge patch. */
void status_print(const struct status_text *s, struct view resource_version, struct buf *out);
