// SPDX-License-Identifier: Apache-2.0
/* The http routes of a VirtualService (virtual_service.h), message by message from the leaves up: conditions, then what
 * happens to a request (route, redirect, direct response), then what is done to it on the way.
 */
#include "mesh/messages.h"
#include "mesh/virtual_service_parts.h"

/* --- StringMatch: one of exact, prefix, regex; {} means present --- */

static void match_text(struct decoder *d, void *base, const struct node *n, const struct place *at,
                       enum string_match_type type)
{
    static const struct field plain = {"match", FIELD_STR}, regex = {"match", FIELD_STR, .format = FORMAT_REGEX};
    struct string_match *m = base;
    value_decode(d, type == MATCH_REGEX ? &regex : &plain, &m->text, NULL, n, at);
    m->type = type;
    if (type != MATCH_EXACT && node_is(n, NODE_STR) && !m->text.n)
        decode_bad(d, n, at, "an empty %s matches everything", type == MATCH_REGEX ? "regex" : "prefix")->hint =
            VIEW("write `{}` to ask only whether it is present, or leave the condition out");
}
static void match_exact(struct decoder *d, void *base, const struct node *n, const struct place *at)
{
    match_text(d, base, n, at, MATCH_EXACT);
}
static void match_prefix(struct decoder *d, void *base, const struct node *n, const struct place *at)
{
    match_text(d, base, n, at, MATCH_PREFIX);
}
static void match_regex(struct decoder *d, void *base, const struct node *n, const struct place *at)
{
    match_text(d, base, n, at, MATCH_REGEX);
}
static void match_is_set(void *msg)
{
    ((struct string_match *)msg)->set = true;
}
static void check_match(struct decoder *d, void *msg, const struct node *n, const struct place *at)
{
    if (n->n > 1)
        decode_bad(d, n, at, "`exact`, `prefix` and `regex` exclude each other");
}

static const struct field string_match_fields[] = {
    {"exact", FIELD_CUSTOM, .custom = match_exact},
    {"prefix", FIELD_CUSTOM, .custom = match_prefix},
    {"regex", FIELD_CUSTOM, .custom = match_regex},
};
static const struct message string_match_message = {
    MESSAGE_FIELDS("StringMatch", struct string_match, string_match_fields), .part = true, .init = match_is_set,
    .check = check_match};

/* A header or query parameter: the map's key and a StringMatch, whose table counts from the match inside. */
static void decode_named(struct decoder *d, const struct node *n, const struct place *at, struct named_match **ret_list,
                         uint32_t *ret_n)
{
    if (n->type != NODE_MAP) {
        value_wrong_type(d, n, at, "a map");
        return;
    }
    for (uint32_t i = 0; i < n->n; i++) {
        const struct node_field *f = &n->fields[i];
        struct place here = {.up = at, .key = f->key, .quoted = true};
        struct named_match *m = ARENA_PUSH(d->arena, *ret_list, *ret_n);
        m->name = f->key;
        decode_message(d, &string_match_message, &m->match, f->value, &here);
        m->match.set = true;
        m->part = m->match.part;
        if (!f->key.n)
            decode_bad(d, f->value, &here, "a name is empty");
    }
}
static void decode_headers(struct decoder *d, void *base, const struct node *n, const struct place *at)
{
    struct http_match *m = base;
    decode_named(d, n, at, &m->headers, &m->n_headers);
}
static void decode_without_headers(struct decoder *d, void *base, const struct node *n, const struct place *at)
{
    struct http_match *m = base;
    decode_named(d, n, at, &m->without_headers, &m->n_without_headers);
}
static void decode_query_params(struct decoder *d, void *base, const struct node *n, const struct place *at)
{
    struct http_match *m = base;
    decode_named(d, n, at, &m->query_params, &m->n_query_params);
}

static void check_http_match(struct decoder *d, void *msg, const struct node *n, const struct place *at)
{
    const struct http_match *m = msg;
    for (uint32_t i = 0; i < m->n_headers; i++)
        if (view_starts(m->headers[i].name, VIEW("@request.auth.claims")))
            decode_bad(d, m->headers[i].part.node, at,
                       "matching JWT claims (`@request.auth.claims`) is not supported yet");
}

#define MATCH(name, member)                                                                                            \
    {                                                                                                                  \
        name, FIELD_EMBED, AT(struct http_match, member), .msg = &string_match_message                                 \
    }
