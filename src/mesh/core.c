// SPDX-License-Identifier: Apache-2.0
/* Namespace, ServiceAccount, ConfigMap and Secret (core.h). */
#include "mesh/core.h"

#include "mesh/decode_value.h"
#include "mesh/messages.h"

static const struct field namespace_fields[] = {OBJECT_FIELDS, {"spec", FIELD_ANY}, {"status", FIELD_ANY}};
const struct message namespace_message = MESSAGE("Namespace", struct namespace, namespace_fields);

static const struct field service_account_fields[] = {
    OBJECT_FIELDS,
    {"automountServiceAccountToken", FIELD_OPT_BOOL, AT(struct service_account, automount_token)},
    {"secrets", FIELD_ANY},
    {"imagePullSecrets", FIELD_ANY},
};
const struct message service_account_message =
    MESSAGE("ServiceAccount", struct service_account, service_account_fields);

static const struct field config_map_fields[] = {
    OBJECT_FIELDS,
    {"data", FIELD_MAP, AT(struct config_map, data)},
    {"binaryData", FIELD_BYTES_MAP, AT(struct config_map, binary_data)},
    {"immutable", FIELD_BOOL, AT(struct config_map, immutable)},
};
const struct message config_map_message = MESSAGE("ConfigMap", struct config_map, config_map_fields);

/* stringData wins over data of the same key; it may stand before or after it, so it is merged by check_secret. */
static void check_secret(struct decoder *d, void *msg, const struct node *n, const struct place *at)
{
    struct secret *s = msg;
    const struct node *texts = node_get(n, VIEW("stringData"));
    if (!node_is(texts, NODE_MAP))
        return;
    for (uint32_t i = 0; i < texts->n; i++) {
        struct view key = texts->fields[i].key, value = node_text(texts->fields[i].value);
        uint32_t at_key = 0;
        while (at_key < s->data.n && !view_eq(s->data.list[at_key].key, key))
            at_key++;
        if (at_key == s->data.n)
            *ARENA_PUSH(d->arena, s->data.list, s->data.n) = (struct label){key, value};
        else
            s->data.list[at_key].value = value;
    }
}

static void string_data(struct decoder *d, void *base, const struct node *n, const struct place *at)
{
    struct labels ignored = {0};
    static const struct field map = {"stringData", FIELD_MAP};
    value_decode(d, &map, &ignored, NULL, n, at); /* for its errors: the texts are taken by check_secret */
}

static const struct field secret_fields[] = {
    OBJECT_FIELDS,
    {"type", FIELD_STR, AT(struct secret, type)},
    {"data", FIELD_BYTES_MAP, AT(struct secret, data)},
    {"stringData", FIELD_CUSTOM, .custom = string_data},
    {"immutable", FIELD_BOOL, AT(struct secret, immutable)},
};
const struct message secret_message = {MESSAGE_FIELDS("Secret", struct secret, secret_fields), .check = check_secret};
