// SPDX-License-Identifier: Apache-2.0
/* Building and reading protobuf-c messages, for the files of this folder.
 *
 * Encoding builds a tree in an arena and packs it at once; nothing is freed one by one:
 *
 *   Cluster__Cluster *m = PB_NEW(a, Cluster__Cluster, cluster__cluster__init);
 *   m->name = pb_str(a, c->res.name);
 *   m->connect_timeout = pb_duration(a, c->connect_timeout);
 *
 * Decoding reads a tree that pb_unpack made in the scratch arena and copies into the resource's arena. The first thing that
 * is wrong is kept with its field path and everything after it goes on harmlessly, so converters need no error returns:
 *
 *   XDS_IN(d, "connect_timeout") c->connect_timeout = pb_ns(d, m->connect_timeout, default_ns);
 *   if (m->lb_policy == …) pb_refuse(d, "…");
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/view.h"
#include "plan/address.h"
#include "plan/origin.h"
#include "plan/resource.h"
#include "proto/xds.pb-c.h"

/* ---- encoding ---- */

#define PB_NEW(a, type, init)                                                                                          \
    ({                                                                                                                 \
        type *pb_new_ = ARENA_NEW((a), type);                                                                          \
        init(pb_new_);                                                                                                 \
        pb_new_;                                                                                                       \
    })

