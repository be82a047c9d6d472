// SPDX-License-Identifier: Apache-2.0
/* Walking a table of steps (step.h). */
#include "net/step.h"

#include "base/must.h"
#include "net/loop.h"

void steps_init(struct steps *s, struct task *t, uint32_t late_bit, const struct step *table, uint16_t n)
{
    must(n > 0);
    *s = (struct steps){.table = table, .n = n, .task = t, .deadline = TIMER_NEVER};
    timer_init(&s->timer, t, late_bit);
}

enum step_result steps_walk(struct steps *s, void *self)
{
    for (;;) {
        const struct step *step = &s->table[s->at];
        if (!s->entered) {
            s->entered = true;
            s->next = (uint16_t)(s->at + 1);
            if (step->deadline ||
                s->deadline != TIMER_NEVER) /* most steps of a request have none: no clock, no timer */
                steps_extend(s, step->deadline);
        } else if (s->deadline != TIMER_NEVER && loop_now(s->task->loop) >= s->deadline) {
            s->late = true;
        }
        switch (step->run(self)) {
        case STEP_NEXT:
            must(s->next < s->n);
            s->at = s->next;
            s->entered = false;
            break;
        case STEP_WAIT:
            odd(!s->late);
            return STEP_WAIT;
        case STEP_DONE:
            return STEP_DONE;
        }
    }
}

void steps_jump(struct steps *s, uint16_t to)
{
    s->next = to;
}

bool steps_late(const struct steps *s)
{
    return s->late;
}

void steps_extend(struct steps *s, uint64_t ns)
{
    uint64_t now = loop_now(s->task->loop);
    s->late = false;
    s->deadline = ns && ns < TIMER_NEVER - now ? now + ns : TIMER_NEVER;
    if (s->deadline == TIMER_NEVER)
        timer_rest(&s->timer);
    else
        timer_set(&s->timer, s->deadline);
}

const char *steps_name(const struct steps *s)
{
    return s->table[s->at].name;
}

void steps_done(struct steps *s)
{
    timer_done(&s->timer);
}
