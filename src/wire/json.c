// SPDX-License-Identifier: Apache-2.0
/* JSON as pull events (json.h): one pass over the text, no recursion. What is open is a stack of bits (list or object),
 * what may come next is one of five states. Strings without escapes are views into the text, others are unescaped into
 * the arena.
 */
#include "wire/json.h"

#include <errno.h>

#include "base/limits.h"

enum expect {
    EXPECT_DOC,          /* a value, or the end of the text */
    EXPECT_VALUE,        /* after ':' or ',' in a list */
    EXPECT_VALUE_OR_END, /* after '[' */

    EXPECT_KEY_OR_END, /* after '{' */
    EXPECT_COMMA_OR_END,
    EXPECT_DOC_END,
};

struct json_reader {
    struct pull pull;
    struct view text;
    size_t at, line_start;
    uint32_t line;
    unsigned depth;
    enum expect expect;
    int failed;
    bool is_map[LIMIT_JSON_DEPTH + 1]; /* by depth */
};

static int fail_at(struct json_reader *r, int err, size_t at, struct view text)
{
    r->pull.error = (struct pull_error){.line = r->line, .col = (uint32_t)(at - r->line_start) + 1, .text = text};
    r->failed = err;
    return err;
}

static int fail(struct json_reader *r, const char *what)
{
    return fail_at(r, -EINVAL, r->at, view_of(what));
}

static void skip_space(struct json_reader *r)
{
    for (; r->at < r->text.n; r->at++) {
        char c = r->text.p[r->at];
        if (c == '\n') {
            r->line++;
            r->line_start = r->at + 1;
        } else if (c != ' ' && c != '\t' && c != '\r') {
            return;
        }
    }
}

/* Length of one UTF-8 sequence at p, 0 when it is not valid (overlong and surrogates included). */
static size_t utf8_len(const unsigned char *p, size_t n)
{
    if (p[0] < 0x80)
        return 1;
    size_t len = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    if (p[0] < 0xc2 || p[0] > 0xf4 || n < len)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) ||
        (p[0] == 0xf4 && p[1] > 0x8f))
        return 0;
    return len;
}

