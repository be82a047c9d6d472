// SPDX-License-Identifier: Apache-2.0
/* Waiting until what was installed works. What is waited for is asked again and again; when the time is over, the answer is
 * the object that holds it up and its own words (a container's reason, a pod's last Event), not "timed out". */
#pragma once

#include "cli/objects.h"

/* false: the time is over, *ret_why says what is missing (in c's arena). until: clock_mono. */
bool wait_deployment(struct cli *c, struct view ns, struct view name, uint64_t until, struct view *ret_why);
bool wait_definitions(struct cli *c, const struct chart *chart, uint64_t until, struct view *ret_why);
bool wait_bundles(struct cli *c, const struct chart *chart, uint64_t until, struct view *ret_why);
/* A dry run of a pod that asks for injection comes back with a sidecar. */
bool wait_injection(struct cli *c, const struct chart *chart, uint64_t until, struct view *ret_why);
/* As wait_deployment, one look: NULL when it is ready. */
bool deployment_ready(struct cli *c, struct arena *a, struct view ns, struct view name, struct view *ret_why);
bool injection_works(struct cli *c, struct arena *a, struct view ns, struct view revision, struct view *ret_why);
