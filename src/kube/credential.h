// SPDX-License-Identifier: Apache-2.0
/* What proves who we are: a bearer token (given, from a file, or printed by a command) and a client certificate. Files are
 * read again, because the kubelet rotates projected tokens under us. Private to kube/.
 *
 *   r = credential_header(client, &authorization);    // -EAGAIN: a command runs; the waiting fetches are woken
 *   if (status == 401 && credential_refused(client, generation)) …there is another one: try once more…
 */
#pragma once

#include "base/buf.h"
#include "base/must.h"
#include "base/view.h"

struct kube_client;
struct kube_exec_run;

struct credential {
    struct buf header;         /* "Bearer …"; empty: none */
    uint64_t generation;       /* counts its changes */
    uint64_t read_at;          /* loop time of the last look at the file; 0: never */
    struct kube_exec_run *run; /* exec.c's part; NULL: no command */
};

int credential_header(struct kube_client *c, struct view *ret) must_check;
bool credential_refused(struct kube_client *c, uint64_t generation);
/* The TLS context for new connections, made again when its files changed. -errno: *ret_why is static text. */
int credential_tls(struct kube_client *c, const char **ret_why) must_check;
void credential_done(struct kube_client *c);
