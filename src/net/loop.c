// SPDX-License-Identifier: Apache-2.0
/* What every loop does, whatever it waits for: the run queue, flushes, pools (loop.h, task.h). */
#include "net/loop.h"

#include "base/limits.h"
#include "base/must.h"
#include "net/loop_impl.h"
#include "net/mailbox.h"
#include "net/tls_share.h"

void task_init(struct task *t, struct loop *loop, task_fn run, const char *name)
{
    *t = (struct task){.run = run, .loop = loop, .name = name};
    list_init(&t->link);
}

void task_wake(struct task *t, uint32_t bits)
{
    if (!t->events)
        list_push(&t->loop->runnable, &t->link);
    t->events |= bits;
}

void task_done(struct task *t)
{
    list_del(&t->link);
    t->events = 0;
}

void flush_init(struct flush *f, void (*fn)(struct flush *f))
{
    f->fn = fn;
    list_init(&f->link);
}

void flush_soon(struct flush *f, struct loop *l)
{
    if (list_empty(&f->link))
        list_push(&l->flushes, &f->link);
}

void flush_done(struct flush *f)
{
    list_del(&f->link);
}

void loop_init(struct loop *l, const struct loop_ops *ops, uint64_t seed, const char *name)
{
    *l = (struct loop){.ops = ops, .name = name ? name : "loop"};
    list_init(&l->runnable);
    list_init(&l->flushes);
    list_init(&l->mailboxes);
    list_init(&l->lingerers);
    rng_seed(&l->rng, seed);
}

void loop_end_lingerers(struct loop *l)
{
    while (!list_empty(&l->lingerers)) {
        struct lingerer *g = LIST_ITEM(l->lingerers.next, struct lingerer, link);
        g->end(g);
    }
}

void loop_done(struct loop *l)
{
    for (uint32_t i = 0; i < l->n_pools; i++)
        pool_done(&l->pools[i]);
    timer_heap_done(&l->timers);
    mem_free(l->scratch);
    mem_free(l->tls_in);
    buf_done(&l->tls_out);
    tls_share_free(l->tls_share);
}

/* Moves all of `from` to the end of the empty `to`. */
static void list_take_all(struct list *from, struct list *to)
{
    list_init(to);
    if (list_empty(from))
        return;
    *to = *from;
    to->next->prev = to;
    to->prev->next = to;
    list_init(from);
}

static void run_tasks(struct loop *l)
{
    struct list batch, *link;
    list_take_all(&l->runnable, &batch);
    while ((link = list_pop(&batch))) {
        struct task *t = LIST_ITEM(link, struct task, link);
        uint32_t events = t->events;
        t->events = 0;
        l->stats.tasks_run++;
        t->run(t, events);
    }
}

static void run_flushes(struct loop *l)
{
    struct list batch, *link;
    list_take_all(&l->flushes, &batch);
    while ((link = list_pop(&batch))) {
        struct flush *f = LIST_ITEM(link, struct flush, link);
        f->fn(f);
    }
}

bool loop_has_work(const struct loop *l)
{
    return !list_empty(&l->runnable) || !list_empty(&l->flushes);
}

bool loop_work(struct loop *l)
{
    l->stats.turns++;
    timer_heap_fire(&l->timers, l->now);
    for (int round = 0; round < LIMIT_LOOP_ROUNDS; round++) {
        if (list_empty(&l->runnable)) {
            if (list_empty(&l->flushes))
                return true;
            run_flushes(l);
        }
        run_tasks(l);
    }
    run_flushes(l);
    return !loop_has_work(l);
}

void loop_take_mail(struct loop *l)
{
    LIST_EACH (&l->mailboxes, struct mailbox, link, m)
        if (atomic_load_explicit(&m->posted, memory_order_acquire))
            task_wake(m->task, m->bits);
}

void loop_run(struct loop *l)
{
    while (!atomic_load_explicit(&l->stop, memory_order_acquire))
        l->ops->turn(l, true);
    atomic_store(&l->stop, false);
}

bool loop_turn(struct loop *l, bool wait)
{
    return l->ops->turn(l, wait);
}

void loop_stop(struct loop *l)
{
    atomic_store_explicit(&l->stop, true, memory_order_release);
    loop_poke(l);
}

void loop_poke(struct loop *l)
{
    l->ops->poke(l);
}

struct loop *loop_free(struct loop *l)
{
    if (l)
        l->ops->free(l);
    return NULL;
}

uint64_t loop_now(const struct loop *l)
{
    return l->now;
}

uint64_t loop_wall(const struct loop *l)
{
    return l->wall;
}

struct rng *loop_rng(struct loop *l)
{
    return &l->rng;
}

const struct loop_stats *loop_stats(const struct loop *l)
{
    return &l->stats;
}

struct pool *loop_pool(struct loop *l, size_t size)
{
    for (uint32_t i = 0; i < l->n_pools; i++)
        if (l->pools[i].size == size)
            return &l->pools[i];
    must(l->n_pools < LOOP_POOLS);
    struct pool *p = &l->pools[l->n_pools++];
    pool_init(p, size, LIMIT_LOOP_POOL_KEEP);
    return p;
}

char *loop_scratch(struct loop *l)
{
    if (!l->scratch)
        l->scratch = mem_alloc(LOOP_SCRATCH);
    return l->scratch;
}
