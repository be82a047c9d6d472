// SPDX-License-Identifier: Apache-2.0
/* Mailboxes: how threads talk. A message is a struct that contains a struct letter; posting hands it over for good.
 *
 *   struct new_plan { struct letter letter; struct plan *plan; };
 *   mailbox_init(&worker->inbox, loop, &worker->task, WORKER_MAIL);
 *   mailbox_post(&worker->inbox, &msg->letter);                         // any thread, no lock
 *   … in run():  while ((m = mailbox_take(&worker->inbox))) { … CONTAINER_OF(m, struct new_plan, letter) … }
 *
 * Letters of one sender arrive in the order of posting. In a simulation it works the same way, on one thread.
 * Invariants: only the owner's thread takes. mailbox_done drops nothing: take until NULL first.
 */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

#include "base/list.h"
#include "net/task.h"

struct loop;

struct letter {
    struct letter *next;
};

struct mailbox {
    _Atomic(struct letter *) posted; /* newest first; pushed by any thread */
    struct letter *taken;            /* oldest first; the owner's */
    struct loop *loop;
    struct task *task;
    uint32_t bits;
    struct list link; /* of the loop's mailboxes */
};

void mailbox_init(struct mailbox *m, struct loop *l, struct task *task, uint32_t bits);
void mailbox_post(struct mailbox *m, struct letter *letter);
struct letter *mailbox_take(struct mailbox *m); /* NULL when empty */
void mailbox_done(struct mailbox *m);
