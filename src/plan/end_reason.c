// SPDX-License-Identifier: Apache-2.0
/* The table of end_reason.def as data. */
#include "plan/end_reason.h"

#include "base/must.h"

static const struct end_reason_info reasons[] = {
#define END_REASON(id, flag, details, http, grpc, error, text) {#id, flag, details, http, grpc, error, text},
#include "plan/end_reason.def"
#undef END_REASON
};

const struct end_reason_info *end_reason_info(enum end_reason reason)
{
    must((unsigned)reason < COUNT_OF(reasons));
    return &reasons[reason];
}

unsigned end_reason_count(void)
{
    return COUNT_OF(reasons);
}
