// SPDX-License-Identifier: Apache-2.0
/* Trees as text (node.h): JSON in one line or indented, and YAML in kubectl's layout (lists not indented under their
 * key). Strings stay plain in YAML only when every reader would read a string again; texts with lines become blocks.
 */
#include "wire/node.h"

#include <math.h>

#include "wire/yaml.h"

static void pad(struct buf *out, int n)
{
    for (int i = 0; i < n; i++)
        buf_char(out, ' ');
}

/* Numbers in any YAML spelling become JSON numbers; what JSON cannot say (infinity, beyond 64 bits) becomes a string. */
static void print_number(const struct node *n, struct buf *out)
{
    int64_t whole;
    double value;
    if (n->type == NODE_INT && node_i64(n, &whole) == 0)
        buf_i64(out, whole);
    else if (n->type == NODE_FLOAT && node_f64(n, &value) == 0)
        buf_printf(out, "%.17g", value);
    else
        buf_json_str(out, n->text);
}

static void print_json(const struct node *n, struct buf *out, int indent)
{
    bool pretty = indent >= 0, map = n->type == NODE_MAP;
    switch ((enum node_type)n->type) {
    case NODE_NULL:
        buf_str(out, "null");
        return;
    case NODE_BOOL:
        buf_str(out, node_bool(n, false) ? "true" : "false");
        return;
    case NODE_INT:
    case NODE_FLOAT:
        print_number(n, out);
        return;
    case NODE_STR:
        buf_json_str(out, n->text);
        return;
    case NODE_SEQ:
    case NODE_MAP:
        break;
    }
    buf_char(out, map ? '{' : '[');
    for (uint32_t i = 0; i < n->n; i++) {
        if (i)
            buf_char(out, ',');
        if (pretty) {
            buf_char(out, '\n');
            pad(out, indent + 4);
        }
        if (map) {
            buf_json_str(out, n->fields[i].key);
            buf_str(out, pretty ? ": " : ":");
        }
        print_json(map ? n->fields[i].value : n->items[i], out, pretty ? indent + 4 : -1);
    }
    if (pretty && n->n) {
        buf_char(out, '\n');
        pad(out, indent);
    }
    buf_char(out, map ? '}' : ']');
}

void node_print_json(const struct node *n, struct buf *out)
{
    print_json(n, out, -1);
}

void node_print_json_pretty(const struct node *n, struct buf *out)
{
    print_json(n, out, 0);
    buf_char(out, '\n');
}

/* Bytes of ordinary text: no control characters and none of YAML's exotic line breaks. */
static bool is_clean(struct view text, bool lines)
{
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        if (c == 0x7f || (c < 0x20 && !(lines && (c == '\n' || c == '\t'))))
            return false;
        if (c >= 0x80)
            return false; /* quoted: buf_json_str also repairs what is not UTF-8 */
    }
    return true;
}

static bool is_plain(struct view t)
{
    if (!t.n || yaml_plain_type(t) != PULL_STR || !is_clean(t, false) || t.p[0] == ' ' || t.p[t.n - 1] == ' ')
        return false;
    if (memchr("-?:,[]{}#&*!|>'\"%@`=<~", t.p[0], 23) || t.p[t.n - 1] == ':')
        return false;
    for (size_t i = 0; i + 1 < t.n; i++)
        if ((t.p[i] == ':' && t.p[i + 1] == ' ') || (t.p[i] == ' ' && t.p[i + 1] == '#'))
            return false;
    return !(t.p[0] >= '0' && t.p[0] <= '9' && view_find(t, '-') < t.n); /* could be a date to another reader */
}

static bool is_block(struct view t)
{
    return t.n > 1 && view_find(t, '\n') < t.n && is_clean(t, true) && t.p[0] != ' ' && t.p[0] != '\n' &&
           t.p[0] != '\t' && view_find_view(t, VIEW(" \n")) == t.n;
}

