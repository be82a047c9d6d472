// SPDX-License-Identifier: Apache-2.0
/* What the flags of `weft-node iptables` mean. Values reach the kernel's rules as text, so each is checked here: ports,
 * ids, interface names and CIDRs have nothing in them that iptables-restore could read as something else.
 */
#include "node/iptables.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <grp.h>
#include <net/if.h>
#include <stddef.h>
#include <string.h>

struct option {
    const char *name, *env, *preset;
    const char *refused; /* why */
    size_t offset;
    char letter;
    bool is_bool, takes_value;
};

static const struct option options[] = {
#define TEXT(field, name, letter, env, preset)                                                                         \
    {name, env, preset, NULL, offsetof(struct iptables_options, field), letter, false, true},
#define BOOL(field, name, letter, env)                                                                                 \
    {name, env, NULL, NULL, offsetof(struct iptables_options, field), letter, true, false},
#define REFUSED(name, letter, env, takes_value, why) {name, env, NULL, why, 0, letter, !(takes_value), takes_value},
#include "node/iptables_options.def"
#undef TEXT
#undef BOOL
#undef REFUSED
};

static bool parse_bool(struct view text, bool *ret_value)
{
    static const struct {
        const char *text;
        bool value;
    } words[] = {{"true", true}, {"false", false}, {"1", true}, {"0", false}, {"t", true}, {"f", false}};
    for (size_t i = 0; i < COUNT_OF(words); i++)
        if (view_ieq(text, view_of(words[i].text))) {
            *ret_value = words[i].value;
            return true;
        }
    return false;
}

static int option_set(struct iptables_options *o, struct arena *a, const struct option *opt, struct view value,
                      struct view *ret_why)
{
    bool on = true;
    if (opt->is_bool && !parse_bool(value, &on)) {
        *ret_why = arena_printf(a, "--%s: `%.*s` is neither true nor false", opt->name, VIEW_ARGS(value));
        return -EINVAL;
    }
    if (opt->refused) {
        if (opt->is_bool ? !on : view_empty(value))
            return 0;
        *ret_why = arena_printf(a, "--%s is not supported: %s", opt->name, opt->refused);
        return -EINVAL;
    }
    if (opt->is_bool)
        *(bool *)((char *)o + opt->offset) = on;
    else
        *(struct view *)(void *)((char *)o + opt->offset) = view_trim(value);
    return 0;
}

static const struct option *option_by_name(struct view name)
{
    for (size_t i = 0; i < COUNT_OF(options); i++)
        if (*options[i].name && view_is(name, options[i].name))
            return &options[i];
    return NULL;
}

static const struct option *option_by_letter(char letter)
{
    for (size_t i = 0; i < COUNT_OF(options); i++)
        if (options[i].letter && options[i].letter == letter)
            return &options[i];
    return NULL;
}

/* --name value, --name=value, -p value, -p=value, -pvalue; a switch takes its value only behind `=`. */
static int parse_argument(struct iptables_options *o, struct arena *a, int argc, char **argv, int *at,
                          struct view *ret_why)
{
    struct view arg = view_of(argv[*at]), value = VIEW_NONE;
    const struct option *opt = NULL;
    bool has_value = false;
    if (view_starts(arg, VIEW("--")) && arg.n > 2) {
        size_t eq = view_find(arg, '=');
        opt = option_by_name(view_from(view_head(arg, eq), 2));
        has_value = eq < arg.n;
        value = view_from(arg, eq + 1);
    } else if (arg.n >= 2 && arg.p[0] == '-') {
        opt = option_by_letter(arg.p[1]);
        has_value = arg.n > 2;
        value = view_from(arg, 2);
        if (has_value && value.p[0] == '=')
            value = view_from(value, 1);
    }
    if (!opt) {
        *ret_why = arena_printf(a, "`%.*s` is not a flag of weft-node iptables", VIEW_ARGS(arg));
        return -EINVAL;
    }
    ++*at;
    if (!has_value && opt->takes_value) {
        if (*at >= argc) {
            *ret_why = arena_printf(a, "`%.*s` needs a value", VIEW_ARGS(arg));
            return -EINVAL;
        }
        value = view_of(argv[(*at)++]);
    } else if (!has_value) {
        value = VIEW("true");
    }
    return option_set(o, a, opt, value, ret_why);
}

