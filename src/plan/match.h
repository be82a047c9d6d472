// SPDX-License-Identifier: Apache-2.0
/* Conditions on the path, headers and query of a request, as VirtualServices and Envoy's RouteMatch state them.
 *
 * One matcher for the proxy, `weft why` and the analyzers. No allocation, no global state. Header storage is the
 * caller's: it lends a lookup function, so that plan/ needs no codec.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/must.h"
#include "base/view.h"

struct regex;

enum text_match_kind {
    TEXT_EXACT,
    TEXT_PREFIX,
    TEXT_SUFFIX,
    TEXT_CONTAINS,
    TEXT_REGEX,   /* RE2, whole text */
    TEXT_PRESENT, /* any value, the empty one too */
};

struct text_match {
    enum text_match_kind kind;
    bool ignore_case;    /* not for TEXT_REGEX */
    struct view value;   /* literal or pattern */
    struct regex *regex; /* TEXT_REGEX, after text_match_prepare */
};

enum path_match_kind {
    PATH_PREFIX,           /* of the string: /foo matches /foobar */
    PATH_EXACT,            /* without the query */
    PATH_SEPARATED_PREFIX, /* /foo matches /foo and /foo/bar */
    PATH_REGEX,            /* whole path without the query */
};

struct path_match {
    enum path_match_kind kind;
    bool ignore_case;
    struct view value;
    struct regex *regex;
};

struct header_match {
    struct view name; /* lower case; pseudo headers :method, :authority, :scheme */
    struct text_match value;
    bool invert;
    bool missing_is_empty; /* treat_missing_header_as_empty: a missing header is compared as "" */
};

struct query_match {
    struct view name;
    struct text_match value; /* TEXT_PRESENT: the parameter is there, with or without a value */
};

/* What a request offers to matching. `path` has the query, as on the wire. */
struct match_request {
    struct view host; /* Host or :authority, port included */
    struct view path;
    struct view method, scheme;
    bool tls; /* downstream connection is TLS */
    /* Value of the header with this lower-case name (several joined by a comma); false when it is absent. */
    bool (*header)(const void *headers, struct view name, struct view *ret_value);
    const void *headers;
};

bool text_match(const struct text_match *m, struct view text);
bool path_match(const struct path_match *m, struct view path_without_query);
bool header_match(const struct header_match *m, const struct match_request *r);
bool query_match(const struct query_match *m, struct view path);

/* The value of one parameter in a path's query, not decoded; false when it is absent. */
bool query_find(struct view path, struct view name, struct view *ret_value);
struct view path_without_query(struct view path); /* cut at ? and # */

/* Compile the regex, if there is one, into the arena. -EINVAL: *ret_error says why. */
int text_match_prepare(struct text_match *m, struct arena *a, struct view *ret_error) must_check;
int path_match_prepare(struct path_match *m, struct arena *a, struct view *ret_error) must_check;
