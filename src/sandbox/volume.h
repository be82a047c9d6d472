// SPDX-License-Identifier: Apache-2.0
/* A pod's volumes: each becomes a folder on the sandbox's tmpfs, which containers see by bind mounts.
 *
 *   err = volumes_open(&set, &facts, "/run/weft/pods/<uid>/volumes", &why);     // -ENOENT: wait and try again
 *   dir = volume_path(&set, mount->name);
 *   volumes_refresh(&set, …);      // a ConfigMap or Secret changed; …_tokens, …_meta
 *
 * ConfigMap, Secret, projected and downwardAPI volumes are written as kubelet writes them: files are links through
 * `..data`, which is one link to the newest folder, replaced atomically; a reader sees all old files or all new ones.
 * A hostPath is shown read-only: nothing that a pod does may stay on the machine.
 * Every pod also has the folder of its service account's token (unless automountServiceAccountToken is false).
 */
#pragma once

#include <stdbool.h>

#include "base/must.h"
#include "sandbox/environment.h"

#define VOLUME_TOKEN_NAME "..serviceaccount" /* can't be a volume's name */
#define VOLUME_TOKEN_PATH "/var/run/secrets/kubernetes.io/serviceaccount"

struct volume_set {
    const struct facts *facts;
    char dir[256];
    uint64_t version;       /* of the newest ..data folder */
    uint64_t token_renewal; /* seconds until the first token should be renewed; 0: there is none */
};

int volumes_open(struct volume_set *set, const struct facts *facts, const char *dir, struct arena *a,
                 struct view *ret_why) must_check;
/* Writes again what comes from a changed ConfigMap or Secret, from tokens, from the pod's own labels and annotations. */
void volumes_refresh(struct volume_set *set, enum runtime_source source, struct view name);
void volumes_refresh_tokens(struct volume_set *set);
void volumes_refresh_meta(struct volume_set *set);
/* The folder (or for hostPath the path) that stands for a volume; false: the pod has no such volume. */
bool volume_path(const struct volume_set *set, struct view name, struct arena *a, struct view *ret_path);
bool volume_read_only(const struct volume_set *set, struct view name);
