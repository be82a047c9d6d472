// SPDX-License-Identifier: Apache-2.0
/* Random numbers for balancing, weights and jitter: xoshiro256++ with explicit state, so that a simulation's seed decides
 * everything. Never for keys, tokens or anything that a peer must not guess (use OpenSSL's generator there).
 */
#pragma once

#include <stdint.h>

struct rng {
    uint64_t s[4];
};

void rng_seed(struct rng *r, uint64_t seed);
uint64_t rng_next(struct rng *r);

/* 0 <= result < n; n > 0. */
static inline uint64_t rng_below(struct rng *r, uint64_t n)
{
    return (uint64_t)(((unsigned __int128)rng_next(r) * n) >> 64);
}

/* 0 <= result < 1 */
static inline double rng_unit(struct rng *r)
{
    return (double)(rng_next(r) >> 11) * 0x1.0p-53;
}
