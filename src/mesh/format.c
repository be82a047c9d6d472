// SPDX-License-Identifier: Apache-2.0
/* The shapes of text that Kubernetes and Istio demand (decode.h): DNS names, hosts, addresses, labels, base64. */
#include <arpa/inet.h>
#include <errno.h>

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

static int base64_digit(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

int base64_decode(struct arena *a, struct view text, struct view *ret_bytes)
{
    char *out = arena_alloc_raw(a, text.n / 4 * 3 + 4, 1);
    size_t n = 0, padding = 0, digits = 0;
    uint32_t bits = 0;
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (c == '\n' || c == '\r')
            continue;
        if (c == '=') {
            padding++;
            continue;
        }
        int value = base64_digit(c);
        if (value < 0 || padding)
            return -EINVAL;
        bits = bits << 6 | (uint32_t)value;
        if (++digits % 4 == 0) {
            out[n++] = (char)(bits >> 16);
            out[n++] = (char)(bits >> 8);
            out[n++] = (char)bits;
        }
    }
    size_t rest = digits % 4;
    if (rest == 1 || (rest && padding != 4 - rest) || (!rest && padding))
        return -EINVAL;
    if (rest == 2) {
        out[n++] = (char)(bits >> 4);
    } else if (rest == 3) {
        out[n++] = (char)(bits >> 10);
        out[n++] = (char)(bits >> 2);
    }
    out[n] = 0;
    *ret_bytes = view_make(out, n);
    return 0;
}
