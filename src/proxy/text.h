// SPDX-License-Identifier: Apache-2.0
/* Small texts of the hot path, written without printf: numbers, request ids, HTTP dates, header values with operators. */
#pragma once

#include <stdint.h>

#include "base/rng.h"
#include "base/view.h"

struct stream;

#define UUID_TEXT 36
#define TEXT_U64 20
#define HTTP_DATE 29

struct view text_u64(char to[TEXT_U64], uint64_t value);
struct view text_uuid(char to[UUID_TEXT], struct rng *rng);       /* version 4 */
struct view text_http_date(char to[HTTP_DATE], uint64_t wall_ns); /* Sun, 06 Nov 1994 08:49:37 GMT */
/* A header value of the plan: itself when it has no %OPERATOR%, else expanded in the stream's arena (Envoy's command
 * operators that make sense for headers; one that is unknown or has no value gives "-"). */
struct view text_format(struct stream *s, struct view value);
