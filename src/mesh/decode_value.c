// SPDX-License-Identifier: Apache-2.0
/* Single values (decode_value.h): what may stand in a field, and what a person is told when something else does.
 *
 * Types are those of Kubernetes' strict decoding: a number is no string and `"1"` is no number. The hint says how to
 * write what was probably meant (YAML makes `version: 1.0` a number and `enabled: yes` a boolean).
 */
#include "mesh/decode_value.h"

#include <errno.h>

#include "base/regex.h"
#include "wire/base64.h"
#include "wire/yaml.h"

void value_wrong_type(struct decoder *d, const struct node *n, const struct place *at, const char *wanted)
{
    struct view key = at && at->key.p ? at->key : VIEW_NONE;
    struct diag *one = key.n ? decode_bad(d, n, at, "`%.*s` must be %s", VIEW_ARGS(key), wanted)
                             : decode_bad(d, n, at, "must be %s", wanted);
    one->label = diag_text(d->diags, "this is %s", node_type_name((enum node_type)n->type));
    bool scalar = n->type != NODE_SEQ && n->type != NODE_MAP && n->type != NODE_NULL;
    if (d->object->kind == KIND_SECRET)
        return;
    if (scalar && n->type != NODE_STR && view_is(view_of(wanted), "a string"))
        one->hint = diag_text(d->diags, "put it in quotes: \"%.*s\"", VIEW_ARGS(n->text));
    else if (n->type == NODE_STR && n->quoted &&
             yaml_plain_type(n->text) == (view_is(view_of(wanted), "a number") ? PULL_INT : PULL_BOOL))
        one->hint = VIEW("remove the quotes");
    else if (n->type == NODE_MAP && view_is(view_of(wanted), "a list"))
        one->hint = VIEW("begin each item with `- `");
}

static bool want(struct decoder *d, const struct node *n, const struct place *at, enum node_type type,
                 const char *wanted)
{
    if (n->type == type)
        return true;
    value_wrong_type(d, n, at, wanted);
    return false;
}

static void bad_format(struct decoder *d, const struct node *n, const struct place *at, struct view text,
                       const char *wanted)
{
    struct diag *one = decode_bad(d, n, at, "`%.*s` is not %s", VIEW_ARGS(text), wanted);
    one->label = diag_text(d->diags, "not %s", wanted);
}

static void check_regex(struct decoder *d, const struct node *n, const struct place *at, struct view text)
{
    struct arena scratch;
    struct regex *r;
    struct view why;
    arena_init(&scratch, 0);
    if (regex_new(&scratch, text, &r, &why) < 0) {
        struct diag *one = decode_bad(d, n, at, "bad regular expression");
        one->label = arena_view(d->diags->arena, why);
        one->hint = VIEW("expressions have RE2's syntax (no look-ahead, no back-references) and match the whole text");
    }
    arena_done(&scratch);
}

static void check_format(struct decoder *d, const struct field *f, const struct node *n, const struct place *at,
                         struct view text)
{
    switch (f->format) {
    case FORMAT_NONE:
    case FORMAT_LABELS:
        break;
    case FORMAT_REGEX:
        check_regex(d, n, at, text);
        break;
    case FORMAT_IP:
        if (!is_ip(text))
            bad_format(d, n, at, text, "an IP address");
        break;
    case FORMAT_CIDR:
        if (!is_cidr(text))
            bad_format(d, n, at, text, "an IP address or range (10.0.0.0/8)");
        break;
    case FORMAT_HOST:
        if (!is_host(text))
            bad_format(d, n, at, text, "a host name (`reviews`, `reviews.prod.svc.cluster.local`, `*.example.com`)");
        break;
    case FORMAT_NAME:
        if (!is_dns_name(text))
            bad_format(d, n, at, text, "a name (lower case letters, digits, `-` and `.`)");
        break;
    case FORMAT_LABEL:
        if (!is_dns_label(text))
            bad_format(d, n, at, text, "a name (lower case letters, digits and `-`, at most 63)");
        break;
    case FORMAT_PATH:
        if (!text.n || text.p[0] != '/')
            bad_format(d, n, at, text, "a path that begins with `/`");
        break;
    }
}

