// SPDX-License-Identifier: Apache-2.0
/* Inside of `weft check`: what a check gets, and how it tells.
 *
 *   void check_<name>(struct check *k)
 *   {
 *       const struct node *pods = check_items(k, "/api/v1/pods");      // cached for the run; NULL: it was told why not
 *       …
 *       found(k, "pod %.*s has no sidecar", …);                        // each names the object at fault
 *   }
 *
 * Without a call of found() what checks.def says holds. skip() means that it cannot be known now (something before it
 * failed) and why; note() adds to the line of a check that is fine.
 */
#pragma once

#include "cli/objects.h"

struct check_answer { /* one cached collection */
    const char *path;
    struct node *items;
    int status;
};

struct check {
    struct cli *c;
    struct arena *a;
    bool sandbox, away;
    struct view home, revision; /* istio-system; empty: the unnamed one */
    struct check_answer *answers;
    size_t n_answers;
    struct view roots; /* canonical, of istio-system; empty: none */
    const struct node *istiod;
    bool istiod_runs, definitions_missing;
    /* of the check that runs */
    struct view *found;
    size_t n_found;
    struct view note, skipped;
};

void found(struct check *k, const char *fmt, ...) printf_like(2, 3);
void note(struct check *k, const char *fmt, ...) printf_like(2, 3);
void skip(struct check *k, const char *fmt, ...) printf_like(2, 3);

/* The items of a collection (a literal path), cached. NULL when it cannot be had: found() was called, or for 404 nothing. */
const struct node *check_items(struct check *k, const char *path);
/* One object; NULL: not there (or no answer: then found() was called). */
const struct node *check_get(struct check *k, struct view path);
/* JSON from a port of an istiod pod through the API server; NULL: it does not answer. */
const struct node *check_ask(struct check *k, const struct node *pod, const char *path);

/* for (uint32_t i = 0; i < check_count(items); i++) … items->items[i] */
static inline uint32_t check_count(const struct node *items)
{
    return items && node_is(items, NODE_SEQ) ? items->n : 0;
}
static inline struct view name_of(const struct node *o)
{
    return node_text_at(o, "metadata.name");
}
static inline struct view ns_of(const struct node *o)
{
    return node_text_at(o, "metadata.namespace");
}

struct check_row {
    const char *id, *group, *when;
    enum mark worst;
    const char *holds, *hint;
    void (*run)(struct check *k);
};
extern const struct check_row check_rows[];
extern const size_t check_rows_n;

bool check_is_istiod(const struct check *k, const struct node *pod); /* a pod of the control plane's revision */

#define CHECK(id, fn, group, when, worst, holds, hint) void check_##fn(struct check *k);
#include "cli/checks.def"
#undef CHECK
