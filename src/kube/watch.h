// SPDX-License-Identifier: Apache-2.0
/* A list that stays current: LIST, then WATCH from its resourceVersion, resumed when the connection breaks and listed
 * again when the server has forgotten the version (410 Gone).
 *
 * The owner sees one simple stream and never a difference between list and watch: KUBE_SET for an object that is new or
 * changed, KUBE_GONE for one that is no longer there (also when it vanished while we were away), KUBE_SYNCED each time
 * that everything the server had at one moment has been handed out.
 *
 *   struct kube_watch *w = kube_watch_new(api, &services, VIEW_NONE, &my_task);
 *   …my_task is woken… struct kube_event e; while (kube_watch_next(w, &e)) apply(&e);
 *
 * While the server is away the watch retries (0.2 s doubling to 10 s, with jitter) and keeps what it has: the last good
 * set stays. Memory: the queue of events not yet taken, and for each object its key and resourceVersion.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/must.h"
#include "base/view.h"
#include "kube/client.h"

struct node;
struct kube_watch;

enum kube_event_type {
    KUBE_SET,
    KUBE_GONE,   /* only ns, name (and kind) are set */
    KUBE_SYNCED, /* no object */
};

struct kube_event {
    enum kube_event_type type;
    struct view ns, name, uid, resource_version;
    const struct node *node; /* the object, apiVersion and kind included; node_copy what is to stay */
    struct view json;        /* the same as text */
};

/* All namespaces when ns is empty. */
struct kube_watch *kube_watch_new(struct kube_client *client, const struct kube_resource *resource, struct view ns,
                                  struct task *wake);
struct kube_watch *kube_watch_free(struct kube_watch *w); /* takes NULL, returns NULL */

/* The next event, whose views are valid until the next call on this watch; false: nothing now. */
bool kube_watch_next(struct kube_watch *w, struct kube_event *ret);

bool kube_watch_synced(const struct kube_watch *w);       /* a complete list has been taken at least once */
bool kube_watch_connected(const struct kube_watch *w);    /* for status and readiness */
struct view kube_watch_error(const struct kube_watch *w); /* why not connected: for one log line; empty when it is */
