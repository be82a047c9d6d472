// SPDX-License-Identifier: Apache-2.0
/* The values of an installation, with Helm's rules: defaults (deploy/chart/values.yaml), over them files (-f), over them
 * --set. Maps are merged key by key, lists replaced; null takes a default away. The result is checked by the schema that
 * helm checks too (values.schema.json), with better words: the place, and the nearest name that exists.
 *
 *   struct node *v = values_merge(&arena, defaults, user);
 *   err = values_set(&arena, v, VIEW("global.hub=registry.local,pilot.replicaCount=3"), &why);
 *   err = values_check(&arena, schema, v, &why);
 */
#pragma once

#include "base/arena.h"
#include "base/must.h"
#include "wire/node.h"

/* `over` over `base`, in a new tree. */
struct node *values_merge(struct arena *a, const struct node *base, const struct node *over);

/* --set's language: a.b=c,d={x,y},e[0].f=g; `\` before . , = { } [ ] takes it as it is. true, false, null and whole numbers
 * get their type. -EINVAL: *ret_why. */
int values_set(struct arena *a, struct node *map, struct view text, struct view *ret_why) must_check;

/* JSON Schema, the part that values.schema.json uses: type, properties, additionalProperties, required, items, enum, minimum,
 * maximum, minLength, minItems; another keyword is -EINVAL too. */
int values_check(struct arena *a, const struct node *schema, const struct node *values,
                 struct view *ret_why) must_check;
