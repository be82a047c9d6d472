// SPDX-License-Identifier: Apache-2.0
/* The files and directories that `weft up` was given: applied at the start, and again by themselves when they change.
 *
 * What a file no longer holds goes away with it, as does everything of a file that is deleted. A file with a mistake
 * changes nothing: the last good state stays and the diagnostics are printed once. In a directory, *.yaml, *.yml and
 * *.json count, without subdirectories; images.yaml is not a manifest.
 *
 *   w = watch_dir_new(loop, cluster, paths, n, print, arg);
 *   watch_dir_scan(w);                  // the first time; later it does so itself when the kernel tells of a change
 */
#pragma once

#include "base/diag.h"
#include "sandbox/cluster.h"

struct loop;
struct watch_dir;

/* print: diagnostics of a file, and how many objects changed; called from scan. */
typedef void (*watch_dir_fn)(void *arg, struct view file, const struct diags *d, size_t n_changed);

struct watch_dir *watch_dir_new(struct loop *loop, struct cluster *cluster, const char *const *paths, size_t n,
                                watch_dir_fn print, void *arg);
struct watch_dir *watch_dir_free(struct watch_dir *w);
/* Applies what is new or changed; true when every file was good. */
bool watch_dir_scan(struct watch_dir *w);
