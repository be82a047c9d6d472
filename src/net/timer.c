// SPDX-License-Identifier: Apache-2.0
/* The timer heap (timer.h): 4-ary, because one cache line holds the four children that a step down compares. */
#include "net/timer.h"

#include "net/loop_impl.h"

static struct timer_heap *heap_of(const struct timer *t)
{
    return &t->task->loop->timers;
}

static void place_at(struct timer_heap *h, uint32_t i, struct timer_place p)
{
    h->places[i] = p;
    p.timer->place = i + 1;
}

static void sift_up(struct timer_heap *h, uint32_t i)
{
    struct timer_place p = h->places[i];
    while (i > 0) {
        uint32_t parent = (i - 1) / 4;
        if (h->places[parent].key <= p.key)
            break;
        place_at(h, i, h->places[parent]);
        i = parent;
    }
    place_at(h, i, p);
}

static void sift_down(struct timer_heap *h, uint32_t i)
{
    struct timer_place p = h->places[i];
    for (;;) {
        uint32_t first = i * 4 + 1, least = i;
        uint64_t key = p.key;
        for (uint32_t child = first; child < first + 4 && child < h->n; child++)
            if (h->places[child].key < key) {
                key = h->places[child].key;
                least = child;
            }
        if (least == i)
            break;
        place_at(h, i, h->places[least]);
        i = least;
    }
    place_at(h, i, p);
}

static void take_out(struct timer_heap *h, uint32_t i)
{
    struct timer *t = h->places[i].timer;
    struct timer_place last = h->places[--h->n];
    if (i < h->n) {
        h->places[i] = last;
        last.timer->place = i + 1;
        if (i > 0 && h->places[(i - 1) / 4].key > last.key)
            sift_up(h, i);
        else
            sift_down(h, i);
    }
    t->place = 0;
}

void timer_init(struct timer *t, struct task *task, uint32_t bits)
{
    *t = (struct timer){.task = task, .bits = bits, .due = TIMER_NEVER};
}

void timer_set(struct timer *t, uint64_t at)
{
    struct timer_heap *h = heap_of(t);
    t->due = at;
    if (at == TIMER_NEVER)
        return;
    if (t->place == 0) {
        if (h->n == h->cap) {
            h->cap = h->cap ? h->cap * 2 : 16;
            h->places = mem_grow(h->places, h->cap * sizeof(*h->places));
        }
        h->places[h->n] = (struct timer_place){at, t};
        sift_up(h, h->n++);
    } else if (at < h->places[t->place - 1].key) {
        h->places[t->place - 1].key = at;
        sift_up(h, t->place - 1);
    }
}

void timer_in(struct timer *t, uint64_t ns)
{
    uint64_t now = t->task->loop->now;
    timer_set(t, ns < TIMER_NEVER - now ? now + ns : TIMER_NEVER);
}

void timer_rest(struct timer *t)
{
    t->due = TIMER_NEVER;
}

void timer_clear(struct timer *t)
{
    if (t->place)
        take_out(heap_of(t), t->place - 1);
    t->due = TIMER_NEVER;
}

void timer_heap_fire(struct timer_heap *h, uint64_t now)
{
    while (h->n && h->places[0].key <= now) {
        struct timer *t = h->places[0].timer;
        if (t->due <= now) {
            take_out(h, 0);
            t->due = TIMER_NEVER;
            t->task->loop->stats.timers_fired++;
            task_wake(t->task, t->bits);
        } else if (t->due == TIMER_NEVER) {
            take_out(h, 0);
        } else {
            h->places[0].key = t->due;
            sift_down(h, 0);
        }
    }
}

uint64_t timer_heap_next(const struct timer_heap *h)
{
    return h->n ? h->places[0].key : TIMER_NEVER;
}

void timer_heap_done(struct timer_heap *h)
{
    mem_free(h->places);
    *h = (struct timer_heap){0};
}
