// SPDX-License-Identifier: Apache-2.0
/* Building protobuf-c messages in an arena and reading them: see pb.h. The checks that come before unpacking, because
 * protobuf-c has none, are in pb_check.c.
 */
#include "xds/pb.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define TYPE_PREFIX "type.googleapis.com/"

/* ---- encoding ---- */

char *pb_str(struct arena *a, struct view v)
{
    static const char empty[] = ""; /* not protobuf_c_empty_string, by whose address it leaves out members of a oneof */

    return v.n ? arena_str(a, v) : (char *)(uintptr_t)empty;
}

ProtobufCBinaryData pb_bytes(struct view v)
{
    return (ProtobufCBinaryData){.len = v.n, .data = (uint8_t *)(uintptr_t)v.p};
}

Pb__Duration *pb_duration(struct arena *a, uint64_t ns)
{
    Pb__Duration *m = PB_NEW(a, Pb__Duration, pb__duration__init);

    m->seconds = (int64_t)(ns / NS_PER_S);
    m->nanos = (int32_t)(ns % NS_PER_S);
    return m;
}

Pb__UInt32Value *pb_u32(struct arena *a, uint32_t v)
{
    Pb__UInt32Value *m = PB_NEW(a, Pb__UInt32Value, pb__uint32_value__init);

    m->value = v;
    return m;
}

Pb__UInt64Value *pb_u64(struct arena *a, uint64_t v)
{
    Pb__UInt64Value *m = PB_NEW(a, Pb__UInt64Value, pb__uint64_value__init);

    m->value = v;
    return m;
}

Pb__BoolValue *pb_bool(struct arena *a, bool v)
{
    Pb__BoolValue *m = PB_NEW(a, Pb__BoolValue, pb__bool_value__init);

    m->value = v;
    return m;
}

Type__Percent *pb_percent(struct arena *a, double v)
{
    Type__Percent *m = PB_NEW(a, Type__Percent, type__percent__init);

    m->value = v;
    return m;
}

Type__FractionalPercent *pb_per_million(struct arena *a, uint32_t v)
{
    Type__FractionalPercent *m = PB_NEW(a, Type__FractionalPercent, type__fractional_percent__init);

    m->numerator = v;
    m->denominator = TYPE__FRACTIONAL_PERCENT__DENOMINATOR_TYPE__MILLION;
    return m;
}

Pb__Any *pb_any(struct arena *a, const ProtobufCMessage *m)
{
    Pb__Any *any = PB_NEW(a, Pb__Any, pb__any__init);
    size_t n = protobuf_c_message_get_packed_size(m);

    any->type_url = pb_str(a, arena_printf(a, TYPE_PREFIX "%s", m->descriptor->name));
    any->value.len = n;
    if (n) {
        any->value.data = arena_alloc_raw(a, n, 1);
        protobuf_c_message_pack(m, any->value.data);
    }
    return any;
}

Core__Address *pb_address(struct arena *a, const struct plan_addr *addr)
{
    Core__Address *m = PB_NEW(a, Core__Address, core__address__init);
    Core__SocketAddress *s;
    struct buf text = {0};

    if (addr->kind == ADDR_PATH) {
        m->address_case = CORE__ADDRESS__ADDRESS_PIPE;
        m->pipe = PB_NEW(a, Core__Pipe, core__pipe__init);
        m->pipe->path = pb_str(a, addr->name);
        return m;
    }
    s = PB_NEW(a, Core__SocketAddress, core__socket_address__init);
    plan_addr_print_host(&text, addr);
    s->address = pb_str(a, buf_read(&text));
    buf_done(&text);
    s->port_specifier_case = CORE__SOCKET_ADDRESS__PORT_SPECIFIER_PORT_VALUE;
    s->port_value = addr->port;
    m->address_case = CORE__ADDRESS__ADDRESS_SOCKET_ADDRESS;
    m->socket_address = s;
    return m;
}

