// SPDX-License-Identifier: Apache-2.0
/* RouteMatch ⇄ the conditions of struct route. */
#include "xds/convert.h"
#include "xds/tls.h"

static Route__HeaderMatcher *header(struct arena *a, const struct header_match *h)
{
    Route__HeaderMatcher *m = PB_NEW(a, Route__HeaderMatcher, route__header_matcher__init);

    m->name = pb_str(a, h->name);
    if (h->value.kind == TEXT_PRESENT) {
        m->header_match_specifier_case = ROUTE__HEADER_MATCHER__HEADER_MATCH_SPECIFIER_PRESENT_MATCH;
        m->present_match = true;
    } else {
        m->header_match_specifier_case = ROUTE__HEADER_MATCHER__HEADER_MATCH_SPECIFIER_STRING_MATCH;
        m->string_match = xds_string(a, &h->value);
    }
    m->invert_match = h->invert;
    m->treat_missing_header_as_empty = h->missing_is_empty;
    return m;
}

static Route__QueryParameterMatcher *query(struct arena *a, const struct query_match *q)
{
    Route__QueryParameterMatcher *m = PB_NEW(a, Route__QueryParameterMatcher, route__query_parameter_matcher__init);

    m->name = pb_str(a, q->name);
    if (q->value.kind == TEXT_PRESENT) {
        m->query_parameter_match_specifier_case =
            ROUTE__QUERY_PARAMETER_MATCHER__QUERY_PARAMETER_MATCH_SPECIFIER_PRESENT_MATCH;
        m->present_match = true;
    } else {
        m->query_parameter_match_specifier_case =
            ROUTE__QUERY_PARAMETER_MATCHER__QUERY_PARAMETER_MATCH_SPECIFIER_STRING_MATCH;
        m->string_match = xds_string(a, &q->value);
    }
    return m;
}

Route__RouteMatch *xds_route_match(struct arena *a, const struct route *r)
{
    Route__RouteMatch *m = PB_NEW(a, Route__RouteMatch, route__route_match__init);
    char *text = pb_str(a, r->path.value);

    switch (r->path.kind) {
    case PATH_PREFIX:
        m->path_specifier_case = ROUTE__ROUTE_MATCH__PATH_SPECIFIER_PREFIX;
        m->prefix = text;
        break;
    case PATH_EXACT:
        m->path_specifier_case = ROUTE__ROUTE_MATCH__PATH_SPECIFIER_PATH;
        m->path = text;
        break;
    case PATH_SEPARATED_PREFIX:
        m->path_specifier_case = ROUTE__ROUTE_MATCH__PATH_SPECIFIER_PATH_SEPARATED_PREFIX;
        m->path_separated_prefix = text;
        break;
    case PATH_REGEX:
        m->path_specifier_case = ROUTE__ROUTE_MATCH__PATH_SPECIFIER_SAFE_REGEX;
        m->safe_regex = xds_regex(a, r->path.value);
        break;
    }
    if (r->path.ignore_case)
        m->case_sensitive = pb_bool(a, false);
    for (uint32_t i = 0; i < r->n_headers; i++)
        PB_PUSH(a, m, headers, header(a, &r->headers[i]));
    for (uint32_t i = 0; i < r->n_queries; i++)
        PB_PUSH(a, m, query_parameters, query(a, &r->queries[i]));
    if (r->grpc_only)
        m->grpc =
            PB_NEW(a, Route__RouteMatch__GrpcRouteMatchOptions, route__route_match__grpc_route_match_options__init);
    return m;
}

static void get_text(struct xds_codec *d, struct text_match *t, enum text_match_kind kind, const char *value)
{
    t->kind = kind;
    t->value = pb_text(d, value);
}

