// SPDX-License-Identifier: Apache-2.0
/* Request targets and authorities: see uri.h. The byte classes of wire/scan.h have their table here.
 */
#include "wire/uri.h"

#include <errno.h>

#include "wire/scan.h"

#define T SCAN_TOKEN
#define V SCAN_VALUE
#define R SCAN_TARGET
#define H SCAN_HOST
#define M SCAN_METHOD
const uint8_t scan_class[256] = {
    ['\t'] = V,
    [' '] = V,
    ['"'] = V | R,
    ['#'] = T | V,
    ['('] = V | R | H,
    [')'] = V | R | H,
    [','] = V | R,
    ['/'] = V | R,
    [':'] = V | R,
    [';'] = V | R | H,
    ['<'] = V | R,
    ['='] = V | R | H,
    ['>'] = V | R,
    ['?'] = V | R,
    ['@'] = V | R,
    ['['] = V | R,
    ['\\'] = V | R,
    [']'] = V | R,
    ['{'] = V | R,
    ['}'] = V | R,
    ['!'] = T | V | R | H,
    ['$'] = T | V | R | H,
    ['%'] = T | V | R | H,
    ['&'] = T | V | R | H,
    ['\''] = T | V | R | H,
    ['*'] = T | V | R | H,
    ['+'] = T | V | R | H,
    ['-'] = T | V | R | H | M,
    ['.'] = T | V | R | H,
    ['^'] = T | V | R,
    ['_'] = T | V | R | H | M,
    ['`'] = T | V | R,
    ['|'] = T | V | R,
    ['~'] = T | V | R | H,
    ['0' ... '9'] = T | V | R | H,
    ['A' ... 'Z'] = T | V | R | H | M,
    ['a' ... 'z'] = T | V | R | H,
    [0x80 ... 0xff] = V,
};
#undef T
#undef V
#undef R
#undef H
#undef M

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool escapes_valid(struct view path)
{
    while (!view_empty(path)) {
        path = view_from(path, view_find(path, '%'));
        if (view_empty(path))
            break;
        if (path.n < 3)
            return false;
        int high = hex(path.p[1]), low = hex(path.p[2]);
        if (high < 0 || low < 0 || high + low == 0)
            return false;
        path = view_from(path, 3);
    }
    return true;
}

bool uri_path_valid(struct view path)
{
    if (path.n == 0 || path.p[0] != '/' || !scan_all_target(path.p, path.n))
        return false;
    if (!memchr(path.p, '%', path.n))
        return true;
    return escapes_valid(uri_path_only(path));
}

static bool port_valid(struct view port)
{
    uint64_t number;
    return port.n > 0 && port.n <= 5 && view_u64(port, &number) == 0 && number <= 65535;
}

bool uri_authority_valid(struct view a)
{
    if (a.n == 0)
        return false;
    const char *end = a.p + a.n, *host_end;
    if (a.p[0] == '[') {
        for (host_end = a.p + 1; host_end < end && *host_end != ']'; host_end++)
            if (hex(*host_end) < 0 && *host_end != ':' && *host_end != '.')
                return false;
        if (host_end == end || host_end - a.p < 3)
            return false;
        host_end++;
    } else {
        host_end = scan_host(a.p, a.p, end);
        if (host_end == a.p)
            return false;
    }
    return host_end == end || (*host_end == ':' && port_valid(view_from(a, (size_t)(host_end - a.p) + 1)));
}

void uri_authority_split(struct view a, struct view *ret_host, uint16_t *ret_port)
{
    struct view host = a, port = VIEW_NONE;
    uint64_t number = 0;
    if (a.n && a.p[0] == '[') {
        size_t close = view_find(a, ']');
        host = view_head(view_from(a, 1), close - 1);
        port = view_from(a, close + 2);
    } else {
        size_t colon = view_find(a, ':');
        host = view_head(a, colon);
        port = view_from(a, colon + 1);
    }
    if (port.n && view_u64(port, &number) < 0)
        number = 0;
    *ret_host = host;
    *ret_port = (uint16_t)number;
}

int uri_absolute_split(struct view target, struct view *ret_scheme, struct view *ret_authority, struct view *ret_path)
{
    size_t skip;
    if (view_istarts(target, VIEW("http://")))
        skip = 7;
    else if (view_istarts(target, VIEW("https://")))
        skip = 8;
    else
        return -EINVAL;
    struct view rest = view_from(target, skip);
    size_t slash = view_find(rest, '/');
    struct view authority = view_head(rest, slash), path = view_from(rest, slash);
    if (path.n == 0)
        path = VIEW("/");
    if (!uri_authority_valid(authority) || !uri_path_valid(path)) /* a '?' is no byte of an authority */
        return -EINVAL;
    *ret_scheme = view_head(target, skip - 3);
    *ret_authority = authority;
    *ret_path = path;
    return 0;
}

struct view uri_path_only(struct view target)
{
    return view_head(target, view_find(target, '?'));
}

struct view uri_query(struct view target)
{
    return view_from(target, view_find(target, '?') + 1);
}
