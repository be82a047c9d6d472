// SPDX-License-Identifier: Apache-2.0
/* See identity/authority.h. Whatever a source finds is an offer; take_offer decides when and whether it is used.
 *
 *   roots    what everybody is told to trust now
 *   settled  what everybody has been told long enough ago to trust it for certain
 *   now      signs: its chain reaches a root of `settled` (or it is the first)
 *   next     will sign when `roots` has settled
 */
#include "control/identity/authority.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "control/identity/secret.h"
#include "kube/client.h"
#include "net/loop.h"
#include "net/timer.h"
#include "trust/roots.h"

enum { EVENT_LOOK = 1, EVENT_SETTLED = 2, EVENT_CHECK = 4 }; /* and KUBE_WAKE */

#define LOOK (NS_PER_S)
#define LOOK_AGAIN 30 /* looks until a folder that was refused is read again: dates may have come true */
#define CHECK (3600 * NS_PER_S)
#define GRACE_PERCENT 20

static const struct view everywhere = {"istio-system", 12};

struct authority {
    struct authority_config config;
    struct task task;
    struct timer look, settled_timer, check;
    struct list watches;
    struct ca *now, *next;
    struct buf roots, settled;
    struct ca_secret *secret;
    uint64_t version, seen, taken; /* seen, taken: fingerprints of the folder */
    unsigned refused_looks;
    bool plugged; /* the folder has given a CA: nothing else is asked any more */
    const char *problem;
    struct authority_stats stats;
};

static uint64_t wall(const struct authority *a)
{
    return loop_wall(a->config.loop);
}

static void tell(struct authority *a)
{
    a->version++;
    LIST_EACH (&a->watches, struct authority_watch, link, w) {
        task_wake(w->task, w->bits);
    }
}

/* ---- offers ---- */

static void problem(struct authority *a, const char *origin, const char *why)
{
    if (a->problem && strcmp(a->problem, why) == 0)
        return;
    a->problem = why;
    a->stats.failures++;
    log_error("certificate authority of %s: %s; %s", origin, why,
              a->now ? "the last good one goes on signing" : "nobody gets a certificate until this is put right");
}

static void sign_with(struct authority *a, struct ca *ca) /* takes the reference */
{
    ca_unref(a->now);
    a->now = ca;
    timer_clear(&a->check);
    timer_in(&a->check, a->config.check);
}

static void wait_with(struct authority *a, struct ca *ca)
{
    ca_unref(a->next);
    a->next = ca;
    a->stats.signs_at = wall(a) + a->config.settle;
    log_info("a new root is told to all proxies; certificates are signed under it in %llu s",
             (unsigned long long)(a->config.settle / NS_PER_S));
}

static void take_roots(struct authority *a, struct view roots)
{
    bool grows = !roots_contain(buf_read(&a->roots), roots);

    log_info("trusted roots: %u before, %u now", roots_count(buf_read(&a->roots)), roots_count(roots));
    buf_clear(&a->roots);
    buf_view(&a->roots, roots);
    if (grows) /* from the last addition on: what was told before it has not settled either */
        timer_in(&a->settled_timer, a->config.settle);
}

/* 0: taken, or it is what we have. -EINVAL: refused, the problem says why. */
static int take_offer(struct authority *a, struct ca *ca, const char *origin)
{
    const char *why = "";
    bool first = !a->now;

    if (ca_check(ca, wall(a), &why) < 0) {
        problem(a, origin, why);
        return -EINVAL;
    }
    if (!first && !ca_reaches(a->now, ca_root_pem(ca))) {
        problem(a, origin,
                "its roots leave out the root of the certificates in use, and every connection would break: put both "
                "roots into root-cert.pem first, and take the old one out when all certificates were renewed");
        return -EINVAL;
    }
    a->problem = NULL;
    if (!first && ca_same_signer(a->next ? a->next : a->now, ca) && view_eq(ca_root_pem(ca), buf_read(&a->roots)))
        return 0;
    take_roots(a, ca_root_pem(ca));
    if (first) {
        timer_clear(&a->settled_timer);
        buf_view(&a->settled, buf_read(&a->roots));
    }
    if (first || ca_reaches(ca, buf_read(&a->settled)) || ca_check(a->now, wall(a), &why) < 0) {
        a->next = ca_unref(a->next);
        a->stats.signs_at = 0;
        sign_with(a, ca_ref(ca));
    } else {
        wait_with(a, ca_ref(ca));
    }
    a->stats.loads++;
    log_info("certificate authority of %s taken: %s, %u root(s) trusted", origin,
             ca_is_root(ca) ? "a root" : "an intermediate", roots_count(buf_read(&a->roots)));
    tell(a);
    return 0;
}

