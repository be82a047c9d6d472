// SPDX-License-Identifier: Apache-2.0
/* A compiled access-log format: pieces of literal text and operators (log_format.c reads them, log_print.c writes them).
 * Private to telemetry/; others see access_log.h.
 */
#pragma once

#include "base/arena.h"
#include "telemetry/access_log.h"
#include "wire/headers.h"

enum log_op {
    LOG_LITERAL,
#define LOG_OP(id, name, argument, number) LOG_##id,
#include "telemetry/log_op.def"
#undef LOG_OP
};

struct log_piece {
    enum log_op op;
    struct view text;            /* LOG_LITERAL; START_TIME: its strftime format, empty: RFC 3339 */
    struct view name, otherwise; /* of headers, lower case */
    enum header_id id, otherwise_id;
    uint32_t most; /* :N, cut to so many bytes; 0: all */
};

struct log_value {   /* one line of text, or the value of one JSON key */
    struct view key; /* `,"key":` or `{"key":`, escaped; empty: text */
    struct log_piece *pieces;
    uint32_t n_pieces;
};

struct log_format {
    struct arena arena;
    struct log_value *values;
    uint32_t n_values;
    bool json;
};

bool log_op_is_number(enum log_op op);
