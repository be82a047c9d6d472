// SPDX-License-Identifier: Apache-2.0
/* Admission: what happens to an object between a writer and the store. Defaults, checks against what is there (its
 * namespace, its service account), injection of pods by the very code of the webhook, and `apply`'s three-way merge.
 *
 *   err = admit_write(c, &(struct store_put){.tree = tree, .create = true}, &diags, &record);
 *   admit_apply(c, file, text, default_ns, &arena, &diags, &results, &n);
 */
#pragma once

#include "sandbox/cluster.h"

/* store_write behind the checks. put->tree is not changed. -EINVAL and -ENOENT with a diagnostic. */
int admit_write(struct cluster *c, const struct store_put *put, struct diags *d, struct record **ret_record) must_check;

enum apply_verb { APPLY_CREATED, APPLY_CONFIGURED, APPLY_UNCHANGED, APPLY_DELETED, APPLY_REJECTED };
const char *apply_verb_name(enum apply_verb v); /* "created" … */

struct apply_result {
    enum apply_verb verb;
    enum mesh_kind kind;
    struct view ns, name;
};

/* Applies every document of a manifest, Namespaces first. Documents stand alone: a bad one leaves the others. Results
 * and diagnostics (warnings of the analyzers about these objects among them) live in `a`. 0, or -EINVAL when at least
 * one was rejected. ns: of objects that name none. */
int admit_apply(struct cluster *c, struct view file, struct view text, struct view ns, struct arena *a, struct diags *d,
                struct apply_result **ret_results, size_t *ret_n) must_check;
/* Deletes every object of a manifest that is there. */
int admit_delete(struct cluster *c, struct view file, struct view text, struct view ns, struct arena *a,
                 struct diags *d, struct apply_result **ret_results, size_t *ret_n) must_check;

/* Warnings about the objects for which `about` says true (NULL: all), over everything in the store. */
void admit_analyze(struct cluster *c, struct arena *a, struct diags *d,
                   bool (*about)(const struct origin *at, void *arg), void *arg);

/* RFC 7386: `patch` onto a copy of `tree`. */
struct node *merge_patch(struct arena *a, const struct node *tree, const struct node *patch);
/* kubectl apply: what `last` had and `now` does not is removed from `live`, then `now` is laid over it. last may be NULL. */
struct node *merge_three(struct arena *a, const struct node *last, const struct node *now, const struct node *live);
