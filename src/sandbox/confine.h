// SPDX-License-Identifier: Apache-2.0
/* A container's view of the machine, made by the new process itself between clone and exec.
 *
 *   pid = process_clone(&p, loop, CONFINE_CLONE_FLAGS);
 *   if (pid == 0)
 *       confine_exec(&c);        // does not return: the program runs, or error_fd gets a sentence
 *
 * The root is an overlay: this machine's files below, an empty folder of the tmpfs above. So every program of the machine
 * is there, the container may write anywhere that its user may, and nothing of it reaches the machine; the same for each
 * other file system. /proc, /dev, /sys, /run and /dev/shm are new; what changes the machine (/proc/sys, device files) is
 * read-only unless the container is privileged. Then volumes are bound, the
 * old root is left, capabilities and user are set as the securityContext asks, and the program is started.
 */
#pragma once

#include <linux/sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/arena.h"
#include "mesh/pod.h"

#define CONFINE_PROGRAMS "/run/weft/programs/%zu" /* where a container sees program_dirs[i]; stands in its PATH */
#define CONFINE_CLONE_FLAGS (CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC)

struct bind_mount {
    const char *source, *target;
    bool read_only;
};

struct confinement {
    /* the view */
    int netns;
    const char *hostname;
    const char *dir; /* empty folder of this run: upper, work and root are made in it */
    const char *resolv_conf, *hosts;
    const char *const *host_mounts;  /* NULL-terminated: other file systems to show */
    const char *const *program_dirs; /* NULL-terminated: weft's programs, shown at CONFINE_PROGRAMS */
    const struct bind_mount *binds;
    size_t n_binds;
    /* the process */
    uid_t uid;
    gid_t gid, groups[4];
    size_t n_groups;
    uint64_t capabilities; /* a bit each */
    bool no_new_privs, read_only_root, privileged;
    const char *cwd;
    char *const *argv, *const *envp;
    int stdio[3];
    int error_fd; /* close-on-exec */
};

void confine_exec(const struct confinement *c) __attribute__((noreturn));
/* The same process half inside the namespaces of a running container (`weft exec`, exec probes, hooks). container: its
 * pidfd. The caller has already chosen the PID namespace (setns CLONE_NEWPID before clone). */
void confine_join_exec(const struct confinement *c, int container) __attribute__((noreturn));

/* Other file systems of this machine that a container must see (NULL-terminated, in `a`). */
const char *const *confine_host_mounts(struct arena *a);

/* Capabilities that `add` and `drop` of a securityContext leave of the default set; -EINVAL names an unknown one. */
int confine_capabilities(const struct capabilities *caps, bool privileged, struct arena *a, uint64_t *ret_caps,
                         struct view *ret_why) must_check;
