// SPDX-License-Identifier: Apache-2.0
/* Intrusive doubly linked lists. A node that is in no list points to itself, so list_del may be called at any time.
 *
 *   struct list all; list_init(&all);
 *   list_push(&all, &conn->link);                       // at the end
 *   LIST_EACH(&all, struct connection, link, c) { … }   // c may be deleted inside the loop
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/must.h"

struct list {
    struct list *next, *prev; /* head and node are the same type */
};

static inline void list_init(struct list *l)
{
    l->next = l->prev = l;
}

static inline bool list_empty(const struct list *l)
{
    return l->next == l;
}

static inline void list_insert_before(struct list *at, struct list *node)
{
    node->next = at;
    node->prev = at->prev;
    at->prev->next = node;
    at->prev = node;
}

static inline void list_push(struct list *l, struct list *node) /* at the end */
{
    list_insert_before(l, node);
}

static inline void list_push_front(struct list *l, struct list *node)
{
    list_insert_before(l->next, node);
}

static inline void list_del(struct list *node)
{
    node->next->prev = node->prev;
    node->prev->next = node->next;
    list_init(node);
}

/* First node, taken out; NULL when the list is empty. */
static inline struct list *list_pop(struct list *l)
{
    struct list *first = l->next;
    if (first == l)
        return NULL;
    list_del(first);
    return first;
}

#define LIST_ITEM(node, type, member) CONTAINER_OF(node, type, member)
#define LIST_EACH(head, type, member, item)                                                                            \
    for (type *item = LIST_ITEM((head)->next, type, member),                                                           \
              *item##_next = LIST_ITEM(item->member.next, type, member);                                               \
         &item->member != (head); item = item##_next, item##_next = LIST_ITEM(item##_next->member.next, type, member))
