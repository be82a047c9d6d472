// SPDX-License-Identifier: Apache-2.0
/* Sockets that listen, kept as the plan says (bound.h). */
#include "proxy/bound.h"

#include <stdio.h>
#include <string.h>

#include "base/must.h"
#include "plan/plan.h"
#include "proxy/connection.h"
#include "proxy/upstream.h"
#include "proxy/worker.h"

enum { BOUND_ACCEPT = 1 };

static void bound_run(struct task *t, uint32_t events)
{
    struct bound *b = CONTAINER_OF(t, struct bound, task);
    struct conn *conn;
    while (b->acceptor && acceptor_accept(b->acceptor, &conn) == 0)
        connection_new(b->worker, b->listener, conn);
    (void)events;
}

static struct bound *bound_find(struct worker *w, struct view name)
{
    LIST_EACH (&w->bounds, struct bound, link, b)
        if (view_eq(b->listener->res.name, name))
            return b;
    return NULL;
}

static void bound_close(struct bound *b)
{
    b->acceptor = acceptor_close(b->acceptor);
    task_done(&b->task);
    list_del(&b->link);
    resource_unref(b->listener);
    mem_free(b);
}

/* Connections of a listener that left: they finish what they do. */
static void drain_connections(struct worker *w, const struct listener *gone)
{
    LIST_EACH (&w->connections, struct connection, link, c)
        if (view_eq(c->accepted->res.name, gone->res.name))
            connection_drain(c);
}

static int bound_open(struct worker *w, const struct listener *l, char why[200])
{
    struct addr at;
    int r = addr_of_plan(&l->address, &at);
    struct bound *b = mem_alloc(sizeof(*b));
    b->worker = w;
    b->listener = resource_ref(l);
    list_init(&b->link);
    task_init(&b->task, w->loop, bound_run, "listener");
    if (r == 0)
        r = acceptor_open(w->loop, &at, &(struct acceptor_options){.reuse_port = true}, &b->task, BOUND_ACCEPT,
                          &b->acceptor);
    if (r < 0) {
        snprintf(why, 200, "listener %.*s: cannot listen on port %u: %s", VIEW_ARGS(l->res.name), l->address.port,
                 strerror(-r));
        bound_close(b);
        return r;
    }
    list_push(&w->bounds, &b->link);
    return 0;
}

int bounds_apply(struct worker *w, const struct plan *plan, char why[200])
{
    int failed = 0;
    LIST_EACH (&w->bounds, struct bound, link, b) {
        const struct name_ref name = {b->listener->res.name, b->listener->res.name_hash};
        const struct listener *now = plan_listener(plan, &name);
        if (now == b->listener)
            continue;
        if (now && now->bind_to_port && plan_addr_eq(&now->address, &b->listener->address)) {
            const struct listener *before = b->listener;
            b->listener = resource_ref(now);
            resource_unref(before);
            continue;
        }
        drain_connections(w, b->listener);
        bound_close(b);
    }
    PLAN_EACH(plan, RESOURCE_LISTENER, r)
    {
        const struct listener *l = (const struct listener *)r;
        if (!l->bind_to_port || bound_find(w, l->res.name))
            continue;
        int e = bound_open(w, l, why);
        if (e < 0)
            failed = e;
    }
    return failed;
}

void bounds_close(struct worker *w)
{
    LIST_EACH (&w->bounds, struct bound, link, b)
        bound_close(b);
}
