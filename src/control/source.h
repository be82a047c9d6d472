// SPDX-License-Identifier: Apache-2.0
/* Where objects come from: an API server of the Kubernetes shape, or a folder of YAML on a machine without one. A source
 * puts into the store what it learns, and says once that it has said everything.
 *
 *   struct source_kube *k = source_kube_new(loop, api, home, store);      source_kube_free(k);
 *   r = source_file_new(loop, "/etc/weft", store, &f);              source_file_free(f);
 */
#pragma once

#include <stdbool.h>

#include "base/buf.h"
#include "base/must.h"
#include "base/view.h"
#include "mesh/object.h"

struct kube_client;
struct loop;
struct source_file;
struct source_kube;
struct store;

/* home: the control plane's namespace, where MeshConfig is; empty: istio-system. */
struct source_kube *source_kube_new(struct loop *loop, struct kube_client *api, struct view home, struct store *store)
    __attribute__((returns_nonnull));
struct source_kube *source_kube_free(struct source_kube *k); /* NULL */
bool source_kube_connected(const struct source_kube *k);
uint64_t source_kube_events(const struct source_kube *k);

/* What keeps a kind from being current: named, so that the log, /metrics, /debug/problemz and `weft check` say the same. What
 * was known of the kind stays in use. */
struct source_problem {
    enum mesh_kind kind;
    struct view resource;  /* virtualservices.networking.istio.io; in text */
    const char *reason;    /* kube_trouble_name: Forbidden, CRDDeleted, Unreachable … */
    struct view why, hint; /* a sentence each */
    uint32_t kept;         /* objects that stay in use */
    uint64_t since;        /* wall ns */
    char text[128];
};
uint32_t source_kube_problems(const struct source_kube *k, struct source_problem *ret, uint32_t room); /* how many */
uint32_t source_kube_in_trouble(const struct source_kube *k,
                                const char *reason); /* kinds with this reason; k may be NULL */
void source_kube_print_problems(const struct source_kube *k, struct buf *out); /* the same: an array of JSON */

/* A file or a folder (its *.yaml, *.yml and *.json, not below). Changes are read as they happen. -errno: unreadable. */
int source_file_new(struct loop *loop, const char *path, struct store *store, struct source_file **ret) must_check;
struct source_file *source_file_free(struct source_file *f); /* NULL */
