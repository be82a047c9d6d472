// SPDX-License-Identifier: Apache-2.0
/* Are the wanted rules there already? iptables-save does not print what was given to iptables-restore: it reorders options,
 * adds the implied `-m tcp`. So both texts are brought into one canonical form, chain by chain, and compared.
 *
 * Ours are: every chain whose name begins with ISTIO_, and the rules in built-in chains that jump to one of them or that
 * the wanted text has. Foreign rules between them are nobody's business.
 */
#include "node/iptables.h"

#include <stdlib.h>
#include <string.h>

struct rule {
    struct view table, chain, text; /* text: canonical */
    struct view raw;                /* as it was written, without -A CHAIN */
    bool insert, found;
};

struct rule_set {
    struct rule *rules;
    size_t n;
    struct view (*chains)[2]; /* table, chain: the declared ones of ours */
    size_t n_chains;
};

static int view_order(const void *a, const void *b)
{
    return view_cmp(*(const struct view *)a, *(const struct view *)b);
}

struct view iptables_rule_canonical(struct arena *a, struct view rule)
{
    struct view *groups = NULL, word;
    size_t n = 0;
    bool negate = false;
    while (view_cut(&rule, ' ', &word)) {
        if (view_empty(word))
            continue;
        if (view_is(word, "!"))
            negate = true;
        else if (word.p[0] == '-' || n == 0) {
            *ARENA_PUSH(a, groups, n) = arena_printf(a, "%s%.*s", negate ? "! " : "", VIEW_ARGS(word));
            negate = false;
        } else {
            groups[n - 1] = arena_printf(a, "%.*s %.*s", VIEW_ARGS(groups[n - 1]), VIEW_ARGS(word));
        }
    }
    if (n)
        qsort(groups, n, sizeof(*groups), view_order);
    struct buf text = {0};
    for (size_t i = 0; i < n; i++) {
        if (view_is(groups[i], "-m tcp") || view_is(groups[i], "-m udp"))
            continue;
        if (buf_len(&text))
            buf_char(&text, ' ');
        buf_view(&text, groups[i]);
    }
    struct view out = arena_view(a, buf_read(&text));
    buf_done(&text);
    return out;
}

static bool ours(struct view chain)
{
    return view_starts(chain, VIEW("ISTIO_"));
}

/* Understands restore input and save output: `* nat`/`*nat`, `-N C`/`:C - [0:0]`, `-A C …`, `-I C 1 …`. */
static struct rule_set rules_read(struct arena *a, struct view text)
{
    struct rule_set set = {0};
    struct view line, table = VIEW_NONE;
    while (view_cut(&text, '\n', &line)) {
        if (view_empty(line))
            continue;
        if (line.p[0] == '*') {
            table = view_trim(view_from(line, 1));
        } else if (line.p[0] == ':' || view_starts(line, VIEW("-N "))) {
            struct view chain = view_from(line, line.p[0] == ':' ? 1 : 3);
            chain = view_head(chain, view_find(chain, ' '));
            if (!ours(chain))
                continue;
            struct view(*slot)[2] = ARENA_PUSH(a, set.chains, set.n_chains);
            (*slot)[0] = table;
            (*slot)[1] = chain;
        } else if (view_starts(line, VIEW("-A ")) || view_starts(line, VIEW("-I "))) {
            struct rule *r = ARENA_PUSH(a, set.rules, set.n);
            struct view rest = view_from(line, 3);
            r->insert = line.p[1] == 'I';
            r->table = table;
            (void)view_cut(&rest, ' ', &r->chain);
            if (r->insert)
                (void)view_cut(&rest, ' ', &line); /* its position */
            r->raw = rest;
            r->text = iptables_rule_canonical(a, rest);
        }
    }
    return set;
}

static bool rule_same(const struct rule *a, const struct rule *b)
{
    return view_eq(a->table, b->table) && view_eq(a->chain, b->chain) && view_eq(a->text, b->text);
}

/* Every wanted rule of a chain of ours at the same place, and no other. */
static bool chains_equal(const struct rule_set *want, const struct rule_set *have)
{
    size_t n_want = 0, n_have = 0;
    for (size_t i = 0; i < have->n; i++)
        n_have += ours(have->rules[i].chain);
    for (size_t i = 0; i < want->n; i++) {
        const struct rule *w = &want->rules[i];
        if (!ours(w->chain))
            continue;
        n_want++;
        size_t place = 0, at = 0;
        for (size_t k = 0; k < i; k++)
            place += view_eq(want->rules[k].chain, w->chain) && view_eq(want->rules[k].table, w->table);
        const struct rule *h = NULL;
        for (size_t k = 0; k < have->n && !h; k++)
            if (view_eq(have->rules[k].chain, w->chain) && view_eq(have->rules[k].table, w->table) && at++ == place)
                h = &have->rules[k];
        if (!h || !rule_same(w, h))
            return false;
    }
    return n_want == n_have && want->n_chains == have->n_chains;
}

/* Does a rule in a built-in chain belong to us? */
static bool rule_ours(const struct rule_set *want, struct rule *have)
{
    if (view_find_view(have->text, VIEW("-j ISTIO_")) < have->text.n)
        return true;
    for (size_t i = 0; i < want->n; i++)
        if (rule_same(&want->rules[i], have))
            return true;
    return false;
}

static void cleanup_table(struct rule_set *have, struct view table, struct buf *out)
{
    buf_printf(out, "* %.*s\n", VIEW_ARGS(table));
    for (size_t i = 0; i < have->n; i++)
        if (view_eq(have->rules[i].table, table) && have->rules[i].found && !ours(have->rules[i].chain))
            buf_printf(out, "-D %.*s %.*s\n", VIEW_ARGS(have->rules[i].chain), VIEW_ARGS(have->rules[i].raw));
    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < have->n_chains; i++)
            if (view_eq(have->chains[i][0], table))
                buf_printf(out, "-%c %.*s\n", pass ? 'X' : 'F', VIEW_ARGS(have->chains[i][1]));
    buf_str(out, "COMMIT\n");
}

void iptables_compare(struct arena *a, struct view wanted, struct view saved, struct iptables_difference *ret)
{
    struct rule_set want = rules_read(a, wanted), have = rules_read(a, saved);
    *ret = (struct iptables_difference){0};
    bool equal = chains_equal(&want, &have);
    ret->residue = have.n_chains > 0;
    for (size_t i = 0; i < have.n; i++) {
        have.rules[i].found = rule_ours(&want, &have.rules[i]);
        ret->residue |= have.rules[i].found;
    }
    for (size_t i = 0; i < want.n; i++) {
        bool there = false;
        for (size_t k = 0; k < have.n; k++)
            there |= rule_same(&want.rules[i], &have.rules[k]);
        equal &= there;
    }
    for (size_t k = 0; k < have.n; k++) { /* a jump of ours that is no longer wanted */
        bool wanted_too = !have.rules[k].found;
        for (size_t i = 0; i < want.n; i++)
            wanted_too |= rule_same(&want.rules[i], &have.rules[k]);
        equal &= wanted_too;
    }
    ret->delta = !equal;
    static const char *const tables[] = {"mangle", "nat"};
    for (size_t t = 0; t < COUNT_OF(tables); t++) {
        bool any = false;
        for (size_t i = 0; i < have.n_chains; i++)
            any |= view_is(have.chains[i][0], tables[t]);
        for (size_t i = 0; i < have.n; i++)
            any |= have.rules[i].found && view_is(have.rules[i].table, tables[t]);
        if (any)
            cleanup_table(&have, view_of(tables[t]), &ret->cleanup);
    }
}