static bool read_int(struct decoder *d, const struct field *f, const struct node *n, const struct place *at, int64_t lo,
                     int64_t hi, int64_t *ret)
{
    if (!want(d, n, at, NODE_INT, "a number"))
        return false;
    int64_t value;
    if (node_i64(n, &value) == 0 && value >= lo && value <= hi) {
        *ret = value;
        return true;
    }
    struct diag *one = decode_bad(d, n, at, "`%s` is out of range", f->name);
    one->label = diag_text(d->diags, "must be %lld to %lld", (long long)lo, (long long)hi);
    return false;
}

static void decode_int(struct decoder *d, const struct field *f, void *to, const struct node *n, const struct place *at)
{
    int64_t value, lo = f->lo, hi = f->hi, type_lo = 0, type_hi = INT64_MAX;
    if (f->type == FIELD_I32 || f->type == FIELD_I64 || f->type == FIELD_OPT_I64)
        type_lo = f->type == FIELD_I32 ? INT32_MIN : INT64_MIN;
    if (f->type == FIELD_I32)
        type_hi = INT32_MAX;
    else if (f->type == FIELD_U32 || f->type == FIELD_OPT_U32)
        type_hi = UINT32_MAX;
    else if (f->type == FIELD_PORT)
        lo = 1, hi = 65535;
    if (!lo && !hi) {
        lo = type_lo;
        hi = type_hi;
    }
    if (!read_int(d, f, n, at, lo, hi ? hi : type_hi, &value))
        return;
    if (f->type == FIELD_I32)
        *(int32_t *)to = (int32_t)value;
    else if (f->type == FIELD_U32 || f->type == FIELD_PORT)
        *(uint32_t *)to = (uint32_t)value;
    else if (f->type == FIELD_OPT_U32)
        *(struct opt_u32 *)to = (struct opt_u32){true, (uint32_t)value};
    else if (f->type == FIELD_OPT_I64)
        *(struct opt_i64 *)to = (struct opt_i64){true, value};
    else
        *(int64_t *)to = value; /* FIELD_I64, FIELD_U64: bounded to what both hold */
}

static void decode_f64(struct decoder *d, const struct field *f, void *to, const struct node *n, const struct place *at)
{
    double value;
    if (n->type != NODE_INT && n->type != NODE_FLOAT) {
        value_wrong_type(d, n, at, "a number");
        return;
    }
    if (node_f64(n, &value) == 0 && value >= (double)f->lo && (!f->hi || value <= (double)f->hi)) {
        *(double *)to = value;
        return;
    }
    struct diag *one = decode_bad(d, n, at, "`%s` is out of range", f->name);
    one->label = diag_text(d->diags, "must be %lld to %lld", (long long)f->lo, (long long)f->hi);
}

static void decode_duration(struct decoder *d, const struct field *f, void *to, const struct node *n,
                            const struct place *at)
{
    uint64_t ns;
    if (!want(d, n, at, NODE_STR, "a duration such as \"1.5s\""))
        return;
    if (clock_parse_duration(n->text, &ns) < 0) {
        struct diag *one = decode_bad(d, n, at, "`%.*s` is not a duration", VIEW_ARGS(n->text));
        one->label = VIEW("not a duration");
        one->hint = VIEW("write a number and a unit: 500ms, 1.5s, 2m, 1h30m");
        return;
    }
    if (ns < (uint64_t)f->lo) {
        struct diag *one = decode_bad(d, n, at, "`%s` is too short", f->name);
        one->label = diag_text(d->diags, "must be at least %lld ms", (long long)(f->lo / (int64_t)NS_PER_MS));
        return;
    }
    *(struct opt_duration *)to = (struct opt_duration){true, ns};
}

