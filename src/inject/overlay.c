// SPDX-License-Identifier: Apache-2.0
/* A user's container istio-proxy over ours (parts.h): a gateway's manifest holds `image: auto` and little else, a tuned
 * sidecar holds resources or a preStop hook. What the user names wins.
 */
#include "inject/parts.h"

/* By what an item of a list is the same as another one. */
static const struct {
    const char *list, *key;
} merged_lists[] = {{"env", "name"}, {"ports", "containerPort"}, {"volumeMounts", "mountPath"}};

static struct node *find_item(const struct node *list, const char *key, const struct node *value)
{
    for (uint32_t i = 0; i < list->n; i++)
        if (node_eq(node_get(list->items[i], view_of(key)), value))
            return list->items[i];
    return NULL;
}

static void overlay_list(struct arena *a, struct node *ours, const struct node *users, const char *key)
{
    for (uint32_t i = 0; i < users->n; i++) {
        struct node *same = find_item(ours, key, node_get(users->items[i], view_of(key)));
        struct node *item = node_copy(a, users->items[i]);
        if (same)
            *same = *item;
        else
            node_push(a, ours, item);
    }
}

static void overlay_map(struct arena *a, struct node *ours, const struct node *users)
{
    for (uint32_t i = 0; i < users->n; i++) {
        const struct node_field *f = &users->fields[i];
        struct node *mine = node_get(ours, f->key);
        if (node_is(mine, NODE_MAP) && node_is(f->value, NODE_MAP))
            overlay_map(a, mine, f->value);
        else
            node_set(a, ours, f->key, node_copy(a, f->value));
    }
}

static const char *merge_key(struct view list)
{
    for (size_t i = 0; i < COUNT_OF(merged_lists); i++)
        if (view_is(list, merged_lists[i].list))
            return merged_lists[i].key;
    return NULL;
}

void overlay_container(struct arena *a, struct node *ours, const struct node *users)
{
    bool automatic = view_is(node_text(node_get(users, VIEW("image"))), "auto");
    for (uint32_t i = 0; i < users->n; i++) {
        const struct node_field *f = &users->fields[i];
        struct node *mine = node_get(ours, f->key);
        const char *key = merge_key(f->key);
        /* An API server has given an image without a tag the policy Always, before we see the pod: it is not the user's. */
        if (automatic && (view_is(f->key, "image") || view_is(f->key, "imagePullPolicy")))
            continue;
        /* A probe is replaced whole: half of one and half of another would be two actions. */
        bool merge = view_is(f->key, "resources") || view_is(f->key, "securityContext") || view_is(f->key, "lifecycle");
        if (key && node_is(mine, NODE_SEQ) && node_is(f->value, NODE_SEQ))
            overlay_list(a, mine, f->value, key);
        else if (merge && node_is(mine, NODE_MAP) && node_is(f->value, NODE_MAP))
            overlay_map(a, mine, f->value);
        else
            node_set(a, ours, f->key, node_copy(a, f->value));
    }
}
