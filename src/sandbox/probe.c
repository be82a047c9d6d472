// SPDX-License-Identifier: Apache-2.0
/* When probes are tried and what their answers add up to (probe.h). */
#include "sandbox/probe.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "net/timer.h"

#define QUICK_FIRST (20 * NS_PER_MS)

static uint64_t seconds(uint32_t s, uint32_t preset)
{
    return (s ? s : preset) * NS_PER_S;
}

void probe_init(struct probe_run *p, enum probe_kind kind, const struct probe *spec, struct container_run *c,
                struct loop *l, struct task *owner, uint32_t bits)
{
    *p = (struct probe_run){.kind = kind, .spec = spec};
    if (spec)
        p->what = (struct action_what){.container = c,
                                       .http_get = spec->http_get,
                                       .tcp_socket = spec->tcp_socket,
                                       .exec = spec->exec,
                                       .grpc = spec->grpc};
    action_init(&p->action, l, owner, bits);
}

void probe_begin(struct probe_run *p, uint64_t now)
{
    probe_end(p);
    p->ok = !p->spec || p->kind == PROBE_LIVENESS;
    p->decided = p->failed = false;
    p->successes = p->failures = 0;
    p->active = p->spec != NULL;
    if (!p->spec)
        return;
    p->quick = QUICK_FIRST;
    p->next_regular = now + seconds(p->spec->initial_delay_s, 0);
    p->next = p->kind != PROBE_LIVENESS && !p->spec->initial_delay_s ? now + p->quick : p->next_regular;
}

void probe_end(struct probe_run *p)
{
    action_cancel(&p->action);
    p->active = false;
}

static void take_answer(struct probe_run *p, uint64_t now)
{
    const struct probe *s = p->spec;
    bool ok = p->action.ok, counts = p->counts;
    if (!ok)
        snprintf(p->text, sizeof(p->text), "%s", p->action.text);
    action_cancel(&p->action);
    if (ok) {
        p->failures = 0;
        if (++p->successes >= (s->success_threshold ? s->success_threshold : 1))
            p->ok = p->decided = true;
    } else if (counts) {
        p->successes = 0;
        if (++p->failures >= (s->failure_threshold ? s->failure_threshold : 3)) {
            p->ok = false;
            p->decided = true;
            p->failed = p->kind != PROBE_READINESS;
        }
    }
    p->next = p->next_regular;
    if (!p->ok && p->kind != PROBE_LIVENESS && now + p->quick < p->next_regular) {
        p->next = now + p->quick;
        p->quick *= 2;
    }
}

uint64_t probe_poll(struct probe_run *p, uint64_t now)
{
    if (!p->active || p->failed)
        return TIMER_NEVER;
    if (action_over(&p->action))
        take_answer(p, now);
    if (p->failed || (p->kind == PROBE_STARTUP && p->ok))
        return TIMER_NEVER;
    if (action_running(&p->action))
        return TIMER_NEVER;
    if (now < p->next)
        return p->next;
    p->counts = now >= p->next_regular;
    if (p->counts)
        p->next_regular = now + seconds(p->spec->period_s, 10);
    action_start(&p->action, &p->what, seconds(p->spec->timeout_s, 1));
    return action_over(&p->action) ? now : TIMER_NEVER;
}
