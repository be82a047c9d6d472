// SPDX-License-Identifier: Apache-2.0
/* Plans for the tests of a small mesh, made by the real compiler from YAML and taken through the bytes of xDS.
 * Pods: page-1 (10.0.0.1), reviews-1 (10.0.0.2, Service reviews with ports http 9080, tcp-raw 9000, mystery 9001).
 */
#pragma once

#include "plan/plan.h"

struct plan *compiled_plan(const char *more, const char *pod); /* more: further objects, or NULL */
