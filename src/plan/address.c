// SPDX-License-Identifier: Apache-2.0
/* Addresses (address.h): parsed once, when a plan is built. */
#include "plan/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

int plan_addr_parse_ip(struct view text, uint16_t port, struct plan_addr *ret)
{
    char z[INET6_ADDRSTRLEN];
    if (text.n == 0 || text.n >= sizeof(z))
        return -EINVAL;
    memcpy(z, text.p, text.n);
    z[text.n] = 0;
    struct plan_addr a = {.port = port};
    if (inet_pton(AF_INET, z, a.ip) == 1)
        a.kind = ADDR_IPV4;
    else if (inet_pton(AF_INET6, z, a.ip) == 1)
        a.kind = ADDR_IPV6;
    else
        return -EINVAL;
    *ret = a;
    return 0;
}

struct plan_addr plan_addr_of(struct view host, uint16_t port)
{
    struct plan_addr a;
    if (plan_addr_parse_ip(host, port, &a) < 0)
        a = (struct plan_addr){.kind = ADDR_NAME, .port = port, .name = host};
    return a;
}

static size_t ip_size(uint8_t kind)
{
    return kind == ADDR_IPV4 ? 4 : kind == ADDR_IPV6 ? 16 : 0;
}

bool plan_addr_eq(const struct plan_addr *a, const struct plan_addr *b)
{
    return a->kind == b->kind && a->port == b->port && memcmp(a->ip, b->ip, ip_size(a->kind)) == 0 &&
           view_eq(a->name, b->name);
}

uint64_t plan_addr_hash(const struct plan_addr *a)
{
    uint8_t key[19] = {a->kind, (uint8_t)(a->port >> 8), (uint8_t)a->port};
    memcpy(key + 3, a->ip, ip_size(a->kind));
    uint64_t h = view_hash(view_make(key, sizeof(key)));
    return a->name.n ? h ^ view_hash(a->name) : h;
}

void plan_addr_print_host(struct buf *out, const struct plan_addr *a)
{
    char z[INET6_ADDRSTRLEN];
    switch ((enum plan_addr_kind)a->kind) {
    case ADDR_UNSET:
        buf_char(out, '-');
        break;
    case ADDR_IPV4:
    case ADDR_IPV6:
        buf_str(out, inet_ntop(a->kind == ADDR_IPV4 ? AF_INET : AF_INET6, a->ip, z, sizeof(z)));
        break;
    case ADDR_NAME:
    case ADDR_PATH:
        buf_view(out, a->name);
        break;
    }
}

void plan_addr_print(struct buf *out, const struct plan_addr *a)
{
    if (a->kind == ADDR_IPV6)
        buf_char(out, '[');
    plan_addr_print_host(out, a);
    if (a->kind == ADDR_IPV6)
        buf_char(out, ']');
    if (a->kind == ADDR_UNSET || a->kind == ADDR_PATH)
        return;
    buf_char(out, ':');
    buf_u64(out, a->port);
}

int ip_prefix_parse(struct view text, struct ip_prefix *ret)
{
    size_t slash = view_find(text, '/');
    struct plan_addr a;
    int r = plan_addr_parse_ip(view_head(text, slash), 0, &a);
    if (r < 0)
        return r;
    uint64_t bits = ip_size(a.kind) * 8;
    if (slash < text.n) {
        uint64_t asked;
        if (view_u64(view_from(text, slash + 1), &asked) < 0 || asked > bits)
            return -EINVAL;
        bits = asked;
    }
    struct ip_prefix p = {.family = a.kind, .bits = (uint8_t)bits};
    for (size_t i = 0; i < ip_size(a.kind); i++) { /* host bits cleared: equal prefixes compare equal */
        int keep = (int)bits - (int)i * 8;
        p.ip[i] = keep >= 8 ? a.ip[i] : keep <= 0 ? 0 : (uint8_t)(a.ip[i] & (0xff << (8 - keep)));
    }
    *ret = p;
    return 0;
}

bool ip_prefix_contains(const struct ip_prefix *prefix, const struct plan_addr *addr)
{
    if (prefix->family != addr->kind)
        return false;
    uint32_t whole = prefix->bits / 8, rest = prefix->bits % 8;
    if (memcmp(prefix->ip, addr->ip, whole) != 0)
        return false;
    return rest == 0 || ((prefix->ip[whole] ^ addr->ip[whole]) & (0xff << (8 - rest)) & 0xff) == 0;
}

void ip_prefix_print(struct buf *out, const struct ip_prefix *prefix)
{
    struct plan_addr a = {.kind = prefix->family};
    memcpy(a.ip, prefix->ip, sizeof(a.ip));
    plan_addr_print_host(out, &a);
    buf_char(out, '/');
    buf_u64(out, prefix->bits);
}
