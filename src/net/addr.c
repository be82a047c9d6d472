// SPDX-License-Identifier: Apache-2.0
/* Addresses (addr.h). IPv6 is parsed and printed by libc into buffers on the stack; IPv4, the hot one, by hand. */
#include "net/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

static const uint8_t v4_mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static void set_v6(struct addr *a, const uint8_t ip[16], uint16_t port, uint32_t scope)
{
    *a = (struct addr){.family = ADDR_V6, .port = port, .scope = scope};
    if (memcmp(ip, v4_mapped, sizeof(v4_mapped)) == 0) {
        a->family = ADDR_V4;
        a->scope = 0;
        memcpy(a->ip, ip + 12, 4);
    } else {
        memcpy(a->ip, ip, 16);
    }
}

static bool parse_v4(struct view text, uint8_t ip[4])
{
    for (int i = 0; i < 4; i++) {
        struct view part;
        uint64_t value;
        size_t dot = view_find(text, '.');
        if ((dot == text.n) != (i == 3))
            return false;
        part = view_head(text, dot);
        if (part.n == 0 || part.n > 3 || (part.n > 1 && part.p[0] == '0') || view_u64(part, &value) < 0 || value > 255)
            return false;
        ip[i] = (uint8_t)value;
        text = view_from(text, dot + 1);
    }
    return true;
}

uint32_t addr_v4_number(struct view text)
{
    uint8_t ip[4];
    return parse_v4(text, ip) ? (uint32_t)ip[0] << 24 | (uint32_t)ip[1] << 16 | (uint32_t)ip[2] << 8 | ip[3] : 0;
}

static bool parse_scope(struct view text, uint32_t *ret_scope)
{
    uint64_t value;
    if (view_u64(text, &value) < 0 || value > UINT32_MAX)
        return false; /* names of interfaces mean nothing on another host, and configuration travels */
    *ret_scope = (uint32_t)value;
    return true;
}

int addr_parse_ip(struct view text, uint16_t port, struct addr *ret_addr)
{
    struct addr a = {.family = ADDR_V4, .port = port};
    if (parse_v4(text, a.ip)) {
        *ret_addr = a;
        return 0;
    }
    char copy[INET6_ADDRSTRLEN];
    uint8_t ip[16];
    uint32_t scope = 0;
    size_t percent = view_find(text, '%');
    if (percent < text.n && !parse_scope(view_from(text, percent + 1), &scope))
        return -EINVAL;
    text = view_head(text, percent);
    if (text.n == 0 || text.n >= sizeof(copy))
        return -EINVAL;
    memcpy(copy, text.p, text.n);
    copy[text.n] = 0;
    if (inet_pton(AF_INET6, copy, ip) != 1)
        return -EINVAL;
    set_v6(ret_addr, ip, port, scope);
    return 0;
}

int addr_parse(struct view text, struct addr *ret_addr)
{
    uint64_t port;
    if (view_starts(text, VIEW("unix:"))) {
        struct view path = view_from(text, 5);
        if (path.n == 0 || path.n >= sizeof(((struct sockaddr_un *)0)->sun_path))
            return -EINVAL;
        *ret_addr = addr_unix(path);
        return 0;
    }
    struct view host, rest;
    if (text.n && text.p[0] == '[') {
        size_t close = view_find(text, ']');
        host = view_from(view_head(text, close), 1);
        rest = view_from(text, close + 1);
        if (close == text.n || view_find(host, ':') == host.n)
            return -EINVAL;
    } else {
        size_t colon = view_find(text, ':');
        host = view_head(text, colon);
        rest = view_from(text, colon);
    }
    if (rest.n < 2 || rest.p[0] != ':' || view_u64(view_from(rest, 1), &port) < 0 || port > 65535)
        return -EINVAL;
    return addr_parse_ip(host, (uint16_t)port, ret_addr);
}

struct addr addr_v4(uint32_t host_order, uint16_t port)
{
    struct addr a = {.family = ADDR_V4, .port = port};
    uint32_t n = htonl(host_order);
    memcpy(a.ip, &n, 4);
    return a;
}

struct addr addr_unix(struct view path)
{
    return (struct addr){.family = ADDR_UNIX, .path_len = (uint8_t)path.n, .path = path.p};
}

static char *print_number(char *at, unsigned value)
{
    char digits[10];
    int n = 0;
    do
        digits[n++] = (char)('0' + value % 10);
    while (value /= 10);
    while (n)
        *at++ = digits[--n];
    return at;
}

static char *print_ip(const struct addr *a, char *at)
{
    if (a->family == ADDR_V4) {
        for (int i = 0; i < 4; i++) {
            at = print_number(at, a->ip[i]);
            if (i < 3)
                *at++ = '.';
        }
        return at;
    }
    char v6[INET6_ADDRSTRLEN];
    if (!inet_ntop(AF_INET6, a->ip, v6, sizeof(v6)))
        return at;
    size_t n = strlen(v6);
    memcpy(at, v6, n);
    at += n;
    if (a->scope) {
        *at++ = '%';
        at = print_number(at, a->scope);
    }
    return at;
}

