// SPDX-License-Identifier: Apache-2.0
/* What may stand in a request target and in an authority, for both HTTP versions, and how they are split. One strict rule:
 * what any of nginx, HAProxy, Go or llhttp would refuse is refused here, so that nobody behind us can read the same bytes
 * differently.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/must.h"
#include "base/view.h"

/* origin-form: begins with '/', bytes of 0x21..0x7e without '#', and percent escapes before '?' are whole and not %00. */
bool uri_path_valid(struct view path);
/* host[:port], IPv4, [IPv6][:port]; no user info, not empty, port of at most 5 digits up to 65535. */
bool uri_authority_valid(struct view authority);
/* Splits a valid authority. Host without brackets; *ret_port 0 when it has none. */
void uri_authority_split(struct view authority, struct view *ret_host, uint16_t *ret_port);
/* "http://host:port/path?query" → its three parts; -EINVAL for other schemes, user info, fragments. An absent path gives
 * "/"; a query right behind the authority is refused. */
int uri_absolute_split(struct view target, struct view *ret_scheme, struct view *ret_authority,
                       struct view *ret_path) must_check;
/* The path before '?'. */
struct view uri_path_only(struct view target);
struct view uri_query(struct view target); /* behind '?'; empty when there is none */
