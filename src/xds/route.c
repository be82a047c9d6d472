// SPDX-License-Identifier: Apache-2.0
/* RouteConfiguration ⇄ struct route_table: virtual hosts, routes, and what a route does besides forwarding. Conditions are
 * in route_match.c, forwarding in route_forward.c.
 */
#include "xds/convert.h"
#include "xds/tls.h"

#define N(table) (sizeof(table) / sizeof((table)[0]))
#define FAULT_FILTER "envoy.filters.http.fault"
#define CORS_FILTER "envoy.filters.http.cors"

static const struct pb_enum redirects[] = {
    {301, ROUTE__REDIRECT_ACTION__REDIRECT_RESPONSE_CODE__MOVED_PERMANENTLY},
    {302, ROUTE__REDIRECT_ACTION__REDIRECT_RESPONSE_CODE__FOUND},
    {303, ROUTE__REDIRECT_ACTION__REDIRECT_RESPONSE_CODE__SEE_OTHER},
    {307, ROUTE__REDIRECT_ACTION__REDIRECT_RESPONSE_CODE__TEMPORARY_REDIRECT},
    {308, ROUTE__REDIRECT_ACTION__REDIRECT_RESPONSE_CODE__PERMANENT_REDIRECT},
};

/* ---- header mutations ---- */

static Core__HeaderValueOption **headers_add(struct arena *a, const struct header_mutations *h)
{
    Core__HeaderValueOption **list = h->n_set ? ARENA_ARRAY(a, Core__HeaderValueOption *, h->n_set) : NULL;

    for (uint32_t i = 0; i < h->n_set; i++) {
        Core__HeaderValueOption *o = PB_NEW(a, Core__HeaderValueOption, core__header_value_option__init);
        o->header = PB_NEW(a, Core__HeaderValue, core__header_value__init);
        o->header->key = pb_str(a, h->set[i].name);
        o->header->value = pb_str(a, h->set[i].value);
        if (!h->set[i].append)
            o->append_action = CORE__HEADER_VALUE_OPTION__HEADER_APPEND_ACTION__OVERWRITE_IF_EXISTS_OR_ADD;
        list[i] = o;
    }
    return list;
}

static char **headers_remove(struct arena *a, const struct header_mutations *h)
{
    char **list = h->n_remove ? ARENA_ARRAY(a, char *, h->n_remove) : NULL;

    for (uint32_t i = 0; i < h->n_remove; i++)
        list[i] = pb_str(a, h->remove[i]);
    return list;
}

struct xds_header_fields xds_headers(struct arena *a, const struct route_headers *h)
{
    return (struct xds_header_fields){
        .request_add = headers_add(a, &h->request),
        .response_add = headers_add(a, &h->response),
        .request_remove = headers_remove(a, &h->request),
        .response_remove = headers_remove(a, &h->response),
        .n_request_add = h->request.n_set,
        .n_response_add = h->response.n_set,
        .n_request_remove = h->request.n_remove,
        .n_response_remove = h->response.n_remove,
    };
}

/* A header that a control plane adds must not be able to split a message. */
static void check_header(struct xds_codec *d, const char *name, const char *value)
{
    bool ok = name[0] != 0;

    for (const char *p = name; *p; p++)
        ok = ok && (unsigned char)*p > 0x20 && *p != 0x7f && (*p != ':' || p == name);
    for (const char *p = value; *p; p++)
        ok = ok && ((unsigned char)*p >= 0x20 || *p == '\t') && *p != 0x7f;
    if (!ok)
        pb_refuse(d, "%.100s is not a header that can be sent", name);
}

