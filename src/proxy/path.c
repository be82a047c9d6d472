// SPDX-License-Identifier: Apache-2.0
/* Path normalisation (path.h): one pass to find out if anything is to be done, one pass to do it. */
#include "proxy/path.h"

#include <errno.h>
#include <string.h>

#include "plan/match.h"

bool path_needs_cleaning(struct view path)
{
    for (size_t i = 0; i < path.n && path.p[i] != '?'; i++) {
        char c = path.p[i];
        if (c == '%' || c == '\\')
            return true;
        if (c == '/' && i + 1 < path.n && (path.p[i + 1] == '/' || path.p[i + 1] == '.'))
            return true;
    }
    return false;
}

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Unreserved characters are decoded (%41 is A), slashes on demand; all other escapes stay. Backslash is a slash. */
static size_t decode(struct view in, bool decode_slashes, char *out)
{
    size_t n = 0;
    for (size_t i = 0; i < in.n; i++) {
        char c = in.p[i];
        if (c == '%' && i + 2 < in.n && hex(in.p[i + 1]) >= 0 && hex(in.p[i + 2]) >= 0) {
            unsigned char v = (unsigned char)(hex(in.p[i + 1]) * 16 + hex(in.p[i + 2]));
            bool unreserved = (v >= '0' && v <= '9') || ((v | 0x20) >= 'a' && (v | 0x20) <= 'z') || v == '-' ||
                              v == '.' || v == '_' || v == '~';
            if (unreserved || (decode_slashes && (v == '/' || v == '\\'))) {
                out[n++] = v == '\\' ? '/' : (char)v;
                i += 2;
                continue;
            }
        }
        out[n++] = c == '\\' ? '/' : c;
    }
    return n;
}

/* RFC 3986 §5.2.4, in place. */
static int remove_dots(char *p, size_t *n)
{
    size_t to = 0;
    for (size_t i = 0; i < *n;) {
        size_t end = i + 1;
        while (end < *n && p[end] != '/')
            end++;
        struct view segment = {p + i + 1, end - i - 1};
        bool last = end == *n;
        if (view_is(segment, "..")) {
            if (to == 0)
                return -EINVAL;
            while (to > 0 && p[--to] != '/')
                ;
            if (last)
                p[to++] = '/';
        } else if (view_is(segment, ".")) {
            if (last)
                p[to++] = '/';
        } else {
            memmove(p + to, p + i, end - i);
            to += end - i;
        }
        i = end;
    }
    *n = to;
    return 0;
}

static size_t merge(char *p, size_t n)
{
    size_t to = 0;
    for (size_t i = 0; i < n; i++)
        if (p[i] != '/' || to == 0 || p[to - 1] != '/')
            p[to++] = p[i];
    return to;
}

int path_clean(struct arena *a, struct view path, bool dots, bool slashes, bool decode_slashes, struct view *ret_path)
{
    struct view bare = path_without_query(path);
    if (!bare.n || bare.p[0] != '/') { /* "*" of OPTIONS */
        *ret_path = path;
        return 0;
    }
    char *out = arena_alloc_raw(a, path.n + 2, 1);
    size_t n = bare.n;
    if (dots || decode_slashes)
        n = decode(bare, decode_slashes, out);
    else
        memcpy(out, bare.p, n);
    if (slashes)
        n = merge(out, n);
    if (dots && remove_dots(out, &n) < 0)
        return -EINVAL;
    if (n == 0)
        out[n++] = '/';
    memcpy(out + n, path.p + bare.n, path.n - bare.n);
    *ret_path = (struct view){out, n + path.n - bare.n};
    return 0;
}
