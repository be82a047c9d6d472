// SPDX-License-Identifier: Apache-2.0
/* What virtual_service.c, virtual_service_http.c and their siblings share. */
#pragma once

#include "mesh/decode_value.h"
#include "mesh/virtual_service.h"

extern const struct message vs_destination_message; /* struct destination */
extern const struct message vs_http_route_message;  /* struct http_route */

void vs_check_weights(struct decoder *d, const struct node *routes, const struct place *at, int64_t sum, uint32_t n);
/* Every Istio kind that has exportTo: `.`, `*` or namespaces. */
void check_export_to(struct decoder *d, const struct strings *s, const struct node *n, const struct place *at);
