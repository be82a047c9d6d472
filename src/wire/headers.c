// SPDX-License-Identifier: Apache-2.0
/* Header lists: see headers.h. Known names are found by a perfect hash over the first, middle and last eight bytes of
 * the lower-cased name, computed when weft is built (tools/gen_header_ids.py), and one comparison.
 *
 * Lower-casing by OR 0x20 is exact for letters, digits and '-', which is all that our known names have; a token byte that
 * it confuses ('^' and '~', '|') is in no known name.
 */
#include "wire/headers.h"

#include <errno.h>

#include "base/must.h"
#include "wire/header_hash.inc"

struct known {
    const char *name;
    uint8_t n;
};

static const struct known known[HEADER_COUNT] = {
    [HEADER_OTHER] = {"", 0},
#define HEADER(id, text, bits) [HEADER_##id] = {text, sizeof(text) - 1},
#include "wire/headers.def"
#undef HEADER
};

const uint8_t header_id_flags[HEADER_COUNT] = {
#define HEADER(id, text, bits) [HEADER_##id] = (bits),
#include "wire/headers.def"
#undef HEADER
};

static const uint8_t slots[1 << HEADER_HASH_BITS] = {HEADER_HASH_SLOTS};

#define LOWER UINT64_C(0x2020202020202020)

static inline uint64_t load8(const char *p)
{
    uint64_t v;
    memcpy(&v, p, 8);
    return v | LOWER;
}

static inline uint64_t load4(const char *p)
{
    uint32_t v;
    memcpy(&v, p, 4);
    return v | (uint32_t)LOWER;
}

static inline uint64_t rotate(uint64_t v, unsigned by)
{
    return v << by | v >> (64 - by);
}

/* Must equal key() in tools/gen_header_ids.py. */
static inline uint64_t name_key(const char *p, size_t n)
{
    if (n >= 8)
        return (load8(p) ^ rotate(load8(p + n - 8), 5) ^ rotate(load8(p + n / 2 - 4), 23)) + n;
    if (n >= 4)
        return (load4(p) << 32 | load4(p + n - 4)) + n;
    if (n >= 2)
        return ((uint64_t)((uint8_t)p[0] | 0x20 | ((uint8_t)p[1] | 0x20) << 8) << 8 | (uint8_t)p[n - 1] | 0x20) + n;
    return n;
}

static inline bool same_lower(const char *lower, const char *p, size_t n)
{
    if (n >= 8) {
        for (size_t i = 0; i + 8 < n; i += 8)
            if (load8(lower + i) != load8(p + i))
                return false;
        return load8(lower + n - 8) == load8(p + n - 8);
    }
    if (n >= 4)
        return load4(lower) == load4(p) && load4(lower + n - 4) == load4(p + n - 4);
    for (size_t i = 0; i < n; i++)
        if (lower[i] != (p[i] | 0x20))
            return false;
    return true;
}

enum header_id header_id_of(struct view name)
{
    uint8_t id = slots[name_key(name.p, name.n) * HEADER_HASH_MUL >> (64 - HEADER_HASH_BITS)];
    if (known[id].n != name.n || !same_lower(known[id].name, name.p, name.n))
        return HEADER_OTHER;
    return (enum header_id)id;
}

struct view header_id_name(enum header_id id)
{
    return (struct view){known[id].name, known[id].n};
}

void headers_init(struct headers *h, struct arena *a)
{
    h->at = h->inline_at;
    h->arena = a;
    h->n = 0;
    h->cap = HEADERS_INLINE;
    h->bytes = 0;
    memset(h->first, 0, sizeof(h->first));
}

int headers_grow(struct headers *h)
{
    if (h->n < h->cap)
        return 0;
    if (!h->arena || h->cap >= HEADERS_MOST)
        return -E2BIG;
    uint16_t cap = h->cap * 2 < HEADERS_MOST ? (uint16_t)(h->cap * 2) : HEADERS_MOST;
    struct header *at = (struct header *)arena_alloc_raw(h->arena, cap * sizeof(*at), 8);
    memcpy(at, h->at, h->n * sizeof(*at));
    h->at = at;
    h->cap = cap;
    return 0;
}

int headers_add_name(struct headers *h, enum header_id id, struct view name, struct view value)
{
    if (name.n == 0 || name.n > UINT16_MAX || value.n > UINT32_MAX)
        return -E2BIG;
    int r = headers_grow(h);
    if (r < 0)
        return r;
    headers_push(h, id, name.p, name.n, value.p ? value.p : name.p, value.n);
    return 0;
}

int headers_add(struct headers *h, enum header_id id, struct view value)
{
    return headers_add_name(h, id, header_id_name(id), value);
}

struct header *headers_find_name(const struct headers *h, enum header_id id, struct view name)
{
    if (id != HEADER_OTHER)
        return headers_find(h, id);
    HEADERS_EACH (h, e)
        if (e->id == HEADER_OTHER && e->name_n == name.n && view_ieq(header_name(e), name))
            return e;
    return NULL;
}

