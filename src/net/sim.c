// SPDX-License-Identifier: Apache-2.0
/* The simulated world: hosts, their loops, one clock, one heap of events (sim.h). */
#include "net/sim.h"

#include <string.h>

#include "base/must.h"
#include "net/sim_impl.h"

#define SIM_WALL UINT64_C(1767225600000000000) /* 2026-01-01T00:00:00Z */

struct sim_loop *sim_loop_of(struct loop *l)
{
    return CONTAINER_OF(l, struct sim_loop, loop);
}

struct sim *sim_of(struct loop *l)
{
    return sim_loop_of(l)->host->sim;
}

/* ---- events ---- */

static bool sooner(const struct sim_event *a, const struct sim_event *b)
{
    return a->at != b->at ? a->at < b->at : a->number < b->number;
}

void sim_at(struct sim *s, uint64_t at, void (*fire)(struct sim *s, void *arg), void *arg)
{
    if (s->n_events == s->cap_events) {
        s->cap_events = s->cap_events ? s->cap_events * 2 : 64;
        s->events = mem_grow(s->events, s->cap_events * sizeof(*s->events));
    }
    struct sim_event e = {.at = at < s->now ? s->now : at, .number = s->number++, .fire = fire, .arg = arg};
    uint32_t i = s->n_events++;
    for (; i > 0 && sooner(&e, &s->events[(i - 1) / 2]); i = (i - 1) / 2)
        s->events[i] = s->events[(i - 1) / 2];
    s->events[i] = e;
}

static struct sim_event take_event(struct sim *s)
{
    struct sim_event first = s->events[0], last = s->events[--s->n_events];
    uint32_t i = 0;
    for (;;) {
        uint32_t child = i * 2 + 1;
        if (child >= s->n_events)
            break;
        if (child + 1 < s->n_events && sooner(&s->events[child + 1], &s->events[child]))
            child++;
        if (sooner(&last, &s->events[child]))
            break;
        s->events[i] = s->events[child];
        i = child;
    }
    s->events[i] = last;
    return first;
}

void sim_note(struct sim *s, uint64_t what, uint64_t who, uint64_t how_much)
{
    uint64_t record[5] = {s->digest, s->now, what, who, how_much};
    s->digest = 14695981039346656037u; /* FNV-1a: stable between builds, unlike view_hash */
    for (size_t i = 0; i < sizeof(record); i++)
        s->digest = (s->digest ^ ((const uint8_t *)record)[i]) * 1099511628211u;
}

/* ---- loops ---- */

static void sim_poke(struct loop *l)
{
    atomic_store(&l->poked, true);
}

static bool loop_is_due(const struct sim_loop *sl, uint64_t now)
{
    return loop_has_work(&sl->loop) || atomic_load(&sl->loop.poked) || timer_heap_next(&sl->loop.timers) <= now;
}

static bool sim_turn(struct loop *l, bool wait)
{
    struct sim *s = sim_of(l);
    if (atomic_exchange(&l->poked, false))
        loop_take_mail(l);
    l->now = s->now;
    l->wall = s->wall0 + s->now;
    uint64_t before = l->stats.tasks_run;
    loop_work(l);
    if (l->stats.tasks_run != before)
        sim_note(s, 'T', sim_loop_of(l)->host->index, l->stats.tasks_run - before);
    return l->stats.tasks_run != before;
}

static void sim_loop_free(struct loop *l)
{
    /* with sim_free, so that connections of other hosts to it may still be closed */
}

static const struct loop_ops sim_ops = {
    .poke = sim_poke,
    .turn = sim_turn,
    .free = sim_loop_free,
    .connect = sim_connect,
    .listen = sim_listen,
    .pair = sim_pair,
};

struct loop *sim_loop(struct sim_host *h, enum sim_role role)
{
    must(h->n_loops < SIM_LOOPS);
    struct sim_loop *sl = mem_alloc(sizeof(*sl));
    loop_init(&sl->loop, &sim_ops, rng_next(&h->sim->rng), h->name);
    sl->host = h;
    sl->role = role;
    sl->loop.now = h->sim->now;
    sl->loop.wall = h->sim->wall0 + h->sim->now;
    h->loops[h->n_loops++] = sl;
    return &sl->loop;
}

/* ---- the world ---- */