static void print_block(struct view t, struct buf *out, int indent)
{
    size_t ends = 0;
    while (ends < t.n && t.p[t.n - 1 - ends] == '\n')
        ends++;
    buf_str(out, ends == 0 ? "|-" : ends == 1 ? "|" : "|+");
    struct view rest = ends ? view_head(t, t.n - 1) : t, line;
    size_t lines = 1;
    for (size_t i = 0; i < rest.n; i++)
        lines += rest.p[i] == '\n';
    while (lines--) {
        size_t at = view_find(rest, '\n');
        line = view_head(rest, at);
        rest = view_from(rest, at + 1);
        buf_char(out, '\n');
        if (line.n)
            pad(out, indent);
        buf_view(out, line);
    }
}

/* Characters that JSON strings may hold and YAML's may not, or takes for line breaks: length of the one at p, or 0. */
static size_t is_exotic(const unsigned char *p, size_t n, uint32_t *ret_code)
{
    *ret_code = p[0];
    if (p[0] == 0x7f)
        return 1;
    *ret_code = n > 1 ? (uint32_t)(p[0] & 0x1f) << 6 | (p[1] & 0x3f) : 0;
    if (n > 1 && p[0] == 0xc2 && p[1] < 0xa0)
        return 2;
    *ret_code = n > 2 ? (uint32_t)(p[0] & 0x0f) << 12 | (uint32_t)(p[1] & 0x3f) << 6 | (p[2] & 0x3f) : 0;
    bool bad = *ret_code == 0x2028 || *ret_code == 0x2029 || *ret_code == 0xfeff || *ret_code >= 0xfffe;
    return n > 2 && (p[0] & 0xf0) == 0xe0 && bad ? 3 : 0;
}

static void print_double_quoted(struct view t, struct buf *out)
{
    struct buf json = {0};
    buf_json_str(&json, t);
    struct view rest = buf_read(&json);
    while (rest.n) {
        uint32_t code;
        size_t n = is_exotic((const unsigned char *)rest.p, rest.n, &code);
        if (n)
            buf_printf(out, "\\u%04x", code);
        else
            buf_char(out, rest.p[0]);
        rest = view_from(rest, n ? n : 1);
    }
    buf_done(&json);
}

/* Double quotes know escapes; single quotes read better around JSON. */
static void print_quoted(struct view t, struct buf *out)
{
    if (!is_clean(t, false) || (view_find(t, '"') == t.n && view_find(t, '\\') == t.n)) {
        print_double_quoted(t, out);
        return;
    }
    buf_char(out, '\'');
    for (size_t i = 0; i < t.n; i++) {
        if (t.p[i] == '\'')
            buf_char(out, '\'');
        buf_char(out, t.p[i]);
    }
    buf_char(out, '\'');
}

/* A scalar or an empty collection, on the line that is already begun. */
static void print_inline(const struct node *n, struct buf *out, int indent)
{
    if (n->type == NODE_SEQ || n->type == NODE_MAP)
        buf_str(out, n->type == NODE_MAP ? "{}" : "[]");
    else if (n->type != NODE_STR)
        print_json(n, out, -1);
    else if (is_plain(n->text))
        buf_view(out, n->text);
    else if (is_block(n->text))
        print_block(n->text, out, indent);
    else
        print_quoted(n->text, out);
}

static void print_key(struct view key, struct buf *out)
{
    if (is_plain(key))
        buf_view(out, key);
    else
        print_quoted(key, out);
    buf_char(out, ':');
}

/* The first line is already indented: behind "- " an object's first key stands on the same line. */
static void print_yaml(const struct node *n, struct buf *out, int indent)
{
    bool map = n->type == NODE_MAP;
    if ((!map && n->type != NODE_SEQ) || !n->n) {
        print_inline(n, out, indent);
        buf_char(out, '\n');
        return;
    }
    for (uint32_t i = 0; i < n->n; i++) {
        if (i)
            pad(out, indent);
        if (!map) {
            buf_str(out, "- ");
            print_yaml(n->items[i], out, indent + 2);
            continue;
        }
        const struct node *value = n->fields[i].value;
        bool nested = (value->type == NODE_MAP || value->type == NODE_SEQ) && value->n;
        print_key(n->fields[i].key, out);
        buf_char(out, nested ? '\n' : ' ');
        int deeper = indent + (value->type == NODE_SEQ ? 0 : 2);
        if (nested)
            pad(out, deeper);
        print_yaml(value, out, deeper);
    }
}

void node_print_yaml(const struct node *n, struct buf *out)
{
    print_yaml(n, out, 0);
}
