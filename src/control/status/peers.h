// SPDX-License-Identifier: Apache-2.0
/* The other replicas: each knows only of its own proxies, and the one that writes statuses asks the rest how many have what.
 *
 *   struct status_peers *p = status_peers_new(loop, my_pod, &task);
 *   status_peers_find(p, snapshot);                    // who they are: the endpoints of the Service that we are one of
 *   status_peers_ask(p);                               // now and then
 *   … woken with KUBE_WAKE:  if (status_peers_drain(p)) look again
 *   status_peers_add(p, key, generation, changed, &facts);
 *   status_peers_free(p);
 *
 * The question is a GET of STATUS_PEERS_PATH at port 15014, the answer {"objects":[[key, generation, acked, proxies, waiting,
 * refused by, nack], …]}. A replica that has not answered since an object changed makes its count unknown (facts.silent), not
 * smaller.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/view.h"
#include "control/status/condition.h"
#include "mesh/snapshot.h"

#define STATUS_PEERS_PATH "/apis/status.weft.io/v1/counts"

struct loop;
struct status_peers;
struct task;

struct status_peers *status_peers_new(struct loop *loop, struct view own_pod, struct task *wake)
    __attribute__((returns_nonnull));
struct status_peers *status_peers_free(struct status_peers *p); /* NULL */
void status_peers_find(struct status_peers *p, const struct mesh_snapshot *snap);
void status_peers_ask(struct status_peers *p);
bool status_peers_drain(struct status_peers *p); /* something was answered */
bool status_peers_any(const struct status_peers *p);

/* changed: loop time at which this generation came. */
void status_peers_add(const struct status_peers *p, struct view key, int64_t generation, uint64_t changed,
                      struct status_facts *f);

/* One element of the answer's list. */
void status_peers_print(struct buf *out, struct view key, int64_t generation, const struct status_facts *f);