static void get_mutations(struct xds_codec *d, Core__HeaderValueOption **add, size_t n_add, char **remove,
                          size_t n_remove, struct header_mutations *h)
{
    h->set = n_add ? ARENA_ARRAY(d->out, struct header_value, n_add) : NULL;
    h->n_set = (uint32_t)n_add;
    for (size_t i = 0; i < n_add; i++) {
        const Core__HeaderValueOption *o = add[i];
        if (!o->header) {
            pb_refuse(d, "[%zu] has no header", i);
            return;
        }
        check_header(d, o->header->key, o->header->value);
        if (o->header->raw_value.len)
            pb_refuse(d, "raw_value is not supported");
        h->set[i].name = pb_text(d, o->header->key);
        h->set[i].value = pb_text(d, o->header->value);
        h->set[i].append =
            o->append ? (bool)o->append->value
                      : o->append_action == CORE__HEADER_VALUE_OPTION__HEADER_APPEND_ACTION__APPEND_IF_EXISTS_OR_ADD;
        if (!o->append &&
            o->append_action != CORE__HEADER_VALUE_OPTION__HEADER_APPEND_ACTION__APPEND_IF_EXISTS_OR_ADD &&
            o->append_action != CORE__HEADER_VALUE_OPTION__HEADER_APPEND_ACTION__OVERWRITE_IF_EXISTS_OR_ADD)
            pb_refuse(d, "append_action ADD_IF_ABSENT and OVERWRITE_IF_EXISTS are not supported");
    }
    h->remove = n_remove ? ARENA_ARRAY(d->out, struct view, n_remove) : NULL;
    h->n_remove = (uint32_t)n_remove;
    for (size_t i = 0; i < n_remove; i++)
        h->remove[i] = pb_lower(d, remove[i]);
}

void xds_get_headers(struct xds_codec *d, const struct xds_header_fields *m, struct route_headers *h)
{
    XDS_IN(d, "request_headers_to_add")
    get_mutations(d, m->request_add, m->n_request_add, m->request_remove, m->n_request_remove, &h->request);
    XDS_IN(d, "response_headers_to_add")
    get_mutations(d, m->response_add, m->n_response_add, m->response_remove, m->n_response_remove, &h->response);
}

/* ---- fault and CORS ---- */

static void put_filter_config(struct arena *a, Route__Route *m, const char *name, const ProtobufCMessage *config)
{
    Route__TypedPerFilterConfigEntry *e =
        PB_NEW(a, Route__TypedPerFilterConfigEntry, route__typed_per_filter_config_entry__init);

    e->key = (char *)(uintptr_t)name;
    e->value = pb_any(a, config);
    PB_PUSH(a, m, typed_per_filter_config, e);
}

static const ProtobufCMessage *fault(struct arena *a, const struct fault *f)
{
    Fault__HTTPFault *m = PB_NEW(a, Fault__HTTPFault, fault__httpfault__init);

    if (f->delay) {
        m->delay = PB_NEW(a, FaultCommon__FaultDelay, fault_common__fault_delay__init);
        m->delay->fault_delay_secifier_case = FAULT_COMMON__FAULT_DELAY__FAULT_DELAY_SECIFIER_FIXED_DELAY;
        m->delay->fixed_delay = pb_duration(a, f->delay);
        m->delay->percentage = pb_per_million(a, f->delay_per_million);
    }
    if (!f->abort_status && f->abort_grpc < 0)
        return &m->base;
    m->abort = PB_NEW(a, Fault__FaultAbort, fault__fault_abort__init);
    m->abort->percentage = pb_per_million(a, f->abort_per_million);
    if (f->abort_status) {
        m->abort->error_type_case = FAULT__FAULT_ABORT__ERROR_TYPE_HTTP_STATUS;
        m->abort->http_status = f->abort_status;
    } else {
        m->abort->error_type_case = FAULT__FAULT_ABORT__ERROR_TYPE_GRPC_STATUS;
        m->abort->grpc_status = (uint32_t)f->abort_grpc;
    }
    return &m->base;
}

