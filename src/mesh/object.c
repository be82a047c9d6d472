// SPDX-License-Identifier: Apache-2.0
/* The list of kinds and the metadata that all objects share (object.h). */
#include "mesh/object.h"

#include <errno.h>

#include "mesh/messages.h"

const struct mesh_kind_info mesh_kinds[MESH_KINDS] = {
#define KIND(symbol, kind_, group_, versions_, plural_, shorts_, namespaced_, type)                                    \
    [KIND_##symbol] = {{kind_, sizeof(kind_) - 1},         {group_, sizeof(group_) - 1},                               \
                       {versions_, sizeof(versions_) - 1}, {plural_, sizeof(plural_) - 1},                             \
                       {shorts_, sizeof(shorts_) - 1},     namespaced_},
#include "mesh/kinds.def"
};

static bool in_list(struct view list, struct view word)
{
    struct view one;
    while (view_cut(&list, ',', &one))
        if (one.n && view_ieq(one, word))
            return true;
    return false;
}

int mesh_kind_find(struct view word, enum mesh_kind *ret_kind)
{
    struct view bare = view_head(word, view_find(word, '.')); /* virtualservices.networking.istio.io */
    for (int k = 0; k < MESH_KINDS; k++) {
        const struct mesh_kind_info *i = &mesh_kinds[k];
        if (bare.n && (view_ieq(bare, i->kind) || view_ieq(bare, i->plural) || in_list(i->shorts, bare))) {
            *ret_kind = (enum mesh_kind)k;
            return 0;
        }
    }
    return -ENOENT;
}

int mesh_kind_of(struct view api_version, struct view kind, enum mesh_kind *ret_kind)
{
    size_t slash = view_find(api_version, '/');
    struct view group = slash < api_version.n ? view_head(api_version, slash) : VIEW_NONE;
    struct view version = slash < api_version.n ? view_from(api_version, slash + 1) : api_version;
    for (int k = 0; k < MESH_KINDS; k++) {
        const struct mesh_kind_info *i = &mesh_kinds[k];
        if (view_eq(kind, i->kind) && view_eq(group, i->group) && in_list(i->versions, version)) {
            *ret_kind = (enum mesh_kind)k;
            return 0;
        }
    }
    return -ENOENT;
}

static const struct field owner_fields[] = {
    {"apiVersion", FIELD_STR, AT(struct owner_ref, api_version)},
    {"kind", FIELD_STR, AT(struct owner_ref, kind), .required = true},
    {"name", FIELD_STR, AT(struct owner_ref, name), .required = true},
    {"uid", FIELD_STR, AT(struct owner_ref, uid)},
    {"controller", FIELD_BOOL, AT(struct owner_ref, controller)},
    {"blockOwnerDeletion", FIELD_ANY},
};
static const struct message owner_message = MESSAGE("OwnerReference", struct owner_ref, owner_fields);

static void set_deleting(struct decoder *d, void *base, const struct node *n, const struct place *at)
{
    ((struct object_meta *)base)->deleting = n->type == NODE_STR;
}

static const struct field meta_fields[] = {
    {"name", FIELD_STR, AT(struct object_meta, name), .format = FORMAT_NAME},
    {"namespace", FIELD_STR, AT(struct object_meta, ns), .format = FORMAT_LABEL},
    {"generateName", FIELD_STR, AT(struct object_meta, generate_name)},
    {"labels", FIELD_MAP, AT(struct object_meta, labels), .format = FORMAT_LABELS},
    {"annotations", FIELD_MAP, AT(struct object_meta, annotations)},
    {"uid", FIELD_STR, AT(struct object_meta, uid)},
    {"resourceVersion", FIELD_STR, AT(struct object_meta, resource_version)},
    {"generation", FIELD_I64, AT(struct object_meta, generation)},
    {"creationTimestamp", FIELD_TIME, AT(struct object_meta, created)},
    {"deletionTimestamp", FIELD_CUSTOM, .custom = set_deleting},
    {"ownerReferences", FIELD_LIST, AT_LIST(struct object_meta, owners, n_owners), .msg = &owner_message},
    {"deletionGracePeriodSeconds", FIELD_ANY},
    {"finalizers", FIELD_ANY},
    {"managedFields", FIELD_ANY},
    {"selfLink", FIELD_ANY},
};
const struct message object_meta_message = MESSAGE("ObjectMeta", struct object_meta, meta_fields);

static const struct enum_word label_op_words[] = {
    {"In", LABEL_IN}, {"NotIn", LABEL_NOT_IN}, {"Exists", LABEL_EXISTS}, {"DoesNotExist", LABEL_DOES_NOT_EXIST}, {NULL},
};
static const struct field requirement_fields[] = {
    {"key", FIELD_STR, AT(struct label_requirement, key), .required = true},
    {"operator", FIELD_ENUM, AT(struct label_requirement, op), .words = label_op_words, .required = true},
    {"values", FIELD_STRS, AT(struct label_requirement, values)},
};
static const struct message requirement_message =
    MESSAGE("LabelSelectorRequirement", struct label_requirement, requirement_fields);

static void selector_is_set(void *msg)
{
    ((struct label_selector *)msg)->set = true;
}

static const struct field selector_fields[] = {
    {"matchLabels", FIELD_MAP, AT(struct label_selector, match_labels), .format = FORMAT_LABELS},
    {"matchExpressions", FIELD_LIST, AT_LIST(struct label_selector, exprs, n_exprs), .msg = &requirement_message},
};
const struct message label_selector_message = {MESSAGE_FIELDS("LabelSelector", struct label_selector, selector_fields),
                                               .init = selector_is_set};

static const struct field match_labels_fields[] = {
    {"matchLabels", FIELD_MAP, .at = 0, .format = FORMAT_LABELS},
};
const struct message match_labels_message = MESSAGE("WorkloadSelector", struct labels, match_labels_fields);
