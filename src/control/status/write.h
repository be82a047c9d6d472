// SPDX-License-Identifier: Apache-2.0
/* Writes statuses to the API server: slowly, once each, and again when it did not work.
 *
 *   struct status_writer *w = status_writer_new(loop, api, prepare, answer, arg);
 *   status_writer_want(w, &thing->item);          // as often as one likes: the text is made when its turn comes
 *   … prepare(arg, item, &target, &body): what to send now; false: nothing any more
 *   … answer(arg, item, what, node): written, the object as it now is, gone, or refused for good
 *   status_writer_drop(w, &thing->item);          // before the thing goes
 *   status_writer_free(w);
 *
 * At most LIMIT_STATUS_WRITES_S a second, as many at once after a quiet time, LIMIT_STATUS_CALLS under way. 409 (somebody else
 * changed the object): it is read again and then decided anew. 429, 5xx and no answer: again after 1 s, doubling to a minute.
 * 401 and 403: nothing is written for a minute, and the log says once which right is missing. Anything else is refused for
 * good: logged once, and not sent again until the text is another one.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/list.h"
#include "kube/client.h"

struct loop;
struct node;
struct status_writer;

struct status_item { /* zeroed, then status_item_init */
    struct list link;
    struct kube_call *call; /* under way */
    uint64_t not_before;
    uint32_t failures;
    bool queued, stale, refused; /* stale: to be read again before it is written */
};
void status_item_init(struct status_item *i);

enum status_answer {
    STATUS_WRITTEN, /* node: the object as it is now; may be NULL */
    STATUS_READ,    /* node: the object as it is now */
    STATUS_GONE,    /* 404 */
    STATUS_REFUSED, /* for good */
};

typedef bool (*status_prepare_fn)(void *arg, struct status_item *item, struct kube_request *target, struct buf *body);
typedef void (*status_answer_fn)(void *arg, struct status_item *item, enum status_answer what, const struct node *node);

struct status_writer *status_writer_new(struct loop *loop, struct kube_client *api, status_prepare_fn prepare,
                                        status_answer_fn answer, void *arg) __attribute__((returns_nonnull));
struct status_writer *status_writer_free(struct status_writer *w); /* its items were dropped; NULL */
void status_writer_want(struct status_writer *w, struct status_item *item);
void status_writer_drop(struct status_writer *w, struct status_item *item); /* also takes back what is under way */

struct status_writer_stats {
    uint64_t writes, reads, failures;
    uint32_t waiting;
};
const struct status_writer_stats *status_writer_stats(const struct status_writer *w);
