// SPDX-License-Identifier: Apache-2.0
/* What the simulated proxies of xds_fleet.c remember together: names and versions of resources as small numbers, and what a
 * resource refers to, decoded once however many proxies receive it. A proxy itself then needs four bytes a resource.
 *
 *   uint32_t name = book_name(b, kind, view), version = book_version(b, view);
 *   const struct book_refs *r = book_refs(b, kind, name, version, bytes);   // names to subscribe to; decodes at first sight
 *   book_name_text(b, kind, name)                                           // back to bytes, for requests
 *
 * Numbers begin at 1, name numbers per kind. NULL from book_refs: the bytes were no resource; *ret_why says why.
 */
#pragma once

#include <stdint.h>

#include "base/view.h"
#include "plan/resource.h"

struct book;

struct book_refs {
    uint32_t n;
    struct book_ref {
        enum resource_kind kind;
        uint32_t name;
    } list[];
};

struct book *book_new(void);
struct book *book_free(struct book *b);
uint32_t book_name(struct book *b, enum resource_kind kind, struct view name);
uint32_t book_version(struct book *b, struct view version);
struct view book_name_text(const struct book *b, enum resource_kind kind, uint32_t name);
struct view book_version_text(const struct book *b, uint32_t version);
uint32_t book_names(const struct book *b, enum resource_kind kind); /* the highest number so far */
const struct book_refs *book_refs(struct book *b, enum resource_kind kind, uint32_t name, uint32_t version,
                                  struct view bytes, struct view *ret_why);
