// SPDX-License-Identifier: Apache-2.0
/* The rules of traffic capture, as text. The order is Istio's and matters: port exclusions come before anything that
 * redirects to itself, the proxy's own traffic returns before the catch-all. Chains:
 *
 *   PREROUTING → ISTIO_INBOUND → ISTIO_IN_REDIRECT → 15006
 *   OUTPUT     → ISTIO_OUTPUT  → ISTIO_REDIRECT    → 15001   (ISTIO_IN_REDIRECT for calls to oneself by the Service)
 *
 * Rules are gathered in the order of emission; then each table is printed with its chains in the order of first use.
 */
#include "node/iptables.h"

#include <stdio.h>

enum table { TABLE_MANGLE, TABLE_NAT, N_TABLES };
static const char *const table_names[N_TABLES] = {"mangle", "nat"};

struct rules {
    const struct iptables_options *o;
    enum iptables_family family;
    const char *loopback; /* of this family */
    struct buf chains[N_TABLES], lines[N_TABLES];
};

static bool chain_builtin(struct view chain)
{
    return view_is(chain, "PREROUTING") || view_is(chain, "OUTPUT");
}

static void chain_declare(struct rules *r, enum table table, struct view chain)
{
    struct buf line = {0};
    buf_printf(&line, "-N %.*s\n", VIEW_ARGS(chain));
    struct view want = buf_read(&line), have = buf_read(&r->chains[table]);
    if (view_find_view(have, want) == have.n)
        buf_view(&r->chains[table], want);
    buf_done(&line);
}

/* One rule: `-A CHAIN spec…` or, with `at` 1, `-I CHAIN 1 spec…`. */
printf_like(5, 0) static void rule_add(struct rules *r, enum table table, const char *chain, int at, const char *fmt,
                                       va_list args)
{
    char spec[512];
    int n = vsnprintf(spec, sizeof(spec), fmt, args);
    must(n >= 0 && (size_t)n < sizeof(spec));
    if (!chain_builtin(view_of(chain)))
        chain_declare(r, table, view_of(chain));
    if (at)
        buf_printf(&r->lines[table], "-I %s %d %s\n", chain, at, spec);
    else
        buf_printf(&r->lines[table], "-A %s %s\n", chain, spec);
}

printf_like(3, 4) static void nat(struct rules *r, const char *chain, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    rule_add(r, TABLE_NAT, chain, 0, fmt, args);
    va_end(args);
}

printf_like(2, 3) static void nat_prerouting_first(struct rules *r, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    rule_add(r, TABLE_NAT, "PREROUTING", 1, fmt, args);
    va_end(args);
}

printf_like(3, 4) static void mangle(struct rules *r, const char *chain, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    rule_add(r, TABLE_MANGLE, chain, 0, fmt, args);
    va_end(args);
}

