// SPDX-License-Identifier: Apache-2.0
/* Talking to the sandbox's daemon: one blocking HTTP request a connection, over its abstract Unix socket.
 *
 *   struct answer a = {0};
 *   int r = client_call(c, "GET", VIEW("/api/v1/pods"), VIEW_NONE, &a);     // EXIT_OK, or EXIT_AWAY with the complaint made
 *   if (a.status != 200) …client_refused(c, &a)…
 *   answer_done(&a);
 */
#pragma once

#include "base/buf.h"
#include "cli/cli.h"
#include "mesh/object.h"

struct node;

struct answer {
    unsigned status;
    struct buf body;
};
void answer_done(struct answer *a);

/* PATCH sends application/merge-patch+json, everything else application/json. */
int client_call(const struct cli *c, const char *method, struct view path, struct view body,
                struct answer *ret) must_check;
/* The same without complaints: -errno when no sandbox answers. */
int client_try(const struct cli *c, const char *method, struct view path, struct view body,
               struct answer *ret) must_check;
/* A body that goes on: each piece to fn, until the end. Only for status 200; else the body is in ret. */
int client_stream(const struct cli *c, struct view path, void (*fn)(void *arg, struct view piece), void *arg,
                  struct answer *ret) must_check;
/* Says what a Status object says, with its diagnostics; returns EXIT_FAILED. */
int client_refused(const struct cli *c, const struct answer *a);
/* GET and parse; NULL with the complaint made and *ret_exit set. In the cli's arena. */
struct node *client_get(struct cli *c, struct view path, int *ret_exit);

/* A connected socket to "@weft-<sandbox><suffix>", or -errno. */
int client_connect(const struct cli *c, const char *suffix);
int client_away(const struct cli *c, int err); /* complains that nothing runs: EXIT_AWAY */

/* /api/v1/namespaces/<ns>/<plural>/<name>; empty name: the collection, empty ns of a namespaced kind: all namespaces. */
struct view client_path(struct cli *c, enum mesh_kind kind, struct view ns, struct view name);
/* "deploy/web", or kind and name apart. Complains and returns EXIT_USAGE when there is no such kind. */
int client_kind(const struct cli *c, struct view word, enum mesh_kind *ret_kind) must_check;
/* "pod/web-1", "deployment.apps/web": how kubectl names what it did something to. */
struct view client_label(struct cli *c, enum mesh_kind kind, struct view name);
/* The pod that POD or KIND/NAME means (of a workload: its newest ready one). VIEW_NONE: complained, *ret_exit set. */
struct view client_pod(struct cli *c, struct view word, int *ret_exit);
struct view client_escape(struct arena *a, struct view text); /* for a query */