static void decode_enum(struct decoder *d, const struct field *f, void *to, const struct node *n,
                        const struct place *at)
{
    enum { MOST = 32 };
    struct view known[MOST];
    size_t count = 0;
    if (!want(d, n, at, NODE_STR, "a string"))
        return;
    const struct enum_word *found = NULL;
    for (const struct enum_word *w = f->words; w->word && count < MOST; w++) {
        known[count++] = view_of(w->word);
        if (view_is(n->text, w->word))
            found = w;
    }
    if (found && !found->refused) {
        *(int *)to = found->value;
        return;
    }
    if (found) {
        struct diag *one = decode_error(d, "WEFT0005", n, at);
        one->title = diag_text(d->diags, "%.*s `%.*s`: `%s: %.*s` is not supported yet", VIEW_ARGS(d->object->at.kind),
                               VIEW_ARGS(d->object->at.name), f->name, VIEW_ARGS(n->text));
        one->label = VIEW("weft does not honour this value, so it does not accept it");
        one->hint = view_of(found->refused);
        return;
    }
    struct buf list = {0};
    for (size_t i = 0; i < count; i++) {
        buf_str(&list, i ? ", " : "");
        buf_view(&list, known[i]);
    }
    struct diag *one = decode_bad(d, n, at, "`%.*s` is not a value of `%s`", VIEW_ARGS(n->text), f->name);
    struct view near = diag_nearest(n->text, known, count);
    one->label = diag_text(d->diags, "must be one of %s", buf_cstr(&list));
    if (near.n)
        one->hint = diag_text(d->diags, "did you mean `%.*s`?", VIEW_ARGS(near));
    buf_done(&list);
}

static void decode_strs(struct decoder *d, const struct field *f, void *to, const struct node *n,
                        const struct place *at)
{
    struct strings *s = to;
    if (!want(d, n, at, NODE_SEQ, "a list"))
        return;
    s->list = ARENA_ARRAY(d->arena, struct view, n->n + 1);
    for (uint32_t i = 0; i < n->n; i++) {
        struct place here = {.up = at, .index = i};
        if (!want(d, n->items[i], &here, NODE_STR, "a string"))
            continue;
        check_format(d, f, n->items[i], &here, n->items[i]->text);
        s->list[s->n++] = n->items[i]->text;
    }
}

static void decode_u32s(struct decoder *d, const struct field *f, void *to, void *count, const struct node *n,
                        const struct place *at)
{
    if (!want(d, n, at, NODE_SEQ, "a list"))
        return;
    uint32_t *list = ARENA_ARRAY(d->arena, uint32_t, n->n + 1);
    for (uint32_t i = 0; i < n->n; i++) {
        struct place here = {.up = at, .index = i};
        int64_t value;
        if (read_int(d, f, n->items[i], &here, f->lo, f->hi ? f->hi : UINT32_MAX, &value))
            list[i] = (uint32_t)value;
    }
    memcpy(to, &list, sizeof(list));
    *(uint32_t *)count = n->n;
}

static int decode_bytes(struct arena *a, struct view text, struct view *ret_bytes)
{
    struct buf bytes = {0};
    int r = base64_read(&bytes, BASE64_LINES, text);
    if (r == 0)
        *ret_bytes = arena_view(a, buf_read(&bytes));
    buf_done(&bytes);
    return r;
}

static void decode_map(struct decoder *d, const struct field *f, void *to, const struct node *n, const struct place *at)
{
    struct labels *l = to;
    if (!want(d, n, at, NODE_MAP, "a map"))
        return;
    l->list = ARENA_ARRAY(d->arena, struct label, n->n + 1);
    for (uint32_t i = 0; i < n->n; i++) {
        const struct node_field *nf = &n->fields[i];
        struct place here = {.up = at, .key = nf->key, .quoted = true};
        struct view value = nf->value->text;
        bool number = nf->value->type == NODE_INT || nf->value->type == NODE_FLOAT;
        if (nf->value->type == NODE_NULL)
            value = VIEW_NONE;
        else if (!(f->type == FIELD_QUANTITIES && number) && !want(d, nf->value, &here, NODE_STR, "a string"))
            continue;
        if (f->type == FIELD_BYTES_MAP && decode_bytes(d->arena, value, &value) < 0) {
            bad_format(d, nf->value, &here, VIEW("the value"), "base64");
            continue;
        }
        if (f->format == FORMAT_LABELS && !is_label_value(value))
            bad_format(d, nf->value, &here, value, "a label value (letters, digits, `-`, `_`, `.`; at most 63)");
        if (f->format == FORMAT_LABELS && !is_label_key(nf->key))
            bad_format(d, nf->value, &here, nf->key, "a label key (`name` or `prefix/name`)");
        l->list[l->n++] = (struct label){nf->key, value};
    }
}