static bool is_number(struct view v, uint64_t most)
{
    uint64_t n;
    return view_u64(v, &n) == 0 && n <= most;
}

static bool is_port(struct view v)
{
    return is_number(v, 65535) && !view_is(v, "0");
}

static bool is_id(struct view v)
{
    return is_number(v, UINT32_MAX - 1);
}

static bool is_interface(struct view v)
{
    if (v.n == 0 || v.n >= IFNAMSIZ || v.p[0] == '-')
        return false;
    for (size_t i = 0; i < v.n; i++)
        if (!isalnum((unsigned char)v.p[i]) && !strchr("._-+@:", v.p[i]))
            return false;
    return true;
}

static int check_list(struct arena *a, const char *name, struct view list, bool (*ok)(struct view), const char *what,
                      struct view *ret_why)
{
    struct view word;
    while (view_cut(&list, ',', &word)) {
        word = view_trim(word);
        if (!view_empty(word) && !ok(word)) {
            *ret_why = arena_printf(a, "--%s: `%.*s` is not %s", name, VIEW_ARGS(word), what);
            return -EINVAL;
        }
    }
    return 0;
}

/* `10.1.2.3/8` becomes 10.0.0.0/8, as the kernel will show it. */
static int parse_cidr(struct arena *a, struct view text, struct view *ret_cidr, enum iptables_family *ret_family,
                      bool *ret_loopback)
{
    size_t slash = view_find(text, '/');
    uint64_t bits;
    unsigned char addr[16];
    char printed[INET6_ADDRSTRLEN];
    if (slash == text.n || view_u64(view_from(text, slash + 1), &bits) < 0)
        return -EINVAL;
    const char *host = arena_str(a, view_head(text, slash));
    int family = strchr(host, ':') ? AF_INET6 : AF_INET;
    size_t bytes = family == AF_INET ? 4 : 16;
    if (inet_pton(family, host, addr) != 1 || bits > bytes * 8)
        return -EINVAL;
    static const unsigned char v6_loopback[16] = {[15] = 1};
    *ret_loopback = family == AF_INET ? addr[0] == 127 : memcmp(addr, v6_loopback, 16) == 0;
    for (size_t i = 0; i < bytes; i++) {
        size_t kept = bits > i * 8 ? bits - i * 8 : 0;
        if (kept < 8)
            addr[i] &= (unsigned char)(0xff00 >> kept);
    }
    if (!inet_ntop(family, addr, printed, sizeof(printed)))
        return -EINVAL;
    *ret_cidr = arena_printf(a, "%s/%u", printed, (unsigned)bits);
    *ret_family = family == AF_INET ? IPTABLES_V4 : IPTABLES_V6;
    return 0;
}

static int parse_cidrs(struct arena *a, const char *name, struct view list, struct view *out[2], size_t n[2],
                       bool *ret_loopback, struct view *ret_why)
{
    struct view word;
    while (view_cut(&list, ',', &word)) {
        word = view_trim(word);
        if (view_empty(word))
            continue;
        struct view cidr;
        enum iptables_family family;
        bool loopback;
        if (parse_cidr(a, word, &cidr, &family, &loopback) < 0) {
            *ret_why = arena_printf(a, "--%s: `%.*s` is not a CIDR (like 10.0.0.0/8)", name, VIEW_ARGS(word));
            return -EINVAL;
        }
        *ret_loopback |= loopback;
        *ARENA_PUSH(a, out[family], n[family]) = cidr;
    }
    return 0;
}

/* Groups by name or number; iptables-save prints numbers, so names are looked up here. */
static int parse_groups(struct iptables_options *o, struct arena *a, struct view *ret_why)
{
    o->groups_except = view_is(o->owner_groups, "*");
    struct view list = o->groups_except ? o->owner_groups_exclude : o->owner_groups, word;
    while (view_cut(&list, ',', &word)) {
        word = view_trim(word);
        if (view_empty(word))
            continue;
        if (!is_id(word)) {
            const struct group *g = getgrnam(arena_str(a, word));
            if (!g) {
                *ret_why = arena_printf(a, "ISTIO_OUTBOUND_OWNER_GROUPS: there is no group `%.*s`", VIEW_ARGS(word));
                return -EINVAL;
            }
            word = arena_printf(a, "%u", (unsigned)g->gr_gid);
        }
        *ARENA_PUSH(a, o->groups, o->n_groups) = word;
    }
    return 0;
}

