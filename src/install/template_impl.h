// SPDX-License-Identifier: Apache-2.0
/* Inside of the template engine (template.h): what template.c parses into, template_run.c walks, and template_call.c's
 * functions get. A nil is a NULL node. Everything lives in the set's arena.
 */
#pragma once

#include "install/template.h"

enum { TEMPLATE_DEPTH = 64, TEMPLATE_ARGS = 32 };

enum expr_type { EXPR_VALUE, EXPR_PATH, EXPR_CALL };

struct expr {
    enum expr_type type;
    struct node *value;  /* EXPR_VALUE */
    struct view base;    /* EXPR_PATH: "" is dot, "$" the root, "$x" a variable; EXPR_CALL: the function */
    struct expr *inner;  /* EXPR_PATH: fields of a parenthesised expression, instead of base */
    struct view *fields; /* EXPR_PATH */
    size_t n_fields;
    struct expr **args; /* EXPR_CALL */
    size_t n_args;
};

enum piece_type { PIECE_TEXT, PIECE_PRINT, PIECE_SET, PIECE_IF, PIECE_WITH, PIECE_RANGE };

struct template_piece {
    enum piece_type type;
    struct template_piece *next;
    struct view file;
    uint32_t line;
    struct view text;                    /* PIECE_TEXT */
    struct expr *expr;                   /* the rest */
    struct view key, var;                /* range $key, $var := …; PIECE_SET, with $var := …: var */
    struct template_piece *body, *other; /* other: else */
};

struct template_define {
    struct view name;
    struct template_piece *body;
};

struct variable {
    struct view name;
    struct node *value;
    struct variable *next;
};

/* One evaluation: where we are, what is visible, and why it failed. */
struct run {
    const struct template_set *set;
    struct node *root, *dot;
    struct variable *variables;
    const struct template_piece *at;
    unsigned depth;
    struct view *ret_why;
};

int run_fail(struct run *r, const char *fmt, ...) printf_like(2, 3);
int run_include(struct run *r, struct view name, struct node *dot, struct buf *out) must_check;
bool value_true(const struct node *n);
int value_print(struct run *r, const struct node *n, struct buf *out) must_check;

/* Whether there is such a function; and calls it. */
bool function_known(struct view name);
int function_call(struct run *r, struct view name, struct node **args, size_t n, struct node **ret) must_check;
