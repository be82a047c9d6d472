// SPDX-License-Identifier: Apache-2.0
/* Certificates that were decoded before are not decoded again.
 *
 * OpenSSL 3.0 spends a third of a handshake on decoding the peer's certificate, most of it on finding a decoder for its
 * key; proxies see the same few certificates again and again. libssl calls d2i_X509 of libcrypto through the dynamic
 * linker, so a definition in the program comes first (built with -Dshare_x509=true): while a handshake of ours runs,
 * bytes that were decoded before give the same object with one more reference, everything else goes to the real function.
 * This is interposition and no documented feature: without it (-Dshare_x509=false, or a library that calls another way)
 * all works the same, slower.
 *
 * Invariants: a cache belongs to one loop and is bounded; shared objects are never changed. Nothing is trusted because it
 * is cached: verification does not look here.
 */
#pragma once

#include <stdint.h>

struct tls_share;

struct tls_share *tls_share_new(void);
struct tls_share *tls_share_free(struct tls_share *s); /* NULL */
void tls_share_begin(struct tls_share *s);             /* for this thread, until tls_share_end */
void tls_share_end(void);
uint64_t tls_share_hits(const struct tls_share *s);