Core__CidrRange *pb_cidr(struct arena *a, const struct ip_prefix *p)
{
    Core__CidrRange *m = PB_NEW(a, Core__CidrRange, core__cidr_range__init);
    struct plan_addr addr = {.kind = p->family};
    struct buf text = {0};

    memcpy(addr.ip, p->ip, sizeof(addr.ip));
    plan_addr_print_host(&text, &addr);
    m->address_prefix = pb_str(a, buf_read(&text));
    buf_done(&text);
    m->prefix_len = pb_u32(a, p->bits);
    return m;
}

Core__ConfigSource *pb_ads(struct arena *a)
{
    Core__ConfigSource *m = PB_NEW(a, Core__ConfigSource, core__config_source__init);

    m->config_source_specifier_case = CORE__CONFIG_SOURCE__CONFIG_SOURCE_SPECIFIER_ADS;
    m->ads = PB_NEW(a, Core__AggregatedConfigSource, core__aggregated_config_source__init);
    m->initial_fetch_timeout = pb_duration(a, 0);
    m->resource_api_version = CORE__API_VERSION__V3;
    return m;
}

void pb_pack(const void *message, struct buf *out)
{
    size_t n = protobuf_c_message_get_packed_size(message), room;

    if (n) {
        char *to = buf_room(out, n, &room);
        buf_added(out, protobuf_c_message_pack(message, (uint8_t *)to));
    }
}

Pb__Struct *pb_struct(struct arena *a)
{
    return PB_NEW(a, Pb__Struct, pb__struct__init);
}

static Pb__Value *put(struct arena *a, Pb__Struct *s, char *key)
{
    Pb__Struct__FieldsEntry *e = PB_NEW(a, Pb__Struct__FieldsEntry, pb__struct__fields_entry__init);

    e->key = key;
    e->value = PB_NEW(a, Pb__Value, pb__value__init);
    PB_PUSH(a, s, fields, e);
    return e->value;
}

Pb__Value *pb_put(struct arena *a, Pb__Struct *s, const char *key)
{
    return put(a, s, (char *)(uintptr_t)key);
}

void pb_put_view(struct arena *a, Pb__Struct *s, struct view key, struct view v)
{
    Pb__Value *value = put(a, s, pb_str(a, key));

    value->kind_case = PB__VALUE__KIND_STRING_VALUE;
    value->string_value = pb_str(a, v);
}

void pb_put_str(struct arena *a, Pb__Struct *s, const char *key, struct view v)
{
    if (v.n)
        pb_put_view(a, s, view_of(key), v);
}

void pb_put_number(struct arena *a, Pb__Struct *s, const char *key, double v)
{
    Pb__Value *value = pb_put(a, s, key);

    value->kind_case = PB__VALUE__KIND_NUMBER_VALUE;
    value->number_value = v;
}

Pb__Struct *pb_put_struct(struct arena *a, Pb__Struct *s, const char *key)
{
    Pb__Value *value = pb_put(a, s, key);

    value->kind_case = PB__VALUE__KIND_STRUCT_VALUE;
    value->struct_value = pb_struct(a);
    return value->struct_value;
}

/* ---- decoding ---- */

void pb_enter(struct xds_codec *d, const char *field, uint32_t index_plus_1)
{
    if (d->depth < PB_PATH) {
        d->path[d->depth] = field;
        d->index[d->depth] = index_plus_1;
    }
    d->depth++;
}

void pb_leave(struct xds_codec *d)
{
    d->depth--;
}

void pb_refuse(struct xds_codec *d, const char *fmt, ...)
{
    char text[512];
    va_list args;

    if (d->failed)
        return;
    d->failed = true;
    for (unsigned i = 0; i < d->depth && i < PB_PATH; i++) {
        if (i)
            buf_char(&d->why, '.');
        buf_str(&d->why, d->path[i]);
        if (d->index[i])
            buf_printf(&d->why, "[%u]", d->index[i] - 1);
    }
    if (d->depth)
        buf_str(&d->why, ": ");
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    buf_str(&d->why, text);
}

struct view pb_any_type(const Pb__Any *any)
{
    struct view url = any ? view_of(any->type_url) : VIEW_NONE;

