// SPDX-License-Identifier: Apache-2.0
/* Byte classes of HTTP and the fast scans over them: how far does a header name, a header value, a request target go?
 * 16 bytes a step with SSE2 (part of every x86-64); the last step looks at the last 16 bytes again, so that short messages
 * go fast too; a table walk elsewhere. Nothing is read beyond `end`. Each returns the first byte that does not belong, or `end`.
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

#ifdef __SSE2__
static inline __m128i scan_alnum(__m128i x)
{
    /* x - low <= width as unsigned bytes, for a..z (either case) and 0..9 */
    __m128i letter = _mm_sub_epi8(_mm_or_si128(x, _mm_set1_epi8(0x20)), _mm_set1_epi8('a'));
    __m128i digit = _mm_sub_epi8(x, _mm_set1_epi8('0'));
    return _mm_or_si128(_mm_cmpeq_epi8(_mm_min_epu8(letter, _mm_set1_epi8(25)), letter),
                        _mm_cmpeq_epi8(_mm_min_epu8(digit, _mm_set1_epi8(9)), digit));
}

/* One bit for each of 16 bytes that does not belong to the class (SCAN_TOKEN, SCAN_HOST: to its usual part). */
static inline unsigned scan_bad_value(__m128i x)
{
    __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(x, _mm_set1_epi8(0x1f)), x);
    return (unsigned)_mm_movemask_epi8(_mm_or_si128(_mm_andnot_si128(_mm_cmpeq_epi8(x, _mm_set1_epi8('\t')), control),
                                                    _mm_cmpeq_epi8(x, _mm_set1_epi8(0x7f))));
}

static inline unsigned scan_bad_target(__m128i x)
{
    return (unsigned)_mm_movemask_epi8(
        _mm_or_si128(_mm_or_si128(_mm_cmplt_epi8(x, _mm_set1_epi8(0x21)), _mm_cmpeq_epi8(x, _mm_set1_epi8(0x7f))),
                     _mm_cmpeq_epi8(x, _mm_set1_epi8('#'))));
}

static inline unsigned scan_bad_name(__m128i x)
{
    return (unsigned)_mm_movemask_epi8(_mm_or_si128(scan_alnum(x), _mm_cmpeq_epi8(x, _mm_set1_epi8('-')))) ^ 0xffff;
}

static inline unsigned scan_bad_host(__m128i x)
{
    __m128i dash_dot = _mm_sub_epi8(x, _mm_set1_epi8('-')); /* '-' and '.' are neighbours */
    return (unsigned)_mm_movemask_epi8(
               _mm_or_si128(scan_alnum(x), _mm_cmpeq_epi8(_mm_min_epu8(dash_dot, _mm_set1_epi8(1)), dash_dot))) ^
           0xffff;
}

/* The bits of `bad` for at[0..16), or for what there is before `end`: then the last 16 bytes are looked at, which begin
 * before `at`. False when not even those are there. */
#define SCAN_BITS(at, end, begin, bad, ret_bits)                                                                       \
    ((end) - (at) >= 16 ? (*(ret_bits) = bad(_mm_loadu_si128((const __m128i *)(const void *)(at))), true)              \
     : (end) - (begin) >= 16                                                                                           \
         ? (*(ret_bits) = bad(_mm_loadu_si128((const __m128i *)(const void *)((end)-16))) >> (16 - ((end) - (at))),    \
            true)                                                                                                      \
         : false)
#endif

/* begin: bytes from there on may be read again, at most `at`. */
static inline const char *scan_value(const char *begin, const char *at, const char *end)
{
#ifdef __SSE2__
    unsigned bad;
    while (at < end && SCAN_BITS(at, end, begin, scan_bad_value, &bad)) {
        if (bad)
            return at + __builtin_ctz(bad);
        at += 16;
    }
    if (at >= end)
        return end;
#endif
    return scan_slow(at, end, SCAN_VALUE);
}

static inline const char *scan_target(const char *begin, const char *at, const char *end)
{
#ifdef __SSE2__
    unsigned bad;
    while (at < end && SCAN_BITS(at, end, begin, scan_bad_target, &bad)) {
        if (bad)
            return at + __builtin_ctz(bad);
        at += 16;
    }
    if (at >= end)
        return end;
#endif
    return scan_slow(at, end, SCAN_TARGET);
}

/* A header name: the usual bytes go fast, the other token bytes one by one. */
static inline const char *scan_name(const char *begin, const char *at, const char *end)
{
#ifdef __SSE2__
    unsigned bad;
    while (at < end && SCAN_BITS(at, end, begin, scan_bad_name, &bad)) {
        if (bad) {
            at += __builtin_ctz(bad);
            if (__builtin_expect(*at == ':', 1) || !scan_is((unsigned char)*at, SCAN_TOKEN))
                return at;
            at++;
        } else {
            at += 16;
        }
    }
    if (at >= end)
        return end;
#endif
    return scan_slow(at, end, SCAN_TOKEN);
}

/* A host name: the usual bytes go fast, the rest of the class one by one. */
static inline const char *scan_host(const char *begin, const char *at, const char *end)
{
#ifdef __SSE2__
    unsigned bad;
    while (at < end && SCAN_BITS(at, end, begin, scan_bad_host, &bad)) {
        at += bad ? __builtin_ctz(bad) : 16;
        if (bad && !scan_is((unsigned char)*at, SCAN_HOST))
            return at;
        at += bad != 0;
    }
    if (at >= end)
        return end;
#endif
    return scan_slow(at, end, SCAN_HOST);
}

#ifdef __SSE2__
/* A whole header line at once: for each of 32 bytes one bit that is no usual byte of a name, one that is none of a value. */
static inline void scan_line(const char *at, uint32_t *ret_name, uint32_t *ret_value)
{
    __m128i a = _mm_loadu_si128((const __m128i *)(const void *)at),
            b = _mm_loadu_si128((const __m128i *)(const void *)(at + 16));
    *ret_name = scan_bad_name(a) | scan_bad_name(b) << 16;
    *ret_value = scan_bad_value(a) | scan_bad_value(b) << 16;
}
#endif

/* Whether a whole view is of one class. */
static inline bool scan_all_value(const char *p, size_t n)
{
    return scan_value(p, p, p + n) == p + n;
}

static inline bool scan_all_target(const char *p, size_t n)
{
    return scan_target(p, p, p + n) == p + n;
}

static inline bool scan_all_name(const char *p, size_t n)
{
    return n > 0 && scan_name(p, p, p + n) == p + n;
}

static inline bool scan_all(const char *p, size_t n, unsigned what)
{
    return n > 0 && scan_slow(p, p + n, what) == p + n;
}