static const struct field http_match_fields[] = {
    {"name", FIELD_STR, AT(struct http_match, name)},
    MATCH("uri", uri),
    MATCH("scheme", scheme),
    MATCH("method", method),
    MATCH("authority", authority),
    {"headers", FIELD_CUSTOM, .custom = decode_headers},
    {"queryParams", FIELD_CUSTOM, .custom = decode_query_params},
    {"withoutHeaders", FIELD_CUSTOM, .custom = decode_without_headers},
    {"port", FIELD_PORT, AT(struct http_match, port)},
    {"sourceLabels", FIELD_MAP, AT(struct http_match, source_labels), .format = FORMAT_LABELS},
    {"gateways", FIELD_STRS, AT(struct http_match, gateways)},
    {"ignoreUriCase", FIELD_BOOL, AT(struct http_match, ignore_uri_case)},
    {"sourceNamespace", FIELD_STR, AT(struct http_match, source_ns), .format = FORMAT_LABEL},
    {"statPrefix", FIELD_REFUSED, .why = "the standard metrics name the route's service; remove the field"},
};
static const struct message http_match_message = {
    MESSAGE_FIELDS("HTTPMatchRequest", struct http_match, http_match_fields), .part = true, .check = check_http_match};

/* --- header changes --- */

static bool is_header_name(struct view v)
{
    if (v.n && v.p[0] == ':')
        v = view_from(v, 1);
    for (size_t i = 0; i < v.n; i++)
        if (v.p[i] <= ' ' || (unsigned char)v.p[i] >= 0x7f || strchr("()<>@,;:\\\"/[]?={}", v.p[i]))
            return false;
    return v.n > 0;
}

static void check_names(struct decoder *d, const struct labels *l, const struct node *n, const struct place *at,
                        const char *field)
{
    for (uint32_t i = 0; i < l->n; i++)
        if (!is_header_name(l->list[i].key))
            decode_bad_field(d, n, at, field, "`%.*s` is not a header name", VIEW_ARGS(l->list[i].key));
}

static void check_ops(struct decoder *d, void *msg, const struct node *n, const struct place *at)
{
    const struct header_ops *o = msg;
    check_names(d, &o->set, n, at, "set");
    check_names(d, &o->add, n, at, "add");
    for (uint32_t i = 0; i < o->remove.n; i++)
        if (!is_header_name(o->remove.list[i]))
            decode_bad_field(d, n, at, "remove", "`%.*s` is not a header name", VIEW_ARGS(o->remove.list[i]));
}

static const struct field ops_fields[] = {
    {"set", FIELD_MAP, AT(struct header_ops, set)},
    {"add", FIELD_MAP, AT(struct header_ops, add)},
    {"remove", FIELD_STRS, AT(struct header_ops, remove)},
};
static const struct message ops_message = {MESSAGE_FIELDS("HeaderOperations", struct header_ops, ops_fields),
                                           .check = check_ops};
static const struct field headers_fields[] = {
    {"request", FIELD_EMBED, AT(struct headers_policy, request), .msg = &ops_message},
    {"response", FIELD_EMBED, AT(struct headers_policy, response), .msg = &ops_message},
};
static const struct message headers_message = MESSAGE("Headers", struct headers_policy, headers_fields);

static const struct field http_destination_fields[] = {
    {"destination", FIELD_EMBED, AT(struct http_destination, destination), .msg = &vs_destination_message,
     .required = true},
    {"weight", FIELD_I32, AT(struct http_destination, weight), .lo = 0, .hi = INT32_MAX},
    {"headers", FIELD_EMBED, AT(struct http_destination, headers), .msg = &headers_message},
};
static const struct message http_destination_message =
    PART("HTTPRouteDestination", struct http_destination, http_destination_fields);

/* --- redirect, direct response, rewrite --- */

static const struct enum_word redirect_port_words[] = {
    {"FROM_PROTOCOL_DEFAULT", REDIRECT_PORT_PROTOCOL}, {"FROM_REQUEST_PORT", REDIRECT_PORT_REQUEST}, {NULL}};

static void redirect_defaults(void *msg)
{
    ((struct http_redirect *)msg)->code = 301;
}