static int check(struct iptables_options *o, struct arena *a, struct view *ret_why)
{
    const struct {
        const char *name;
        struct view list;
        bool (*ok)(struct view);
        const char *what;
    } lists[] = {
        {"envoy-port", o->envoy_port, is_port, "a port"},
        {"inbound-capture-port", o->inbound_capture_port, is_port, "a port"},
        {"inbound-tunnel-port", o->inbound_tunnel_port, is_port, "a port"},
        {"iptables-probe-port", o->probe_port, is_port, "a port"},
        {"proxy-uid", o->proxy_uid, is_id, "a user id"},
        {"proxy-gid", o->proxy_gid, is_id, "a group id"},
        {"istio-inbound-ports", view_is(o->inbound_ports, "*") ? VIEW_NONE : o->inbound_ports, is_port, "a port"},
        {"istio-local-exclude-ports", o->inbound_exclude_ports, is_port, "a port"},
        {"istio-outbound-ports", o->outbound_ports, is_port, "a port"},
        {"istio-local-outbound-ports-exclude", o->outbound_exclude_ports, is_port, "a port"},
        {"istio-exclude-interfaces", o->exclude_interfaces, is_interface, "an interface name"},
        {"kube-virt-interfaces", o->virtual_interfaces, is_interface, "an interface name"},
    };
    for (size_t i = 0; i < COUNT_OF(lists); i++)
        if (check_list(a, lists[i].name, lists[i].list, lists[i].ok, lists[i].what, ret_why) < 0)
            return -EINVAL;
    if (!view_empty(o->interception_mode) && !view_is(o->interception_mode, "REDIRECT")) {
        *ret_why = arena_printf(a, "--istio-inbound-interception-mode: `%.*s` is not supported, only REDIRECT is",
                                VIEW_ARGS(o->interception_mode));
        return -EINVAL;
    }
    if (view_is(o->outbound_exclude_cidrs, "*")) {
        *ret_why = VIEW("--istio-service-exclude-cidr: `*` would exclude everything; list CIDRs");
        return -EINVAL;
    }
    struct view loopback;
    enum iptables_family family;
    bool is_loopback;
    if (parse_cidr(a, o->loopback_cidr, &loopback, &family, &is_loopback) < 0 || family != IPTABLES_V4) {
        *ret_why = VIEW("ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR is not an IPv4 CIDR");
        return -EINVAL;
    }
    o->loopback_cidr = loopback;
    o->outbound_any = view_is(o->outbound_cidrs, "*");
    bool ignored = false;
    if (!o->outbound_any && parse_cidrs(a, "istio-service-cidr", o->outbound_cidrs, o->include, o->n_include,
                                        &o->outbound_has_loopback, ret_why) < 0)
        return -EINVAL;
    if (parse_cidrs(a, "istio-service-exclude-cidr", o->outbound_exclude_cidrs, o->exclude, o->n_exclude, &ignored,
                    ret_why) < 0)
        return -EINVAL;
    return parse_groups(o, a, ret_why);
}

int iptables_options_parse(struct iptables_options *o, struct arena *a, int argc, char **argv,
                           char *(*env)(const char *name), struct view *ret_why)
{
    *o = (struct iptables_options){0};
    for (size_t i = 0; i < COUNT_OF(options); i++) {
        const struct option *opt = &options[i];
        const char *value = NULL;
        struct view names = view_of(opt->env), name;
        while ((!value || !*value) && view_cut(&names, ',', &name))
            value = env(arena_str(a, name));
        if (!value || !*value)
            value = opt->preset;
        if (value && option_set(o, a, opt, arena_view(a, view_of(value)), ret_why) < 0)
            return -EINVAL;
    }
    for (int at = 0; at < argc;)
        if (parse_argument(o, a, argc, argv, &at, ret_why) < 0)
            return -EINVAL;
    return check(o, a, ret_why);
}
