// SPDX-License-Identifier: Apache-2.0
/* Events (core/v1) about objects, as `kubectl describe` shows them: few, and only when something changed.
 *
 *   struct events *e = events_new(&config);
 *   events_say(e, &(struct event){.about = …, .warning = true, .reason = VIEW("Invalid"), .note = text});
 *
 * The same words about the same object within EVENT_SAME are one Event whose count goes up. An object may say EVENT_OBJECT_BURST
 * things at once and one each EVENT_OBJECT_EACH after that, everybody together EVENT_RATE a second: what is above is dropped and
 * counted, because the object's status says it anyway. An API server without Events (404, 405) or that does not let us write
 * them (403) is left in peace after one line in the log.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/view.h"

struct events;
struct kube_client;
struct loop;

struct event_object { /* involvedObject */
    struct view api_version, kind, ns, name, uid, resource_version;
};

struct event { /* copied */
    struct event_object about;
    bool warning; /* type Warning, else Normal */
    struct view reason, note;
};

struct events_config {
    struct loop *loop;
    struct kube_client *api;
    struct view instance; /* reportingInstance */
};

struct events_stats {
    uint64_t written, held;
};

struct events *events_new(const struct events_config *config) __attribute__((returns_nonnull));
struct events *events_free(struct events *e); /* before the API client; NULL */
void events_say(struct events *e, const struct event *what);
void events_tick(struct events *e); /* forgets what is older than EVENT_SAME: now and then */
const struct events_stats *events_stats(const struct events *e);
