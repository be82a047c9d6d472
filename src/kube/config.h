// SPDX-License-Identifier: Apache-2.0
/* Where the API server is and who we are there, as kubectl and pods know it: a kubeconfig file, or the service account that
 * a pod is given.
 *
 *   struct kube_config config;
 *   const char *why;
 *   r = kube_config_load(NULL, NULL, &config, &why);     // $KUBECONFIG, else ~/.kube/config; its current context
 *   struct kube_client *api = kube_client_new(loop, &config);
 *   kube_config_done(&config);                           // the client has its own copy
 *
 * Read are clusters (server, certificate-authority[-data], tls-server-name, insecure-skip-tls-verify), users
 * (client-certificate[-data], client-key[-data], token, tokenFile, exec) and contexts. What would change what happens and
 * cannot be done (auth-provider, username and password, impersonation, proxy-url) is refused by name.
 *
 * exec: a command that prints an ExecCredential (client.authentication.k8s.io/v1 or v1beta1), as on AKS, EKS and GKE. The
 * client runs it when it needs credentials, without a terminal, and again when they expire or are refused.
 */
#pragma once

#include "base/must.h"
#include "base/view.h"
#include "kube/client.h"

/* users[].user.exec; everything lives as long as the configuration. */
struct kube_exec {
    const char *const *argv; /* command and args; NULL at the end */
    const char *const *env;  /* NAME=value of its own; NULL at the end */
    struct view api_version; /* client.authentication.k8s.io/v1 */
    struct view install_hint;
    bool cluster_info; /* provideClusterInfo */
};

/* kubeconfig: a path; NULL or "": $KUBECONFIG (its first existing file), else ~/.kube/config. context: a name; NULL or "": the
 * file's current-context. -errno: *why is a sentence that names file, context and what to do; it is valid until
 * kube_config_done(), which is then due as well. */
int kube_config_load(const char *kubeconfig, const char *context, struct kube_config *ret, const char **why) must_check;

/* Inside of a pod: KUBERNETES_SERVICE_HOST and _PORT, token, ca.crt and namespace of its service account. -ENOENT: not in a
 * pod. why: as above. */
int kube_config_in_cluster(struct kube_config *ret, const char **why) must_check;

void kube_config_done(struct kube_config *config); /* wipes and frees; {0} and one made by hand are fine */
