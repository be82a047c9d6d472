// SPDX-License-Identifier: Apache-2.0
/* Parsing of templates (template.h): a file becomes a list of pieces, an action's text a small expression tree. The
 * parser knows the whole grammar, so that a chart that uses more fails when it is read, in a test, not at a customer's.
 */
#include "install/template.h"

#include <errno.h>
#include <string.h>

#include "install/template_impl.h"

struct parser {
    struct template_set *set;
    struct view file, text; /* text: what is left */
    uint32_t line;
    struct view *ret_why;
    unsigned depth;
    /* the action that was read last */
    struct view action, rest; /* rest: unread part of the action */
    struct view whole;        /* all between the braces, comments too: its lines count when it is done */
};

static int bad(struct parser *p, const char *fmt, ...) printf_like(2, 3);
static int bad(struct parser *p, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    struct view text = arena_vprintf(p->set->arena, fmt, args);
    va_end(args);
    *p->ret_why = arena_printf(p->set->arena, "%.*s:%u: %.*s", VIEW_ARGS(p->file), p->line, VIEW_ARGS(text));
    return -EINVAL;
}

void template_set_init(struct template_set *set, struct arena *a)
{
    *set = (struct template_set){.arena = a};
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

static struct view trim_right(struct view v)
{
    while (v.n && is_space(v.p[v.n - 1]))
        v.n--;
    return v;
}

static void count_lines(struct parser *p, struct view v)
{
    for (size_t i = 0; i < v.n; i++)
        p->line += v.p[i] == '\n';
}

static void skip_spaces(struct parser *p)
{
    while (p->rest.n && is_space(p->rest.p[0]))
        p->rest = view_from(p->rest, 1);
}

/* A word at the front of the action, without taking it. */
static struct view peek_word(struct parser *p)
{
    skip_spaces(p);
    size_t n = 0;
    while (n < p->rest.n && is_word(p->rest.p[n]))
        n++;
    return view_head(p->rest, n);
}

static bool take(struct parser *p, const char *sign)
{
    skip_spaces(p);
    if (!view_starts(p->rest, view_of(sign)))
        return false;
    p->rest = view_from(p->rest, strlen(sign));
    return true;
}

static bool take_word(struct parser *p, const char *word)
{
    if (!view_is(peek_word(p), word))
        return false;
    p->rest = view_from(p->rest, strlen(word));
    return true;
}

static struct expr *expr_new(struct parser *p, enum expr_type type)
{
    struct expr *e = ARENA_NEW(p->set->arena, struct expr);
    e->type = type;
    return e;
}

static int parse_pipeline(struct parser *p, struct expr **ret);

static int parse_string(struct parser *p, struct expr **ret)
{
    struct buf b = {0};
    size_t i = 1;
    int err = 0;
    for (; i < p->rest.n && p->rest.p[i] != '"' && !err; i++) {
        char c = p->rest.p[i];
        if (c == '\\' && i + 1 < p->rest.n) {
            c = p->rest.p[++i];
            if (c == 'n')
                c = '\n';
            else if (c != '"' && c != '\\')
                err = bad(p, "the escape \\%c in a string", c);
        }
        buf_char(&b, c);
    }
    if (!err && i >= p->rest.n)
        err = bad(p, "a string without its end");
    if (!err) {
        *ret = expr_new(p, EXPR_VALUE);
        (*ret)->value = node_str(p->set->arena, arena_view(p->set->arena, buf_read(&b)));
        p->rest = view_from(p->rest, i + 1);
    }
    buf_done(&b);
    return err;
}

/* .a.b behind a base that was taken. */
static int parse_fields(struct parser *p, struct expr *e)
{
    while (p->rest.n > 1 && p->rest.p[0] == '.' && is_word(p->rest.p[1])) {
        p->rest = view_from(p->rest, 1);
        struct view word = peek_word(p);
        *ARENA_PUSH(p->set->arena, e->fields, e->n_fields) = word;
        p->rest = view_from(p->rest, word.n);
    }
    return 0;
}

/* A term: literal, path, or something in parentheses; *ret is NULL when there is none. */
static int parse_term(struct parser *p, struct expr **ret)
{
    *ret = NULL;
    skip_spaces(p);
    char c = p->rest.n ? p->rest.p[0] : '\0';
    if (c == '"')
        return parse_string(p, ret);
    if (c == '(') {
        struct expr *inner;
        p->rest = view_from(p->rest, 1);
        int err = parse_pipeline(p, &inner);
        if (err)
            return err;
        if (!take(p, ")"))
            return bad(p, "a `(` without its `)` in {{%.*s}}", VIEW_ARGS(p->action));
        *ret = inner;
        if (p->rest.n && p->rest.p[0] == '.') {
            *ret = expr_new(p, EXPR_PATH);
            (*ret)->inner = inner;
        }
        return *ret == inner ? 0 : parse_fields(p, *ret);
    }
    if (c == '.' || c == '$') {
        struct expr *e = *ret = expr_new(p, EXPR_PATH);
        if (c == '$') {
            p->rest = view_from(p->rest, 1);
            struct view word = view_empty(p->rest) || !is_word(p->rest.p[0]) ? VIEW_NONE : peek_word(p);
            e->base = view_make(p->rest.p - 1, word.n + 1);
            p->rest = view_from(p->rest, word.n);
        } else if (p->rest.n == 1 || !is_word(p->rest.p[1])) {
            p->rest = view_from(p->rest, 1);
        }
        return parse_fields(p, e);
    }
    struct view word = peek_word(p);
    if (view_is(word, "true") || view_is(word, "false")) {
        *ret = expr_new(p, EXPR_VALUE);
        (*ret)->value = node_bool_new(p->set->arena, view_is(word, "true"));
    } else if (word.n && word.p[0] >= '0' && word.p[0] <= '9') {
        uint64_t number;
        if (view_u64(word, &number) < 0 || number > INT32_MAX)
            return bad(p, "the number %.*s", VIEW_ARGS(word));
        *ret = expr_new(p, EXPR_VALUE);
        (*ret)->value = node_int(p->set->arena, (int64_t)number);
    }
    if (*ret)
        p->rest = view_from(p->rest, word.n);
    return 0;
}

/* A command: a term, or a function and its arguments. */
static int parse_command(struct parser *p, struct expr **ret)
{
    int err = parse_term(p, ret);
    if (err || *ret)
        return err;
    struct view word = peek_word(p);
    if (!word.n)
        return bad(p, "an expression is missing in {{%.*s}}", VIEW_ARGS(p->action));
    if (!function_known(word))
        return bad(p, "weft does not know the template function `%.*s`", VIEW_ARGS(word));
    p->rest = view_from(p->rest, word.n);
    struct expr *e = *ret = expr_new(p, EXPR_CALL), *arg;
    e->base = word;
    while (!(err = parse_term(p, &arg)) && arg)
        *ARENA_PUSH(p->set->arena, e->args, e->n_args) = arg;
    return err;
}

static int parse_pipeline(struct parser *p, struct expr **ret)
{
    if (++p->depth > TEMPLATE_DEPTH)
        return bad(p, "an expression nests too deep");
    int err = parse_command(p, ret);
    while (!err && take(p, "|")) {
        struct expr *before = *ret;
        err = parse_command(p, ret);
        if (!err && (*ret)->type != EXPR_CALL)
            err = bad(p, "behind `|` stands no function in {{%.*s}}", VIEW_ARGS(p->action));
        if (!err)
            *ARENA_PUSH(p->set->arena, (*ret)->args, (*ret)->n_args) = before;
    }
    p->depth--;
    return err;
}

/* The whole rest of an action. */
static int parse_to_end(struct parser *p, struct expr **ret)
{
    int err = parse_pipeline(p, ret);
    skip_spaces(p);
    if (!err && p->rest.n)
        err = bad(p, "weft's templates have no `%.*s` (in {{%.*s}})", VIEW_ARGS(p->rest), VIEW_ARGS(p->action));
    return err;
}

/* $x := or $k, $v := at the front, if it is there. */
static void parse_assign(struct parser *p, struct view *ret_key, struct view *ret_var)
{
    struct view before = p->rest, names[2] = {VIEW_NONE, VIEW_NONE};
    size_t n = 0;
    while (n < 2 && take(p, "$")) {
        struct view word = peek_word(p);
        names[n++] = view_make(p->rest.p - 1, word.n + 1);
        p->rest = view_from(p->rest, word.n);
        if (n == 2 || !take(p, ","))
            break;
    }
    if (!n || !take(p, ":=")) {
        p->rest = before;
        return;
    }
    *ret_key = n == 2 ? names[0] : VIEW_NONE;
    *ret_var = names[n - 1];
}

/* The text before the next action, and the action itself into p->action; false: the end of the file. */
static int next_action(struct parser *p, struct view *ret_text, bool *ret_found)
{
    size_t at = view_find_view(p->text, VIEW("{{"));
    count_lines(p, p->whole);
    p->whole = VIEW_NONE;
    *ret_found = at < p->text.n;
    *ret_text = view_head(p->text, at);
    if (!*ret_found) {
        p->text = VIEW_NONE;
        return 0;
    }
    struct view rest = view_from(p->text, at + 2);
    count_lines(p, *ret_text);
    bool trim = rest.n > 1 && rest.p[0] == '-' && is_space(rest.p[1]);
    if (trim) {
        *ret_text = trim_right(*ret_text);
        rest = view_from(rest, 1);
    }
    struct view inside = view_trim(rest);
    bool comment = view_starts(inside, VIEW("/*"));
    size_t end = view_find_view(rest, comment ? VIEW("*/") : VIEW("}}"));
    if (comment && end < rest.n) /* only the end of a comment may stand behind it */
        end += view_find_view(view_from(rest, end), VIEW("}}"));
    if (end >= rest.n)
        return bad(p, "a {{ without its }}");
    p->action = p->rest = comment ? VIEW_NONE : view_head(rest, end);
    p->whole = view_head(rest, end);
    bool after = end && rest.p[end - 1] == '-';
    if (after && !comment)
        p->action = p->rest = view_head(rest, end - 1);
    p->text = view_from(rest, end + 2);
    while (after && p->text.n && is_space(p->text.p[0])) {
        p->whole.n = (size_t)(p->text.p + 1 - p->whole.p);
        p->text = view_from(p->text, 1);
    }
    return 0;
}

static struct template_piece *piece_new(struct parser *p, enum piece_type type, struct template_piece ***tail)
{
    struct template_piece *t = ARENA_NEW(p->set->arena, struct template_piece);
    t->type = type;
    t->file = p->file;
    t->line = p->line;
    **tail = t;
    *tail = &t->next;
    return t;
}

enum stop { STOP_EOF, STOP_END, STOP_ELSE };

static int parse_body(struct parser *p, struct template_piece **ret_body, enum stop *ret_stop);

/* if, with, range: condition, body, else; `else if` is an if inside the else that shares its end. */
static int parse_block(struct parser *p, struct template_piece *t)
{
    enum stop stop = STOP_EOF;
    int err;
    parse_assign(p, &t->key, &t->var);
    if (t->key.n && t->type != PIECE_RANGE)
        return bad(p, "two variables: only range gives two");
    if ((err = parse_to_end(p, &t->expr)) || (err = parse_body(p, &t->body, &stop)))
        return err;
    if (stop == STOP_ELSE) {
        skip_spaces(p);
        if (take_word(p, "if")) {
            struct template_piece **tail = &t->other;
            return parse_block(p, piece_new(p, PIECE_IF, &tail));
        }
        if (p->rest.n)
            return bad(p, "`else%.*s`", VIEW_ARGS(p->rest));
        if ((err = parse_body(p, &t->other, &stop)))
            return err;
    }
    return stop == STOP_END ? 0 : bad(p, "a block without its {{ end }}");
}

static int parse_define(struct parser *p)
{
    struct expr *name;
    enum stop stop = STOP_EOF;
    int err = parse_to_end(p, &name);
    if (err)
        return err;
    if (name->type != EXPR_VALUE || !node_is(name->value, NODE_STR))
        return bad(p, "define needs a name in quotes");
    struct template_define d = {.name = name->value->text};
    if ((err = parse_body(p, &d.body, &stop)))
        return err;
    *ARENA_PUSH(p->set->arena, p->set->defines, p->set->n_defines) = d;
    return stop == STOP_END ? 0 : bad(p, "a define without its {{ end }}");
}

static int parse_action(struct parser *p, struct template_piece ***tail)
{
    static const struct {
        const char *word;
        enum piece_type type;
    } blocks[] = {{"if", PIECE_IF}, {"with", PIECE_WITH}, {"range", PIECE_RANGE}};
    for (size_t i = 0; i < COUNT_OF(blocks); i++)
        if (take_word(p, blocks[i].word))
            return parse_block(p, piece_new(p, blocks[i].type, tail));
    if (take_word(p, "define"))
        return parse_define(p);
    struct view key = VIEW_NONE, var = VIEW_NONE;
    parse_assign(p, &key, &var);
    if (key.n)
        return bad(p, "two variables: only range gives two");
    struct template_piece *t = piece_new(p, var.n ? PIECE_SET : PIECE_PRINT, tail);
    t->var = var;
    return parse_to_end(p, &t->expr);
}

static int parse_body(struct parser *p, struct template_piece **ret_body, enum stop *ret_stop)
{
    struct template_piece **tail = ret_body;
    if (++p->depth > TEMPLATE_DEPTH)
        return bad(p, "blocks nest too deep");
    for (;;) {
        struct view text;
        bool found;
        int err = next_action(p, &text, &found);
        if (err)
            return err;
        if (text.n)
            piece_new(p, PIECE_TEXT, &tail)->text = text;
        *ret_stop = STOP_EOF;
        if (!found)
            break;
        skip_spaces(p);
        *ret_stop = STOP_END;
        if (take_word(p, "end"))
            break;
        *ret_stop = STOP_ELSE;
        if (take_word(p, "else"))
            break;
        if (p->rest.n && (err = parse_action(p, &tail)))
            return err;
    }
    p->depth--;
    return 0;
}

int template_add(struct template_set *set, struct view name, struct view text, struct view *ret_why)
{
    struct parser p = {.set = set, .file = name, .text = text, .line = 1, .ret_why = ret_why};
    struct template_piece *body = NULL;
    enum stop stop = STOP_EOF;
    int err = parse_body(&p, &body, &stop);
    if (!err && stop != STOP_EOF)
        err = bad(&p, "{{ end }} or {{ else }} without a block");
    if (!err)
        *ARENA_PUSH(set->arena, set->files, set->n_files) = (struct template_file){.name = name, .body = body};
    return err;
}