static void settled(struct authority *a)
{
    buf_clear(&a->settled);
    buf_view(&a->settled, buf_read(&a->roots));
    if (!a->next)
        return;
    sign_with(a, a->next);
    a->next = NULL;
    a->stats.signs_at = 0;
    log_info("certificates are signed under the new root from now on");
    tell(a);
}

/* ---- the folder: cacerts ---- */

/* Of what stat() says of its files, through the links of a mounted Secret; 0: there is none. */
static uint64_t fingerprint(const char *folder)
{
    static const char *const names[] = {"ca-cert.pem", "ca-key.pem", "root-cert.pem", "cert-chain.pem",
                                        "tls.crt",     "tls.key",    "ca.crt"};
    struct {
        uint64_t which, inode, size, s, ns;
    } rows[COUNT_OF(names)];
    size_t n = 0;

    for (size_t i = 0; i < COUNT_OF(names); i++) {
        char path[4096];
        struct stat st;
        if (snprintf(path, sizeof(path), "%s/%s", folder, names[i]) < (int)sizeof(path) && stat(path, &st) == 0) {
            memset(&rows[n], 0, sizeof(rows[n]));
            rows[n].which = i;
            rows[n].inode = st.st_ino;
            rows[n].size = (uint64_t)st.st_size;
            rows[n].s = (uint64_t)st.st_mtim.tv_sec;
            rows[n++].ns = (uint64_t)st.st_mtim.tv_nsec;
        }
    }
    return n ? view_hash(view_make(rows, n * sizeof(rows[0]))) | 1 : 0;
}

static void read_folder(struct authority *a)
{
    struct ca *ca = NULL;
    const char *why = "it cannot be read";
    int r = ca_load(a->config.folder, &a->config.ca, &ca, &why);

    a->taken = a->seen;
    a->refused_looks = 0;
    if (r == -ENOENT && !a->plugged)
        return; /* files that are none of ours */
    if (r < 0)
        problem(a, a->config.folder, why);
    else
        r = take_offer(a, ca, a->config.folder);
    if (r == 0 && !a->plugged) {
        a->plugged = true;
        a->secret = ca_secret_free(a->secret);
    }
    ca_unref(ca);
}

static void look(struct authority *a)
{
    uint64_t print = fingerprint(a->config.folder);
    bool quiet = print == a->seen; /* files that are copied one by one are read when the last one is there */

    a->seen = print;
    if (quiet && (print != a->taken || (a->problem && ++a->refused_looks >= LOOK_AGAIN)))
        read_folder(a);
    timer_in(&a->look, LOOK);
}

/* ---- a root of our own ---- */

static void make_root(struct authority *a)
{
    const char *keep = a->config.keep, *why = "";
    struct ca *ca = NULL;
    int r = keep ? ca_load(keep, &a->config.ca, &ca, &why) : -ENOENT;

    if (r == -ENOENT) {
        r = ca_new(&a->config.ca, wall(a), &ca, &why);
        if (r == 0 && keep && ca_save(ca, keep) < 0)
            log_warn("the new root could not be kept in %s: every restart makes another one", keep);
        if (r == 0)
            log_info("made a self-signed root for %.*s", VIEW_ARGS(a->config.ca.trust_domain));
    }
    if (r < 0)
        problem(a, keep ? keep : "this process", why);
    else
        (void)take_offer(a, ca, keep ? keep : "this process");
    ca_unref(ca);
}

static void renew_own(struct authority *a)
{
    const char *why = "";
    struct ca *young = NULL;

    if (ca_renew(a->now, &a->config.ca, wall(a), &young, &why) < 0) {
        log_error("the root is near its end and was not renewed: %s", why);
        return;
    }
    if (a->config.keep && ca_save(young, a->config.keep) < 0)
        log_warn("the renewed root could not be kept in %s", a->config.keep);
    if (take_offer(a, young, "this process") == 0)
        a->stats.rotations++;
    ca_unref(young);
}

static void check_end(struct authority *a)
{
    bool due = a->now && ca_root_is_due(a->now, a->config.grace_percent, wall(a));

    timer_in(&a->check, a->config.check);
    if (due && !a->plugged && !a->secret)
        renew_own(a);
    else if (due && a->plugged)
        log_warn("the plugged-in root ends soon: see citadel_server_root_cert_expiry_timestamp, and plan its rotation");
}

