// SPDX-License-Identifier: Apache-2.0
/* YAML as pull events (yaml.h): libyaml does the scanning, we type its plain scalars and hold its appetite.
 *
 * The parser object is malloc'ed by libyaml and deleted by a cleanup of the arena. Depth is checked while parsing, so
 * `[[[[…` stops after LIMIT_YAML_DEPTH events and never reaches libyaml's slow paths.
 */
#include "wire/yaml.h"

#include <errno.h>
#include <string.h>
#include <yaml.h>

#include "base/limits.h"

struct yaml_reader {
    struct pull pull;
    yaml_parser_t parser;
    uint32_t first_line;
    unsigned depth, aliases;
    int failed; /* the error that every later call returns */
};

static const char *const null_words[] = {"", "~", "null", "Null", "NULL"};
static const char *const bool_words[] = {"y", "Y", "yes", "Yes", "YES", "on",  "On",  "ON",  "true",  "True",  "TRUE",
                                         "n", "N", "no",  "No",  "NO",  "off", "Off", "OFF", "false", "False", "FALSE"};
static const char *const float_words[] = {".nan",  ".NaN",  ".NAN",  ".inf",  ".Inf",  ".INF",
                                          "+.inf", "+.Inf", "+.INF", "-.inf", "-.Inf", "-.INF"};

static bool among(struct view text, const char *const *words, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (view_is(text, words[i]))
            return true;
    return false;
}

static unsigned digit(char c)
{
    if (c >= '0' && c <= '9')
        return (unsigned)(c - '0');
    if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
        return (unsigned)((c | 0x20) - 'a') + 10;
    return 99;
}

/* Cuts sign and base prefix off; the rest must be digits of *ret_base and underscores. */
static bool int_digits(struct view text, bool *ret_negative, unsigned *ret_base, struct view *ret_digits)
{
    *ret_negative = text.n && text.p[0] == '-';
    struct view v = text.n && (text.p[0] == '-' || text.p[0] == '+') ? view_from(text, 1) : text;
    *ret_base = 10;
    if (v.n > 1 && v.p[0] == '0') {
        char kind = v.p[1] | 0x20;
        *ret_base = kind == 'x' ? 16 : kind == 'b' ? 2 : 8;
        v = view_from(v, *ret_base != 8 || kind == 'o' ? 2 : 1);
    }
    *ret_digits = v;
    bool any = false;
    for (size_t i = 0; i < v.n; i++) {
        if (v.p[i] == '_')
            continue;
        if (digit(v.p[i]) >= *ret_base)
            return false;
        any = true;
    }
    return any && v.p[0] != '_';
}

static bool is_float(struct view text)
{
    size_t i = text.n && (text.p[0] == '-' || text.p[0] == '+') ? 1 : 0, digits = 0;
    for (; i < text.n && digit(text.p[i]) < 10; i++)
        digits++;
    if (i < text.n && text.p[i] == '.')
        for (i++; i < text.n && digit(text.p[i]) < 10; i++)
            digits++;
    if (!digits)
        return false;
    if (i == text.n)
        return true;
    if ((text.p[i] | 0x20) != 'e')
        return false;
    i++;
    if (i < text.n && (text.p[i] == '-' || text.p[i] == '+'))
        i++;
    size_t exponent = i;
    while (i < text.n && digit(text.p[i]) < 10)
        i++;
    return i == text.n && i > exponent;
}

enum pull_scalar yaml_plain_type(struct view text)
{
    bool negative;
    unsigned base;
    struct view digits;
    if (among(text, null_words, COUNT_OF(null_words)))
        return PULL_NULL;
    if (among(text, bool_words, COUNT_OF(bool_words)))
        return PULL_BOOL;
    if (int_digits(text, &negative, &base, &digits))
        return PULL_INT;
    if (is_float(text) || among(text, float_words, COUNT_OF(float_words)))
        return PULL_FLOAT;
    return PULL_STR;
}

int yaml_plain_int(struct view text, int64_t *ret_value)
{
    bool negative;
    unsigned base;
    struct view digits;
    if (!int_digits(text, &negative, &base, &digits))
        return -EINVAL;
    uint64_t value = 0;
    for (size_t i = 0; i < digits.n; i++) {
        if (digits.p[i] == '_')
            continue;
        if (__builtin_mul_overflow(value, base, &value) || __builtin_add_overflow(value, digit(digits.p[i]), &value))
            return -ERANGE;
    }
    if (value > (uint64_t)INT64_MAX + negative)
        return -ERANGE;
    *ret_value = negative ? (int64_t)(0 - value) : (int64_t)value;
    return 0;
}

static int fail(struct yaml_reader *r, int err, size_t line, size_t col, struct view text)
{
    r->pull.error = (struct pull_error){.line = r->first_line + (uint32_t)line, .col = (uint32_t)col + 1, .text = text};
    r->failed = err;
    return err;
}

static int fail_parser(struct yaml_reader *r)
{
    yaml_parser_t *p = &r->parser;
    struct view text = p->context ? arena_printf(r->pull.arena, "%s, %s that starts on line %zu", p->problem,
                                                 p->context, r->first_line + p->context_mark.line)
                                  : arena_printf(r->pull.arena, "%s", p->problem ? p->problem : "cannot be read");
    return fail(r, -EINVAL, p->problem_mark.line, p->problem_mark.column, text);
}

