// SPDX-License-Identifier: Apache-2.0
/* The sandbox's daemon: one process, one loop, one store; API, controllers, kubelet and the control plane's pod.
 *
 *   daemon_run(&config)       // returns when the sandbox ended: the exit code, or -errno when it could not be made
 *
 * The calling process becomes the supervisor (sandbox/isolate.h), the daemon is its child in namespaces of its own. The
 * CLI finds it at the abstract sockets "@weft-<name>" (the API) and "@weft-<name>-exec".
 *
 *   store changed → controllers → kubelet → watches, in one turn of the loop; the runtime's news come back as statuses
 */
#pragma once

#include <stddef.h>

#include "base/must.h"
#include "base/view.h"

#define DAEMON_SOCKET "weft-%s" /* printf: the sandbox's name */
#define DAEMON_EXEC_SOCKET "weft-%s-exec"
#define DAEMON_KUBE_DIR "/run/weft/kube" /* in the daemon's tmpfs: the API for weft-control's pod, api.sock */

enum {
    DAEMON_SD_PORT = 15099
}; /* Prometheus discovery, on the machine and in the node; the next free one when taken */

struct daemon_config {
    const char *name;
    const char *const *paths; /* manifests and directories */
    size_t n_paths;
    struct view images, images_file; /* text and name of images.yaml */
    const char *certificate_ttl;     /* of workloads; NULL: 24 h */
};

int daemon_run(const struct daemon_config *config) must_check;