/* Appends a pointer (or scalar) to a repeated field. */
#define PB_PUSH(a, m, field, value)                                                                                    \
    do {                                                                                                               \
        (m)->field = arena_grow((a), (m)->field, (m)->n_##field, sizeof((m)->field[0]));                               \
        (m)->field[(m)->n_##field++] = (value);                                                                        \
    } while (0)

char *pb_str(struct arena *a, struct view v);
ProtobufCBinaryData pb_bytes(struct view v); /* borrows */
Pb__Duration *pb_duration(struct arena *a, uint64_t ns);
Pb__UInt32Value *pb_u32(struct arena *a, uint32_t v);
Pb__UInt64Value *pb_u64(struct arena *a, uint64_t v);
Pb__BoolValue *pb_bool(struct arena *a, bool v);
Type__Percent *pb_percent(struct arena *a, double v);
Type__FractionalPercent *pb_per_million(struct arena *a, uint32_t v);
/* Packed into the arena, with type.googleapis.com/ and the name of its descriptor. */
Pb__Any *pb_any(struct arena *a, const ProtobufCMessage *m);
Core__Address *pb_address(struct arena *a, const struct plan_addr *addr);
Core__CidrRange *pb_cidr(struct arena *a, const struct ip_prefix *p);
Core__ConfigSource *pb_ads(struct arena *a);
void pb_pack(const void *message, struct buf *out);

/* Structs (JSON-like). put… replaces nothing: keys are written once. */
Pb__Struct *pb_struct(struct arena *a);
Pb__Value *pb_put(struct arena *a, Pb__Struct *s, const char *key);
void pb_put_str(struct arena *a, Pb__Struct *s, const char *key, struct view v); /* nothing when v is empty */
void pb_put_view(struct arena *a, Pb__Struct *s, struct view key, struct view v);
void pb_put_number(struct arena *a, Pb__Struct *s, const char *key, double v);
Pb__Struct *pb_put_struct(struct arena *a, Pb__Struct *s, const char *key);

/* ---- decoding ---- */

enum { PB_PATH = 48 };

struct xds_codec {
    struct arena scratch;     /* protobuf trees; cleared for each resource */
    size_t tree_bytes;        /* handed out for them, against LIMIT_XDS_TREE_BYTES */
    ProtobufCAllocator alloc; /* draws from scratch */
    struct resource *res;     /* being built */
    struct arena *out;        /* its arena */
    const char *path[PB_PATH];
    uint32_t index[PB_PATH]; /* + 1; 0: not an array */
    unsigned depth;
    bool failed;
    struct buf why;
};

void xds_codec_reset(struct xds_codec *d); /* before a message that is decoded by hand */
void pb_enter(struct xds_codec *d, const char *field, uint32_t index_plus_1);
void pb_leave(struct xds_codec *d);
#define PB_JOIN_(a, b) a##b
#define PB_JOIN(a, b) PB_JOIN_(a, b)
#define XDS_AT(d, field, i) PB_SCOPE(d, field, (uint32_t)(i) + 1, PB_JOIN(once_, __LINE__))
#define XDS_IN(d, field) PB_SCOPE(d, field, 0, PB_JOIN(once_, __LINE__))
#define PB_SCOPE(d, field, i, once)                                                                                    \
    for (bool once = (pb_enter((d), (field), (i)), true); once; once = (pb_leave(d), false))

/* Keeps the first failure, with the path. */
void pb_refuse(struct xds_codec *d, const char *fmt, ...) printf_like(2, 3);

/* NULL and refused when the bytes are broken, nested too deep, too large, or hold fields that may not be skipped. */
void *pb_unpack(struct xds_codec *d, const ProtobufCMessageDescriptor *type, struct view bytes);
/* What an Any holds, if it is of this type: else refused and NULL. */
void *pb_unpack_any(struct xds_codec *d, const Pb__Any *any, const ProtobufCMessageDescriptor *type);
bool pb_any_is(const Pb__Any *any, const ProtobufCMessageDescriptor *type);
struct view pb_any_type(const Pb__Any *any); /* without the prefix, for messages */

struct view pb_text(struct xds_codec *d, const char *s);  /* copied into the resource */
struct view pb_lower(struct xds_codec *d, const char *s); /* the same in lower case */
struct view pb_data(struct xds_codec *d, const ProtobufCBinaryData *b);
uint64_t pb_ns(struct xds_codec *d, const Pb__Duration *m, uint64_t absent);
uint32_t pb_get_u32(const Pb__UInt32Value *m, uint32_t absent);
bool pb_get_bool(const Pb__BoolValue *m, bool absent);
uint32_t pb_get_per_million(struct xds_codec *d, const Type__FractionalPercent *m, uint32_t absent);
struct plan_addr pb_get_address(struct xds_codec *d, const Core__Address *m);
void pb_get_cidrs(struct xds_codec *d, Core__CidrRange **m, size_t n, struct ip_prefix **ret, uint32_t *ret_n);
struct view *pb_texts(struct xds_codec *d, char **m, size_t n);
struct name_ref pb_name(struct xds_codec *d, const char *s);
struct view pb_source_text(struct xds_codec *d, const Core__DataSource *m); /* inline only */

const Pb__Value *pb_find(const Pb__Struct *s, const char *key); /* NULL */
struct view pb_find_str(const Pb__Struct *s, const char *key);  /* borrowed from the tree; empty: none */
const Pb__Struct *pb_find_struct(const Pb__Struct *s, const char *key);

/* Two parallel lists: a value of ours and the enum of the message. */
struct pb_enum {
    int ours, theirs;
};
int pb_theirs(const struct pb_enum *table, size_t n, int ours);
int pb_ours(struct xds_codec *d, const struct pb_enum *table, size_t n, int theirs,
            const ProtobufCEnumDescriptor *names);

/* ---- metadata.c: where a part of the plan comes from, and what Istio keeps beside it ---- */

struct pb_metadata { /* builder */
    struct arena *arena;
    Core__Metadata *m; /* NULL while empty */
};
Pb__Struct *pb_metadata_put(struct pb_metadata *b, const char *filter); /* found or added */
void pb_metadata_origin(struct pb_metadata *b, const struct plan_origin *o);
Core__Metadata *pb_origin(struct arena *a, const struct plan_origin *o);

const Pb__Struct *pb_metadata_get(const Core__Metadata *m, const char *filter);
struct plan_origin pb_get_origin(struct xds_codec *d, const Core__Metadata *m);
