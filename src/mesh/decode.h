// SPDX-License-Identifier: Apache-2.0
/* Table-driven decoding: one table of fields for each message of the API, one function that reads them all.
 *
 * A field's row says its name, type, place in the struct and what is allowed; so unknown fields (with the nearest known
 * name), wrong types, values out of range, bad durations, enums and regular expressions become diagnostics without a
 * line of code in the kinds. What a table cannot say (two fields exclude each other) is the message's check function.
 *
 *   static const struct field retry_fields[] = {
 *       {"attempts", FIELD_I32, AT(struct http_retries, attempts), .lo = 0, .hi = 1000},
 *       {"perTryTimeout", FIELD_DURATION, AT(struct http_retries, per_try_timeout), .lo = NS_PER_MS},
 *       {"retryBudget", FIELD_REFUSED, .why = "retries are bounded by the connection pool's maxRetries"},
 *   };
 *   const struct message http_retries_message = MESSAGE("HTTPRetry", struct http_retries, retry_fields);
 *
 * Nothing is dropped in silence: a field is decoded, refused by name (FIELD_REFUSED), or listed as accepted without
 * effect (FIELD_ANY: Kubernetes fields that have no meaning here, never Istio's).
 */
#pragma once

#include "base/arena.h"
#include "base/clock.h"
#include "base/diag.h"
#include "mesh/object.h"
#include "wire/node.h"

struct decoder;
struct field;
struct message;

/* Where in the object we are; a chain on the stack, printed only when a name is needed. */
struct place {
    const struct place *up;
    struct view key; /* a field or map key; or */
    int64_t index;   /* an index, when key.p is NULL */
    bool quoted;     /* a map key: printed as [key] */
};

enum field_type {
    FIELD_STR,        /* struct view */
    FIELD_BOOL,       /* bool */
    FIELD_OPT_BOOL,   /* struct opt_bool */
    FIELD_I32,        /* int32_t within lo..hi (both 0: any) */
    FIELD_U32,        /* uint32_t, same */
    FIELD_U64,        /* uint64_t, same */
    FIELD_I64,        /* int64_t, same */
    FIELD_PORT,       /* uint32_t, 1..65535 */
    FIELD_OPT_U32,    /* struct opt_u32 */
    FIELD_OPT_I64,    /* struct opt_i64 */
    FIELD_F64,        /* double within lo..hi */
    FIELD_DURATION,   /* struct opt_duration, at least lo nanoseconds */
    FIELD_TIME,       /* uint64_t wall clock ns, RFC 3339 */
    FIELD_ENUM,       /* an enum: `words` */
    FIELD_STRS,       /* struct strings */
    FIELD_U32S,       /* array of uint32_t and its count */
    FIELD_MAP,        /* struct labels: string to string */
    FIELD_BYTES,      /* struct view, base64 decoded */
    FIELD_BYTES_MAP,  /* struct labels, values base64 decoded */
    FIELD_QUANTITIES, /* struct labels: resource names to quantities as written */
    FIELD_INT_OR_STR, /* struct int_or_str */
    FIELD_MSG,        /* pointer to a message */
    FIELD_EMBED,      /* a message in place */
    FIELD_INLINE,     /* a message whose table counts from the same struct as this one (spec of an object) */
    FIELD_LIST,       /* array of messages and its count */
    FIELD_KEYED,      /* map from string to message, as an array of messages and its count; key at msg->key_at */
    FIELD_CUSTOM,     /* field->custom */
    FIELD_ANY,        /* accepted without effect */
    FIELD_REFUSED,    /* known, not supported yet; `why` may add a hint */
};

enum field_format {
    FORMAT_NONE,
    FORMAT_REGEX, /* RE2 */
    FORMAT_IP,
    FORMAT_CIDR,   /* or an address */
    FORMAT_HOST,   /* a DNS name, `*` or `*.name` */
    FORMAT_LABELS, /* keys and values follow Kubernetes' rules for labels */
    FORMAT_NAME,   /* DNS-1123 subdomain */
    FORMAT_LABEL,  /* DNS-1123 label */
    FORMAT_PATH,   /* begins with / */
};

