// SPDX-License-Identifier: Apache-2.0
/* The shapes of text that Kubernetes and Istio demand (decode.h): DNS names, hosts, addresses and labels. */
#include <arpa/inet.h>

#include "mesh/decode.h"

static bool is_alnum(char c, bool upper)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (upper && c >= 'A' && c <= 'Z');
}

static bool is_word(struct view v, size_t most, const char *inside, bool upper)
{
    if (!v.n || v.n > most || !is_alnum(v.p[0], upper) || !is_alnum(v.p[v.n - 1], upper))
        return false;
    for (size_t i = 0; i < v.n; i++)
        if (!is_alnum(v.p[i], upper) && (!v.p[i] || !strchr(inside, v.p[i])))
            return false;
    return true;
}

bool is_dns_label(struct view v)
{
    return is_word(v, 63, "-", false);
}

static bool is_dotted(struct view v, bool upper)
{
    struct view rest = v, label;
    if (!v.n || v.n > 253 || v.p[v.n - 1] == '.')
        return false;
    while (view_cut(&rest, '.', &label))
        if (!is_word(label, 63, upper ? "-_" : "-", upper))
            return false;
    return true;
}

bool is_dns_name(struct view v)
{
    return is_dotted(v, false);
}

bool is_host(struct view v)
{
    if (view_is(v, "*"))
        return true;
    if (view_starts(v, VIEW("*.")))
        v = view_from(v, 2);
    return is_dotted(v, true) || is_ip(v);
}

bool is_label_value(struct view v)
{
    return !v.n || is_word(v, 63, "-_.", true);
}

bool is_label_key(struct view v)
{
    size_t slash = view_find(v, '/');
    if (slash < v.n)
        return is_dns_name(view_head(v, slash)) && is_word(view_from(v, slash + 1), 63, "-_.", true);
    return is_word(v, 63, "-_.", true);
}

bool is_ip(struct view v)
{
    char text[64];
    unsigned char addr[16];
    if (v.n >= sizeof(text))
        return false;
    memcpy(text, v.p, v.n);
    text[v.n] = 0;
    return inet_pton(AF_INET, text, addr) == 1 || inet_pton(AF_INET6, text, addr) == 1;
}

bool is_cidr(struct view v)
{
    size_t slash = view_find(v, '/');
    uint64_t bits;
    if (slash == v.n)
        return is_ip(v);
    struct view addr = view_head(v, slash);
    bool v6 = view_find(addr, ':') < addr.n;
    return is_ip(addr) && view_u64(view_from(v, slash + 1), &bits) == 0 && bits <= (v6 ? 128 : 32);
}
