// SPDX-License-Identifier: Apache-2.0
/* What the three files of the HTTP/1 parser share (h1.c heads, h1_fields.c header lines, h1_body.c bodies); see h1.h.
 */
#pragma once

#include <errno.h>

#include "wire/h1.h"

enum h1_state { HEAD, DATA, CHUNK_SIZE, CHUNK_END, TRAILERS, DONE };

static inline int h1_refuse(struct h1 *p, enum h1_reason reason)
{
    p->reason = (uint8_t)reason;
    return -EBADMSG;
}

/* The parsers of one line return where the next begins, or NULL: refused if p->reason is set, else bytes are missing. */
static inline const char *h1_bad(struct h1 *p, enum h1_reason reason)
{
    p->reason = (uint8_t)reason;
    return NULL;
}

/* Lines up to the empty one. Returns what stands behind it; NULL: refused if p->reason is set, else bytes are missing and
 * p->line is where the incomplete line begins, counted from `begin`. */
const char *h1_field_lines(struct h1 *p, struct headers *h, const char *begin, const char *at, const char *end,
                           unsigned most);

/* The head is complete and p->framing known. */
void h1_begin_body(struct h1 *p);
