// SPDX-License-Identifier: Apache-2.0
/* Structured text as a stream of events: the one interface behind YAML (yaml.h) and JSON (json.h).
 *
 *   struct pull *in = yaml_pull(&arena, text, 1);
 *   struct pull_event e;
 *   while (!(err = pull_next(in, &e)) && e.type != PULL_END) …
 *
 * Events carry the place where they were written, and for scalars what a plain (unquoted) YAML scalar means to the
 * readers that Kubernetes and Istio use: `true`, `yes`, `1.5` and `null` are not strings, `"true"` is.
 * Depth, aliases and bytes are bounded (base/limits.def). Most callers want a tree: wire/node.h.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/must.h"
#include "base/view.h"

enum pull_type {
    PULL_END, /* of the text; again on every later call */
    PULL_DOC_START,
    PULL_DOC_END,
    PULL_MAP_START, /* then key scalar, value, key scalar, value … */
    PULL_MAP_END,
    PULL_SEQ_START,
    PULL_SEQ_END,
    PULL_SCALAR,
    PULL_ALIAS, /* YAML only: `*name` */
};

enum pull_scalar { PULL_NULL, PULL_BOOL, PULL_INT, PULL_FLOAT, PULL_STR };

struct pull_event {
    enum pull_type type;
    enum pull_scalar scalar;
    bool quoted;        /* a string in quotes or a block scalar: never anything but a string */
    bool block;         /* a block scalar (| or >): its text begins on the next line */
    uint32_t line, col; /* 1-based; col counts characters */
    uint32_t span;      /* characters to underline; 0 when it does not end on its line */
    struct view text;   /* scalars: escapes resolved; lives as long as the arena and the text */
    struct view anchor; /* the name that `&` defines or `*` uses; empty otherwise */
};

struct pull_error {
    uint32_t line, col;
    struct view text; /* what is wrong, in words, lower case, without full stop */
};

struct pull {
    int (*next)(struct pull *p, struct pull_event *ret_event);
    struct arena *arena;
    struct pull_error error; /* filled when next returned an error; every later call returns it again */
};

/* 0; -EINVAL for bad syntax; -E2BIG for a limit. */
must_check static inline int pull_next(struct pull *p, struct pull_event *ret_event)
{
    return p->next(p, ret_event);
}
