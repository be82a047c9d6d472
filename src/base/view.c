// SPDX-License-Identifier: Apache-2.0
/* Comparing, searching and cutting borrowed bytes (view.h). Nothing here allocates but view_dup(). */
#include "base/view.h"

#include <errno.h>

#include "base/must.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

static inline unsigned char lower(unsigned char c)
{
    return c >= 'A' && c <= 'Z' ? (unsigned char)(c | 0x20) : c;
}

char *view_dup(struct view v)
{
    char *copy = mem_alloc(v.n + 1);
    if (v.n)
        memcpy(copy, v.p, v.n);
    return copy;
}

bool view_ieq(struct view a, struct view b)
{
    return a.n == b.n && view_istarts(a, b);
}

bool view_istarts(struct view v, struct view prefix)
{
    if (v.n < prefix.n)
        return false;
    for (size_t i = 0; i < prefix.n; i++)
        if (lower((unsigned char)v.p[i]) != lower((unsigned char)prefix.p[i]))
            return false;
    return true;
}

int view_cmp(struct view a, struct view b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int c = n ? memcmp(a.p, b.p, n) : 0;
    return c ? c : (a.n > b.n) - (a.n < b.n);
}

size_t view_find_view(struct view v, struct view needle)
{
    if (needle.n == 0)
        return 0;
    const char *at = v.n >= needle.n ? memmem(v.p, v.n, needle.p, needle.n) : NULL;
    return at ? (size_t)(at - v.p) : v.n;
}

struct view view_trim(struct view v)
{
    while (v.n && (v.p[0] == ' ' || v.p[0] == '\t'))
        v = view_from(v, 1);
    while (v.n && (v.p[v.n - 1] == ' ' || v.p[v.n - 1] == '\t'))
        v.n--;
    return v;
}

bool view_cut(struct view *rest, char sep, struct view *ret_field)
{
    if (!rest->p)
        return false;
    size_t at = view_find(*rest, sep);
    *ret_field = view_head(*rest, at);
    *rest = at < rest->n ? (struct view){rest->p + at + 1, rest->n - at - 1} : VIEW_NONE;
    return true;
}

int view_u64(struct view v, uint64_t *ret_value)
{
    uint64_t value = 0;
    if (v.n == 0)
        return -EINVAL;
    for (size_t i = 0; i < v.n; i++) {
        if (v.p[i] < '0' || v.p[i] > '9')
            return -EINVAL;
        if (__builtin_mul_overflow(value, 10u, &value) ||
            __builtin_add_overflow(value, (uint64_t)(v.p[i] - '0'), &value))
            return -ERANGE;
    }
    *ret_value = value;
    return 0;
}

uint64_t view_hash(struct view v)
{
    return XXH3_64bits(v.n ? v.p : "", v.n);
}

uint64_t view_ihash(struct view v)
{
    uint64_t h = 0xcbf29ce484222325u; /* FNV-1a: names are short, and folding a copy would need a buffer */
    for (size_t i = 0; i < v.n; i++)
        h = (h ^ lower((unsigned char)v.p[i])) * 0x100000001b3u;
    return h;
}