/* What an explicit tag makes of a scalar: !!str is a string whatever it looks like. */
static int scalar_type(struct yaml_reader *r, const yaml_event_t *e, struct pull_event *ret)
{
    static const char prefix[] = "tag:yaml.org,2002:";
    const char *tag = (const char *)e->data.scalar.tag;
    ret->quoted = e->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    ret->block = e->data.scalar.style == YAML_LITERAL_SCALAR_STYLE || e->data.scalar.style == YAML_FOLDED_SCALAR_STYLE;
    ret->scalar = ret->quoted ? PULL_STR : yaml_plain_type(ret->text);
    if (!tag || !strcmp(tag, "!"))
        return 0;
    const char *name = strncmp(tag, prefix, sizeof(prefix) - 1) == 0 ? tag + sizeof(prefix) - 1 : "";
    if (!strcmp(name, "str"))
        ret->scalar = PULL_STR;
    else if (!strcmp(name, "int") || !strcmp(name, "float") || !strcmp(name, "bool") || !strcmp(name, "null"))
        ret->scalar = yaml_plain_type(ret->text);
    else
        return fail(r, -EINVAL, e->start_mark.line, e->start_mark.column,
                    arena_printf(r->pull.arena, "tag %s is not supported", tag));
    return 0;
}

static int too_deep(struct yaml_reader *r, const yaml_event_t *e)
{
    if (++r->depth <= LIMIT_YAML_DEPTH)
        return 0;
    return fail(r, -E2BIG, e->start_mark.line, e->start_mark.column,
                arena_printf(r->pull.arena, "nested deeper than %d levels", LIMIT_YAML_DEPTH));
}

static struct view name_of(struct yaml_reader *r, const yaml_char_t *text)
{
    return text ? arena_view(r->pull.arena, view_of((const char *)text)) : VIEW_NONE;
}

static int translate(struct yaml_reader *r, const yaml_event_t *e, struct pull_event *ret)
{
    int err = 0;
    switch (e->type) {
    case YAML_NO_EVENT:
    case YAML_STREAM_END_EVENT:
    case YAML_STREAM_START_EVENT:
        ret->type = PULL_END;
        break;
    case YAML_DOCUMENT_START_EVENT:
        ret->type = PULL_DOC_START;
        r->aliases = 0;
        break;
    case YAML_DOCUMENT_END_EVENT:
        ret->type = PULL_DOC_END;
        break;
    case YAML_ALIAS_EVENT:
        ret->type = PULL_ALIAS;
        ret->anchor = name_of(r, e->data.alias.anchor);
        if (++r->aliases > LIMIT_YAML_ALIASES)
            err = fail(r, -E2BIG, e->start_mark.line, e->start_mark.column,
                       arena_printf(r->pull.arena, "more than %d aliases in one document", LIMIT_YAML_ALIASES));
        break;
    case YAML_SCALAR_EVENT:
        ret->type = PULL_SCALAR;
        ret->text = arena_view(r->pull.arena, view_make(e->data.scalar.value, e->data.scalar.length));
        ret->anchor = name_of(r, e->data.scalar.anchor);
        err = scalar_type(r, e, ret);
        break;
    case YAML_SEQUENCE_START_EVENT:
        ret->type = PULL_SEQ_START;
        ret->anchor = name_of(r, e->data.sequence_start.anchor);
        err = too_deep(r, e);
        break;
    case YAML_MAPPING_START_EVENT:
        ret->type = PULL_MAP_START;
        ret->anchor = name_of(r, e->data.mapping_start.anchor);
        err = too_deep(r, e);
        break;
    case YAML_SEQUENCE_END_EVENT:
        ret->type = PULL_SEQ_END;
        r->depth--;
        break;
    case YAML_MAPPING_END_EVENT:
        ret->type = PULL_MAP_END;
        r->depth--;
        break;
    }
    return err;
}

static int next_event(struct pull *p, struct pull_event *ret)
{
    struct yaml_reader *r = CONTAINER_OF(p, struct yaml_reader, pull);
    if (r->failed)
        return r->failed;
    *ret = (struct pull_event){0};
    yaml_event_t e;
    do {
        if (!yaml_parser_parse(&r->parser, &e))
            return fail_parser(r);
    } while (e.type == YAML_STREAM_START_EVENT);
    ret->line = r->first_line + (uint32_t)e.start_mark.line;
    ret->col = (uint32_t)e.start_mark.column + 1;
    if (e.end_mark.line == e.start_mark.line)
        ret->span = (uint32_t)(e.end_mark.column - e.start_mark.column);
    int err = translate(r, &e, ret);
    yaml_event_delete(&e);
    return err;
}

static void delete_parser(void *arg)
{
    struct yaml_reader *r = arg;
    yaml_parser_delete(&r->parser);
}

struct pull *yaml_pull(struct arena *a, struct view text, uint32_t first_line)
{
    struct yaml_reader *r = ARENA_NEW(a, struct yaml_reader);
    r->pull = (struct pull){.next = next_event, .arena = a};
    r->first_line = first_line;
    must(yaml_parser_initialize(&r->parser));
    arena_cleanup(a, delete_parser, r);
    yaml_parser_set_encoding(&r->parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r->parser, (const unsigned char *)(text.n ? text.p : ""), text.n);
    if (text.n > LIMIT_YAML_BYTES)
        (void)fail(r, -E2BIG, 0, 0, arena_printf(a, "longer than %d bytes", LIMIT_YAML_BYTES));
    return &r->pull;
}
