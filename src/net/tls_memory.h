// SPDX-License-Identifier: Apache-2.0
/* Where OpenSSL's memory comes from: free lists of a few sizes per thread, so that an established connection reads and
 * writes records, and a handshake makes its hundreds of small objects, without asking malloc each time.
 *
 *   tls_memory_init();              // first line of main, before anything of OpenSSL; once a process
 *
 * Invariants: what a thread keeps is bounded (TLS_MEMORY_KEEP bytes a size) and given back when it ends; a block may be
 * freed by another thread than the one that took it. Sanitizer builds (ARENA=malloc) use malloc, so that they see all.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

bool tls_memory_init(void);           /* false: too late, OpenSSL has allocated already; malloc is used */
uint64_t tls_memory_heap_count(void); /* how often this thread asked malloc: must stop growing in the steady state */
