// SPDX-License-Identifier: Apache-2.0
/* The volumes of a pod (pod.h). Volumes that need storage of a real cluster are refused by name. */
#include "mesh/messages.h"
#include "mesh/pod_parts.h"

static const struct field item_fields[] = {
    {"key", FIELD_STR, AT(struct key_to_path, key), .required = true},
    {"path", FIELD_STR, AT(struct key_to_path, path), .required = true},
    {"mode", FIELD_OPT_I64, AT(struct key_to_path, mode), .lo = 0, .hi = 0777},
};
static const struct message item_message = MESSAGE("KeyToPath", struct key_to_path, item_fields);

#define KEYS_FIELDS(name_field)                                                                                        \
    {name_field, FIELD_STR, AT(struct volume_keys, name)},                                                             \
        {"items", FIELD_LIST, AT_LIST(struct volume_keys, items, n_items), .msg = &item_message},                      \
    {                                                                                                                  \
        "optional", FIELD_BOOL, AT(struct volume_keys, optional)                                                       \
    }
#define MODE_FIELD(type)                                                                                               \
    {                                                                                                                  \
        "defaultMode", FIELD_OPT_I64, AT(struct type, mode), .lo = 0, .hi = 0777                                       \
    }

static const struct field config_map_fields[] = {KEYS_FIELDS("name"), MODE_FIELD(volume_keys)};
static const struct message config_map_message_ = PART("ConfigMapVolumeSource", struct volume_keys, config_map_fields);

static const struct field secret_fields[] = {KEYS_FIELDS("secretName"), MODE_FIELD(volume_keys)};
static const struct message secret_message_ = PART("SecretVolumeSource", struct volume_keys, secret_fields);

static const struct field projection_fields[] = {KEYS_FIELDS("name")};
static const struct message projection_message = PART("KeyProjection", struct volume_keys, projection_fields);

static const struct field field_ref_fields[] = {
    {"fieldPath", FIELD_STR, AT(struct downward_item, field_path), .required = true},
    {"apiVersion", FIELD_ANY},
};
static const struct message field_ref_message = MESSAGE("ObjectFieldSelector", struct downward_item, field_ref_fields);

static void divisor(struct decoder *d, void *base, const struct node *n, const struct place *at)
{
    ((struct downward_item *)base)->resource_divisor = n->text;
}

static const struct field resource_ref_fields[] = {
    {"resource", FIELD_STR, AT(struct downward_item, resource), .required = true},
    {"containerName", FIELD_STR, AT(struct downward_item, resource_container)},
    {"divisor", FIELD_CUSTOM, .custom = divisor},
};
static const struct message resource_ref_message =
    MESSAGE("ResourceFieldSelector", struct downward_item, resource_ref_fields);

static const struct field downward_item_fields[] = {
    {"path", FIELD_STR, AT(struct downward_item, path), .required = true},
    {"fieldRef", FIELD_INLINE, .msg = &field_ref_message},
    {"resourceFieldRef", FIELD_INLINE, .msg = &resource_ref_message},
    {"mode", FIELD_ANY},
};
static const struct message downward_item_message =
    MESSAGE("DownwardAPIVolumeFile", struct downward_item, downward_item_fields);

static const struct field downward_fields[] = {
    {"items", FIELD_LIST, AT_LIST(struct downward_api, items, n_items), .msg = &downward_item_message},
    MODE_FIELD(downward_api),
};
static const struct message downward_message = PART("DownwardAPIVolumeSource", struct downward_api, downward_fields);

static void token_defaults(void *msg)
{
    ((struct token_projection *)msg)->expiration_s = 3600;
}

static const struct field token_fields[] = {
    {"audience", FIELD_STR, AT(struct token_projection, audience)},
    {"path", FIELD_STR, AT(struct token_projection, path), .required = true},
    {"expirationSeconds", FIELD_I64, AT(struct token_projection, expiration_s), .lo = 600, .hi = INT32_MAX},
};
static const struct message token_message = {
    MESSAGE_FIELDS("ServiceAccountTokenProjection", struct token_projection, token_fields), .part = true,
    .init = token_defaults};

static void check_source(struct decoder *d, void *msg, const struct node *n, const struct place *at)
{
    if (n->n != 1)
        decode_bad(d, n, at,
                   "a projected source needs exactly one of configMap, secret, downwardAPI, serviceAccountToken");
}

