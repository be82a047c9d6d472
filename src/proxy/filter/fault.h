// SPDX-License-Identifier: Apache-2.0
/* Injected faults: a delay before the request goes on, an abort instead of it (VirtualService http.fault). */
#pragma once

#include <stdint.h>

struct stream;

enum fault_decision {
    FAULT_NONE,
    FAULT_WAIT,  /* delay_due is set; the stream's timer brings it back */
    FAULT_ABORT, /* *ret_status: with what */
};

/* Called until it says something else than FAULT_WAIT. Draws lots at the first call only. */
enum fault_decision fault_decide(struct stream *s, uint16_t *ret_status);