static size_t utf8_put(char *to, uint32_t c)
{
    if (c < 0x80) {
        to[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        to[0] = (char)(0xc0 | c >> 6);
        to[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        to[0] = (char)(0xe0 | c >> 12);
        to[1] = (char)(0x80 | (c >> 6 & 0x3f));
        to[2] = (char)(0x80 | (c & 0x3f));
        return 3;
    }
    to[0] = (char)(0xf0 | c >> 18);
    to[1] = (char)(0x80 | (c >> 12 & 0x3f));
    to[2] = (char)(0x80 | (c >> 6 & 0x3f));
    to[3] = (char)(0x80 | (c & 0x3f));
    return 4;
}

static bool hex4(struct view v, uint32_t *ret)
{
    if (v.n < 4)
        return false;
    uint32_t value = 0;
    for (size_t i = 0; i < 4; i++) {
        char c = v.p[i], low = c | 0x20;
        if (c >= '0' && c <= '9')
            value = value << 4 | (uint32_t)(c - '0');
        else if (low >= 'a' && low <= 'f')
            value = value << 4 | (uint32_t)(low - 'a' + 10);
        else
            return false;
    }
    *ret = value;
    return true;
}

/* One escape at raw[*i] (behind the backslash); moves *i, writes to `to`. */
static size_t unescape_one(struct view raw, size_t *i, char *to)
{
    static const char from[] = "\"\\/bfnrt", into[] = "\"\\/\b\f\n\r\t";
    char c = raw.p[*i];
    const char *known = memchr(from, c, sizeof(from) - 1);
    if (known) {
        *to = into[known - from];
        *i += 1;
        return 1;
    }
    uint32_t code, low;
    if (c != 'u' || !hex4(view_from(raw, *i + 1), &code))
        return 0;
    *i += 5;
    if (code >= 0xdc00 && code < 0xe000)
        return 0;
    if (code >= 0xd800 && code < 0xdc00) {
        struct view rest = view_from(raw, *i);
        if (rest.n < 6 || rest.p[0] != '\\' || rest.p[1] != 'u' || !hex4(view_from(rest, 2), &low) || low < 0xdc00 ||
            low > 0xdfff)
            return 0;
        *i += 6;
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    }
    return utf8_put(to, code);
}

static int unescape(struct json_reader *r, struct view raw, struct view *ret)
{
    char *to = arena_alloc_raw(r->pull.arena, raw.n + 1, 1);
    size_t n = 0;
    for (size_t i = 0; i < raw.n;) {
        if (raw.p[i] != '\\') {
            to[n++] = raw.p[i++];
            continue;
        }
        i++;
        size_t wrote = unescape_one(raw, &i, to + n);
        if (!wrote)
            return fail(r, "a backslash is followed by something that JSON does not know");
        n += wrote;
    }
    to[n] = 0;
    *ret = view_make(to, n);
    return 0;
}

static int read_string(struct json_reader *r, struct view *ret)
{
    size_t start = r->at + 1, i = start;
    bool escapes = false;
    while (i < r->text.n && r->text.p[i] != '"') {
        unsigned char c = (unsigned char)r->text.p[i];
        if (c < 0x20)
            return fail(r, "a control character stands in a string; write it as \\u00XX");
        if (c == '\\') {
            escapes = true;
            i += 2;
            continue;
        }
        size_t len = utf8_len((const unsigned char *)r->text.p + i, r->text.n - i);
        if (!len)
            return fail(r, "a string is not UTF-8");
        i += len;
    }
    if (i >= r->text.n)
        return fail(r, "a string has no end");
    struct view raw = view_make(r->text.p + start, i - start);
    int err = escapes ? unescape(r, raw, ret) : 0;
    if (!escapes)
        *ret = raw;
    r->at = i + 1;
    return err;
}

static size_t digits_from(struct view v, size_t i)
{
    while (i < v.n && v.p[i] >= '0' && v.p[i] <= '9')
        i++;
    return i;
}

static int read_number(struct json_reader *r, struct pull_event *ret)
{
    struct view v = view_from(r->text, r->at);
    size_t i = v.p[0] == '-', first = i;
    ret->scalar = PULL_INT;
    i = digits_from(v, i);
    if (i == first || (v.p[first] == '0' && i > first + 1))
        return fail(r, "not a JSON value");
    if (i < v.n && v.p[i] == '.') {
        ret->scalar = PULL_FLOAT;
        size_t fraction = ++i;
        i = digits_from(v, i);
        if (i == fraction)
            return fail(r, "a number ends in its point");
    }
    if (i < v.n && (v.p[i] | 0x20) == 'e') {
        ret->scalar = PULL_FLOAT;
        i++;
        if (i < v.n && (v.p[i] == '+' || v.p[i] == '-'))
            i++;
        size_t exponent = i;
        i = digits_from(v, i);
        if (i == exponent)
            return fail(r, "a number has an empty exponent");
    }
    ret->text = view_head(v, i);
    r->at += i;
    return 0;
}

static int read_word(struct json_reader *r, struct pull_event *ret)
{
    static const struct {
        struct view word;
        enum pull_scalar type;
    } words[] = {{{"true", 4}, PULL_BOOL}, {{"false", 5}, PULL_BOOL}, {{"null", 4}, PULL_NULL}};
    struct view rest = view_from(r->text, r->at);
    for (size_t i = 0; i < COUNT_OF(words); i++)
        if (view_starts(rest, words[i].word)) {
            ret->scalar = words[i].type;
            ret->text = view_head(rest, words[i].word.n);
            r->at += words[i].word.n;
            return 0;
        }
    return fail(r, "not a JSON value");
}

static void after_value(struct json_reader *r)
{
    r->expect = r->depth ? EXPECT_COMMA_OR_END : EXPECT_DOC_END;
}

static int read_value(struct json_reader *r, struct pull_event *ret)
{
    char c = r->text.p[r->at];
    size_t start = r->at;
    if (c == '{' || c == '[') {
        if (r->depth == LIMIT_JSON_DEPTH)
            return fail_at(r, -E2BIG, r->at,
                           arena_printf(r->pull.arena, "nested deeper than %d levels", LIMIT_JSON_DEPTH));
        r->is_map[++r->depth] = c == '{';
        r->expect = c == '{' ? EXPECT_KEY_OR_END : EXPECT_VALUE_OR_END;
        ret->type = c == '{' ? PULL_MAP_START : PULL_SEQ_START;
        ret->span = 1;
        r->at++;
        return 0;
    }
    ret->type = PULL_SCALAR;
    ret->quoted = c == '"';
    ret->scalar = PULL_STR;
    int err = c == '"'                             ? read_string(r, &ret->text)
              : c == '-' || (c >= '0' && c <= '9') ? read_number(r, ret)
                                                   : read_word(r, ret);
    ret->span = (uint32_t)(r->at - start);
    after_value(r);
    return err;
}

static int read_key(struct json_reader *r, struct pull_event *ret)
{
    if (r->text.p[r->at] != '"')
        return fail(r, "expected a key in quotes");
    size_t start = r->at;
    ret->type = PULL_SCALAR;
    ret->scalar = PULL_STR;
    ret->quoted = true;
    int err = read_string(r, &ret->text);
    if (err)
        return err;
    ret->span = (uint32_t)(r->at - start);
    skip_space(r);
    if (r->at >= r->text.n || r->text.p[r->at] != ':')
        return fail(r, "expected ':' after the key");
    r->at++;
    r->expect = EXPECT_VALUE;
    return 0;
}

static int read_end(struct json_reader *r, struct pull_event *ret)
{
    if (r->text.p[r->at] != (r->is_map[r->depth] ? '}' : ']'))
        return fail(r, r->is_map[r->depth] ? "expected ',' or '}'" : "expected ',' or ']'");
    ret->type = r->is_map[r->depth] ? PULL_MAP_END : PULL_SEQ_END;
    ret->span = 1;
    r->at++;
    r->depth--;
    after_value(r);
    return 0;
}

/* Behind a value inside a list or object: a comma leads to the next, anything else must end it. */
static int after_comma(struct json_reader *r, struct pull_event *ret)
{
    if (r->text.p[r->at] != ',')
        return read_end(r, ret);
    r->at++;
    skip_space(r);
    if (r->at >= r->text.n)
        return fail(r, "the text ends too early");
    ret->line = r->line;
    ret->col = (uint32_t)(r->at - r->line_start) + 1;
    return r->is_map[r->depth] ? read_key(r, ret) : read_value(r, ret);
}

static int next_event(struct pull *p, struct pull_event *ret)
{
    struct json_reader *r = CONTAINER_OF(p, struct json_reader, pull);
    if (r->failed)
        return r->failed;
    skip_space(r);
    *ret = (struct pull_event){.line = r->line, .col = (uint32_t)(r->at - r->line_start) + 1};
    bool end = r->at >= r->text.n;
    if (r->expect == EXPECT_DOC_END) {
        ret->type = PULL_DOC_END;
        r->expect = EXPECT_DOC;
        return 0;
    }
    if (r->expect == EXPECT_DOC) {
        ret->type = end ? PULL_END : PULL_DOC_START;
        if (!end)
            r->expect = EXPECT_VALUE;
        return 0;
    }
    if (end)
        return fail(r, "the text ends too early");
    char c = r->text.p[r->at];
    switch (r->expect) {
    case EXPECT_KEY_OR_END:
        return c == '}' ? read_end(r, ret) : read_key(r, ret);
    case EXPECT_VALUE_OR_END:
        return c == ']' ? read_end(r, ret) : read_value(r, ret);
    case EXPECT_COMMA_OR_END:
        return after_comma(r, ret);
    case EXPECT_VALUE:
    case EXPECT_DOC:
    case EXPECT_DOC_END:
        break;
    }
    return read_value(r, ret);
}

struct pull *json_pull(struct arena *a, struct view text, uint32_t first_line)
{
    struct json_reader *r = ARENA_NEW(a, struct json_reader);
    r->pull = (struct pull){.next = next_event, .arena = a};
    r->text = text;
    r->line = first_line;
    if (text.n > LIMIT_YAML_BYTES)
        (void)fail_at(r, -E2BIG, 0, arena_printf(a, "longer than %d bytes", LIMIT_YAML_BYTES));
    return &r->pull;
}