struct view addr_print(const struct addr *a, char text[ADDR_TEXT])
{
    char *at = text;
    switch ((enum addr_family)a->family) {
    case ADDR_NONE:
        break;
    case ADDR_UNIX:
        memcpy(at, a->path, a->path_len);
        at += a->path_len;
        break;
    case ADDR_V6:
        *at++ = '[';
        at = print_ip(a, at);
        *at++ = ']';
        *at++ = ':';
        at = print_number(at, a->port);
        break;
    case ADDR_V4:
        at = print_ip(a, at);
        *at++ = ':';
        at = print_number(at, a->port);
        break;
    }
    return view_make(text, (size_t)(at - text));
}

struct view addr_print_ip(const struct addr *a, char text[ADDR_TEXT])
{
    if (a->family != ADDR_V4 && a->family != ADDR_V6)
        return addr_print(a, text);
    return view_make(text, (size_t)(print_ip(a, text) - text));
}

int addr_cmp(const struct addr *a, const struct addr *b)
{
    if (a->family != b->family)
        return a->family < b->family ? -1 : 1;
    if (a->family == ADDR_UNIX)
        return view_cmp(view_make(a->path, a->path_len), view_make(b->path, b->path_len));
    int r = memcmp(a->ip, b->ip, sizeof(a->ip));
    if (r)
        return r;
    if (a->scope != b->scope)
        return a->scope < b->scope ? -1 : 1;
    return a->port == b->port ? 0 : a->port < b->port ? -1 : 1;
}

bool addr_eq(const struct addr *a, const struct addr *b)
{
    return addr_cmp(a, b) == 0;
}

bool addr_same_ip(const struct addr *a, const struct addr *b)
{
    return a->family == b->family && a->family != ADDR_UNIX && memcmp(a->ip, b->ip, sizeof(a->ip)) == 0;
}

bool addr_is_loopback(const struct addr *a)
{
    static const uint8_t one[16] = {[15] = 1};
    return (a->family == ADDR_V4 && a->ip[0] == 127) || (a->family == ADDR_V6 && memcmp(a->ip, one, 16) == 0) ||
           a->family == ADDR_UNIX;
}

bool addr_is_any(const struct addr *a)
{
    static const uint8_t zero[16];
    return (a->family == ADDR_V4 || a->family == ADDR_V6) && memcmp(a->ip, zero, 16) == 0;
}

bool addr_in(const struct addr *a, const struct addr *net, unsigned bits)
{
    if (a->family != net->family || a->family == ADDR_UNIX || a->family == ADDR_NONE)
        return false;
    unsigned most = a->family == ADDR_V4 ? 32 : 128;
    if (bits > most)
        bits = most;
    unsigned bytes = bits / 8, rest = bits % 8;
    if (memcmp(a->ip, net->ip, bytes) != 0)
        return false;
    return rest == 0 || (uint8_t)(a->ip[bytes] ^ net->ip[bytes]) >> (8 - rest) == 0;
}

int addr_parse_cidr(struct view text, struct addr *ret_net, unsigned *ret_bits)
{
    struct addr net;
    size_t slash = view_find(text, '/');
    int r = addr_parse_ip(view_head(text, slash), 0, &net);
    if (r < 0)
        return r;
    uint64_t most = net.family == ADDR_V4 ? 32 : 128, bits = most;
    if (slash < text.n && (view_u64(view_from(text, slash + 1), &bits) < 0 || bits > most))
        return -EINVAL;
    *ret_net = net;
    *ret_bits = (unsigned)bits;
    return 0;
}

socklen_t addr_to_sockaddr(const struct addr *a, struct sockaddr_storage *ss)
{
    memset(ss, 0, sizeof(*ss));
    if (a->family == ADDR_V4) {
        struct sockaddr_in *in = (struct sockaddr_in *)ss;
        in->sin_family = AF_INET;
        in->sin_port = htons(a->port);
        memcpy(&in->sin_addr, a->ip, 4);
        return sizeof(*in);
    }
    if (a->family == ADDR_V6) {
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ss;
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(a->port);
        in6->sin6_scope_id = a->scope;
        memcpy(&in6->sin6_addr, a->ip, 16);
        return sizeof(*in6);
    }
    if (a->family == ADDR_UNIX) {
        struct sockaddr_un *un = (struct sockaddr_un *)ss;
        un->sun_family = AF_UNIX;
        memcpy(un->sun_path, a->path, a->path_len);
        if (un->sun_path[0] == '@') { /* abstract: exactly these bytes, the first one zero */
            un->sun_path[0] = 0;
            return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + a->path_len);
        }
        return sizeof(*un);
    }
    return 0;
}

void addr_from_sockaddr(struct addr *a, const struct sockaddr *sa, socklen_t len)
{
    *a = (struct addr){0};
    if (len >= sizeof(struct sockaddr_in) && sa->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)sa;
        a->family = ADDR_V4;
        a->port = ntohs(in->sin_port);
        memcpy(a->ip, &in->sin_addr, 4);
    } else if (len >= sizeof(struct sockaddr_in6) && sa->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)sa;
        set_v6(a, in6->sin6_addr.s6_addr, ntohs(in6->sin6_port), in6->sin6_scope_id);
    }
}
