// SPDX-License-Identifier: Apache-2.0
/* What the files that decode a pod share: pod.c (the pod), pod_container.c and pod_volume.c. */
#pragma once

#include "mesh/decode_value.h"
#include "mesh/pod.h"

extern const struct message pod_security_message; /* struct security_context */
