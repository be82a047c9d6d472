// SPDX-License-Identifier: Apache-2.0
/* Keeping a certificate fresh (rotation.h): key and request, the CA's answer, the next renewal, and pauses between
 * failures.
 */
#include "trust/rotation.h"

#include <errno.h>

#include "base/clock.h"
#include "net/loop.h"
#include "net/timer.h"
#include "trust/csr.h"

#define ROTATION_PAUSE_LEAST (250 * NS_PER_MS)
#define ROTATION_PAUSE_MOST (10 * NS_PER_S)

enum rotation_bits {
    ROTATION_DUE = 1,
    ROTATION_ANSWER = 2,
};

struct rotation {
    struct rotation_config config;
    struct task task;
    struct timer timer;
    struct task *owner;
    uint32_t bits;
    struct ca_client *client;
    struct buf key_pem; /* of the request under way */
    struct tls_identity *identity;
    struct tls_trust *trust, *ca_trust; /* told by the CA; for it, when it changed */
    uint64_t renews_at;
    uint32_t failures;
    struct buf why;
};

uint64_t rotation_due(uint64_t not_before, uint64_t not_after, struct rng *rng)
{
    if (not_after <= not_before)
        return not_before;
    double share = 0.5 + (rng_unit(rng) * 2 - 1) * 0.01;
    return not_before + (uint64_t)((double)(not_after - not_before) * share);
}

static struct loop *loop_of(struct rotation *r)
{
    return r->task.loop;
}

static void failed(struct rotation *r, struct view why)
{
    uint64_t pause = ROTATION_PAUSE_LEAST << (r->failures < 10 ? r->failures : 10);
    pause = pause < ROTATION_PAUSE_MOST ? pause : ROTATION_PAUSE_MOST;
    pause = (uint64_t)((double)pause * (0.75 + rng_unit(loop_rng(loop_of(r))) / 2));
    r->failures++;
    buf_clear(&r->why);
    buf_view(&r->why, why);
    timer_in(&r->timer, pause);
    task_wake(r->owner, r->bits);
}

static void ask(struct rotation *r)
{
    struct buf csr = {0};
    buf_wipe(&r->key_pem);
    int e = csr_new(r->config.spiffe, &r->key_pem, &csr);
    if (e == 0)
        e = ca_client_start(&r->config.ca, buf_read(&csr), &r->task, ROTATION_ANSWER, &r->client);
    buf_done(&csr);
    if (e < 0)
        failed(r, e == -EINVAL ? VIEW("the identity to ask for is malformed") : VIEW("the request could not be made"));
}

/* The root of the answer, when it is another than before; a bundle that stays the same keeps verified peers known. */
static int adopt_trust(struct rotation *r, struct view root_pem, const char **why)
{
    if (view_empty(root_pem))
        root_pem = tls_trust_pem(r->config.ca.trust);
    if (r->trust && view_eq(view_trim(tls_trust_pem(r->trust)), view_trim(root_pem)))
        return 0;
    struct tls_trust *t;
    int e = tls_trust_new(&root_pem, 1, &t, why);
    if (e < 0)
        return e;
    tls_trust_unref(r->trust);
    r->trust = t;
    return 0;
}

static void answered(struct rotation *r)
{
    struct buf chain = {0}, root = {0};
    struct tls_identity *fresh = NULL;
    const char *why = NULL;
    int e = ca_client_result(r->client, &chain, &root);
    if (e == -EAGAIN)
        goto out;
    if (e < 0) {
        failed(r, ca_client_why(r->client));
    } else if (tls_identity_new(buf_read(&chain), buf_read(&r->key_pem), &fresh, &why) < 0 ||
               adopt_trust(r, buf_read(&root), &why) < 0) {
        tls_identity_unref(fresh);
        failed(r, view_of(why));
    } else if (!view_eq(tls_identity_spiffe(fresh), r->config.spiffe)) {
        tls_identity_unref(fresh);
        failed(r, VIEW("the CA certified another identity than ours"));
    } else {
        struct loop *l = loop_of(r);
        tls_identity_unref(r->identity);
        r->identity = fresh;
        r->failures = 0;
        buf_clear(&r->why);
        /* By our own clock: not_before lies in the past so that other clocks accept it. */
        r->renews_at = rotation_due(loop_wall(l), tls_identity_not_after(fresh), loop_rng(l));
        timer_in(&r->timer, r->renews_at > loop_wall(l) ? r->renews_at - loop_wall(l) : ROTATION_PAUSE_LEAST);
        task_wake(r->owner, r->bits);
    }
    r->client = ca_client_free(r->client);
    buf_wipe(&r->key_pem);
out:
    buf_done(&chain);
    buf_done(&root);
}

static void rotation_run(struct task *t, uint32_t events)
{
    struct rotation *r = CONTAINER_OF(t, struct rotation, task);
    if (r->client)
        answered(r);
    if (!r->client && (events & ROTATION_DUE))
        ask(r);
}

struct rotation *rotation_new(const struct rotation_config *config, struct task *task, uint32_t bits)
{
    struct rotation *r = mem_alloc(sizeof(*r));
    r->config = *config;
    r->owner = task;
    r->bits = bits;
    task_init(&r->task, config->ca.loop, rotation_run, "rotation");
    timer_init(&r->timer, &r->task, ROTATION_DUE);
    task_wake(&r->task, ROTATION_DUE);
    return r;
}

struct rotation *rotation_free(struct rotation *r)
{
    if (!r)
        return NULL;
    ca_client_free(r->client);
    timer_done(&r->timer);
    task_done(&r->task);
    buf_wipe(&r->key_pem);
    buf_done(&r->why);
    tls_identity_unref(r->identity);
    tls_trust_unref(r->trust);
    tls_trust_unref(r->ca_trust);
    mem_free(r);
    return NULL;
}

struct tls_identity *rotation_identity(const struct rotation *r)
{
    return r->identity;
}

struct tls_trust *rotation_trust(const struct rotation *r)
{
    return r->trust;
}

void rotation_set_ca_trust(struct rotation *r, struct tls_trust *trust)
{
    tls_trust_ref(trust);
    tls_trust_unref(r->ca_trust);
    r->ca_trust = trust;
    r->config.ca.trust = trust;
}

uint64_t rotation_renews_at(const struct rotation *r)
{
    return r->renews_at;
}

struct view rotation_why(const struct rotation *r)
{
    return buf_read(&r->why);
}

uint32_t rotation_failures(const struct rotation *r)
{
    return r->failures;
}
