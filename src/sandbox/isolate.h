// SPDX-License-Identifier: Apache-2.0
/* The sandbox's own namespaces, and the one thread of it that stays outside.
 *
 * isolate_run splits the calling process in two. The child ("the daemon") is process 1 of a PID namespace and lives in a
 * network ("node"), mount, UTS and IPC namespace of its own: pods, rules, mounts and files exist only in there, on a tmpfs, so that
 * the kernel removes all of it when that one process ends, even by SIGKILL. The parent ("the supervisor") stays on the
 * host. It does only what cannot be done inside: accepts on 127.0.0.1 and on an abstract Unix socket, makes sockets
 * towards the host's resolvers, and hands the descriptors in. Either dies with the other.
 *
 *   struct isolate_config c = {.main = daemon_main, .arg = …, .state_size = …};
 *   int code = isolate_run(&c);            // in the supervisor: the daemon's exit code, when it ended
 *
 *   static int daemon_main(struct isolate *iso, void *arg)    // in the daemon; its result is the exit code
 *   {   … isolate_listen_tcp(iso, 8080, &id); isolate_listen_unix(iso, "weft-sandbox-demo", &id); …
 *       on readable(isolate_fd(iso)): while (isolate_next(iso, &id, &fd) == 0) … }
 *
 * Nothing is created in the host: no file, link, named namespace or rule. The abstract socket has no file and ends with
 * the supervisor; only the supervisor's own user may connect to it (checked on accept).
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/must.h"

struct isolate;
struct task; /* net/task.h */

struct isolate_config {
    int (*main)(struct isolate *iso, void *arg); /* runs in the daemon, single-threaded */
    void *arg;
    const char *name; /* shown as the daemon's host name */
};

/* Returns the daemon's exit code (128 + signal), or -errno when it could not be made (EPERM: needs root). SIGINT, SIGTERM
 * and SIGHUP that the supervisor gets are passed on as SIGTERM. */
int isolate_run(const struct isolate_config *config) must_check;

/* ---- In the daemon */

#define ISOLATE_STATE_DIR "/run/weft" /* the tmpfs: mode 0700, seen by the daemon only */

int isolate_fd(const struct isolate *iso); /* readable when isolate_next may have something; never read it directly */
/* Wakes `task` when a connection came while an answer was awaited: the descriptor will not say so again. */
void isolate_own(struct isolate *iso, struct task *task, uint32_t bits);

/* Ask the supervisor to listen. Blocking (a round trip to the supervisor), -errno as bind gives it. */
int isolate_listen_tcp(struct isolate *iso, uint16_t port, uint32_t *ret_id) must_check; /* on 127.0.0.1 */
int isolate_listen_unix(struct isolate *iso, const char *abstract_name, uint32_t *ret_id) must_check;
void isolate_close(struct isolate *iso, uint32_t id);

/* An unconnected socket in the host's network namespace (for DNS forwarding): type is SOCK_DGRAM or SOCK_STREAM. */
int isolate_host_socket(struct isolate *iso, int family, int type, int *ret_fd) must_check;

#define ISOLATE_RESOLVERS 3
/* The machine's resolvers (IPv4, host byte order) as /etc/resolv.conf named them at the start; how many. */
size_t isolate_resolvers(const struct isolate *iso, uint32_t ret_ips[ISOLATE_RESOLVERS]);

/* A connection that the supervisor accepted for listener `id`: the descriptor is the caller's. -EAGAIN: none now.
 * -EPIPE: the supervisor is gone (the daemon should end; the kernel kills it anyway). */
int isolate_next(struct isolate *iso, uint32_t *ret_id, int *ret_fd) must_check;
