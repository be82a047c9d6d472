// SPDX-License-Identifier: Apache-2.0
/* A tree of YAML or JSON in an arena: what an object looks like before a kind gives it a type, and after.
 *
 *   struct node *doc;
 *   struct pull *in = yaml_pull(&arena, text, 1);
 *   while (!(err = node_read(&arena, in, &doc)) && doc) {
 *       const struct node *name = node_at(doc, "metadata.name");
 *       …
 *   }
 *   node_print_yaml(doc, &out);
 *
 * Every value and every key knows line and column. A tree that was read is shared freely (a YAML alias is the same node
 * twice), so it is not changed: node_copy it first, then node_set and friends.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/must.h"
#include "base/view.h"
#include "wire/pull.h"

enum node_type { NODE_NULL, NODE_BOOL, NODE_INT, NODE_FLOAT, NODE_STR, NODE_SEQ, NODE_MAP };

struct node_field {
    struct view key;
    uint32_t line, col;
    struct node *value; /* never NULL */
};

struct node {
    uint8_t type;             /* enum node_type */
    bool quoted;              /* a string that was quoted or a block */
    bool block;               /* a block scalar: its content starts on line + 1 */
    uint32_t line, col, span; /* as in pull_event; 0 for nodes that code made */
    uint32_t n;               /* elements of items or fields */
    uint32_t weight;          /* nodes below, aliases counted each time: bounds what walking the tree costs */
    union {
        struct view text;          /* scalars: as written, escapes resolved */
        struct node **items;       /* NODE_SEQ */
        struct node_field *fields; /* NODE_MAP, in the order written; keys are unique */
    };
};

/* Reading. */

/* The next document; *ret_node is NULL at the end of the text. An empty document is a NODE_NULL.
 * -EINVAL or -E2BIG: in->error says what and where. `<<` merge keys and aliases are resolved; a key set twice is an error. */
int node_read(struct arena *a, struct pull *in, struct node **ret_node) must_check;
/* Whether a text is JSON rather than YAML: `{"`, `{}`, `[{` and so on, but not YAML's `{name: x}`. */
bool node_looks_like_json(struct view text);
/* The only document of a text, JSON or YAML by its looks; ret_error may be NULL. */
int node_parse(struct arena *a, struct view text, struct node **ret_node, struct pull_error *ret_error) must_check;

/* Asking. All accept NULL and answer as if the value were absent. */

struct node *node_get(const struct node *map, struct view key);               /* NULL when absent */
const struct node_field *node_field(const struct node *map, struct view key); /* with the key's place */
struct node *node_at(const struct node *tree, const char *path); /* "spec.containers.0.name"; no keys with dots */
struct view node_text(const struct node *n);                     /* a string's text, else empty */
struct view node_text_at(const struct node *tree, const char *path);
bool node_is(const struct node *n, enum node_type type);
const char *node_type_name(enum node_type type);                   /* "a string", "a list" … for messages */
int node_i64(const struct node *n, int64_t *ret_value) must_check; /* NODE_INT only; -EINVAL, -ERANGE */
int node_f64(const struct node *n, double *ret_value) must_check;  /* NODE_INT or NODE_FLOAT */
bool node_bool(const struct node *n, bool absent);                 /* NODE_BOOL, else `absent` */
bool node_eq(const struct node *a, const struct node *b);          /* same values; key order does not matter */

/* Making and changing. Texts are borrowed: copy them into the arena unless they live as long. */

struct node *node_new(struct arena *a, enum node_type type); /* an empty map, list, string or null */
struct node *node_str(struct arena *a, struct view text);
struct node *node_int(struct arena *a, int64_t value);
struct node *node_bool_new(struct arena *a, bool value);
struct node *node_copy(struct arena *a, const struct node *n); /* deep, texts too: shares nothing with the original */
void node_set(struct arena *a, struct node *map, struct view key, struct node *value);   /* replaces or appends */
void node_set_str(struct arena *a, struct node *map, const char *key, struct view text); /* key: a literal */
void node_set_int(struct arena *a, struct node *map, const char *key, int64_t value);
void node_set_bool(struct arena *a, struct node *map, const char *key, bool value);
struct node *node_make(struct arena *a, struct node *map, const char *key,
                       enum node_type type);      /* get, else set empty */
bool node_del(struct node *map, struct view key); /* false when it was not there */
void node_push(struct arena *a, struct node *seq, struct node *item);
void node_insert(struct arena *a, struct node *seq, uint32_t at, struct node *item);
void node_remove(struct node *seq, uint32_t at);

/* Printing. YAML as `kubectl get -o yaml` lays it out, key order kept; ends in a newline. */

void node_print_yaml(const struct node *n, struct buf *out);
void node_print_json(const struct node *n, struct buf *out);        /* one line, no newline */
void node_print_json_pretty(const struct node *n, struct buf *out); /* four spaces, ends in a newline */
