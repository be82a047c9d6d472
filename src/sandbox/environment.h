// SPDX-License-Identifier: Apache-2.0
/* What a container is told about itself: environment variables and the values of fields and resources, which the
 * downward API also writes into files (volume.c).
 *
 *   err = environment_build(&e, container, image, &envp, &why);
 *
 * -ENOENT: a ConfigMap, Secret or key that is not optional is not there (yet); the container waits and tries again.
 */
#pragma once

#include "base/arena.h"
#include "base/must.h"
#include "mesh/pod.h"
#include "sandbox/image.h"
#include "sandbox/runtime.h"

struct facts { /* of a pod that runs here */
    const struct runtime_config *config;
    const struct pod *pod;
    struct view ip, host_ip, hostname;
    struct view path; /* PATH of its containers */
};

/* NAME=value strings, NULL-terminated, in `a`. */
int environment_build(struct arena *a, const struct facts *f, const struct container *c, const struct image *image,
                      char ***ret_envp, struct view *ret_why) must_check;
/* fieldRef: metadata.name, metadata.labels['x'], metadata.labels, status.podIP … -EINVAL: there is no such field. */
int field_value(struct arena *a, const struct facts *f, struct view path, struct view *ret_value) must_check;
/* resourceFieldRef: limits.cpu, requests.memory …, divided and rounded up. What has no limit has the machine's. */
int resource_value(struct arena *a, const struct facts *f, const struct container *c, struct view resource,
                   struct view divisor, struct view *ret_value) must_check;
/* A quantity (100m, 1Gi, 2e3) in thousandths; -EINVAL. */
int quantity_milli(struct view text, double *ret_milli) must_check;
/* $(NAME) replaced, $$ is $; unknown names stay as they are. */
struct view expand(struct arena *a, struct view text, char *const *env, size_t n_env);