static void check_redirect(struct decoder *d, void *msg, const struct node *n, const struct place *at)
{
    const struct http_redirect *r = msg;
    if (r->code != 301 && r->code != 302 && r->code != 303 && r->code != 307 && r->code != 308)
        decode_bad_field(d, n, at, "redirectCode", "%u is not a redirect", r->code)->label =
            VIEW("must be 301, 302, 303, 307 or 308");
    if (r->port && r->derive_port)
        decode_bad_field(d, n, at, "derivePort", "`port` and `derivePort` exclude each other");
    if (r->uri.n && r->prefix_rewrite.n)
        decode_bad_field(d, n, at, "prefixRewrite", "`uri` and `prefixRewrite` exclude each other");
    if (!r->uri.n && !r->authority.n && !r->scheme.n && !r->port && !r->derive_port && !r->prefix_rewrite.n)
        decode_bad(d, n, at, "a redirect needs `uri`, `authority`, `scheme`, `port` or `prefixRewrite`");
}

static const struct field redirect_fields[] = {
    {"uri", FIELD_STR, AT(struct http_redirect, uri)},
    {"authority", FIELD_STR, AT(struct http_redirect, authority)},
    {"scheme", FIELD_STR, AT(struct http_redirect, scheme)},
    {"port", FIELD_PORT, AT(struct http_redirect, port)},
    {"derivePort", FIELD_ENUM, AT(struct http_redirect, derive_port), .words = redirect_port_words},
    {"redirectCode", FIELD_U32, AT(struct http_redirect, code)},
    {"prefixRewrite", FIELD_STR, AT(struct http_redirect, prefix_rewrite)},
};
static const struct message redirect_message = {MESSAGE_FIELDS("HTTPRedirect", struct http_redirect, redirect_fields),
                                                .part = true, .init = redirect_defaults, .check = check_redirect};

static const struct field body_fields[] = {
    {"string", FIELD_STR, AT(struct http_direct_response, body)},
    {"bytes", FIELD_BYTES, AT(struct http_direct_response, body)},
};
static void check_body(struct decoder *d, void *msg, const struct node *n, const struct place *at)
{
    if (n->n > 1)
        decode_bad(d, n, at, "`string` and `bytes` exclude each other");
    if (((struct http_direct_response *)msg)->body.n > 1024 * 1024)
        decode_bad(d, n, at, "the body is longer than 1 MiB");
}
static const struct message body_message = {MESSAGE_FIELDS("HTTPBody", struct http_direct_response, body_fields),
                                            .check = check_body};

static const struct field direct_fields[] = {
    {"status", FIELD_U32, AT(struct http_direct_response, status), .required = true, .lo = 200, .hi = 599},
    {"body", FIELD_INLINE, .msg = &body_message},
};
static const struct message direct_message = PART("HTTPDirectResponse", struct http_direct_response, direct_fields);

static const struct field regex_rewrite_fields[] = {
    {"match", FIELD_STR, AT(struct http_rewrite, regex_match), .required = true, .format = FORMAT_REGEX},
    {"rewrite", FIELD_STR, AT(struct http_rewrite, regex_rewrite), .required = true},
};
static const struct message regex_rewrite_message = MESSAGE("RegexRewrite", struct http_rewrite, regex_rewrite_fields);

static void check_rewrite(struct decoder *d, void *msg, const struct node *n, const struct place *at)
{
    struct http_rewrite *r = msg;
    r->has_uri = r->uri.n > 0;
    if (!r->uri.n && !r->authority.n && !r->regex_match.n)
        decode_bad(d, n, at, "a rewrite needs `uri`, `authority` or `uriRegexRewrite`");
    if (r->uri.n && r->regex_match.n)
        decode_bad_field(d, n, at, "uriRegexRewrite", "`uri` and `uriRegexRewrite` exclude each other");
}

static const struct field rewrite_fields[] = {
    {"uri", FIELD_STR, AT(struct http_rewrite, uri)},
    {"authority", FIELD_STR, AT(struct http_rewrite, authority)},
    {"uriRegexRewrite", FIELD_INLINE, .msg = &regex_rewrite_message},
};
static const struct message rewrite_message = {MESSAGE_FIELDS("HTTPRewrite", struct http_rewrite, rewrite_fields),
                                               .part = true, .check = check_rewrite};

/* --- retries, faults, mirrors, CORS --- */

