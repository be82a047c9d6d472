// SPDX-License-Identifier: Apache-2.0
/* Bearer tokens to identities (review.h): remembered, verified with keys, or asked of the API server, in this order.
 * What cannot be decided is refused.
 */
#include "control/identity/review.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/map.h"
#include "kube/client.h"
#include "net/loop.h"
#include "trust/token.h"
#include "wire/node.h"

#define REMEMBERED (10 * NS_PER_S)

struct known { /* one accepted token */
    uint64_t until;
    size_t n_token, n_ns, n_sa;
    char text[]; /* token, namespace, service account */
};

struct reviewer {
    struct reviewer_config config;
    struct arena arena;
    struct map known; /* token → struct known */
    struct reviewer_stats stats;
};

struct review {
    struct reviewer *reviewer;
    struct arena arena;
    struct kube_call *call;
    struct view token;
    struct xds_identity identity;
    struct view why;
    int result;
};

static void known_free(struct known *k)
{
    explicit_bzero(k->text, k->n_token);
    free(k);
}

static void forget(struct reviewer *r, uint64_t now)
{
    MAP_EACH (&r->known, it) {
        struct known *k = it->value;
        if (k->until <= now || map_size(&r->known) > LIMIT_CONTROL_TOKENS) {
            map_del(&r->known, it->key);
            known_free(k);
        }
    }
}

/* How long it may be remembered, by the claim of the token that was just found good; 0: not at all. */
static uint64_t life_of(const struct review *v)
{
    uint64_t wall = loop_wall(v->reviewer->config.loop), left = 0;
    struct token t;
    struct arena a;

    arena_init(&a, 1024);
    if (token_peek(v->token, &a, &t) == 0 && t.expires > wall)
        left = t.expires - wall < REMEMBERED ? t.expires - wall : REMEMBERED;
    arena_done(&a);
    return left;
}

static void remember(struct review *v)
{
    struct reviewer *r = v->reviewer;
    uint64_t life = life_of(v);
    struct known *k;

    forget(r, loop_now(r->config.loop));
    k = map_get(&r->known, v->token);
    if (k)
        k->until = loop_now(r->config.loop) + life;
    if (k || !life)
        return;
    k = malloc(sizeof(*k) + v->token.n + v->identity.ns.n + v->identity.service_account.n);
    must(k != NULL);
    *k = (struct known){.until = loop_now(r->config.loop) + life,
                        .n_token = v->token.n,
                        .n_ns = v->identity.ns.n,
                        .n_sa = v->identity.service_account.n};
    memcpy(k->text, v->token.p, v->token.n);
    memcpy(k->text + k->n_token, v->identity.ns.p, k->n_ns);
    memcpy(k->text + k->n_token + k->n_ns, v->identity.service_account.p, k->n_sa);
    map_put(&r->known, view_make(k->text, k->n_token), k);
}

static int refuse(struct review *v, struct view why)
{
    v->why = arena_view(&v->arena, why);
    v->reviewer->stats.refused++;
    return v->result = -EACCES;
}

static int give_up(struct review *v, struct view why)
{
    v->why = arena_view(&v->arena, why);
    v->reviewer->stats.failed++;
    return v->result = -EIO;
}

static int accept_as(struct review *v, struct view ns, struct view sa)
{
    if (!ns.n || !sa.n)
        return refuse(v, VIEW("the token is not a service account's"));
    v->identity =
        (struct xds_identity){v->reviewer->config.trust_domain, arena_view(&v->arena, ns), arena_view(&v->arena, sa)};
    return v->result = 0;
}

static int verify_locally(struct review *v)
{
    const struct reviewer_config *c = &v->reviewer->config;
    struct token_rules rules = {
        .audience = c->audience, .issuer = c->issuer, .wall_ns = loop_wall(c->loop), .leeway = 10 * NS_PER_S};
    struct token t;
    const char *why = "the token is not valid";

    if (token_verify(c->keys, v->token, &rules, &v->arena, &t, &why) < 0)
        return refuse(v, view_of(why));
    return accept_as(v, t.ns, t.sa);
}

