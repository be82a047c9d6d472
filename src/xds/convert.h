// SPDX-License-Identifier: Apache-2.0
/* The converters of this folder, one pair for each part of a plan: xds_x builds the message of an x in an arena, xds_get_x
 * reads it into the resource that the decoder is making. codec.c puts them together.
 */
#pragma once

#include "plan/cluster.h"
#include "plan/endpoint.h"
#include "plan/listener.h"
#include "plan/route.h"
#include "xds/pb.h"

Cluster__Cluster *xds_cluster(struct arena *a, const struct cluster *c);
void xds_get_cluster(struct xds_codec *d, const Cluster__Cluster *m, struct cluster *c);
void xds_lb(struct arena *a, const struct lb_config *lb, Cluster__Cluster *m);
void xds_get_lb(struct xds_codec *d, const Cluster__Cluster *m, struct cluster *c); /* after c->type */
void xds_breaker(struct arena *a, const struct breaker_limits *b, Cluster__Cluster *m);
void xds_get_breaker(struct xds_codec *d, const Cluster__CircuitBreakers *m, struct breaker_limits *b);
Cluster__OutlierDetection *xds_outlier(struct arena *a, const struct outlier_config *o); /* NULL: off */
void xds_get_outlier(struct xds_codec *d, const Cluster__OutlierDetection *m, struct outlier_config *o);

Endpoint__ClusterLoadAssignment *xds_endpoints(struct arena *a, const struct endpoint_set *s);
void xds_get_endpoints(struct xds_codec *d, const Endpoint__ClusterLoadAssignment *m, struct endpoint_set *s);

Listener__Listener *xds_listener(struct arena *a, const struct listener *l);
void xds_get_listener(struct xds_codec *d, const Listener__Listener *m, struct listener *l);

Hcm__HttpConnectionManager *xds_http_manager(struct arena *a, const struct http_manager *h, enum traffic_direction dir);
void xds_get_http_manager(struct xds_codec *d, const Hcm__HttpConnectionManager *m, struct http_manager *h);

Accesslog__AccessLog *xds_access_log(struct arena *a, const struct access_log *l);
void xds_get_access_logs(struct xds_codec *d, Accesslog__AccessLog **m, size_t n, struct access_log **ret,
                         uint32_t *ret_n);

Route__RouteConfiguration *xds_routes(struct arena *a, const struct route_table *t);
void xds_get_routes(struct xds_codec *d, const Route__RouteConfiguration *m, struct route_table *t);

Route__RouteMatch *xds_route_match(struct arena *a, const struct route *r);
void xds_get_route_match(struct xds_codec *d, const Route__RouteMatch *m, struct route *r);

Route__RouteAction *xds_route_forward(struct arena *a, const struct route_forward *f);
void xds_get_route_forward(struct xds_codec *d, const Route__RouteAction *m, struct route_forward *f);

/* request_headers_to_add and so on, which four messages spell alike. */
struct xds_header_fields {
    Core__HeaderValueOption **request_add, **response_add;
    char **request_remove, **response_remove;
    size_t n_request_add, n_response_add, n_request_remove, n_response_remove;
};
struct xds_header_fields xds_headers(struct arena *a, const struct route_headers *h);
void xds_get_headers(struct xds_codec *d, const struct xds_header_fields *m, struct route_headers *h);
#define XDS_HEADERS_TO(m, f)                                                                                           \
    do {                                                                                                               \
        (m)->request_headers_to_add = (f).request_add, (m)->n_request_headers_to_add = (f).n_request_add;              \
        (m)->response_headers_to_add = (f).response_add, (m)->n_response_headers_to_add = (f).n_response_add;          \
        (m)->request_headers_to_remove = (f).request_remove, (m)->n_request_headers_to_remove = (f).n_request_remove;  \
        (m)->response_headers_to_remove = (f).response_remove,                                                         \
        (m)->n_response_headers_to_remove = (f).n_response_remove;                                                     \
    } while (0)
#define XDS_HEADERS_FROM(m)                                                                                            \
    (struct xds_header_fields)                                                                                         \
    {                                                                                                                  \
        .request_add = (m)->request_headers_to_add, .response_add = (m)->response_headers_to_add,                      \
        .request_remove = (m)->request_headers_to_remove, .response_remove = (m)->response_headers_to_remove,          \
        .n_request_add = (m)->n_request_headers_to_add, .n_response_add = (m)->n_response_headers_to_add,              \
        .n_request_remove = (m)->n_request_headers_to_remove, .n_response_remove = (m)->n_response_headers_to_remove,  \
    }

/* typed_per_filter_config: fault and CORS of a route. */
void xds_route_filters(struct arena *a, const struct route *r, Route__Route *m);
void xds_get_route_filters(struct xds_codec *d, const Route__Route *m, struct route *r);