static const ProtobufCMessage *cors(struct arena *a, const struct cors *c)
{
    Cors__CorsPolicy *m = PB_NEW(a, Cors__CorsPolicy, cors__cors_policy__init);

    for (uint32_t i = 0; i < c->n_origins; i++)
        PB_PUSH(a, m, allow_origin_string_match, xds_string(a, &c->origins[i]));
    m->allow_methods = pb_str(a, c->methods);
    m->allow_headers = pb_str(a, c->headers);
    m->expose_headers = pb_str(a, c->expose);
    m->max_age = pb_str(a, c->max_age);
    if (c->has_credentials)
        m->allow_credentials = pb_bool(a, c->credentials);
    m->forward_not_matching_preflights = pb_bool(a, c->forward_unmatched_preflights);
    m->filter_enabled = PB_NEW(a, Core__RuntimeFractionalPercent, core__runtime_fractional_percent__init);
    m->filter_enabled->default_value = PB_NEW(a, Type__FractionalPercent, type__fractional_percent__init);
    m->filter_enabled->default_value->numerator = 100;
    return &m->base;
}

void xds_route_filters(struct arena *a, const struct route *r, Route__Route *m)
{
    if (r->fault)
        put_filter_config(a, m, FAULT_FILTER, fault(a, r->fault));
    if (r->cors)
        put_filter_config(a, m, CORS_FILTER, cors(a, r->cors));
}

static void get_fault(struct xds_codec *d, const Fault__HTTPFault *m, struct fault *f)
{
    f->abort_grpc = -1;
    if (m->delay) {
        if (m->delay->fault_delay_secifier_case != FAULT_COMMON__FAULT_DELAY__FAULT_DELAY_SECIFIER_FIXED_DELAY)
            pb_refuse(d, "delay: only fixed_delay is supported");
        else
            XDS_IN(d, "delay.fixed_delay") f->delay = pb_ns(d, m->delay->fixed_delay, 0);
        f->delay_per_million = pb_get_per_million(d, m->delay->percentage, 0);
    }
    if (!m->abort)
        return;
    f->abort_per_million = pb_get_per_million(d, m->abort->percentage, 0);
    if (m->abort->error_type_case == FAULT__FAULT_ABORT__ERROR_TYPE_HTTP_STATUS) {
        if (m->abort->http_status < 200 || m->abort->http_status > 599)
            pb_refuse(d, "abort.http_status is not in 200..599");
        f->abort_status = (uint16_t)m->abort->http_status;
    } else if (m->abort->error_type_case == FAULT__FAULT_ABORT__ERROR_TYPE_GRPC_STATUS) {
        if (m->abort->grpc_status > 16)
            pb_refuse(d, "abort.grpc_status is beyond 16");
        f->abort_grpc = (int16_t)m->abort->grpc_status;
    } else {
        pb_refuse(d, "abort: only http_status and grpc_status are supported");
    }
}

static void get_cors(struct xds_codec *d, const Cors__CorsPolicy *m, struct cors *c)
{
    c->origins =
        m->n_allow_origin_string_match ? ARENA_ARRAY(d->out, struct text_match, m->n_allow_origin_string_match) : NULL;
    c->n_origins = (uint32_t)m->n_allow_origin_string_match;
    for (uint32_t i = 0; i < c->n_origins; i++)
        XDS_AT(d, "allow_origin_string_match", i) xds_get_string(d, m->allow_origin_string_match[i], &c->origins[i]);
    c->methods = pb_text(d, m->allow_methods);
    c->headers = pb_text(d, m->allow_headers);
    c->expose = pb_text(d, m->expose_headers);
    c->max_age = pb_text(d, m->max_age);
    c->has_credentials = m->allow_credentials != NULL;
    c->credentials = pb_get_bool(m->allow_credentials, false);
    c->forward_unmatched_preflights = pb_get_bool(m->forward_not_matching_preflights, true);
    if (m->filter_enabled && pb_get_per_million(d, m->filter_enabled->default_value, 1000000) != 1000000)
        pb_refuse(d, "filter_enabled: only 100 percent is supported");
}

