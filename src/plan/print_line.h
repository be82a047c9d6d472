// SPDX-License-Identifier: Apache-2.0
/* Lines of printed plans, for print.c and print_route.c only: "<indent>key value", left out when the value is zero. */
#pragma once

#include "base/buf.h"
#include "base/clock.h"
#include "plan/origin.h"
#include "plan/route.h"

static inline void line_start(struct buf *out, int depth, const char *key)
{
    for (int i = 0; i < depth; i++)
        buf_str(out, "  ");
    buf_str(out, key);
}

/* Control characters and spaces at the ends would make lines ambiguous: such values are quoted as JSON. */
static inline void line_value(struct buf *out, struct view v)
{
    bool plain = v.n > 0 && v.p[0] != '"' && v.p[0] != ' ' && v.p[v.n - 1] != ' ';
    for (size_t i = 0; i < v.n && plain; i++)
        plain = (unsigned char)v.p[i] >= 0x20 && (unsigned char)v.p[i] != 0x7f;
    if (plain)
        buf_view(out, v);
    else
        buf_json_str(out, v);
}

static inline void line_view(struct buf *out, int depth, const char *key, struct view v)
{
    if (!v.n)
        return;
    line_start(out, depth, key);
    buf_char(out, ' ');
    line_value(out, v);
    buf_char(out, '\n');
}

static inline void line_str(struct buf *out, int depth, const char *key, const char *value)
{
    line_view(out, depth, key, view_of(value));
}

static inline void line_u64(struct buf *out, int depth, const char *key, uint64_t value)
{
    if (!value)
        return;
    line_start(out, depth, key);
    buf_char(out, ' ');
    buf_u64(out, value);
    buf_char(out, '\n');
}

static inline void line_flag(struct buf *out, int depth, const char *key, bool on)
{
    if (!on)
        return;
    line_start(out, depth, key);
    buf_char(out, '\n');
}

static inline void line_duration(struct buf *out, int depth, const char *key, uint64_t ns)
{
    if (!ns)
        return;
    line_start(out, depth, key);
    buf_char(out, ' ');
    clock_print_duration(out, ns);
    buf_char(out, '\n');
}

static inline void line_views(struct buf *out, int depth, const char *key, const struct view *v, uint32_t n)
{
    if (!n)
        return;
    line_start(out, depth, key);
    for (uint32_t i = 0; i < n; i++) {
        buf_str(out, i ? ", " : " ");
        line_value(out, v[i]);
    }
    buf_char(out, '\n');
}

static inline void line_origin(struct buf *out, int depth, const struct plan_origin *o)
{
    if (!plan_origin_known(o))
        return;
    line_start(out, depth, "origin ");
    plan_origin_print(out, o);
    buf_char(out, '\n');
}

void print_text_match(struct buf *out, const struct text_match *m); /* prefix "x" */
void print_hash_policies(struct buf *out, int depth, const struct hash_policy *h, uint32_t n);
void print_route_table(struct buf *out, int depth, const struct route_table *t);
