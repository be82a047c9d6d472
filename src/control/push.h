// SPDX-License-Identifier: Apache-2.0
/* From snapshots to proxies: compiles a plan for each connected proxy and publishes it; the xDS server sends what differs.
 *
 *   struct push *p = push_new(&config);
 *   push_snapshot(p, store_take(store));         // takes it; NULL is fine
 *   push_proxies(p);                             // proxies that came or went: woken by the xDS server
 *   push_free(p);
 *
 * A proxy is served only what its identity allows: its node's namespace must be that of its token or certificate, and
 * secrets go to nobody that did not prove who it is.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/spread.h"
#include "base/view.h"

struct loop;
struct push;
struct store;
struct store_snapshot;
struct xds_proxy;
struct xds_server;

struct push_config {
    struct loop *loop;
    struct store *store;
    struct xds_server *server;
    bool open; /* identities are not asked for: simulations and tests */
};

enum push_trigger { /* as Istio names them */
                    PUSH_CONFIG,
                    PUSH_ENDPOINT,
                    PUSH_SERVICE,
                    PUSH_SECRET,
                    PUSH_NAMESPACE,
                    PUSH_GLOBAL, /* MeshConfig */
                    PUSH_PROXY,  /* one that connected */
                    PUSH_TRIGGERS,
};

struct push_stats {
    uint64_t snapshots, plans, refused;
    uint64_t triggers[PUSH_TRIGGERS]; /* what made us push; one snapshot may have several reasons */
    struct spread waited, compiled;   /* from the first change to a snapshot; what all proxies share, compiled */
    uint64_t last_compile_ns;         /* of the last snapshot, all proxies */
    uint64_t last_at;                 /* wall ns */
};

struct push *push_new(const struct push_config *config) __attribute__((returns_nonnull));
struct push *push_free(struct push *p); /* before the store and after the xDS server's streams; NULL */
void push_snapshot(struct push *p, struct store_snapshot *s);
void push_proxies(struct push *p);
/* The roots that all proxies are to trust, PEM; they get them at once, as SDS resource ROOTCA. */
void push_roots(struct push *p, struct view pem);
const struct push_stats *push_stats(const struct push *p);
const struct store_snapshot *push_now(const struct push *p); /* NULL: none yet */
struct view push_version(const struct push *p);              /* of the newest snapshot, as proxies see it */
