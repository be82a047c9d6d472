// SPDX-License-Identifier: Apache-2.0
/* Mailboxes (mailbox.h): a stack that any thread pushes on and the owner takes as a whole and turns round. */
#include "net/mailbox.h"

#include "net/loop_impl.h"

void mailbox_init(struct mailbox *m, struct loop *l, struct task *task, uint32_t bits)
{
    *m = (struct mailbox){.loop = l, .task = task, .bits = bits};
    list_push(&l->mailboxes, &m->link);
}

void mailbox_post(struct mailbox *m, struct letter *letter)
{
    struct loop *l = m->loop; /* the letter may be read, and the mailbox gone, as soon as it is in */
    letter->next = atomic_load_explicit(&m->posted, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&m->posted, &letter->next, letter, memory_order_release,
                                                  memory_order_relaxed))
        ;
    loop_poke(l);
}

struct letter *mailbox_take(struct mailbox *m)
{
    if (!m->taken) {
        struct letter *newest = atomic_exchange_explicit(&m->posted, NULL, memory_order_acquire);
        while (newest) {
            struct letter *next = newest->next;
            newest->next = m->taken;
            m->taken = newest;
            newest = next;
        }
    }
    struct letter *first = m->taken;
    if (first)
        m->taken = first->next;
    return first;
}

void mailbox_done(struct mailbox *m)
{
    list_del(&m->link);
}
