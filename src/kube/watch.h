// SPDX-License-Identifier: Apache-2.0
/* A list that stays current: LIST in pages, then WATCH from its resourceVersion, resumed when the connection breaks and
 * listed again when the server has forgotten the version (410 Gone).
 *
 * The owner sees one simple stream and never a difference between list and watch: KUBE_SET for an object that is new or
 * changed, KUBE_GONE for one that is no longer there (also when it vanished while we were away), KUBE_SYNCED each time
 * that everything the server had at one moment has been handed out.
 *
 *   struct kube_watch *w = kube_watch_new(api, &services, VIEW_NONE, &my_task);
 *   …my_task is woken… struct kube_event e; while (kube_watch_next(w, &e)) apply(&e);
 *
 * The last good set stays while the server is away (retried after 0.2 s doubling to 10 s, with jitter, and as soon as the
 * client has a connection again), while we have no right to it (403) and when its CustomResourceDefinition is deleted: the
 * objects that go with a definition are not told as gone. A resource that the server does not know (404) counts as synced
 * and empty and is asked for every 15 s or so. kube_watch_trouble() says which of these it is.
 *
 * Memory: the queue of events not yet taken, and for each object its key, resourceVersion and a hash.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/must.h"
#include "base/view.h"
#include "kube/client.h"

struct arena;
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

struct kube_watch_options {     /* texts are copied */
    struct view ns;             /* empty: all namespaces */
    struct view fields, labels; /* selectors as in metadata.name=istio or type!=x,type!=y; not escaped */
    bool custom;                /* a kind of a CustomResourceDefinition: looks at it before it believes in deletions */
    bool no_status;             /* a change of status or of metadata's bookkeeping alone is not told */
    void (*trim)(struct node *object); /* takes out what the owner never reads, before it is compared (only a
                                              change of the rest is told) and kept; or NULL */
};
struct kube_watch *kube_watch_with(struct kube_client *client, const struct kube_resource *resource,
                                   const struct kube_watch_options *options, struct task *wake);
/* The same with ns alone. metadata.managedFields never come with an object. */
struct kube_watch *kube_watch_new(struct kube_client *client, const struct kube_resource *resource, struct view ns,
                                  struct task *wake);
struct kube_watch *kube_watch_free(struct kube_watch *w); /* takes NULL, returns NULL */

/* The next event, whose views are valid until the next call on this watch; false: nothing now. */
bool kube_watch_next(struct kube_watch *w, struct kube_event *ret);

enum kube_trouble {
#define TROUBLE(name, text) KUBE_TROUBLE_##name,
#include "kube/trouble.def"
#undef TROUBLE
};
const char *kube_trouble_name(enum kube_trouble t); /* "CRDMissing": for metrics and tools */

enum kube_trouble kube_watch_trouble(const struct kube_watch *w);
uint64_t kube_watch_trouble_since(const struct kube_watch *w); /* wall ns; 0: none */
uint32_t kube_watch_known(const struct kube_watch *w);         /* objects handed out and not gone */
bool kube_watch_synced(const struct kube_watch *w);            /* a complete list has been taken at least once */
bool kube_watch_connected(const struct kube_watch *w);         /* for status and readiness */
struct view kube_watch_error(const struct kube_watch *w); /* why not connected: for one log line; empty when it is */
