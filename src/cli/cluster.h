// SPDX-License-Identifier: Apache-2.0
/* The same verbs on a cluster: client.h's requests go to the API server of a kubeconfig instead of a sandbox's daemon.
 *
 * Which of the two is said once, before the verb runs: --kubeconfig or --context mean the cluster, -s or $WEFT_SANDBOX the
 * sandbox; with neither, a sandbox that runs wins, then $KUBECONFIG or ~/.kube/config.
 *
 * What the daemon does for a sandbox beyond the Kubernetes API (apply of whole files, analysis) is done here by the client.
 */
#pragma once

#include "cli/client.h"

struct cli_cluster;

/* Sets c->cluster when the verb is for one; EXIT_OK, or the complaint's exit code. */
int cluster_choose(struct cli *c) must_check;
struct cli_cluster *cluster_close(struct cli_cluster *k); /* NULL */
const char *cluster_name(const struct cli_cluster *k);    /* the context's */

/* One call: 0 with ret filled, or -errno and cluster_why(). */
int cluster_exchange(struct cli_cluster *k, const char *method, struct view path, struct view body,
                     struct answer *ret) must_check;
const char *cluster_why(const struct cli_cluster *k);

/* Objects of a manifest, checked here first and then applied by the server (field manager weft), or deleted: "verb" is
 * "apply" or "delete". The exit code; *ret_answer is what a sandbox's daemon answers, up to where the server went away, or
 * left alone: {"objects":[{"verb":"created","kind":…}],"diagnostics":[…],"text":"what people read"}. */
struct input_file;
int cluster_send_file(struct cli *c, const char *verb, const struct input_file *f, struct node **ret_answer);

/* What the analyzers say of the mesh's objects in the cluster, in the same form. */
int cluster_analyze(struct cli *c, struct node **ret_answer) must_check;
