// SPDX-License-Identifier: Apache-2.0
/* Labels and selectors (label.h). Objects have few labels: a scan is faster than any index. */
#include "mesh/label.h"

bool strings_has(const struct strings *s, struct view text)
{
    for (uint32_t i = 0; i < s->n; i++)
        if (view_eq(s->list[i], text))
            return true;
    return false;
}

static const struct label *find(const struct labels *l, struct view key)
{
    for (uint32_t i = 0; i < l->n; i++)
        if (view_eq(l->list[i].key, key))
            return &l->list[i];
    return NULL;
}

struct view labels_get(const struct labels *l, struct view key)
{
    const struct label *one = find(l, key);
    return one ? one->value : VIEW_NONE;
}

bool labels_has(const struct labels *l, struct view key)
{
    return find(l, key) != NULL;
}

bool labels_is(const struct labels *l, const char *key, const char *value)
{
    const struct label *one = find(l, view_of(key));
    return one && view_is(one->value, value);
}

bool labels_match(const struct labels *selector, const struct labels *of)
{
    for (uint32_t i = 0; i < selector->n; i++) {
        const struct label *one = find(of, selector->list[i].key);
        if (!one || !view_eq(one->value, selector->list[i].value))
            return false;
    }
    return true;
}

static bool requirement_holds(const struct label_requirement *r, const struct labels *of)
{
    const struct label *one = find(of, r->key);
    switch (r->op) {
    case LABEL_IN:
        return one && strings_has(&r->values, one->value);
    case LABEL_NOT_IN:
        return !one || !strings_has(&r->values, one->value);
    case LABEL_EXISTS:
        return one != NULL;
    case LABEL_DOES_NOT_EXIST:
        return one == NULL;
    }
    return false;
}

bool label_selector_match(const struct label_selector *s, const struct labels *of)
{
    for (uint32_t i = 0; i < s->n_exprs; i++)
        if (!requirement_holds(&s->exprs[i], of))
            return false;
    return labels_match(&s->match_labels, of);
}