static const struct view retry_words[] = {
    {"5xx", 3},
    {"gateway-error", 13},
    {"reset", 5},
    {"reset-before-request", 20},
    {"connect-failure", 15},
    {"envoy-ratelimited", 17},
    {"retriable-4xx", 13},
    {"refused-stream", 14},
    {"retriable-status-codes", 22},
    {"retriable-headers", 17},
    {"http3-post-connect-failure", 26},
    {"cancelled", 9},
    {"deadline-exceeded", 17},
    {"internal", 8},
    {"resource-exhausted", 18},
    {"unavailable", 11},
};

static void check_retries(struct decoder *d, void *msg, const struct node *n, const struct place *at)
{
    const struct http_retries *r = msg;
    struct view rest = r->retry_on, word;
    while (view_cut(&rest, ',', &word)) {
        uint64_t status;
        word = view_trim(word);
        if (!word.n || (view_u64(word, &status) == 0 && status >= 100 && status <= 599))
            continue;
        size_t i = 0;
        while (i < COUNT_OF(retry_words) && !view_eq(word, retry_words[i]))
            i++;
        if (i < COUNT_OF(retry_words))
            continue;
        struct view near = diag_nearest(word, retry_words, COUNT_OF(retry_words));
        struct diag *one = decode_bad_field(d, n, at, "retryOn", "`%.*s` is no reason to retry", VIEW_ARGS(word));
        one->label = diag_text(d->diags, "not a policy of Envoy's retry_on, nor a status code");
        if (near.n)
            one->hint = diag_text(d->diags, "did you mean `%.*s`?", VIEW_ARGS(near));
    }
    if (r->attempts == 0 && (r->retry_on.n || r->per_try_timeout.set))
        decode_bad_field(d, n, at, "attempts", "retries with 0 attempts never happen")->hint =
            VIEW("set `attempts`, or leave only `attempts: 0` to switch retries off");
}

static const struct field retries_fields[] = {
    {"attempts", FIELD_I32, AT(struct http_retries, attempts), .lo = 0, .hi = 1000},
    {"perTryTimeout", FIELD_DURATION, AT(struct http_retries, per_try_timeout), .lo = NS_PER_MS},
    {"retryOn", FIELD_STR, AT(struct http_retries, retry_on)},
    {"retryRemoteLocalities", FIELD_OPT_BOOL, AT(struct http_retries, remote_localities)},
    {"retryIgnorePreviousHosts", FIELD_OPT_BOOL, AT(struct http_retries, ignore_previous_hosts)},
    {"backoff", FIELD_DURATION, AT(struct http_retries, backoff), .lo = NS_PER_MS},
};
const struct message http_retries_message = {MESSAGE_FIELDS("HTTPRetry", struct http_retries, retries_fields),
                                             .part = true, .check = check_retries};

static const struct field percent_fields[] = {{"value", FIELD_F64, .at = 0, .lo = 0, .hi = 100}};
static const struct message percent_message = MESSAGE("Percent", double, percent_fields);

static void decode_fixed(struct decoder *d, void *base, const struct node *n, const struct place *at)
{
    static const struct field f = {"fixedDelay", FIELD_DURATION, .lo = NS_PER_MS};
    struct opt_duration v = {0};
    value_decode(d, &f, &v, NULL, n, at);
    ((struct http_delay *)base)->fixed_ns = v.ns;
}

static void decode_old_percent(struct decoder *d, void *base, const struct node *n, const struct place *at)
{
    static const struct field f = {"percent", FIELD_F64, .lo = 0, .hi = 100};
    value_decode(d, &f, &((struct http_delay *)base)->percent, NULL, n, at);
}

static const struct field delay_fields[] = {
    {"percent", FIELD_CUSTOM, .custom = decode_old_percent}, /* deprecated; percentage stands behind and wins */
    {"fixedDelay", FIELD_CUSTOM, .custom = decode_fixed, .required = true},
    {"percentage", FIELD_EMBED, AT(struct http_delay, percent), .msg = &percent_message},
    {"exponentialDelay", FIELD_REFUSED, .why = "use fixedDelay"},
};
static const struct message delay_message = PART("Delay", struct http_delay, delay_fields);

static const char *const grpc_names[] = {
    "OK",        "CANCELLED",       "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
    "NOT_FOUND", "ALREADY_EXISTS",  "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
    "ABORTED",   "OUT_OF_RANGE",    "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
    "DATA_LOSS", "UNAUTHENTICATED",
};

