// SPDX-License-Identifier: Apache-2.0
/* Any object of an API server by path, one call at a time, for the verbs that manage an installation (install, uninstall,
 * check): they know kinds that the mesh itself has no use for; and for manifests on a cluster (cluster.h). And the lines by which these verbs tell what they do.
 *
 *   struct node *o;
 *   int status = object_call(c, "GET", object_path(a, kind, ns, name), NULL, &o);    // HTTP status; 0: no answer
 *   if (status != 200) cli_fail(c, "%.*s", VIEW_ARGS(object_why(o, status)));
 */
#pragma once

#include "cli/client.h"
#include "install/chart.h"
#include "wire/node.h"

enum mark { MARK_DONE, MARK_WARNING, MARK_FAILED };

/* "√ text" to stderr; nothing with -o json. */
void say(const struct cli *c, enum mark mark, const char *fmt, ...) printf_like(3, 4);
const char *mark_text(enum mark mark, bool color); /* "√", "‼", "×" */

/* The path of an object, or with an empty name of its collection; an empty ns: all namespaces. */
struct view object_path(struct arena *a, const struct installed_kind *k, struct view ns, struct view name);
const struct installed_kind *object_kind(const char *kind); /* of install/kinds.def */

/* method: GET, POST, PATCH (merge), APPLY (server-side, field manager weft), DELETE. HTTP status; 0 when there was no answer
 * (object_away() says why). *ret: the answer, in the arena, or NULL; ret may be NULL. */
int object_call(struct cli *c, struct arena *a, const char *method, struct view path, const struct node *body,
                struct node **ret);
int object_away(const struct cli *c); /* complains that the cluster does not answer: EXIT_AWAY */
/* What a Status object says, else the number. */
struct view object_why(struct arena *a, const struct node *answer, int status);

/* The cluster of --kubeconfig and --context, never a sandbox; EXIT_OK or the complaint's code. */
int object_cluster(struct cli *c) must_check;

bool object_is_wefts(const struct node *o);                    /* label app.kubernetes.io/part-of=weft */
bool object_managed_by(const struct node *o, const char *who); /* label app.kubernetes.io/managed-by */
struct view object_label(const struct node *o, const char *key);
int64_t object_count(const struct node *o, const char *path, int64_t absent);
bool object_condition(const struct node *o, const char *type, struct view *ret_message); /* status True */
