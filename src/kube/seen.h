// SPDX-License-Identifier: Apache-2.0
/* What a watch has told its owner, and what waits to be told: turns lists and watch events, with all their repetitions, into
 * events that say something new. Private to kube/.
 *
 *   seen_put(&s, object, …); seen_del(&s, ns, name);              // events of a watch
 *   seen_list(&s); seen_put() for each item; if (seen_missing(&s)) seen_sweep(&s);       // a whole list
 *   while (seen_next(&s, &event)) …
 *
 * New means: another resourceVersion than the one that was told, and (with no_status or trim) another content of what the owner reads.
 */
#pragma once

#include "base/list.h"
#include "base/map.h"
#include "kube/watch.h"

struct seen_event;

struct seen {
    bool no_status;
    void (*trim)(struct node *object);
    struct map known;         /* "ns/name" → struct known */
    struct list queue;        /* struct seen_event */
    struct seen_event *taken; /* what seen_next returned last */
};

void seen_init(struct seen *s, const struct kube_watch_options *o);
void seen_done(struct seen *s);
void seen_put(struct seen *s, const struct node *object, struct view api_version, struct view kind);
void seen_del(struct seen *s, struct view ns, struct view name);
void seen_list(struct seen *s);              /* a new list begins */
uint32_t seen_missing(const struct seen *s); /* objects that were told and were not in it */
void seen_sweep(struct seen *s);             /* they are gone */
void seen_synced(struct seen *s);            /* KUBE_SYNCED */
bool seen_next(struct seen *s, struct kube_event *ret);
