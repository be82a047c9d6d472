// SPDX-License-Identifier: Apache-2.0
/* Draining (drain.h): letters to the workers, and from SIGTERM on a look every 200 ms whether connections are left or time
 * is up. */
#include "proxy/drain.h"

#include "base/log.h"
#include "net/loop.h"
#include "proxy/proxy_impl.h"

#define DRAIN_LOOK_EVERY (200 * NS_PER_MS)
#define QUIT_AFTER (50 * NS_PER_MS) /* the answer to /quitquitquit goes out first */

static uint64_t active(const struct proxy *p)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < p->n_workers; i++)
        n += worker_counted(&p->workers[i]->counters.connections_active);
    return n;
}

static void say_goodbye(struct proxy *p, bool all)
{
    p->draining = true;
    log_info("draining: %llu connections are open", (unsigned long long)active(p));
    proxy_post_all(p, &(struct worker_letter){.kind = all ? WORKER_DRAIN : WORKER_DRAIN_INBOUND});
}

void drain_start(struct proxy *p)
{
    if (!p->draining)
        say_goodbye(p, false);
}

void drain_leave(struct proxy *p)
{
    if (p->drain_until)
        return;
    say_goodbye(p, true);
    p->drain_until = loop_now(p->loop) + p->options->drain;
    timer_in(&p->tick, DRAIN_LOOK_EVERY);
}

void proxy_quit_soon(struct proxy *p)
{
    p->quit = true;
    timer_in(&p->tick, QUIT_AFTER);
}

void drain_tick(struct proxy *p)
{
    if (p->quit) {
        loop_stop(p->loop);
        return;
    }
    if (!p->drain_until)
        return;
    uint64_t now = loop_now(p->loop);
    if (now >= p->drain_until || (p->options->exit_on_zero_connections && active(p) == 0)) {
        p->quit = true;
        loop_stop(p->loop);
        return;
    }
    timer_in(&p->tick, DRAIN_LOOK_EVERY);
}
