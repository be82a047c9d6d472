// SPDX-License-Identifier: Apache-2.0
/* Small builders for tests of plan/: clusters and endpoint sets from a list of addresses. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "plan/plan.h"

static inline struct cluster *make_cluster(enum balance_policy policy)
{
    struct cluster *c = RESOURCE_NEW(struct cluster, RESOURCE_CLUSTER, VIEW("c"));
    c->lb.policy = policy;
    return c;
}

/* "10.0.0.1:80*3@1": weight 3, priority 1, both optional; separated by spaces. */
static inline struct endpoint_set *make_endpoints(const char *list)
{
    struct endpoint_set *s = RESOURCE_NEW(struct endpoint_set, RESOURCE_ENDPOINTS, VIEW("c"));
    struct view rest = view_of(list), word;
    while (view_cut(&rest, ' ', &word)) {
        if (!word.n)
            continue;
        unsigned port = 0, weight = 1, priority = 0;
        char ip[64];
        struct view host = view_head(word, view_find(word, ':'));
        snprintf(ip, sizeof(ip), "%.*s", VIEW_ARGS(host));
        const char *tail = arena_str(&s->res.arena, view_from(word, host.n + 1));
        port = (unsigned)strtoul(tail, (char **)&tail, 10);
        if (*tail == '*')
            weight = (unsigned)strtoul(tail + 1, (char **)&tail, 10);
        if (*tail == '@')
            priority = (unsigned)strtoul(tail + 1, NULL, 10);
        struct locality *l = NULL;
        for (uint32_t i = 0; i < s->n_localities; i++)
            if (s->localities[i].priority == priority)
                l = &s->localities[i];
        if (!l) {
            l = ARENA_PUSH(&s->res.arena, s->localities, s->n_localities);
            l->priority = priority;
        }
        struct endpoint *e = ARENA_PUSH(&s->res.arena, l->endpoints, l->n_endpoints);
        assert_int_equal(plan_addr_parse_ip(view_of(ip), (uint16_t)port, &e->address), 0);
        e->weight = weight;
        l->weight += weight;
    }
    return s;
}
