// SPDX-License-Identifier: Apache-2.0
/* The hash of a request by the policies of its route, as Envoy computes it: XXH64 of each value, combined by rotating the
 * hash so far and xor, so that the same value twice does not cancel out.
 */
#include <stdio.h>
#include <xxhash.h>

#include "base/buf.h"
#include "plan/balance.h"

static bool hash_one(const struct hash_policy *h, const struct hash_facts *f, uint64_t *ret_hash,
                     const struct hash_policy **ret_new_cookie)
{
    struct view value = VIEW_NONE;
    char text[64];
    bool found = false;
    switch (h->kind) {
    case HASH_HEADER:
        found = f->request->header && f->request->header(f->request->headers, h->name, &value);
        break;
    case HASH_QUERY:
        found = query_find(f->request->path, h->name, &value);
        break;
    case HASH_SOURCE_IP: {
        struct buf b = {.data = text, .cap = sizeof(text)};
        if (!f->source || (f->source->kind != ADDR_IPV4 && f->source->kind != ADDR_IPV6))
            return false;
        plan_addr_print_host(&b, f->source); /* fits: no growth, so no heap */
        value = buf_read(&b);
        found = true;
        break;
    }
    case HASH_COOKIE:
        found = f->cookie && f->cookie(f->request->headers, h->name, &value);
        if (!found && h->has_ttl) {
            int n = snprintf(text, sizeof(text), "%016llx", (unsigned long long)f->fresh);
            value = view_make(text, (size_t)n);
            *ret_new_cookie = h;
            found = true;
        }
        break;
    }
    if (found)
        *ret_hash = XXH64(value.p, value.n, 0);
    return found;
}

bool hash_request(const struct hash_policy *policies, uint32_t n, const struct hash_facts *facts, uint64_t *ret_hash,
                  const struct hash_policy **ret_new_cookie)
{
    uint64_t hash = 0, one;
    bool any = false;
    *ret_new_cookie = NULL;
    for (uint32_t i = 0; i < n; i++) {
        if (hash_one(&policies[i], facts, &one, ret_new_cookie)) {
            hash = any ? ((hash << 1) | (hash >> 63)) ^ one : one;
            any = true;
        }
        if (any && policies[i].terminal)
            break;
    }
    if (any)
        *ret_hash = hash;
    return any;
}