void xds_get_route_filters(struct xds_codec *d, const Route__Route *m, struct route *r)
{
    for (size_t i = 0; i < m->n_typed_per_filter_config; i++) {
        const Pb__Any *any = m->typed_per_filter_config[i]->value;

        pb_enter(d, "typed_per_filter_config", (uint32_t)i + 1);
        if (any && pb_any_is(any, &fault__httpfault__descriptor)) {
            const Fault__HTTPFault *f = pb_unpack_any(d, any, &fault__httpfault__descriptor);
            r->fault = ARENA_NEW(d->out, struct fault);
            if (f)
                get_fault(d, f, r->fault);
        } else if (any && pb_any_is(any, &cors__cors_policy__descriptor)) {
            const Cors__CorsPolicy *c = pb_unpack_any(d, any, &cors__cors_policy__descriptor);
            r->cors = ARENA_NEW(d->out, struct cors);
            if (c)
                get_cors(d, c, r->cors);
        } else {
            pb_refuse(d, "configuration of %.100s for a route is not supported", m->typed_per_filter_config[i]->key);
        }
        pb_leave(d);
    }
}

/* ---- routes ---- */

static Route__RedirectAction *redirect(struct arena *a, const struct route_redirect *r)
{
    Route__RedirectAction *m = PB_NEW(a, Route__RedirectAction, route__redirect_action__init);

    m->response_code = pb_theirs(redirects, N(redirects), r->status);
    m->host_redirect = pb_str(a, r->host);
    m->port_redirect = r->port;
    m->strip_query = r->strip_query;
    if (r->scheme.n) {
        m->scheme_rewrite_specifier_case = ROUTE__REDIRECT_ACTION__SCHEME_REWRITE_SPECIFIER_SCHEME_REDIRECT;
        m->scheme_redirect = pb_str(a, r->scheme);
    } else if (r->https) {
        m->scheme_rewrite_specifier_case = ROUTE__REDIRECT_ACTION__SCHEME_REWRITE_SPECIFIER_HTTPS_REDIRECT;
        m->https_redirect = true;
    }
    if (r->path.n) {
        m->path_rewrite_specifier_case = ROUTE__REDIRECT_ACTION__PATH_REWRITE_SPECIFIER_PATH_REDIRECT;
        m->path_redirect = pb_str(a, r->path);
    } else if (r->prefix_rewrite.n) {
        m->path_rewrite_specifier_case = ROUTE__REDIRECT_ACTION__PATH_REWRITE_SPECIFIER_PREFIX_REWRITE;
        m->prefix_rewrite = pb_str(a, r->prefix_rewrite);
    }
    return m;
}

static Route__Route *route(struct arena *a, const struct route *r)
{
    Route__Route *m = PB_NEW(a, Route__Route, route__route__init);
    struct xds_header_fields h = xds_headers(a, &r->changes);

    m->name = pb_str(a, r->name);
    m->match = xds_route_match(a, r);
    switch (r->action) {
    case ROUTE_FORWARD:
        m->action_case = ROUTE__ROUTE__ACTION_ROUTE;
        m->route = xds_route_forward(a, &r->forward);
        break;
    case ROUTE_REDIRECT:
        m->action_case = ROUTE__ROUTE__ACTION_REDIRECT;
        m->redirect = redirect(a, r->redirect);
        break;
    case ROUTE_DIRECT:
        m->action_case = ROUTE__ROUTE__ACTION_DIRECT_RESPONSE;
        m->direct_response = PB_NEW(a, Route__DirectResponseAction, route__direct_response_action__init);
        m->direct_response->status = r->direct->status;
        if (r->direct->body.n) {
            m->direct_response->body = PB_NEW(a, Core__DataSource, core__data_source__init);
            m->direct_response->body->specifier_case = CORE__DATA_SOURCE__SPECIFIER_INLINE_BYTES;
            m->direct_response->body->inline_bytes = pb_bytes(r->direct->body);
        }
        break;
    }
    XDS_HEADERS_TO(m, h);
    xds_route_filters(a, r, m);
    if (r->operation.n) {
        m->decorator = PB_NEW(a, Route__Decorator, route__decorator__init);
        m->decorator->operation = pb_str(a, r->operation);
    }
    m->metadata = pb_origin(a, &r->origin);
    return m;
}

