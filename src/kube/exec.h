// SPDX-License-Identifier: Apache-2.0
/* Credentials that a command prints (users[].user.exec of a kubeconfig): run beside the loop, its answer read from a socket,
 * kept until it expires or is refused. Private to kube/.
 *
 *   r = kube_exec_token(client, &token);     // -EAGAIN: it runs; the fetches that wait are woken when it has ended
 */
#pragma once

#include "base/must.h"
#include "base/view.h"

struct arena;
struct kube_client;
struct kube_exec;

struct kube_exec *kube_exec_copy(struct arena *a, const struct kube_exec *e) __attribute__((returns_nonnull));
int kube_exec_token(struct kube_client *c, struct view *ret) must_check; /* empty: it gave only a certificate */
bool kube_exec_refused(struct kube_client *c);                           /* whether it is worth running it again */
struct view kube_exec_cert(struct kube_client *c);
struct view kube_exec_key(struct kube_client *c);
void kube_exec_done(struct kube_client *c);
