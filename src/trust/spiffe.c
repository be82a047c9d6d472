// SPDX-License-Identifier: Apache-2.0
/* SPIFFE identities (spiffe.h). */
#include "trust/spiffe.h"

#include <errno.h>

/* RFC 3986 unreserved characters: all that names of Kubernetes and trust domains need. */
static bool plain(struct view v)
{
    for (size_t i = 0; i < v.n; i++) {
        char c = v.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
              c == '_' || c == '~' || c == ':'))
            return false;
    }
    return v.n > 0;
}

int spiffe_parse(struct view uri, struct spiffe *ret_id)
{
    static const char scheme[] = "spiffe://";
    struct view part[5], rest = view_from(uri, sizeof(scheme) - 1);
    if (!view_starts(uri, view_of(scheme)) || uri.n > 2048) /* the limit of the SPIFFE standard */
        return -EINVAL;
    for (int i = 0; i < 5; i++) {
        size_t slash = view_find(rest, '/');
        part[i] = view_head(rest, slash);
        if ((slash == rest.n) != (i == 4) || !plain(part[i]))
            return -EINVAL;
        rest = view_from(rest, slash + 1);
    }
    if (!view_is(part[1], "ns") || !view_is(part[3], "sa"))
        return -EINVAL;
    *ret_id = (struct spiffe){.trust_domain = part[0], .ns = part[2], .sa = part[4]};
    return 0;
}

void spiffe_print(struct buf *out, const struct spiffe *id)
{
    buf_str(out, "spiffe://");
    buf_view(out, id->trust_domain);
    buf_str(out, "/ns/");
    buf_view(out, id->ns);
    buf_str(out, "/sa/");
    buf_view(out, id->sa);
}

struct view spiffe_uri(struct arena *a, const struct spiffe *id)
{
    return arena_printf(a, "spiffe://%.*s/ns/%.*s/sa/%.*s", VIEW_ARGS(id->trust_domain), VIEW_ARGS(id->ns),
                        VIEW_ARGS(id->sa));
}

struct view spiffe_trust_domain(struct arena *a, struct view configured)
{
    char *copy = arena_str(a, configured);
    for (size_t i = 0; i < configured.n; i++)
        if (copy[i] == '@')
            copy[i] = '.';
    return view_make(copy, configured.n);
}
