// SPDX-License-Identifier: Apache-2.0
/* The mesh's certificate authority as it changes: which CA signs now, which roots everybody is to trust, and where both
 * come from.
 *
 *   1. a folder (cacerts, mounted at /etc/cacerts): looked at each second, taken over without a restart
 *   2. Secret istio-ca-secret of the API server: made by the first replica, shared by all, renewed before its root ends
 *   3. neither (machines, tests): a root made here, kept in a folder or not
 *
 *   struct authority *a = authority_new(&config);
 *   authority_watch(a, &watch, &task, BIT);           // woken whenever the signer or the roots change
 *   … struct ca *ca = authority_ca(a);                // NULL: none yet (the API server has not answered)
 *   … ca_sign(ca, …), authority_roots(a) → trust, ConfigMaps, caBundle
 *   authority_unwatch(&watch); authority_free(a);
 *
 * What is new is checked before use: the key fits, the chain reaches a root, it may sign, it has not ended. Otherwise the last
 * good one stays, authority_problem() names what is wrong, and a counter moves.
 *
 * Invariants: roots are told before anybody signs under them. A CA under a root that proxies did not have until now signs
 * only after `settle`; until then the one before goes on. A bundle that shares no root with the one before is refused: it
 * would break every connection. A renewed root of istio-ca-secret keeps its key, so what was signed before and after
 * verifies with either. The borrowed ca and views hold until the next turn of the loop: ca_ref() what is kept.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/must.h"
#include "base/view.h"
#include "trust/ca.h"

struct authority;
struct kube_client;
struct loop;
struct task;

struct authority_config { /* texts and pointers must outlive the authority */
    struct loop *loop;
    struct ca_options ca;
    const char *folder;       /* cacerts, in Istio's or in TLS form; NULL: none */
    struct kube_client *kube; /* istio-ca-secret; NULL: none */
    struct view ns;           /* the Secret's; empty: istio-system */
    const char *keep;         /* folder of the root that is made here when there is neither; NULL: not kept */
    uint64_t settle;          /* ns from telling a new root to signing under it; 0: AUTHORITY_SETTLE */
    uint64_t check;           /* ns between looks at the end of a self-signed root; 0: an hour */
    unsigned grace_percent;   /* of its life, at the end, in which it is renewed; 0: 20 */
    bool no_jitter;           /* looks begin at once: CITADEL_ENABLE_JITTER_FOR_ROOT_CERT_ROTATOR=false */
};

/* Longer than replicas may differ in having seen a changed mount: the kubelet looks every minute, and its cache has a life. */
#define AUTHORITY_SETTLE (UINT64_C(150) * 1000 * 1000 * 1000)

struct authority *authority_new(const struct authority_config *config) __attribute__((returns_nonnull));
/* One whose CA is given and stays: simulations and tests. */
struct authority *authority_of(struct loop *loop, struct ca *ca) __attribute__((returns_nonnull));
struct authority *authority_free(struct authority *a); /* NULL; after its watches */

struct ca *authority_ca(const struct authority *a);     /* signs now; NULL: none yet */
struct view authority_roots(const struct authority *a); /* PEM, all that are to be trusted; empty: none yet */
uint64_t authority_version(const struct authority *a);  /* grows whenever either changes; 0: none yet */
const char *
authority_problem(const struct authority *a); /* why the newest was not taken, or none is there; NULL: none */

/* Who wants to know of changes. Embedded; the task is woken with bits, also once soon after this call when a CA is there. */
struct authority_watch {
    struct list link;
    struct task *task;
    uint32_t bits;
};
void authority_watch(struct authority *a, struct authority_watch *w, struct task *task, uint32_t bits);
void authority_unwatch(struct authority_watch *w); /* fine when never watched and zeroed */

struct authority_stats {
    uint64_t loads;     /* CAs taken over, the first included */
    uint64_t failures;  /* found and refused: citadel's reload errors */
    uint64_t rotations; /* roots renewed by this replica */
    uint64_t signs_at;  /* wall ns at which a CA that waits begins to sign; 0: none waits */
};
const struct authority_stats *authority_stats(struct authority *a);