struct enum_word {
    const char *word;
    int value;
    const char *refused; /* not NULL: known, not supported; the text is the hint */
};

struct field {
    const char *name;
    enum field_type type;
    size_t at, count_at;
    bool required; /* present, and not empty */
    enum field_format format;
    int64_t lo, hi;
    const struct message *msg;
    const struct enum_word *words; /* ends with a NULL word */
    void (*custom)(struct decoder *d, void *base, const struct node *n, const struct place *at);
    const char *why;
};

struct message {
    const char *name;
    size_t size;
    const struct field *fields;
    unsigned n_fields;
    bool part;               /* the struct begins with a struct part */
    size_t key_at;           /* FIELD_KEYED: where the key goes, a struct view */
    void (*init)(void *msg); /* defaults */
    void (*check)(struct decoder *d, void *msg, const struct node *n, const struct place *at);
};

#define AT(type, member) .at = offsetof(type, member)
#define AT_LIST(type, list, count) .at = offsetof(type, list), .count_at = offsetof(type, count)
#define MESSAGE_FIELDS(what, type, table)                                                                              \
    .name = (what), .size = sizeof(type), .fields = (table), .n_fields = COUNT_OF(table)
#define MESSAGE(what, type, table)                                                                                     \
    {                                                                                                                  \
        MESSAGE_FIELDS(what, type, table)                                                                              \
    }
#define PART(what, type, table)                                                                                        \
    {                                                                                                                  \
        MESSAGE_FIELDS(what, type, table), .part = true                                                                \
    }

/* The fields that every object has; `spec` points to its table, which counts from the same struct. */
#define OBJECT_FIELDS                                                                                                  \
    {"apiVersion", FIELD_ANY}, {"kind", FIELD_ANY},                                                                    \
    {                                                                                                                  \
        "metadata", FIELD_EMBED, .at = offsetof(struct object, meta), .msg = &object_meta_message, .required = true    \
    }
extern const struct message object_meta_message;

struct decoder {
    struct arena *arena;
    struct diags *diags;
    struct object *object; /* whose at, source and meta name things; being filled */
    unsigned errors;
};

/* Reads `n` into the zeroed struct `msg`. Errors are counted in the decoder and told in its diags. */
void decode_message(struct decoder *d, const struct message *m, void *msg, const struct node *n,
                    const struct place *at);

/* An error about n (NULL: about the object) at a place; the caller may fill label and hint. Never NULL. */
struct diag *decode_error(struct decoder *d, const char *code, const struct node *n, const struct place *at);
/* The usual one: a value that cannot be right. title: "VirtualService `x`: <what>". */
struct diag *decode_bad(struct decoder *d, const struct node *n, const struct place *at, const char *fmt, ...)
    printf_like(4, 5);
/* An error about field `name` of the map n: at the field when it is there, else at n. */
struct diag *decode_bad_field(struct decoder *d, const struct node *n, const struct place *at, const char *name,
                              const char *fmt, ...) printf_like(5, 6);

/* `spec.http[1].route[0]`, in the arena. */
struct view place_path(struct arena *a, const struct place *at);
/* Origin of a node of the object. */
struct origin decode_origin(struct decoder *d, const struct node *n, const struct place *at);

/* The place of a field of a part ("destination.host"), for messages; the part's own place when it is not there. */
struct origin part_field(struct arena *a, const struct part *p, const char *path);
/* The text of a line of the object's file; empty when there is none. */
struct view object_line(const struct object *o, uint32_t line);

/* Formats, for those who check by hand. */
bool is_dns_label(struct view v);
bool is_dns_name(struct view v); /* DNS-1123 subdomain */
bool is_host(struct view v);     /* is_dns_name (any case), "*" or "*.name" */
bool is_label_value(struct view v);
bool is_label_key(struct view v);
bool is_ip(struct view v);
bool is_cidr(struct view v); /* or an address */
