// SPDX-License-Identifier: Apache-2.0
/* Byte classes of HTTP and the fast scans over them: how far does a header name, a header value, a request target go?
 * 16 bytes a step with SSE2 (part of every x86-64), a table walk elsewhere and in the last bytes. Nothing is read beyond
 * `end`. Each returns the first byte that does not belong, or `end`.
 *
 * Classes: RFC 9110 §5.6.2 token, §5.5 field-value (with obs-text, without other controls), RFC 9112 §3.2 targets
 * narrowed to what nginx, HAProxy, Go and llhttp all accept.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum {
    SCAN_TOKEN = 1,  /* a header name's bytes */
    SCAN_VALUE = 2,  /* a header value's bytes: HTAB, SP..~, 0x80.. */
    SCAN_TARGET = 4, /* 0x21..0x7e without '#' */
    SCAN_HOST = 8,   /* of a host name: letters, digits, -._~% and sub-delims without ',' */
    SCAN_METHOD = 16 /* A-Z - _ */
};
extern const uint8_t scan_class[256];

static inline bool scan_is(unsigned char c, unsigned what)
{
    return (scan_class[c] & what) != 0;
}

static inline const char *scan_slow(const char *at, const char *end, unsigned what)
{
    while (at < end && scan_is((unsigned char)*at, what))
        at++;
    return at;
}

static inline const char *scan_value(const char *at, const char *end)
{
#ifdef __SSE2__
    const __m128i low = _mm_set1_epi8(0x1f), del = _mm_set1_epi8(0x7f), tab = _mm_set1_epi8('\t');
    while (end - at >= 16) {
        __m128i x = _mm_loadu_si128((const __m128i *)(const void *)at);
        __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(x, low), x);
        unsigned bad = (unsigned)_mm_movemask_epi8(
            _mm_or_si128(_mm_andnot_si128(_mm_cmpeq_epi8(x, tab), control), _mm_cmpeq_epi8(x, del)));
        if (bad)
            return at + __builtin_ctz(bad);
        at += 16;
    }
#endif
    return scan_slow(at, end, SCAN_VALUE);
}

static inline const char *scan_target(const char *at, const char *end)
{
#ifdef __SSE2__
    const __m128i space = _mm_set1_epi8(0x21), del = _mm_set1_epi8(0x7f), hash = _mm_set1_epi8('#');
    while (end - at >= 16) {
        __m128i x = _mm_loadu_si128((const __m128i *)(const void *)at);
        unsigned bad = (unsigned)_mm_movemask_epi8(
            _mm_or_si128(_mm_or_si128(_mm_cmplt_epi8(x, space), _mm_cmpeq_epi8(x, del)), _mm_cmpeq_epi8(x, hash)));
        if (bad)
            return at + __builtin_ctz(bad);
        at += 16;
    }
#endif
    return scan_slow(at, end, SCAN_TARGET);
}

/* A header name: letters, digits and '-' go fast, the other token bytes slowly. */
static inline const char *scan_name(const char *at, const char *end)
{
#ifdef __SSE2__
    const __m128i lower = _mm_set1_epi8(0x20), below_a = _mm_set1_epi8('a' - 1), above_z = _mm_set1_epi8('z' + 1),
                  below_0 = _mm_set1_epi8('0' - 1), above_9 = _mm_set1_epi8('9' + 1), dash = _mm_set1_epi8('-');
    while (end - at >= 16) {
        __m128i x = _mm_loadu_si128((const __m128i *)(const void *)at), y = _mm_or_si128(x, lower);
        __m128i letter = _mm_and_si128(_mm_cmpgt_epi8(y, below_a), _mm_cmplt_epi8(y, above_z));
        __m128i digit = _mm_and_si128(_mm_cmpgt_epi8(x, below_0), _mm_cmplt_epi8(x, above_9));
        unsigned good = (unsigned)_mm_movemask_epi8(_mm_or_si128(_mm_or_si128(letter, digit), _mm_cmpeq_epi8(x, dash)));
        if (good != 0xffff) {
            at += __builtin_ctz(~good);
            if (!scan_is((unsigned char)*at, SCAN_TOKEN))
                return at;
            at++;
            continue;
        }
        at += 16;
    }
#endif
    return scan_slow(at, end, SCAN_TOKEN);
}
