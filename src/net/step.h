// SPDX-License-Identifier: Apache-2.0
/* Step tables: a task that does one thing after another is written as a table of short functions, each with the
 * time that it may take. The table is an X-macro, so the names in traces and in documents are those of the code.
 *
 *   #define DIAL_STEPS(STEP)                     \
 *       STEP(dial_resolve,   5 * NS_PER_S)       \
 *       STEP(dial_connect,  10 * NS_PER_S)       \
 *       STEP(dial_hello,     0)                  // 0: no deadline of its own
 *   DIAL_STEPS(STEP_DECLARE)
 *   static const struct step dial_steps[] = {DIAL_STEPS(STEP_ROW)};
 *   enum { DIAL_STEPS(STEP_INDEX) };             // AT_dial_resolve …, for steps_jump
 *
 *   static void dial_run(struct task *t, uint32_t events)
 *   {
 *       struct dial *d = CONTAINER_OF(t, struct dial, task);
 *       if (steps_walk(&d->steps, d) == STEP_DONE)
 *           dial_free(d);
 *   }
 *
 * A step that waits is called again whenever the task runs; it looks at its objects, not at the bits. When its deadline
 * has passed, it is called with steps_late() true and must not return STEP_WAIT again without steps_extend().
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "net/task.h"
#include "net/timer.h"

enum step_result {
    STEP_NEXT, /* go on with the next step (or where steps_jump said) at once */
    STEP_WAIT, /* call this step again when the task is woken */
    STEP_DONE, /* the task is over; the caller frees its object */
};

struct step {
    const char *name;
    enum step_result (*run)(void *self);
    uint64_t deadline; /* nanoseconds from entering the step; 0: none */
};

struct steps {
    const struct step *table;
    uint16_t n, at, next;
    bool entered, late;
    uint64_t deadline; /* of the running step; TIMER_NEVER: none */
    struct timer timer;
    struct task *task;
};

/* late_bit: a bit of the task that no one else uses; it says that a deadline passed. */
void steps_init(struct steps *s, struct task *t, uint32_t late_bit, const struct step *table, uint16_t n);
enum step_result steps_walk(struct steps *s, void *self); /* STEP_WAIT or STEP_DONE */
void steps_jump(struct steps *s, uint16_t to);            /* which step follows the running one's STEP_NEXT */
bool steps_late(const struct steps *s);                   /* the running step's deadline passed */
void steps_extend(struct steps *s, uint64_t ns);          /* the running step may take ns from now; 0: for ever */
const char *steps_name(const struct steps *s);            /* of the current step */
void steps_done(struct steps *s);

#define STEP_DECLARE(fn, deadline) static enum step_result fn(void *self);
#define STEP_ROW(fn, deadline) {#fn, fn, (deadline)},
#define STEP_INDEX(fn, deadline) AT_##fn,