    return view_starts(url, VIEW(TYPE_PREFIX)) ? view_from(url, sizeof(TYPE_PREFIX) - 1) : url;
}

bool pb_any_is(const Pb__Any *any, const ProtobufCMessageDescriptor *type)
{
    return view_is(pb_any_type(any), type->name);
}

void *pb_unpack_any(struct xds_codec *d, const Pb__Any *any, const ProtobufCMessageDescriptor *type)
{
    if (!any) {
        pb_refuse(d, "is missing");
        return NULL;
    }
    if (!pb_any_is(any, type)) {
        pb_refuse(d, "type %.100s is not supported here, only %s", any->type_url, type->name);
        return NULL;
    }
    return pb_unpack(d, type, view_make(any->value.data, any->value.len));
}

struct view pb_text(struct xds_codec *d, const char *s)
{
    return s && s[0] ? arena_view(d->out, view_of(s)) : VIEW_NONE;
}

struct view pb_lower(struct xds_codec *d, const char *s)
{
    struct view v = pb_text(d, s);

    for (size_t i = 0; i < v.n; i++)
        if (v.p[i] >= 'A' && v.p[i] <= 'Z')
            ((char *)(uintptr_t)v.p)[i] += 'a' - 'A';
    return v;
}

struct view pb_data(struct xds_codec *d, const ProtobufCBinaryData *b)
{
    return b->len ? arena_view(d->out, view_make(b->data, b->len)) : VIEW_NONE;
}

uint64_t pb_ns(struct xds_codec *d, const Pb__Duration *m, uint64_t absent)
{
    if (!m)
        return absent;
    if (m->seconds < 0 || m->nanos < 0 || m->nanos >= (int64_t)NS_PER_S || m->seconds > INT64_C(315576000000)) {
        pb_refuse(d, "is not a duration");
        return absent;
    }
    if (m->seconds > INT64_C(9000000000)) /* 285 years: for ever, and no overflow of nanoseconds */
        return UINT64_C(9000000000) * NS_PER_S;
    return (uint64_t)m->seconds * NS_PER_S + (uint64_t)m->nanos;
}

uint32_t pb_get_u32(const Pb__UInt32Value *m, uint32_t absent)
{
    return m ? m->value : absent;
}

bool pb_get_bool(const Pb__BoolValue *m, bool absent)
{
    return m ? (bool)m->value : absent;
}

uint32_t pb_get_per_million(struct xds_codec *d, const Type__FractionalPercent *m, uint32_t absent)
{
    static const uint32_t factor[] = {10000, 100, 1}; /* HUNDRED, TEN_THOUSAND, MILLION */
    uint64_t v;

    if (!m)
        return absent;
    if ((unsigned)m->denominator > 2) {
        pb_refuse(d, "denominator %d is unknown", m->denominator);
        return absent;
    }
    v = (uint64_t)m->numerator * factor[m->denominator];
    return v > 1000000 ? 1000000 : (uint32_t)v;
}

struct plan_addr pb_get_address(struct xds_codec *d, const Core__Address *m)
{
    struct plan_addr none = {0};

    if (m && m->address_case == CORE__ADDRESS__ADDRESS_PIPE)
        return (struct plan_addr){.kind = ADDR_PATH, .name = pb_text(d, m->pipe->path)};
    if (!m || m->address_case != CORE__ADDRESS__ADDRESS_SOCKET_ADDRESS) {
        pb_refuse(d, "has no socket_address");
        return none;
    }
    const Core__SocketAddress *s = m->socket_address;
    if (s->protocol != CORE__SOCKET_ADDRESS__PROTOCOL__TCP)
        pb_refuse(d, "only protocol TCP is supported");
    else if (s->resolver_name[0])
        pb_refuse(d, "resolver_name is not supported");
    else if (s->port_specifier_case == CORE__SOCKET_ADDRESS__PORT_SPECIFIER_NAMED_PORT)
        pb_refuse(d, "named_port is not supported");
    else if (s->port_value > 65535)
        pb_refuse(d, "port %u is beyond 65535", s->port_value);
    else if (!s->address[0])
        pb_refuse(d, "address is empty");
    else
        return plan_addr_of(pb_text(d, s->address), (uint16_t)s->port_value);
    return none;
}

