// SPDX-License-Identifier: Apache-2.0
/* Choosing the filter chain of a connection (listener.h).
 *
 * Envoy's precedence: destination port, destination address (longest prefix), server name (exact, longest suffix, none),
 * transport, application protocol, source address. At each step the most specific value that some remaining chain has
 * is chosen, and there is no way back: a chain for port 80 that fails later does not fall to a chain for any port.
 * Nothing is allocated: the choices made so far are kept, and chains are asked again at every step.
 */
#include "plan/listener.h"

/* Specificity of one chain at one step: 0 does not match, 1 matches because it does not ask, more is more specific. */
typedef uint32_t (*chain_step)(const struct filter_chain_match *m, const struct connection_facts *c);

static uint32_t by_port(const struct filter_chain_match *m, const struct connection_facts *c)
{
    return m->port == 0 ? 1 : m->port == c->destination.port ? 2 : 0;
}

static uint32_t by_prefix(const struct ip_prefix *p, uint32_t n, const struct plan_addr *a)
{
    uint32_t best = n ? 0 : 1;
    for (uint32_t i = 0; i < n; i++)
        if (ip_prefix_contains(&p[i], a) && 2u + p[i].bits > best)
            best = 2u + p[i].bits;
    return best;
}

static uint32_t by_destination(const struct filter_chain_match *m, const struct connection_facts *c)
{
    return by_prefix(m->prefixes, m->n_prefixes, &c->destination);
}

static uint32_t by_source(const struct filter_chain_match *m, const struct connection_facts *c)
{
    return by_prefix(m->sources, m->n_sources, &c->source);
}

static uint32_t name_rank(struct view pattern, struct view name)
{
    if (view_ieq(pattern, name))
        return UINT32_MAX;
    if (!view_starts(pattern, VIEW("*.")) || name.n < pattern.n)
        return 0;
    struct view suffix = view_from(pattern, 1); /* .example.com: the star stands for one label or more */
    return view_ieq(view_from(name, name.n - suffix.n), suffix) ? 2 + (uint32_t)suffix.n : 0;
}

static uint32_t by_server_name(const struct filter_chain_match *m, const struct connection_facts *c)
{
    uint32_t best = m->n_server_names ? 0 : 1;
    for (uint32_t i = 0; i < m->n_server_names && c->server_name.n; i++) {
        uint32_t rank = name_rank(m->server_names[i], c->server_name);
        best = rank > best ? rank : best;
    }
    return best;
}

static uint32_t by_transport(const struct filter_chain_match *m, const struct connection_facts *c)
{
    if (m->transport == TRANSPORT_ANY)
        return 1;
    return (m->transport == TRANSPORT_TLS) == c->tls ? 2 : 0;
}

/* The client's order decides between chains for different protocols. */
static uint32_t by_alpn(const struct filter_chain_match *m, const struct connection_facts *c)
{
    if (!m->n_alpn)
        return 1;
    for (uint32_t i = 0; i < c->n_alpn; i++)
        for (uint32_t j = 0; j < m->n_alpn; j++)
            if (view_eq(c->alpn[i], m->alpn[j]))
                return UINT32_MAX - i;
    return 0;
}

static const chain_step steps[] = {by_port, by_destination, by_server_name, by_transport, by_alpn, by_source};

/* Its rank at step `at`, or 0 when it fell out at an earlier one. */
static uint32_t rank_at(const struct filter_chain *f, const struct connection_facts *c, const uint32_t *chosen,
                        size_t at)
{
    for (size_t i = 0; i < at; i++)
        if (steps[i](&f->match, c) != chosen[i])
            return 0;
    return steps[at](&f->match, c);
}

const struct filter_chain *listener_find_chain(const struct listener *l, const struct connection_facts *c)
{
    uint32_t chosen[COUNT_OF(steps)] = {0};
    const struct filter_chain *found = NULL;
    for (size_t at = 0; at < COUNT_OF(steps); at++) {
        found = NULL;
        for (uint32_t i = 0; i < l->n_chains; i++) {
            uint32_t rank = rank_at(&l->chains[i], c, chosen, at);
            if (rank > chosen[at]) {
                chosen[at] = rank;
                found = &l->chains[i];
            }
        }
        if (!found)
            return l->default_chain;
    }
    return found;
}

bool listener_serves_silence(const struct listener *l, const struct connection_facts *c)
{
    struct connection_facts silent = {.destination = c->destination, .source = c->source};
    const struct filter_chain *chain = listener_find_chain(l, &silent);
    return chain && chain->tcp;
}

uint32_t listener_inspectors(const struct listener *l, uint16_t destination_port)
{
    uint32_t on = l->inspect;
    for (uint32_t i = 0; i < l->n_skips; i++)
        if (l->skips[i].first <= destination_port && destination_port <= l->skips[i].last)
            on &= ~l->skips[i].inspector;
    return on;
}
