// SPDX-License-Identifier: Apache-2.0
/* The headers of one HTTP message, for both versions: an ordered list of (name, value) views with a token for each
 * well-known name (headers.def) and an index to its first occurrence, so that looking one up is one load.
 *
 *   struct headers h;
 *   headers_init(&h, &arena);                                   // the arena is asked only beyond HEADERS_INLINE entries
 *   headers_set(&h, HEADER_X_REQUEST_ID, id);                   // bytes are borrowed: they must outlive the list
 *   struct view host = headers_value(&h, HEADER_AUTHORITY);     // .p == NULL when absent
 *   HEADERS_EACH(&h, it) use(header_name(it), header_value(it));
 *
 * Requests always carry :method, :path (but CONNECT) and mostly :authority and :scheme, responses :status, whatever the
 * version; `host` never appears next to :authority. Names keep the case in which they came; comparing ignores it.
 * Removed entries stay behind as tombstones that HEADERS_EACH skips. Nothing here copies or frees bytes.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/must.h"
#include "base/view.h"

enum header_id {
    HEADER_OTHER, /* any name that is not in headers.def */
#define HEADER(id, name, flags) HEADER_##id,
#include "wire/headers.def"
#undef HEADER
    HEADER_COUNT
};

enum header_flags {
    HEADER_HOP = 1,
    HEADER_ONCE = 2,
    HEADER_VARIES = 4,
    HEADER_LINE = 8,   /* of an entry: "name: value\r\n" stands in a row at `name`, to be copied as one */
    HEADER_VALID = 16, /* of an entry: a parser has seen that its bytes may go on the wire */
};

enum { HEADERS_INLINE = 32, HEADERS_MOST = 240 }; /* what a peer may send is LIMIT_HTTP_HEADER_COUNT, far below */

struct header {
    const char *name, *value; /* name NULL: removed */
    uint32_t value_n;
    uint16_t name_n;
    uint8_t id;    /* enum header_id */
    uint8_t flags; /* HEADER_LINE, HEADER_VALID, and the flags of headers.def */
};

struct headers {
    struct header *at;
    struct arena *arena;
    uint16_t n, cap;
    uint32_t bytes; /* names and values of all entries, for bounds and for reserving room; removed ones still count */
    uint8_t first[HEADER_COUNT]; /* index + 1 of the first live entry with this id; 0: none. [HEADER_OTHER] is unused */
    struct header inline_at[HEADERS_INLINE];
};

void headers_init(struct headers *h, struct arena *a); /* also to empty one; a may be NULL for at most HEADERS_INLINE */

/* The id of a name, HEADER_OTHER when it has none. The name must be an RFC 9110 token, or a pseudo name. */
enum header_id header_id_of(struct view name);
struct view header_id_name(enum header_id id);      /* lower case */
extern const uint8_t header_id_flags[HEADER_COUNT]; /* of headers.def */

static inline struct view header_name(const struct header *e)
{
    return (struct view){e->name, e->name_n};
}

static inline struct view header_value(const struct header *e)
{
    return (struct view){e->value, e->value_n};
}

#define HEADERS_EACH(h, it)                                                                                            \
    for (struct header *it = (h)->at; it < (h)->at + (h)->n; it++)                                                     \
        if (it->name)

static inline bool headers_has(const struct headers *h, enum header_id id)
{
    return h->first[id] != 0;
}

/* Appends when there is room for one more; the fast path of headers_add_name() for parsers. */
static inline struct header *headers_push(struct headers *h, enum header_id id, const char *name, size_t name_n,
                                          const char *value, size_t value_n)
{
    struct header *e = &h->at[h->n++];
    e->name = name;
    e->value = value;
    e->name_n = (uint16_t)name_n;
    e->value_n = (uint32_t)value_n;
    e->id = (uint8_t)id;
    e->flags = header_id_flags[id];
    h->bytes += (uint32_t)(name_n + value_n);
    if (!h->first[id] && id != HEADER_OTHER)
        h->first[id] = (uint8_t)h->n;
    return e;
}

/* Room for one more entry: 0 or -E2BIG. */
int headers_grow(struct headers *h) must_check;

/* First entry with this id, or NULL. */
static inline struct header *headers_find(const struct headers *h, enum header_id id)
{
    return h->first[id] ? &h->at[h->first[id] - 1] : NULL;
}

/* Value of the first entry with this id; .p == NULL when there is none (an empty value has .p). */
static inline struct view headers_value(const struct headers *h, enum header_id id)
{
    if (!h->first[id])
        return VIEW_NONE;
    return header_value(&h->at[h->first[id] - 1]);
}

/* By name: the id when it is known already (HEADER_OTHER: compares names). For configuration: look up the id once. */
struct header *headers_find_name(const struct headers *h, enum header_id id, struct view name);
struct view headers_get(const struct headers *h, struct view name); /* first value; .p == NULL when absent */
/* The next entry with the same name behind `e`, or NULL. */
struct header *headers_next_same(const struct headers *h, const struct header *e);
/* All values of a name joined with "," as Envoy's matchers see them; copied into `a` only if there are several. */
struct view headers_joined(const struct headers *h, enum header_id id, struct view name, struct arena *a);

/* -E2BIG beyond HEADERS_MOST entries. Bytes are borrowed. Set replaces the first occurrence in place and removes the rest. */
int headers_add(struct headers *h, enum header_id id, struct view value) must_check;
int headers_add_name(struct headers *h, enum header_id id, struct view name, struct view value) must_check;
int headers_set(struct headers *h, enum header_id id, struct view value) must_check;
int headers_set_name(struct headers *h, enum header_id id, struct view name, struct view value) must_check;
bool headers_del(struct headers *h, enum header_id id); /* all occurrences; whether there was one */
bool headers_del_name(struct headers *h, enum header_id id, struct view name);
void headers_del_entry(struct headers *h, struct header *e);

/* Appends every entry of `from` (bytes stay borrowed from where they are). */
int headers_append(struct headers *h, const struct headers *from) must_check;
/* The same with the bytes copied into h's arena. */
int headers_copy(struct headers *h, const struct headers *from) must_check;

/* The bytes behind entries that point into [old, old + n) moved to `now`. */
void headers_rebase(struct headers *h, const char *old, size_t n, const char *now);

/* :status as a number; 0 when absent. */
static inline unsigned headers_status(const struct headers *h)
{
    struct view v = headers_value(h, HEADER_STATUS);
    return v.n == 3 ? (unsigned)((v.p[0] - '0') * 100 + (v.p[1] - '0') * 10 + (v.p[2] - '0')) : 0;
}

/* "200" for 200 and so on; a static string. code is 100..999 */
struct view header_status_text(unsigned code);
