// SPDX-License-Identifier: Apache-2.0
/* Endpoints and EndpointSlice (endpoints.h). */
#include "mesh/endpoints.h"

#include "mesh/messages.h"

static const struct field target_fields[] = {
    {"kind", FIELD_STR, AT(struct target_ref, kind)},
    {"namespace", FIELD_STR, AT(struct target_ref, ns)},
    {"name", FIELD_STR, AT(struct target_ref, name)},
    {"uid", FIELD_ANY},
    {"apiVersion", FIELD_ANY},
    {"fieldPath", FIELD_ANY},
    {"resourceVersion", FIELD_ANY},
};
static const struct message target_message = MESSAGE("ObjectReference", struct target_ref, target_fields);

static const struct field port_fields[] = {
    {"name", FIELD_STR, AT(struct endpoint_port, name)},
    {"port", FIELD_PORT, AT(struct endpoint_port, port)},
    {"protocol", FIELD_ENUM, AT(struct endpoint_port, l4), .words = l4_words},
    {"appProtocol", FIELD_STR, AT(struct endpoint_port, app_protocol)},
};
static const struct message port_message = MESSAGE("EndpointPort", struct endpoint_port, port_fields);

static const struct field condition_fields[] = {
    {"ready", FIELD_OPT_BOOL, AT(struct slice_endpoint, ready)},
    {"serving", FIELD_OPT_BOOL, AT(struct slice_endpoint, serving)},
    {"terminating", FIELD_OPT_BOOL, AT(struct slice_endpoint, terminating)},
};
static const struct message condition_message = MESSAGE("EndpointConditions", struct slice_endpoint, condition_fields);

static const struct field endpoint_fields[] = {
    {"addresses", FIELD_STRS, AT(struct slice_endpoint, addresses), .required = true},
    {"conditions", FIELD_INLINE, .msg = &condition_message},
    {"hostname", FIELD_STR, AT(struct slice_endpoint, hostname)},
    {"nodeName", FIELD_STR, AT(struct slice_endpoint, node_name)},
    {"zone", FIELD_STR, AT(struct slice_endpoint, zone)},
    {"targetRef", FIELD_EMBED, AT(struct slice_endpoint, target), .msg = &target_message},
    {"deprecatedTopology", FIELD_ANY},
    {"hints", FIELD_ANY},
};
static const struct message endpoint_message = MESSAGE("Endpoint", struct slice_endpoint, endpoint_fields);

static const struct field slice_fields[] = {
    OBJECT_FIELDS,
    {"addressType", FIELD_STR, AT(struct endpoint_slice, address_type), .required = true},
    {"endpoints", FIELD_LIST, AT_LIST(struct endpoint_slice, endpoints, n_endpoints), .msg = &endpoint_message},
    {"ports", FIELD_LIST, AT_LIST(struct endpoint_slice, ports, n_ports), .msg = &port_message},
};
const struct message endpoint_slice_message = MESSAGE("EndpointSlice", struct endpoint_slice, slice_fields);

struct view endpoint_slice_service(const struct endpoint_slice *s)
{
    return labels_get(&s->o.meta.labels, VIEW("kubernetes.io/service-name"));
}

static const struct field address_fields[] = {
    {"ip", FIELD_STR, AT(struct endpoint_address, ip), .required = true, .format = FORMAT_IP},
    {"hostname", FIELD_STR, AT(struct endpoint_address, hostname)},
    {"nodeName", FIELD_STR, AT(struct endpoint_address, node_name)},
    {"targetRef", FIELD_EMBED, AT(struct endpoint_address, target), .msg = &target_message},
};
static const struct message address_message = MESSAGE("EndpointAddress", struct endpoint_address, address_fields);

static const struct field subset_fields[] = {
    {"addresses", FIELD_LIST, AT_LIST(struct endpoint_subset, addresses, n_addresses), .msg = &address_message},
    {"notReadyAddresses", FIELD_LIST, AT_LIST(struct endpoint_subset, not_ready, n_not_ready), .msg = &address_message},
    {"ports", FIELD_LIST, AT_LIST(struct endpoint_subset, ports, n_ports), .msg = &port_message},
};
static const struct message subset_message = MESSAGE("EndpointSubset", struct endpoint_subset, subset_fields);

static const struct field endpoints_fields[] = {
    OBJECT_FIELDS,
    {"subsets", FIELD_LIST, AT_LIST(struct endpoints, subsets, n_subsets), .msg = &subset_message},
};
const struct message endpoints_message = MESSAGE("Endpoints", struct endpoints, endpoints_fields);
