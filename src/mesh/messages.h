// SPDX-License-Identifier: Apache-2.0
/* The tables that kinds share with each other and with object.c: one `<struct>_message` for each kind in kinds.def, and
 * the messages that several kinds contain.
 */
#pragma once

#include "mesh/decode.h"

#define KIND(symbol, kind, group, versions, plural, shorts, namespaced, type)                                          \
    extern const struct message type##_message;
#include "mesh/kinds.def"

extern const struct message label_selector_message;                            /* struct label_selector */
extern const struct message pod_template_message;                              /* struct pod_template */
extern const struct message pod_spec_message;                                  /* struct pod_spec */
extern const struct message pod_volume_message;                                /* struct volume */
extern const struct message pod_container_message, pod_init_container_message; /* struct container */
extern const struct message match_labels_message; /* Istio's WorkloadSelector, into struct labels */
extern const struct message http_retries_message; /* struct http_retries */
extern const struct message tcp_keepalive_message;
extern const struct message mesh_config_message, proxy_config_message;

extern const struct enum_word l4_words[]; /* TCP, UDP, SCTP */