static const struct field source_fields[] = {
    {"configMap", FIELD_MSG, AT(struct projected_source, config_map), .msg = &projection_message},
    {"secret", FIELD_MSG, AT(struct projected_source, secret), .msg = &projection_message},
    {"downwardAPI", FIELD_MSG, AT(struct projected_source, downward_api), .msg = &downward_message},
    {"serviceAccountToken", FIELD_MSG, AT(struct projected_source, token), .msg = &token_message},
    {"clusterTrustBundle", FIELD_REFUSED},
    {"podCertificate", FIELD_REFUSED},
};
static const struct message source_message = {
    MESSAGE_FIELDS("VolumeProjection", struct projected_source, source_fields), .part = true, .check = check_source};

static const struct field projected_fields[] = {
    {"sources", FIELD_LIST, AT_LIST(struct projected, sources, n_sources), .msg = &source_message},
    MODE_FIELD(projected),
};
static const struct message projected_message = PART("ProjectedVolumeSource", struct projected, projected_fields);

static const struct field empty_dir_fields[] = {
    {"medium", FIELD_STR, AT(struct empty_dir, medium)},
    {"sizeLimit", FIELD_ANY},
};
static const struct message empty_dir_message = PART("EmptyDirVolumeSource", struct empty_dir, empty_dir_fields);

static const struct field host_path_fields[] = {
    {"path", FIELD_STR, AT(struct host_path, path), .required = true},
    {"type", FIELD_STR, AT(struct host_path, type)},
};
static const struct message host_path_message = PART("HostPathVolumeSource", struct host_path, host_path_fields);

static void check_volume(struct decoder *d, void *msg, const struct node *n, const struct place *at)
{
    struct volume *v = msg;
    int sources = (v->config_map != NULL) + (v->secret != NULL) + (v->projected != NULL) + (v->downward_api != NULL) +
                  (v->empty_dir != NULL) + (v->host_path != NULL);
    if (sources > 1)
        decode_bad(d, n, at, "volume `%.*s` has more than one source", VIEW_ARGS(v->name));
    if ((v->config_map && !v->config_map->name.n) || (v->secret && !v->secret->name.n))
        decode_bad(d, n, at, "volume `%.*s` does not say which %s", VIEW_ARGS(v->name),
                   v->secret ? "Secret" : "ConfigMap");
}

#define STORAGE(name)                                                                                                  \
    {                                                                                                                  \
        name, FIELD_REFUSED, .why = "storage of a cluster is not available; use emptyDir, configMap or secret"         \
    }

static const struct field volume_fields[] = {
    {"name", FIELD_STR, AT(struct volume, name), .required = true, .format = FORMAT_LABEL},
    {"configMap", FIELD_MSG, AT(struct volume, config_map), .msg = &config_map_message_},
    {"secret", FIELD_MSG, AT(struct volume, secret), .msg = &secret_message_},
    {"projected", FIELD_MSG, AT(struct volume, projected), .msg = &projected_message},
    {"downwardAPI", FIELD_MSG, AT(struct volume, downward_api), .msg = &downward_message},
    {"emptyDir", FIELD_MSG, AT(struct volume, empty_dir), .msg = &empty_dir_message},
    {"hostPath", FIELD_MSG, AT(struct volume, host_path), .msg = &host_path_message},
    STORAGE("persistentVolumeClaim"),
    STORAGE("awsElasticBlockStore"),
    STORAGE("azureDisk"),
    STORAGE("azureFile"),
    STORAGE("cephfs"),
    STORAGE("cinder"),
    STORAGE("csi"),
    STORAGE("ephemeral"),
    STORAGE("fc"),
    STORAGE("flexVolume"),
    STORAGE("gcePersistentDisk"),
    STORAGE("gitRepo"),
    STORAGE("glusterfs"),
    STORAGE("image"),
    STORAGE("iscsi"),
    STORAGE("nfs"),
    STORAGE("rbd"),
    STORAGE("vsphereVolume"),
};
const struct message pod_volume_message = {MESSAGE_FIELDS("Volume", struct volume, volume_fields), .part = true,
                                           .check = check_volume};
