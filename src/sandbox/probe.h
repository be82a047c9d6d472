// SPDX-License-Identifier: Apache-2.0
/* Probes of a running container: when to try, and when a run of successes or failures means something.
 *
 *   probe_begin(&p, kind, spec, container);        // each time the container starts
 *   next = probe_poll(&p, now);                    // whenever the pod's task runs; when it wants to be asked again
 *   probe_end(&p);
 *
 * As kubelet: thresholds count attempts in a row; a startup probe holds the others back; readiness begins false,
 * liveness true. One difference, so that a stand-in starts quickly: until a startup or readiness probe first succeeds it
 * is tried 20 ms after the start and then at doubling distances up to its period; these extra tries count only when
 * they succeed.
 */
#pragma once

#include "sandbox/action.h"

enum probe_kind { PROBE_STARTUP, PROBE_READINESS, PROBE_LIVENESS, PROBE_KINDS };

struct probe_run {
    enum probe_kind kind;
    const struct probe *spec; /* NULL: none */
    struct action action;
    struct action_what what;
    bool active, ok, decided; /* decided: ok has been said at least once */
    bool failed;              /* startup, liveness: the failure threshold was reached */
    bool counts;              /* a failure of the attempt under way counts */
    uint32_t successes, failures;
    uint64_t next, next_regular, quick;
    char text[160]; /* of the last failure */
};

void probe_init(struct probe_run *p, enum probe_kind kind, const struct probe *spec, struct container_run *c,
                struct loop *l, struct task *owner, uint32_t bits);
void probe_begin(struct probe_run *p, uint64_t now);
void probe_end(struct probe_run *p);
uint64_t probe_poll(struct probe_run *p, uint64_t now);
