// SPDX-License-Identifier: Apache-2.0
/* Timers on a simulated clock, against a plain list as the model. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "net/loop.h"
#include "net/loop_impl.h"
#include "net/sim.h"
#include "net/step.h"
#include "net/timer.h"

#define N 200

struct one {
    struct task task;
    struct timer timer;
    uint64_t due;
    unsigned fired;
};

static void one_run(struct task *t, uint32_t events)
{
    struct one *o = CONTAINER_OF(t, struct one, task);
    o->fired++;
    assert_true(o->due <= loop_now(t->loop)); /* never early */
    o->due = TIMER_NEVER;
}

static void timers_fire_when_due_whatever_was_set_moved_or_cleared_before(void **state)
{
    struct sim *s = sim_new(7);
    struct loop *l = sim_loop(sim_host(s, "a", "10.0.0.1"), SIM_APP);
    struct rng rng;
    rng_seed(&rng, 7);
    struct one ones[N];
    for (int i = 0; i < N; i++) {
        task_init(&ones[i].task, l, one_run, "one");
        timer_init(&ones[i].timer, &ones[i].task, 1);
        ones[i].due = TIMER_NEVER;
        ones[i].fired = 0;
    }
    for (int round = 0; round < 2000; round++) {
        struct one *o = &ones[rng_below(&rng, N)];
        uint64_t at = loop_now(l) + rng_below(&rng, 1000) * NS_PER_MS;
        switch (rng_below(&rng, 4)) {
        case 0:
            timer_rest(&o->timer);
            o->due = TIMER_NEVER;
            break;
        case 1:
            timer_clear(&o->timer);
            o->due = TIMER_NEVER;
            break;
        default:
            timer_set(&o->timer, at);
            o->due = at;
        }
        sim_run(s, rng_below(&rng, 20) * NS_PER_MS);
        for (int i = 0; i < N; i++) { /* nothing that is due was forgotten */
            assert_true(ones[i].due > sim_now(s));
            assert_int_equal(timer_is_set(&ones[i].timer), ones[i].due != TIMER_NEVER);
        }
    }
    for (int i = 0; i < N; i++)
        timer_done(&ones[i].timer);
    assert_int_equal(timer_heap_next(&l->timers), TIMER_NEVER);
    sim_free(s);
}

struct walker {
    struct task task;
    struct steps steps;
    struct timer go;
    bool gone;
    const char *late_in;
};

#define WALK_STEPS(STEP)                                                                                               \
    STEP(walk_first, 0)                                                                                                \
    STEP(walk_wait, 2 * NS_PER_S)                                                                                      \
    STEP(walk_never, 0)                                                                                                \
    STEP(walk_last, 1 * NS_PER_S)
WALK_STEPS(STEP_DECLARE)
static const struct step walk_steps[] = {WALK_STEPS(STEP_ROW)};
enum { WALK_STEPS(STEP_INDEX) };

static enum step_result walk_first(void *self)
{
    return STEP_NEXT;
}

static enum step_result walk_wait(void *self)
{
    struct walker *w = self;
    if (!w->gone)
        return STEP_WAIT;
    steps_jump(&w->steps, AT_walk_last);
    return STEP_NEXT;
}

static enum step_result walk_never(void *self)
{
    fail();
    return STEP_DONE;
}

static enum step_result walk_last(void *self)
{
    struct walker *w = self;
    if (!steps_late(&w->steps))
        return STEP_WAIT;
    w->late_in = steps_name(&w->steps);
    return STEP_DONE;
}

static void walker_run(struct task *t, uint32_t events)
{
    struct walker *w = CONTAINER_OF(t, struct walker, task);
    if (events & 2)
        w->gone = true;
    if (steps_walk(&w->steps, w) == STEP_DONE)
        steps_done(&w->steps);
}

static void a_task_walks_its_steps_and_is_told_when_one_takes_too_long(void **state)
{
    struct sim *s = sim_new(1);
    struct loop *l = sim_loop(sim_host(s, "a", "10.0.0.1"), SIM_APP);
    struct walker w = {0};
    task_init(&w.task, l, walker_run, "walker");
    steps_init(&w.steps, &w.task, 1, walk_steps, COUNT_OF(walk_steps));
    timer_init(&w.go, &w.task, 2);
    timer_in(&w.go, NS_PER_S);
    task_wake(&w.task, 4);
    sim_run(s, NS_PER_MS);
    assert_string_equal(steps_name(&w.steps), "walk_wait");
    sim_run(s, NS_PER_S);
    assert_string_equal(steps_name(&w.steps), "walk_last");
    assert_null(w.late_in);
    sim_run(s, NS_PER_S);
    assert_string_equal(w.late_in, "walk_last");
    sim_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timers_fire_when_due_whatever_was_set_moved_or_cleared_before),
        cmocka_unit_test(a_task_walks_its_steps_and_is_told_when_one_takes_too_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