void pb_get_cidrs(struct xds_codec *d, Core__CidrRange **m, size_t n, struct ip_prefix **ret, uint32_t *ret_n)
{
    if (!n)
        return;
    *ret = ARENA_ARRAY(d->out, struct ip_prefix, n);
    for (size_t i = 0; i < n; i++) {
        struct plan_addr addr;
        uint32_t most;

        if (plan_addr_parse_ip(view_of(m[i]->address_prefix), 0, &addr) < 0) {
            pb_refuse(d, "[%zu]: %.64s is not an IP address", i, m[i]->address_prefix);
            return;
        }
        most = addr.kind == ADDR_IPV4 ? 32 : 128;
        if (pb_get_u32(m[i]->prefix_len, 0) > most) {
            pb_refuse(d, "[%zu]: prefix_len is beyond %u", i, most);
            return;
        }
        struct ip_prefix *p = &(*ret)[i];
        p->family = addr.kind;
        p->bits = (uint8_t)pb_get_u32(m[i]->prefix_len, 0);
        memcpy(p->ip, addr.ip, sizeof(p->ip));
    }
    *ret_n = (uint32_t)n;
}

struct view *pb_texts(struct xds_codec *d, char **m, size_t n)
{
    struct view *v = n ? ARENA_ARRAY(d->out, struct view, n) : NULL;

    for (size_t i = 0; i < n; i++)
        v[i] = pb_text(d, m[i]);
    return v;
}

struct name_ref pb_name(struct xds_codec *d, const char *s)
{
    return name_ref(pb_text(d, s));
}

struct view pb_source_text(struct xds_codec *d, const Core__DataSource *m)
{
    if (m && m->specifier_case == CORE__DATA_SOURCE__SPECIFIER_INLINE_STRING)
        return pb_text(d, m->inline_string);
    if (m && m->specifier_case == CORE__DATA_SOURCE__SPECIFIER_INLINE_BYTES)
        return pb_data(d, &m->inline_bytes);
    if (m && m->specifier_case != CORE__DATA_SOURCE__SPECIFIER__NOT_SET)
        pb_refuse(d, "only inline_string and inline_bytes are supported");
    return VIEW_NONE;
}

const Pb__Value *pb_find(const Pb__Struct *s, const char *key)
{
    for (size_t i = 0; s && i < s->n_fields; i++)
        if (strcmp(s->fields[i]->key, key) == 0)
            return s->fields[i]->value;
    return NULL;
}

struct view pb_find_str(const Pb__Struct *s, const char *key)
{
    const Pb__Value *v = pb_find(s, key);

    return v && v->kind_case == PB__VALUE__KIND_STRING_VALUE ? view_of(v->string_value) : VIEW_NONE;
}

const Pb__Struct *pb_find_struct(const Pb__Struct *s, const char *key)
{
    const Pb__Value *v = pb_find(s, key);

    return v && v->kind_case == PB__VALUE__KIND_STRUCT_VALUE ? v->struct_value : NULL;
}

int pb_theirs(const struct pb_enum *table, size_t n, int ours)
{
    for (size_t i = 0; i < n; i++)
        if (table[i].ours == ours)
            return table[i].theirs;
    must(!"a value of the plan has a row in the table");
    return 0;
}

int pb_ours(struct xds_codec *d, const struct pb_enum *table, size_t n, int theirs,
            const ProtobufCEnumDescriptor *names)
{
    const ProtobufCEnumValue *v;

    for (size_t i = 0; i < n; i++)
        if (table[i].theirs == theirs)
            return table[i].ours;
    v = protobuf_c_enum_descriptor_get_value(names, theirs);
    if (v)
        pb_refuse(d, "%s is not supported", v->name);
    else
        pb_refuse(d, "value %d is unknown", theirs);
    return table[0].ours;
}