static void check_abort(struct decoder *d, void *msg, const struct node *n, const struct place *at)
{
    const struct http_abort *a = msg;
    uint64_t number;
    if ((a->http_status != 0) == (a->grpc_status.n != 0))
        decode_bad(d, n, at, "an abort needs `httpStatus` or `grpcStatus`");
    if (!a->grpc_status.n || (view_u64(a->grpc_status, &number) == 0 && number <= 16))
        return;
    for (size_t i = 0; i < COUNT_OF(grpc_names); i++)
        if (view_is(a->grpc_status, grpc_names[i]))
            return;
    decode_bad_field(d, n, at, "grpcStatus", "`%.*s` is not a gRPC status", VIEW_ARGS(a->grpc_status))->hint =
        VIEW("a name such as UNAVAILABLE, or a number from 0 to 16");
}

static const struct field abort_fields[] = {
    {"httpStatus", FIELD_U32, AT(struct http_abort, http_status), .lo = 200, .hi = 599},
    {"grpcStatus", FIELD_STR, AT(struct http_abort, grpc_status)},
    {"percentage", FIELD_EMBED, AT(struct http_abort, percent), .msg = &percent_message},
    {"http2Error", FIELD_REFUSED, .why = "use httpStatus or grpcStatus"},
};
static const struct message abort_message = {MESSAGE_FIELDS("Abort", struct http_abort, abort_fields), .part = true,
                                             .check = check_abort};

static const struct field fault_fields[] = {
    {"delay", FIELD_MSG, AT(struct http_fault, delay), .msg = &delay_message},
    {"abort", FIELD_MSG, AT(struct http_fault, abort), .msg = &abort_message},
};
static void check_fault(struct decoder *d, void *msg, const struct node *n, const struct place *at)
{
    const struct http_fault *f = msg;
    if (!f->delay && !f->abort)
        decode_bad(d, n, at, "a fault needs `delay` or `abort`");
}
static const struct message fault_message = {MESSAGE_FIELDS("HTTPFaultInjection", struct http_fault, fault_fields),
                                             .part = true, .check = check_fault};

static void mirror_defaults(void *msg)
{
    ((struct http_mirror *)msg)->percent = 100;
}
static const struct field mirror_fields[] = {
    {"destination", FIELD_EMBED, AT(struct http_mirror, destination), .msg = &vs_destination_message, .required = true},
    {"percentage", FIELD_EMBED, AT(struct http_mirror, percent), .msg = &percent_message},
};
static const struct message mirror_message = {MESSAGE_FIELDS("HTTPMirrorPolicy", struct http_mirror, mirror_fields),
                                              .part = true, .init = mirror_defaults};

/* `mirror` is the older form of an entry of `mirrors`, with its percentage beside it: both become one list. */
static void decode_mirror(struct decoder *d, void *base, const struct node *n, const struct place *at)
{
    struct http_route *r = base;
    ARENA_PUSH(d->arena, r->mirrors, r->n_mirrors);
    memmove(r->mirrors + 1, r->mirrors, (r->n_mirrors - 1) * sizeof(*r->mirrors));
    r->mirrors[0] = (struct http_mirror){.percent = 100};
    decode_message(d, &vs_destination_message, &r->mirrors[0].destination, n, at);
    r->mirrors[0].part = r->mirrors[0].destination.part;
}
static void decode_mirrors(struct decoder *d, void *base, const struct node *n, const struct place *at)
{
    struct http_route *r = base;
    if (n->type != NODE_SEQ) {
        value_wrong_type(d, n, at, "a list");
        return;
    }
    for (uint32_t i = 0; i < n->n; i++) {
        struct place here = {.up = at, .index = i};
        decode_message(d, &mirror_message, ARENA_PUSH(d->arena, r->mirrors, r->n_mirrors), n->items[i], &here);
    }
}
static void decode_mirror_percentage(struct decoder *d, void *base, const struct node *n, const struct place *at)
{
    double checked = 100;
    decode_message(d, &percent_message, &checked, n, at); /* taken by check_route, when `mirror` has been read */
}

static const struct enum_word preflight_words[] = {{"UNSPECIFIED", CORS_PREFLIGHT_DEFAULT},
                                                   {"FORWARD", CORS_PREFLIGHT_FORWARD},
                                                   {"IGNORE", CORS_PREFLIGHT_IGNORE},
                                                   {NULL}};