static void get_header(struct xds_codec *d, const Route__HeaderMatcher *m, struct header_match *h)
{
    h->name = pb_lower(d, m->name);
    h->invert = m->invert_match;
    h->missing_is_empty = m->treat_missing_header_as_empty;
    if (!h->name.n)
        pb_refuse(d, "has no name");
    switch (m->header_match_specifier_case) {
    case ROUTE__HEADER_MATCHER__HEADER_MATCH_SPECIFIER_STRING_MATCH:
        XDS_IN(d, "string_match") xds_get_string(d, m->string_match, &h->value);
        break;
    case ROUTE__HEADER_MATCHER__HEADER_MATCH_SPECIFIER_PRESENT_MATCH:
        h->value.kind = TEXT_PRESENT;
        h->invert ^= !m->present_match;
        break;
    case ROUTE__HEADER_MATCHER__HEADER_MATCH_SPECIFIER__NOT_SET: /* Envoy: present */
        h->value.kind = TEXT_PRESENT;
        break;
    case ROUTE__HEADER_MATCHER__HEADER_MATCH_SPECIFIER_EXACT_MATCH:
        get_text(d, &h->value, TEXT_EXACT, m->exact_match);
        break;
    case ROUTE__HEADER_MATCHER__HEADER_MATCH_SPECIFIER_PREFIX_MATCH:
        get_text(d, &h->value, TEXT_PREFIX, m->prefix_match);
        break;
    case ROUTE__HEADER_MATCHER__HEADER_MATCH_SPECIFIER_SUFFIX_MATCH:
        get_text(d, &h->value, TEXT_SUFFIX, m->suffix_match);
        break;
    case ROUTE__HEADER_MATCHER__HEADER_MATCH_SPECIFIER_CONTAINS_MATCH:
        get_text(d, &h->value, TEXT_CONTAINS, m->contains_match);
        break;
    case ROUTE__HEADER_MATCHER__HEADER_MATCH_SPECIFIER_SAFE_REGEX_MATCH:
        get_text(d, &h->value, TEXT_REGEX, m->safe_regex_match->regex);
        break;
    default:
        pb_refuse(d, "range_match is not supported");
    }
}

static void get_query(struct xds_codec *d, const Route__QueryParameterMatcher *m, struct query_match *q)
{
    q->name = pb_text(d, m->name);
    if (!q->name.n)
        pb_refuse(d, "has no name");
    q->value.kind = TEXT_PRESENT;
    if (m->query_parameter_match_specifier_case ==
        ROUTE__QUERY_PARAMETER_MATCHER__QUERY_PARAMETER_MATCH_SPECIFIER_STRING_MATCH)
        XDS_IN(d, "string_match") xds_get_string(d, m->string_match, &q->value);
    else if (m->query_parameter_match_specifier_case ==
                 ROUTE__QUERY_PARAMETER_MATCHER__QUERY_PARAMETER_MATCH_SPECIFIER_PRESENT_MATCH &&
             !m->present_match)
        pb_refuse(d, "present_match false is not supported");
}

static void get_path(struct xds_codec *d, const Route__RouteMatch *m, struct path_match *p)
{
    switch (m->path_specifier_case) {
    case ROUTE__ROUTE_MATCH__PATH_SPECIFIER_PREFIX:
        p->kind = PATH_PREFIX;
        p->value = pb_text(d, m->prefix);
        break;
    case ROUTE__ROUTE_MATCH__PATH_SPECIFIER_PATH:
        p->kind = PATH_EXACT;
        p->value = pb_text(d, m->path);
        break;
    case ROUTE__ROUTE_MATCH__PATH_SPECIFIER_PATH_SEPARATED_PREFIX:
        p->kind = PATH_SEPARATED_PREFIX;
        p->value = pb_text(d, m->path_separated_prefix);
        break;
    case ROUTE__ROUTE_MATCH__PATH_SPECIFIER_SAFE_REGEX:
        p->kind = PATH_REGEX;
        p->value = pb_text(d, m->safe_regex->regex);
        break;
    case ROUTE__ROUTE_MATCH__PATH_SPECIFIER_CONNECT_MATCHER:
        pb_refuse(d, "connect_matcher is not supported");
        break;
    default:
        pb_refuse(d, "has no path condition");
    }
    p->ignore_case = !pb_get_bool(m->case_sensitive, true);
}

void xds_get_route_match(struct xds_codec *d, const Route__RouteMatch *m, struct route *r)
{
    if (!m) {
        pb_refuse(d, "is missing");
        return;
    }
    get_path(d, m, &r->path);
    r->n_headers = (uint32_t)m->n_headers;
    r->headers = r->n_headers ? ARENA_ARRAY(d->out, struct header_match, r->n_headers) : NULL;
    for (uint32_t i = 0; i < r->n_headers; i++)
        XDS_AT(d, "headers", i) get_header(d, m->headers[i], &r->headers[i]);
    r->n_queries = (uint32_t)m->n_query_parameters;
    r->queries = r->n_queries ? ARENA_ARRAY(d->out, struct query_match, r->n_queries) : NULL;
    for (uint32_t i = 0; i < r->n_queries; i++)
        XDS_AT(d, "query_parameters", i) get_query(d, m->query_parameters[i], &r->queries[i]);
    r->grpc_only = m->grpc != NULL;
    if (m->runtime_fraction)
        pb_refuse(d, "runtime_fraction is not supported");
}