Route__RouteConfiguration *xds_routes(struct arena *a, const struct route_table *t)
{
    Route__RouteConfiguration *m = PB_NEW(a, Route__RouteConfiguration, route__route_configuration__init);

    m->name = pb_str(a, t->res.name);
    m->validate_clusters = pb_bool(a, false); /* a cluster that is not there answers 503 NC for its route only */
    m->ignore_port_in_host_matching = t->ignore_port;
    if (t->max_direct_body)
        m->max_direct_response_body_size_bytes = pb_u32(a, (uint32_t)t->max_direct_body);
    m->n_virtual_hosts = t->n_hosts;
    m->virtual_hosts = t->n_hosts ? ARENA_ARRAY(a, Route__VirtualHost *, t->n_hosts) : NULL;
    for (uint32_t i = 0; i < t->n_hosts; i++) {
        const struct virtual_host *h = &t->hosts[i];
        Route__VirtualHost *v = m->virtual_hosts[i] = PB_NEW(a, Route__VirtualHost, route__virtual_host__init);

        v->name = pb_str(a, h->name);
        for (uint32_t k = 0; k < h->n_domains; k++)
            PB_PUSH(a, v, domains, pb_str(a, h->domains[k]));
        for (uint32_t k = 0; k < h->n_routes; k++)
            PB_PUSH(a, v, routes, route(a, &h->routes[k]));
        v->include_request_attempt_count = h->include_attempt_count;
        if (h->require_tls == REQUIRE_TLS_ALL)
            v->require_tls = ROUTE__VIRTUAL_HOST__TLS_REQUIREMENT_TYPE__ALL;
        v->metadata = pb_origin(a, &h->origin);
    }
    return m;
}

static void get_redirect(struct xds_codec *d, const Route__RedirectAction *m, struct route_redirect *r)
{
    XDS_IN(d, "response_code")
    r->status = (uint16_t)pb_ours(d, redirects, N(redirects), m->response_code,
                                  &route__redirect_action__redirect_response_code__descriptor);
    r->host = pb_text(d, m->host_redirect);
    r->port = m->port_redirect;
    if (r->port > 65535)
        pb_refuse(d, "port_redirect is beyond 65535");
    r->strip_query = m->strip_query;
    if (m->scheme_rewrite_specifier_case == ROUTE__REDIRECT_ACTION__SCHEME_REWRITE_SPECIFIER_SCHEME_REDIRECT)
        r->scheme = pb_text(d, m->scheme_redirect);
    else if (m->scheme_rewrite_specifier_case == ROUTE__REDIRECT_ACTION__SCHEME_REWRITE_SPECIFIER_HTTPS_REDIRECT)
        r->https = m->https_redirect;
    if (m->path_rewrite_specifier_case == ROUTE__REDIRECT_ACTION__PATH_REWRITE_SPECIFIER_PATH_REDIRECT)
        r->path = pb_text(d, m->path_redirect);
    else if (m->path_rewrite_specifier_case == ROUTE__REDIRECT_ACTION__PATH_REWRITE_SPECIFIER_PREFIX_REWRITE)
        r->prefix_rewrite = pb_text(d, m->prefix_rewrite);
    else if (m->path_rewrite_specifier_case == ROUTE__REDIRECT_ACTION__PATH_REWRITE_SPECIFIER_REGEX_REWRITE)
        pb_refuse(d, "regex_rewrite is not supported in redirects");
}