static void decode_int_or_str(struct decoder *d, void *to, const struct node *n, const struct place *at)
{
    struct int_or_str *v = to;
    int64_t number;
    if (n->type == NODE_STR) {
        *v = (struct int_or_str){.set = true, .text = n->text};
        return;
    }
    if (!want(d, n, at, NODE_INT, "a number or a name"))
        return;
    if (node_i64(n, &number) < 0 || number < 0 || number > INT32_MAX)
        decode_bad(d, n, at, "number out of range")->label = VIEW("must be 0 to 2147483647");
    else
        *v = (struct int_or_str){.set = true, .number = (int32_t)number};
}

static void decode_str(struct decoder *d, const struct field *f, void *to, const struct node *n, const struct place *at)
{
    if (!want(d, n, at, NODE_STR, "a string"))
        return;
    *(struct view *)to = n->text;
    if (n->text.n)
        check_format(d, f, n, at, n->text);
}

static void decode_text(struct decoder *d, const struct field *f, void *to, const struct node *n,
                        const struct place *at)
{
    if (!want(d, n, at, NODE_STR, "a string"))
        return;
    if (f->type == FIELD_TIME && clock_parse_time(n->text, to) < 0)
        bad_format(d, n, at, n->text, "a time (2006-01-02T15:04:05Z)");
    if (f->type == FIELD_BYTES && decode_bytes(d->arena, n->text, to) < 0)
        bad_format(d, n, at, VIEW("the value"), "base64");
}

static void decode_bool(struct decoder *d, const struct field *f, void *to, const struct node *n,
                        const struct place *at)
{
    if (!want(d, n, at, NODE_BOOL, "true or false"))
        return;
    if (f->type == FIELD_BOOL)
        *(bool *)to = node_bool(n, false);
    else
        *(struct opt_bool *)to = (struct opt_bool){true, node_bool(n, false)};
}

void value_decode(struct decoder *d, const struct field *f, void *to, void *count, const struct node *n,
                  const struct place *at)
{
    switch (f->type) {
    case FIELD_STR:
        decode_str(d, f, to, n, at);
        break;
    case FIELD_BOOL:
    case FIELD_OPT_BOOL:
        decode_bool(d, f, to, n, at);
        break;
    case FIELD_I32:
    case FIELD_U32:
    case FIELD_U64:
    case FIELD_I64:
    case FIELD_PORT:
    case FIELD_OPT_U32:
    case FIELD_OPT_I64:
        decode_int(d, f, to, n, at);
        break;
    case FIELD_F64:
        decode_f64(d, f, to, n, at);
        break;
    case FIELD_DURATION:
        decode_duration(d, f, to, n, at);
        break;
    case FIELD_TIME:
    case FIELD_BYTES:
        decode_text(d, f, to, n, at);
        break;
    case FIELD_ENUM:
        decode_enum(d, f, to, n, at);
        break;
    case FIELD_STRS:
        decode_strs(d, f, to, n, at);
        break;
    case FIELD_U32S:
        decode_u32s(d, f, to, count, n, at);
        break;
    case FIELD_MAP:
    case FIELD_BYTES_MAP:
    case FIELD_QUANTITIES:
        decode_map(d, f, to, n, at);
        break;
    case FIELD_INT_OR_STR:
        decode_int_or_str(d, to, n, at);
        break;
    case FIELD_MSG:
    case FIELD_EMBED:
    case FIELD_INLINE:
    case FIELD_LIST:
    case FIELD_KEYED:
    case FIELD_CUSTOM:
    case FIELD_ANY:
    case FIELD_REFUSED:
        must(!"decode.c handles these");
    }
}
