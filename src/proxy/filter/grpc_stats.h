// SPDX-License-Identifier: Apache-2.0
/* Counting gRPC messages as they pass (istio_request_messages_total, istio_response_messages_total): only the five bytes
 * in front of each message are looked at, wherever they are cut.
 */
#pragma once

#include <stdint.h>

#include "base/view.h"

struct grpc_count { /* all zero at the start */
    uint64_t messages;
    uint32_t left;   /* bytes of the current message that are still to come */
    uint32_t length; /* of the message whose frame head is being read */
    uint8_t head;    /* bytes of the frame head that were seen */
};

void grpc_count(struct grpc_count *c, struct view bytes);