static void get_action(struct xds_codec *d, const Route__Route *m, struct route *r)
{
    switch (m->action_case) {
    case ROUTE__ROUTE__ACTION_ROUTE:
        r->action = ROUTE_FORWARD;
        XDS_IN(d, "route") xds_get_route_forward(d, m->route, &r->forward);
        return;
    case ROUTE__ROUTE__ACTION_REDIRECT:
        r->action = ROUTE_REDIRECT;
        r->redirect = ARENA_NEW(d->out, struct route_redirect);
        XDS_IN(d, "redirect") get_redirect(d, m->redirect, r->redirect);
        return;
    case ROUTE__ROUTE__ACTION_DIRECT_RESPONSE:
        r->action = ROUTE_DIRECT;
        r->direct = ARENA_NEW(d->out, struct route_direct);
        r->direct->status = (uint16_t)m->direct_response->status;
        if (m->direct_response->status < 200 || m->direct_response->status > 599)
            pb_refuse(d, "direct_response.status is not in 200..599");
        XDS_IN(d, "direct_response.body") r->direct->body = pb_source_text(d, m->direct_response->body);
        return;
    default:
        pb_refuse(d, "has no action of route, redirect and direct_response");
    }
}

static void get_route(struct xds_codec *d, const Route__Route *m, struct route *r)
{
    struct xds_header_fields h = XDS_HEADERS_FROM(m);

    r->name = pb_text(d, m->name);
    XDS_IN(d, "match") xds_get_route_match(d, m->match, r);
    get_action(d, m, r);
    xds_get_headers(d, &h, &r->changes);
    xds_get_route_filters(d, m, r);
    if (m->decorator)
        r->operation = pb_text(d, m->decorator->operation);
    r->origin = pb_get_origin(d, m->metadata);
}

static void get_host(struct xds_codec *d, const Route__VirtualHost *m, struct virtual_host *h)
{
    h->name = pb_text(d, m->name);
    h->n_domains = (uint32_t)m->n_domains;
    h->domains = h->n_domains ? ARENA_ARRAY(d->out, struct view, h->n_domains) : NULL;
    for (uint32_t i = 0; i < h->n_domains; i++)
        h->domains[i] = pb_lower(d, m->domains[i]);
    if (!h->n_domains)
        pb_refuse(d, "has no domains");
    h->n_routes = (uint32_t)m->n_routes;
    h->routes = h->n_routes ? ARENA_ARRAY(d->out, struct route, h->n_routes) : NULL;
    for (uint32_t i = 0; i < h->n_routes; i++)
        XDS_AT(d, "routes", i) get_route(d, m->routes[i], &h->routes[i]);
    h->include_attempt_count = m->include_request_attempt_count;
    if (m->require_tls == ROUTE__VIRTUAL_HOST__TLS_REQUIREMENT_TYPE__ALL)
        h->require_tls = REQUIRE_TLS_ALL;
    else if (m->require_tls != ROUTE__VIRTUAL_HOST__TLS_REQUIREMENT_TYPE__NONE)
        pb_refuse(d, "require_tls EXTERNAL_ONLY is not supported");
    if (m->n_request_headers_to_add || m->n_request_headers_to_remove || m->n_response_headers_to_add ||
        m->n_response_headers_to_remove)
        pb_refuse(d, "header changes are supported in routes only");
    if (m->retry_policy || m->n_typed_per_filter_config || m->include_attempt_count_in_response)
        pb_refuse(d,
                  "retry_policy, typed_per_filter_config and include_attempt_count_in_response are not supported here");
    h->origin = pb_get_origin(d, m->metadata);
}

void xds_get_routes(struct xds_codec *d, const Route__RouteConfiguration *m, struct route_table *t)
{
    if (m->n_request_headers_to_add || m->n_request_headers_to_remove || m->n_response_headers_to_add ||
        m->n_response_headers_to_remove || m->n_internal_only_headers)
        pb_refuse(d, "header changes are supported in routes only");
    t->ignore_port = m->ignore_port_in_host_matching;
    t->max_direct_body = pb_get_u32(m->max_direct_response_body_size_bytes, 0);
    t->n_hosts = (uint32_t)m->n_virtual_hosts;
    t->hosts = t->n_hosts ? ARENA_ARRAY(d->out, struct virtual_host, t->n_hosts) : NULL;
    for (uint32_t i = 0; i < t->n_hosts; i++)
        XDS_AT(d, "virtual_hosts", i) get_host(d, m->virtual_hosts[i], &t->hosts[i]);
}