struct sim *sim_new(uint64_t seed)
{
    struct sim *s = mem_alloc(sizeof(*s));
    s->seed = seed;
    s->wall0 = SIM_WALL;
    s->now = NS_PER_S; /* not 0: a deadline of 0 means none in many places */
    rng_seed(&s->rng, seed);
    list_init(&s->streams);
    return s;
}

struct sim *sim_free(struct sim *s)
{
    if (!s)
        return NULL;
    for (uint32_t i = 0; i < s->n_hosts; i++)
        for (uint32_t j = 0; j < s->hosts[i]->n_loops; j++)
            loop_end_lingerers(&s->hosts[i]->loops[j]->loop);
    sim_streams_free(s);
    for (uint32_t i = 0; i < s->n_hosts; i++) {
        for (uint32_t j = 0; j < s->hosts[i]->n_loops; j++) {
            loop_done(&s->hosts[i]->loops[j]->loop);
            mem_free(s->hosts[i]->loops[j]);
        }
        mem_free(s->hosts[i]);
    }
    for (uint32_t i = 0; i < s->n_aliases; i++)
        mem_free(s->aliases[i].name);
    mem_free(s->aliases);
    mem_free(s->hosts);
    mem_free(s->cables);
    mem_free(s->events);
    mem_free(s);
    return NULL;
}

struct sim_host *sim_host(struct sim *s, const char *name, const char *ip)
{
    struct sim_host *h = mem_alloc(sizeof(*h));
    *h = (struct sim_host){.sim = s, .name = name, .index = s->n_hosts, .next_port = 32768};
    list_init(&h->acceptors);
    s->hosts = mem_grow(s->hosts, (s->n_hosts + 1) * sizeof(struct sim_host *));
    s->hosts[s->n_hosts++] = h;
    sim_host_addr(h, ip);
    return h;
}

void sim_host_addr(struct sim_host *h, const char *ip)
{
    must(h->n_addrs < SIM_ADDRS);
    must(addr_parse_ip(view_of(ip), 0, &h->addrs[h->n_addrs]) == 0);
    h->n_addrs++;
}

struct sim_host *sim_host_of(struct sim *s, const struct addr *a)
{
    for (uint32_t i = 0; i < s->n_hosts; i++)
        for (uint32_t j = 0; j < s->hosts[i]->n_addrs; j++)
            if (!s->hosts[i]->dead && addr_same_ip(a, &s->hosts[i]->addrs[j]))
                return s->hosts[i];
    return NULL;
}

void sim_capture(struct sim_host *h, const struct sim_capture *capture)
{
    h->capture = capture ? *capture : (struct sim_capture){0};
}

static struct sim_host *host_named(struct sim *s, const char *name)
{
    for (uint32_t i = 0; i < s->n_hosts; i++)
        if (strcmp(s->hosts[i]->name, name) == 0)
            return s->hosts[i];
    return NULL;
}

void sim_link(struct sim *s, const char *a, const char *b, const struct sim_link *link)
{
    struct sim_host *ha = host_named(s, a), *hb = host_named(s, b);
    must(ha && hb);
    struct sim_link *old = (struct sim_link *)(uintptr_t)sim_link_of(s, ha, hb);
    for (uint32_t i = 0; i < s->n_cables; i++)
        if (old == &s->cables[i].link) {
            *old = *link;
            return;
        }
    s->cables = mem_grow(s->cables, (s->n_cables + 1) * sizeof(*s->cables));
    s->cables[s->n_cables++] = (struct sim_cable){ha->index, hb->index, *link};
}

const struct sim_link *sim_link_of(struct sim *s, const struct sim_host *a, const struct sim_host *b)
{
    static const struct sim_link inside = {.latency = 5 * NS_PER_US}, between = {.latency = 100 * NS_PER_US};
    for (uint32_t i = 0; i < s->n_cables; i++) {
        const struct sim_cable *c = &s->cables[i];
        if ((c->a == a->index && c->b == b->index) || (c->a == b->index && c->b == a->index))
            return &c->link;
    }
    return a == b ? &inside : &between;
}

void sim_host_kill(struct sim_host *h)
{
    sim_streams_reset(h);
    h->dead = true;
}

