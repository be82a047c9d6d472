// SPDX-License-Identifier: Apache-2.0
/* Conditions of a route (match.h), each a plain function of bytes. */
#include "plan/match.h"

#include <errno.h>

#include "base/regex.h"

static bool compare(enum text_match_kind kind, bool ignore_case, struct view pattern, struct view text)
{
    switch (kind) {
    case TEXT_EXACT:
        return ignore_case ? view_ieq(text, pattern) : view_eq(text, pattern);
    case TEXT_PREFIX:
        return ignore_case ? view_istarts(text, pattern) : view_starts(text, pattern);
    case TEXT_SUFFIX:
        if (!ignore_case)
            return view_ends(text, pattern);
        return text.n >= pattern.n && view_ieq(view_from(text, text.n - pattern.n), pattern);
    case TEXT_CONTAINS:
        if (!ignore_case)
            return pattern.n == 0 || view_find_view(text, pattern) < text.n;
        for (size_t i = 0; i + pattern.n <= text.n; i++)
            if (view_ieq(view_head(view_from(text, i), pattern.n), pattern))
                return true;
        return false;
    case TEXT_PRESENT:
        return true;
    case TEXT_REGEX:
        break;
    }
    return false;
}

bool text_match(const struct text_match *m, struct view text)
{
    if (m->kind == TEXT_REGEX)
        return m->regex && regex_match(m->regex, text);
    return compare(m->kind, m->ignore_case, m->value, text);
}

struct view path_without_query(struct view path)
{
    for (size_t i = 0; i < path.n; i++)
        if (path.p[i] == '?' || path.p[i] == '#')
            return view_head(path, i);
    return path;
}

bool path_match(const struct path_match *m, struct view path)
{
    switch (m->kind) {
    case PATH_PREFIX:
        return compare(TEXT_PREFIX, m->ignore_case, m->value, path);
    case PATH_EXACT:
        return compare(TEXT_EXACT, m->ignore_case, m->value, path);
    case PATH_SEPARATED_PREFIX:
        return compare(TEXT_PREFIX, m->ignore_case, m->value, path) &&
               (path.n == m->value.n || path.p[m->value.n] == '/' || (m->value.n && m->value.p[m->value.n - 1] == '/'));
    case PATH_REGEX:
        return m->regex && regex_match(m->regex, path);
    }
    return false;
}

static bool request_value(const struct match_request *r, struct view name, struct view *ret)
{
    static const struct {
        struct view name;
        size_t at;
    } pseudo[] = {
        {{":authority", 10}, offsetof(struct match_request, host)},
        {{":path", 5}, offsetof(struct match_request, path)},
        {{":method", 7}, offsetof(struct match_request, method)},
        {{":scheme", 7}, offsetof(struct match_request, scheme)},
    };
    if (name.n && name.p[0] == ':') {
        for (size_t i = 0; i < COUNT_OF(pseudo); i++)
            if (view_eq(pseudo[i].name, name)) {
                *ret = *(const struct view *)(const void *)((const char *)r + pseudo[i].at);
                return ret->p != NULL;
            }
        return false;
    }
    return r->header && r->header(r->headers, name, ret);
}

bool header_match(const struct header_match *m, const struct match_request *r)
{
    struct view value = VIEW_NONE;
    bool there = request_value(r, m->name, &value);
    if (m->value.kind == TEXT_PRESENT)
        return there != m->invert;
    if (!there && !m->missing_is_empty)
        return m->invert; /* Istio: withoutHeaders holds for a header that is missing */
    return text_match(&m->value, value) != m->invert;
}

bool query_find(struct view path, struct view name, struct view *ret_value)
{
    size_t mark = view_find(path, '?');
    struct view query = view_from(path, mark + 1), pair;
    query = view_head(query, view_find(query, '#'));
    while (view_cut(&query, '&', &pair)) {
        size_t eq = view_find(pair, '=');
        if (!view_eq(view_head(pair, eq), name))
            continue;
        *ret_value = view_from(pair, eq + 1);
        return true;
    }
    return false;
}

bool query_match(const struct query_match *m, struct view path)
{
    struct view value;
    return query_find(path, m->name, &value) && text_match(&m->value, value);
}

int text_match_prepare(struct text_match *m, struct arena *a, struct view *ret_error)
{
    if (m->kind != TEXT_REGEX || m->regex)
        return 0;
    return regex_new(a, m->value, &m->regex, ret_error);
}

int path_match_prepare(struct path_match *m, struct arena *a, struct view *ret_error)
{
    if (m->kind != PATH_REGEX || m->regex)
        return 0;
    return regex_new(a, m->value, &m->regex, ret_error);
}