/* ---- the Secret ---- */

static void drain_secret(struct authority *a)
{
    struct ca *ca;
    const char *why;

    while (a->secret && ca_secret_next(a->secret, &ca, &why)) {
        if (!ca) {
            problem(a, "Secret " CA_SECRET_NAME, why);
        } else if (a->now && !ca_reaches(a->now, ca_root_pem(ca))) {
            log_warn("Secret " CA_SECRET_NAME
                     " has another root now: the one in use is added to it, so that connections "
                     "go on; take it out of root-cert.pem when all certificates were renewed");
            ca_secret_keep_roots(a->secret, buf_read(&a->roots)); /* comes back with both */
        } else {
            (void)take_offer(a, ca, "Secret " CA_SECRET_NAME);
        }
        ca_unref(ca);
    }
}

/* ---- life ---- */

static void authority_run(struct task *t, uint32_t events)
{
    struct authority *a = CONTAINER_OF(t, struct authority, task);

    drain_secret(a);
    if (events & EVENT_LOOK)
        look(a);
    if (events & EVENT_SETTLED)
        settled(a);
    if (events & EVENT_CHECK)
        check_end(a);
}

static struct authority *bare(const struct authority_config *config)
{
    struct authority *a = calloc(1, sizeof(*a));

    must(a != NULL);
    a->config = *config;
    a->config.ns = config->ns.n ? config->ns : everywhere;
    a->config.settle = config->settle ? config->settle : AUTHORITY_SETTLE;
    a->config.check = config->check ? config->check : CHECK;
    a->config.grace_percent = config->grace_percent ? config->grace_percent : GRACE_PERCENT;
    list_init(&a->watches);
    task_init(&a->task, config->loop, authority_run, "certificate authority");
    timer_init(&a->look, &a->task, EVENT_LOOK);
    timer_init(&a->settled_timer, &a->task, EVENT_SETTLED);
    timer_init(&a->check, &a->task, EVENT_CHECK);
    return a;
}

struct authority *authority_new(const struct authority_config *config)
{
    struct authority *a = bare(config);
    const struct authority_config *c = &a->config;

    if (c->folder) {
        a->seen = fingerprint(c->folder);
        if (a->seen)
            read_folder(a);
        timer_in(&a->look, LOOK);
    }
    if (a->now || a->problem) /* a CA that is plugged in and broken is not replaced by one that nobody asked for */
        return a;
    if (c->kube && !c->keep)
        a->secret = ca_secret_new(&(struct ca_secret_config){.loop = c->loop,
                                                             .kube = c->kube,
                                                             .ns = c->ns,
                                                             .ca = c->ca,
                                                             .check = c->check,
                                                             .grace_percent = c->grace_percent,
                                                             .no_jitter = c->no_jitter},
                                  &a->task);
    else
        make_root(a);
    return a;
}

struct authority *authority_of(struct loop *loop, struct ca *ca)
{
    struct authority *a = bare(&(struct authority_config){.loop = loop});

    a->plugged = true;
    a->now = ca_ref(ca);
    a->version = 1;
    buf_view(&a->roots, ca_root_pem(ca));
    buf_view(&a->settled, ca_root_pem(ca));
    return a;
}

struct authority *authority_free(struct authority *a)
{
    if (!a)
        return NULL;
    ca_secret_free(a->secret);
    timer_done(&a->look);
    timer_done(&a->settled_timer);
    timer_done(&a->check);
    task_done(&a->task);
    ca_unref(a->now);
    ca_unref(a->next);
    buf_done(&a->roots);
    buf_done(&a->settled);
    free(a);
    return NULL;
}

struct ca *authority_ca(const struct authority *a)
{
    return a->now;
}

struct view authority_roots(const struct authority *a)
{
    return buf_read(&a->roots);
}

uint64_t authority_version(const struct authority *a)
{
    return a->version;
}

const char *authority_problem(const struct authority *a)
{
    return a->problem;
}

void authority_watch(struct authority *a, struct authority_watch *w, struct task *task, uint32_t bits)
{
    w->task = task;
    w->bits = bits;
    list_push(&a->watches, &w->link);
    if (a->version)
        task_wake(task, bits);
}

void authority_unwatch(struct authority_watch *w)
{
    if (w->link.next)
        list_del(&w->link);
}

const struct authority_stats *authority_stats(struct authority *a)
{
    if (a->secret)
        a->stats.rotations = ca_secret_renewals(a->secret);
    return &a->stats;
}
