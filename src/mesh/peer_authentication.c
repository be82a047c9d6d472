// SPDX-License-Identifier: Apache-2.0
/* PeerAuthentication (peer_authentication.h): the table, and ports whose keys are numbers. */
#include "mesh/peer_authentication.h"

#include "mesh/messages.h"

static const struct enum_word mode_words[] = {
    {"UNSET", MTLS_UNSET}, {"DISABLE", MTLS_DISABLE}, {"PERMISSIVE", MTLS_PERMISSIVE}, {"STRICT", MTLS_STRICT}, {NULL}};

static const struct field mtls_fields[] = {
    {"mode", FIELD_ENUM, AT(struct peer_authentication, mode), .words = mode_words},
};
static const struct message mtls_message = MESSAGE("MutualTLS", struct peer_authentication, mtls_fields);

static const struct field port_fields[] = {{"mode", FIELD_ENUM, AT(struct port_mtls, mode), .words = mode_words}};
static const struct message port_message = PART("MutualTLS", struct port_mtls, port_fields);

static void decode_ports(struct decoder *d, void *base, const struct node *n, const struct place *at)
{
    struct peer_authentication *pa = base;
    for (uint32_t i = 0; node_is(n, NODE_MAP) && i < n->n; i++) {
        struct place here = {.up = at, .key = n->fields[i].key, .quoted = true};
        uint64_t port;
        if (view_u64(n->fields[i].key, &port) < 0 || !port || port > 65535) {
            decode_bad(d, n->fields[i].value, &here, "`%.*s` is not a port", VIEW_ARGS(n->fields[i].key));
            continue;
        }
        struct port_mtls *p = ARENA_PUSH(d->arena, pa->ports, pa->n_ports);
        p->port = (uint32_t)port;
        decode_message(d, &port_message, p, n->fields[i].value, &here);
    }
    if (!node_is(n, NODE_MAP))
        decode_bad(d, n, at, "`portLevelMtls` must be a map of port numbers");
}

static void check_spec(struct decoder *d, void *msg, const struct node *n, const struct place *at)
{
    struct peer_authentication *pa = msg;
    pa->spec.at = decode_origin(d, n, at);
    pa->spec.node = n;
    pa->has_selector = pa->selector.n > 0;
    if (pa->n_ports && !pa->has_selector)
        decode_bad_field(d, n, at, "portLevelMtls", "`portLevelMtls` needs a `selector`")->hint =
            VIEW("ports belong to a workload: say to which pods this applies");
}

static const struct field spec_fields[] = {
    {"selector", FIELD_EMBED, AT(struct peer_authentication, selector), .msg = &match_labels_message},
    {"mtls", FIELD_INLINE, .msg = &mtls_message},
    {"portLevelMtls", FIELD_CUSTOM, .custom = decode_ports},
};
static const struct message spec_message = {
    MESSAGE_FIELDS("PeerAuthentication", struct peer_authentication, spec_fields), .check = check_spec};
static const struct field peer_authentication_fields[] = {
    OBJECT_FIELDS,
    {"spec", FIELD_INLINE, .msg = &spec_message},
    {"status", FIELD_ANY},
};
const struct message peer_authentication_message =
    MESSAGE("PeerAuthentication", struct peer_authentication, peer_authentication_fields);