void sim_name(struct sim *s, const char *name, const char *ip)
{
    struct addr addr = {0};
    if (ip) {
        must(addr_parse_ip(view_of(ip), 0, &addr) == 0);
        s->aliases = mem_grow(s->aliases, (s->n_aliases + 1) * sizeof(*s->aliases));
        s->aliases[s->n_aliases++] = (struct sim_alias){view_dup(view_of(name)), addr};
        return;
    }
    uint32_t kept = 0;
    for (uint32_t i = 0; i < s->n_aliases; i++) {
        if (strcmp(s->aliases[i].name, name) == 0)
            mem_free(s->aliases[i].name);
        else
            s->aliases[kept++] = s->aliases[i];
    }
    s->n_aliases = kept;
}

uint32_t sim_lookup(struct loop *l, struct view name, struct addr *addrs, uint32_t most)
{
    struct sim *s = sim_of(l);
    uint32_t n = 0;
    if (view_ends(name, VIEW(".")))
        name.n--;
    for (uint32_t i = 0; i < s->n_aliases && n < most; i++)
        if (view_ieq(name, view_of(s->aliases[i].name)))
            addrs[n++] = s->aliases[i].addr;
    return n;
}

void sim_wall(struct sim *s, uint64_t wall_ns)
{
    s->wall0 = wall_ns - s->now;
}

/* ---- time ---- */

uint64_t sim_now(const struct sim *s)
{
    return s->now;
}

uint64_t sim_digest(const struct sim *s)
{
    return s->digest;
}

/* The next loop that has something to do now. They take turns from a place that the seed chooses: code must not depend
 * on the order in which processes happen to run. */
static struct sim_loop *due_loop(struct sim *s)
{
    uint32_t total = 0, i = 0;
    for (uint32_t h = 0; h < s->n_hosts; h++)
        for (uint32_t l = 0; l < s->hosts[h]->n_loops; l++)
            total += loop_is_due(s->hosts[h]->loops[l], s->now);
    if (!total)
        return NULL;
    uint32_t chosen = total == 1 ? 0 : (uint32_t)rng_below(&s->rng, total);
    for (uint32_t h = 0; h < s->n_hosts; h++)
        for (uint32_t l = 0; l < s->hosts[h]->n_loops; l++)
            if (loop_is_due(s->hosts[h]->loops[l], s->now) && i++ == chosen)
                return s->hosts[h]->loops[l];
    return NULL;
}

static uint64_t next_time(const struct sim *s)
{
    uint64_t next = s->n_events ? s->events[0].at : TIMER_NEVER;
    for (uint32_t h = 0; h < s->n_hosts; h++)
        for (uint32_t l = 0; l < s->hosts[h]->n_loops; l++) {
            uint64_t timer = timer_heap_next(&s->hosts[h]->loops[l]->loop.timers);
            next = timer < next ? timer : next;
        }
    return next;
}

static void set_time(struct sim *s, uint64_t now)
{
    s->now = now;
    for (uint32_t h = 0; h < s->n_hosts; h++)
        for (uint32_t l = 0; l < s->hosts[h]->n_loops; l++) {
            s->hosts[h]->loops[l]->loop.now = now;
            s->hosts[h]->loops[l]->loop.wall = s->wall0 + now;
        }
}

static bool step_until(struct sim *s, uint64_t end)
{
    struct sim_loop *due = due_loop(s);
    if (due) {
        sim_turn(&due->loop, false);
        return true;
    }
    uint64_t next = next_time(s);
    if (next == TIMER_NEVER || next > end)
        return false;
    if (next > s->now)
        set_time(s, next);
    while (s->n_events && s->events[0].at <= s->now) {
        struct sim_event e = take_event(s);
        e.fire(s, e.arg);
    }
    return true;
}

bool sim_step(struct sim *s)
{
    return step_until(s, TIMER_NEVER);
}

void sim_run(struct sim *s, uint64_t ns)
{
    uint64_t end = s->now + ns;
    while (step_until(s, end))
        ;
    set_time(s, end);
}

bool sim_run_until(struct sim *s, bool (*cond)(void *arg), void *arg, uint64_t most_ns)
{
    uint64_t end = s->now + most_ns;
    while (!cond(arg))
        if (!step_until(s, end)) {
            set_time(s, end);
            return cond(arg);
        }
    return true;
}