struct view headers_get(const struct headers *h, struct view name)
{
    struct header *e = headers_find_name(h, header_id_of(name), name);
    return e ? header_value(e) : VIEW_NONE;
}

struct header *headers_next_same(const struct headers *h, const struct header *e)
{
    for (struct header *it = h->at + (e - h->at) + 1; it < h->at + h->n; it++)
        if (it->name && it->id == e->id && (it->id != HEADER_OTHER || view_ieq(header_name(it), header_name(e))))
            return it;
    return NULL;
}

struct view headers_joined(const struct headers *h, enum header_id id, struct view name, struct arena *a)
{
    struct header *first = headers_find_name(h, id, name);
    if (!first)
        return VIEW_NONE;
    size_t n = 0;
    unsigned count = 0;
    for (struct header *e = first; e; e = headers_next_same(h, e), count++)
        n += e->value_n + 1;
    if (count == 1)
        return header_value(first);
    char *all = (char *)arena_alloc_raw(a, n, 1), *at = all;
    for (struct header *e = first; e; e = headers_next_same(h, e)) {
        memcpy(at, e->value, e->value_n);
        at += e->value_n;
        *at++ = ',';
    }
    return (struct view){all, n - 1};
}

void headers_del_entry(struct headers *h, struct header *e)
{
    if (e->id != HEADER_OTHER && &h->at[h->first[e->id] - 1] == e) {
        struct header *next = headers_next_same(h, e);
        h->first[e->id] = next ? (uint8_t)(next - h->at + 1) : 0;
    }
    e->name = NULL;
}

bool headers_del_name(struct headers *h, enum header_id id, struct view name)
{
    struct header *e = headers_find_name(h, id, name);
    if (!e)
        return false;
    while (e) {
        struct header *next = headers_next_same(h, e);
        headers_del_entry(h, e);
        e = next;
    }
    return true;
}

bool headers_del(struct headers *h, enum header_id id)
{
    return headers_del_name(h, id, VIEW_NONE);
}

int headers_set_name(struct headers *h, enum header_id id, struct view name, struct view value)
{
    struct header *e = headers_find_name(h, id, name);
    if (!e)
        return headers_add_name(h, id, name, value);
    if (value.n > UINT32_MAX)
        return -E2BIG;
    for (struct header *more; (more = headers_next_same(h, e));)
        headers_del_entry(h, more);
    e->value = value.p ? value.p : e->name;
    e->value_n = (uint32_t)value.n;
    e->flags &= (uint8_t) ~(HEADER_LINE | HEADER_VALID);
    h->bytes += (uint32_t)value.n;
    return 0;
}

int headers_set(struct headers *h, enum header_id id, struct view value)
{
    return headers_set_name(h, id, header_id_name(id), value);
}

int headers_append(struct headers *h, const struct headers *from)
{
    HEADERS_EACH (from, e) {
        int r = headers_add_name(h, (enum header_id)e->id, header_name(e), header_value(e));
        if (r < 0)
            return r;
        h->at[h->n - 1].flags = e->flags;
    }
    return 0;
}

int headers_copy(struct headers *h, const struct headers *from)
{
    must(h->arena);
    HEADERS_EACH (from, e) {
        struct view name = header_id_name((enum header_id)e->id);
        if (e->id == HEADER_OTHER)
            name = arena_view(h->arena, header_name(e));
        int r = headers_add_name(h, (enum header_id)e->id, name, arena_view(h->arena, header_value(e)));
        if (r < 0)
            return r;
        h->at[h->n - 1].flags |= e->flags & HEADER_VALID;
    }
    return 0;
}

void headers_rebase(struct headers *h, const char *old, size_t n, const char *now)
{
    uintptr_t from = (uintptr_t)old, by = (uintptr_t)now - from;
    for (struct header *e = h->at; e < h->at + h->n; e++) {
        if ((uintptr_t)e->name - from < n)
            e->name = (const char *)((uintptr_t)e->name + by);
        if ((uintptr_t)e->value - from < n)
            e->value = (const char *)((uintptr_t)e->value + by);
    }
}

struct view header_status_text(unsigned code)
{
#define ONE(h, t, u) #h #t #u
#define TEN(h, t)                                                                                                      \
    ONE(h, t, 0)                                                                                                       \
    ONE(h, t, 1) ONE(h, t, 2) ONE(h, t, 3) ONE(h, t, 4) ONE(h, t, 5) ONE(h, t, 6) ONE(h, t, 7) ONE(h, t, 8) ONE(h, t, 9)
#define HUNDRED(h) TEN(h, 0) TEN(h, 1) TEN(h, 2) TEN(h, 3) TEN(h, 4) TEN(h, 5) TEN(h, 6) TEN(h, 7) TEN(h, 8) TEN(h, 9)
    static const char digits[] =
        HUNDRED(1) HUNDRED(2) HUNDRED(3) HUNDRED(4) HUNDRED(5) HUNDRED(6) HUNDRED(7) HUNDRED(8) HUNDRED(9);
    must(code >= 100 && code <= 999);
    return (struct view){digits + (code - 100) * 3, 3};
}
