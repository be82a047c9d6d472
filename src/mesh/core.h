// SPDX-License-Identifier: Apache-2.0
/* The small core kinds of Kubernetes: Namespace, ServiceAccount, ConfigMap, Secret. */
#pragma once

#include "mesh/object.h"

struct namespace
{
    struct object o;
};

struct service_account {
    struct object o;
    struct opt_bool automount_token;
};

struct config_map {
    struct object o;
    struct labels data;        /* texts as written */
    struct labels binary_data; /* decoded */
    bool immutable;
};

struct secret {
    struct object o;
    struct view type;
    struct labels data; /* decoded bytes; stringData already merged in. Never printed, never logged */
    bool immutable;
};