#define EACH_WORD(list, word)                                                                                          \
    for (struct view word##_rest = (list), word = VIEW_NONE; view_cut(&word##_rest, ',', &word);)                      \
        if ((word = view_trim(word)).n)

static void add_interfaces(struct rules *r)
{
    EACH_WORD(r->o->exclude_interfaces, iface)
    {
        nat(r, "PREROUTING", "-i %.*s -j RETURN", VIEW_ARGS(iface));
        nat(r, "OUTPUT", "-o %.*s -j RETURN", VIEW_ARGS(iface));
    }
    EACH_WORD(r->o->virtual_interfaces, iface)
    nat_prerouting_first(r, "-i %.*s -j RETURN", VIEW_ARGS(iface));
}

static void add_inbound(struct rules *r)
{
    const struct iptables_options *o = r->o;
    if (o->drop_invalid) {
        mangle(r, "PREROUTING", "-m conntrack --ctstate INVALID -j ISTIO_DROP");
        mangle(r, "ISTIO_DROP", "-j DROP");
    }
    nat(r, "ISTIO_INBOUND", "-p tcp --dport %.*s -j RETURN", VIEW_ARGS(o->inbound_tunnel_port));
    nat(r, "ISTIO_REDIRECT", "-p tcp -j REDIRECT --to-ports %.*s", VIEW_ARGS(o->envoy_port));
    nat(r, "ISTIO_IN_REDIRECT", "-p tcp -j REDIRECT --to-ports %.*s", VIEW_ARGS(o->inbound_capture_port));
    if (view_empty(o->inbound_ports))
        return;
    nat(r, "PREROUTING", "-p tcp -j ISTIO_INBOUND");
    if (!view_is(o->inbound_ports, "*")) {
        EACH_WORD(o->inbound_ports, port)
        nat(r, "ISTIO_INBOUND", "-p tcp --dport %.*s -j ISTIO_IN_REDIRECT", VIEW_ARGS(port));
        return;
    }
    EACH_WORD(o->inbound_exclude_ports, port)
    nat(r, "ISTIO_INBOUND", "-p tcp --dport %.*s -j RETURN", VIEW_ARGS(port));
    nat(r, "ISTIO_INBOUND", "-p tcp -j ISTIO_IN_REDIRECT");
}

/* What the proxy itself sends: to oneself by the Service's address it goes in again, all else leaves untouched. */
static void add_owner(struct rules *r, const char *kind, struct view id)
{
    const struct iptables_options *o = r->o;
    nat(r, "ISTIO_OUTPUT", "-o lo ! -d %s -p tcp ! --dport %.*s -m owner --%s-owner %.*s -j ISTIO_IN_REDIRECT",
        r->loopback, VIEW_ARGS(o->inbound_tunnel_port), kind, VIEW_ARGS(id));
    if (!o->outbound_has_loopback)
        nat(r, "ISTIO_OUTPUT", "-o lo -m owner ! --%s-owner %.*s -j RETURN", kind, VIEW_ARGS(id));
    nat(r, "ISTIO_OUTPUT", "-m owner --%s-owner %.*s -j RETURN", kind, VIEW_ARGS(id));
}

static void add_owner_groups(struct rules *r)
{
    const struct iptables_options *o = r->o;
    if (o->groups_except) {
        for (size_t i = 0; i < o->n_groups; i++)
            nat(r, "ISTIO_OUTPUT", "-m owner --gid-owner %.*s -j RETURN", VIEW_ARGS(o->groups[i]));
        return;
    }
    struct buf all = {0};
    for (size_t i = 0; i < o->n_groups; i++)
        buf_printf(&all, "-m owner ! --gid-owner %.*s ", VIEW_ARGS(o->groups[i]));
    nat(r, "ISTIO_OUTPUT", "%s-j RETURN", buf_cstr(&all));
    buf_done(&all);
}

static void add_outbound(struct rules *r)
{
    const struct iptables_options *o = r->o;
    nat(r, "OUTPUT", "-j ISTIO_OUTPUT");
    EACH_WORD(o->outbound_exclude_ports, port)
    {
        nat(r, "ISTIO_OUTPUT", "-p tcp --dport %.*s -j RETURN", VIEW_ARGS(port));
        nat(r, "ISTIO_OUTPUT", "-p udp --dport %.*s -j RETURN", VIEW_ARGS(port));
    }
    nat(r, "ISTIO_OUTPUT", "-o lo -s %s -j RETURN", r->family == IPTABLES_V4 ? "127.0.0.6/32" : "::6/128");
    EACH_WORD(o->proxy_uid, uid)
    add_owner(r, "uid", uid);
    EACH_WORD(view_empty(o->proxy_gid) ? o->proxy_uid : o->proxy_gid, gid)
    add_owner(r, "gid", gid);
    add_owner_groups(r);
    nat(r, "ISTIO_OUTPUT", "-d %s -j RETURN", r->loopback);
    for (size_t i = 0; i < o->n_exclude[r->family]; i++)
        nat(r, "ISTIO_OUTPUT", "-d %.*s -j RETURN", VIEW_ARGS(o->exclude[r->family][i]));
    EACH_WORD(o->outbound_ports, port)
    nat(r, "ISTIO_OUTPUT", "-p tcp --dport %.*s -j ISTIO_REDIRECT", VIEW_ARGS(port));
    if (o->outbound_any) {
        nat(r, "ISTIO_OUTPUT", "-j ISTIO_REDIRECT");
        EACH_WORD(o->virtual_interfaces, iface)
        nat_prerouting_first(r, "-i %.*s -j ISTIO_REDIRECT", VIEW_ARGS(iface));
        return;
    }
    for (size_t i = 0; i < o->n_include[r->family]; i++) {
        struct view cidr = o->include[r->family][i];
        EACH_WORD(o->virtual_interfaces, iface)
        nat_prerouting_first(r, "-i %.*s -d %.*s -j ISTIO_REDIRECT", VIEW_ARGS(iface), VIEW_ARGS(cidr));
        nat(r, "ISTIO_OUTPUT", "-d %.*s -j ISTIO_REDIRECT", VIEW_ARGS(cidr));
    }
}

void iptables_rules(const struct iptables_options *o, enum iptables_family family, struct buf *out)
{
    char loopback[64];
    snprintf(loopback, sizeof(loopback), "%.*s", VIEW_ARGS(family == IPTABLES_V4 ? o->loopback_cidr : VIEW("::1/128")));
    struct rules r = {.o = o, .family = family, .loopback = loopback};
    add_interfaces(&r);
    add_inbound(&r);
    add_outbound(&r);
    for (enum table t = 0; t < N_TABLES; t++) {
        if (buf_len(&r.lines[t])) {
            buf_printf(out, "* %s\n", table_names[t]);
            buf_view(out, buf_read(&r.chains[t]));
            buf_view(out, buf_read(&r.lines[t]));
            buf_str(out, "COMMIT\n");
        }
        buf_done(&r.chains[t]);
        buf_done(&r.lines[t]);
    }
}