static const struct field cors_fields[] = {
    {"allowOrigins", FIELD_LIST, AT_LIST(struct cors_policy, allow_origins, n_allow_origins),
     .msg = &string_match_message},
    {"allowMethods", FIELD_STRS, AT(struct cors_policy, allow_methods)},
    {"allowHeaders", FIELD_STRS, AT(struct cors_policy, allow_headers)},
    {"exposeHeaders", FIELD_STRS, AT(struct cors_policy, expose_headers)},
    {"maxAge", FIELD_DURATION, AT(struct cors_policy, max_age)},
    {"allowCredentials", FIELD_OPT_BOOL, AT(struct cors_policy, allow_credentials)},
    {"unmatchedPreflights", FIELD_ENUM, AT(struct cors_policy, unmatched), .words = preflight_words},
    {"allowOrigin", FIELD_REFUSED, .why = "use allowOrigins with `exact:`"},
};
static const struct message cors_message = PART("CorsPolicy", struct cors_policy, cors_fields);

/* --- the route --- */

static void check_action(struct decoder *d, const struct http_route *r, const struct node *n, const struct place *at)
{
    int actions = (r->n_route > 0) + (r->redirect != NULL) + (r->direct_response != NULL);
    if (actions == 0)
        decode_bad(d, n, at, "a rule needs `route`, `redirect` or `directResponse`")->label =
            VIEW("what should happen to the request?");
    if (actions > 1)
        decode_bad(d, n, at, "`route`, `redirect` and `directResponse` exclude each other");
    if (r->redirect && r->rewrite)
        decode_bad_field(d, n, at, "rewrite", "a redirect cannot be rewritten");
    if (r->redirect && r->fault)
        decode_bad_field(d, n, at, "fault", "a redirect cannot have a fault");
    if (r->direct_response && r->rewrite)
        decode_bad_field(d, n, at, "rewrite", "a direct response cannot be rewritten");
    if (r->n_mirrors && !r->n_route)
        decode_bad_field(d, n, at, node_get(n, VIEW("mirror")) ? "mirror" : "mirrors",
                         "only a `route` can be mirrored");
}

static void check_route(struct decoder *d, void *msg, const struct node *n, const struct place *at)
{
    struct http_route *r = msg;
    const struct node *percent = node_at(n, "mirrorPercentage.value");
    if (percent && node_get(n, VIEW("mirror")) && node_f64(percent, &r->mirrors[0].percent) < 0)
        r->mirrors[0].percent = 100;
    check_action(d, r, n, at);
    int64_t sum = 0;
    for (uint32_t i = 0; i < r->n_route; i++)
        sum += r->route[i].weight;
    vs_check_weights(d, node_get(n, VIEW("route")), at, sum, r->n_route);
}

static const struct field route_fields[] = {
    {"name", FIELD_STR, AT(struct http_route, name)},
    {"match", FIELD_LIST, AT_LIST(struct http_route, match, n_match), .msg = &http_match_message},
    {"route", FIELD_LIST, AT_LIST(struct http_route, route, n_route), .msg = &http_destination_message},
    {"redirect", FIELD_MSG, AT(struct http_route, redirect), .msg = &redirect_message},
    {"directResponse", FIELD_MSG, AT(struct http_route, direct_response), .msg = &direct_message},
    {"rewrite", FIELD_MSG, AT(struct http_route, rewrite), .msg = &rewrite_message},
    {"timeout", FIELD_DURATION, AT(struct http_route, timeout)},
    {"retries", FIELD_MSG, AT(struct http_route, retries), .msg = &http_retries_message},
    {"fault", FIELD_MSG, AT(struct http_route, fault), .msg = &fault_message},
    {"mirror", FIELD_CUSTOM, .custom = decode_mirror},
    {"mirrors", FIELD_CUSTOM, .custom = decode_mirrors},
    {"mirrorPercentage", FIELD_CUSTOM, .custom = decode_mirror_percentage},
    {"corsPolicy", FIELD_MSG, AT(struct http_route, cors), .msg = &cors_message},
    {"headers", FIELD_EMBED, AT(struct http_route, headers), .msg = &headers_message},
    {"delegate", FIELD_REFUSED, .why = "write the delegate's routes into this VirtualService"},
    {"mirrorPercent", FIELD_REFUSED, .why = "use mirrorPercentage: {value: …}"},
};
const struct message vs_http_route_message = {MESSAGE_FIELDS("HTTPRoute", struct http_route, route_fields),
                                              .part = true, .check = check_route};