struct reviewer *reviewer_new(const struct reviewer_config *config)
{
    struct reviewer *r = calloc(1, sizeof(*r));

    must(r != NULL);
    arena_init(&r->arena, 256);
    r->config = *config;
    r->config.issuer = arena_view(&r->arena, config->issuer);
    r->config.audience = arena_view(&r->arena, config->audience);
    r->config.trust_domain = arena_view(&r->arena, config->trust_domain);
    if (config->keys)
        token_keys_ref(config->keys);
    map_init(&r->known, NULL);
    return r;
}

struct reviewer *reviewer_free(struct reviewer *r)
{
    if (!r)
        return NULL;
    forget(r, UINT64_MAX);
    map_done(&r->known);
    token_keys_unref(r->config.keys);
    arena_done(&r->arena);
    free(r);
    return NULL;
}

struct review *review_new(struct reviewer *r, struct view authorization, bool fresh, struct task *wake)
{
    struct review *v = calloc(1, sizeof(*v));
    struct known *k;

    must(v != NULL);
    v->reviewer = r;
    v->result = -EAGAIN;
    arena_init(&v->arena, 1024);
    if (!view_istarts(authorization, VIEW("Bearer ")) || authorization.n > LIMIT_JWT_BYTES) {
        refuse(v, VIEW("no bearer token"));
        return v;
    }
    v->token = arena_view(&v->arena, view_trim(view_from(authorization, 7)));
    r->stats.asked++;
    k = fresh ? NULL : map_get(&r->known, v->token);
    if (k && k->until > loop_now(r->config.loop)) {
        r->stats.remembered++;
        accept_as(v, view_make(k->text + k->n_token, k->n_ns), view_make(k->text + k->n_token + k->n_ns, k->n_sa));
    } else if (r->config.keys) {
        verify_locally(v);
    } else if (r->config.kube) {
        v->call = kube_token_review(r->config.kube, v->token, r->config.audience, wake);
    } else {
        refuse(v, VIEW("nobody here can verify tokens"));
    }
    return v;
}

/* An authenticator that knows nothing of audiences answers without any: it has not checked what we asked for. */
static bool is_for_us(struct review *v)
{
    struct node *tree = NULL;
    const struct node *list;

    if (node_parse(&v->arena, kube_call_body(v->call), &tree, NULL) < 0)
        return false;
    list = node_at(tree, "status.audiences");
    for (uint32_t i = 0; node_is(list, NODE_SEQ) && i < list->n; i++)
        if (view_eq(node_text(list->items[i]), v->reviewer->config.audience))
            return true;
    return false;
}

static void take_answer(struct review *v)
{
    struct kube_identity who;

    if (kube_token_review_result(v->call, &who) < 0)
        give_up(v, VIEW("the API server could not review the token"));
    else if (!who.authenticated)
        refuse(v, who.error.n ? who.error : VIEW("the token is not valid"));
    else if (!is_for_us(v))
        refuse(v, VIEW("the token is for another audience"));
    else if (accept_as(v, who.ns, who.service_account) == 0)
        remember(v);
}

int review_result(struct review *v, struct xds_identity *ret, struct view *ret_why)
{
    if (v->result == -EAGAIN && v->call && kube_call_done(v->call))
        take_answer(v);
    if (v->result == 0)
        *ret = v->identity;
    else if (v->result != -EAGAIN)
        *ret_why = v->why;
    return v->result;
}

const struct reviewer_stats *reviewer_stats(const struct reviewer *r)
{
    return &r->stats;
}

struct review *review_free(struct review *v)
{
    if (!v)
        return NULL;
    kube_call_free(v->call);
    if (v->token.n)
        explicit_bzero((char *)(uintptr_t)v->token.p, v->token.n);
    arena_done(&v->arena);
    free(v);
    return NULL;
}
