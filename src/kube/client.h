// SPDX-License-Identifier: Apache-2.0
/* A client of an API server of the Kubernetes shape: single calls on objects, as tasks of the net loop.
 *
 * It knows paths, verbs and status codes, nothing about kinds: who uses it says which resource (group, version, plural)
 * and decodes the JSON that comes back (control/ does with mesh/). Lists that stay current are kube/watch.h.
 *
 *   struct kube_client *api = kube_client_new(loop, &(struct kube_config){.unix_path = VIEW("@weft-demo")});
 *   struct kube_call *c = kube_call_new(api, &(struct kube_request){.verb = KUBE_GET, .resource = pods,
 *                                       .ns = VIEW("default"), .name = VIEW("web")}, &my_task);
 *   …my_task is woken… if (kube_call_done(c) && kube_call_status(c) == 200) decode(kube_call_body(c));
 *   kube_call_free(c);
 *
 * Every call has a deadline (KUBE_CALL_S). A call never re-enters its owner: it only wakes the task that was named.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/must.h"
#include "base/view.h"

struct loop;
struct task;
struct kube_client;
struct kube_call;

/* Where the API server is. The bytes are copied. */
struct kube_config {
    struct view unix_path; /* a path, or "@name" for an abstract socket */
    struct view token;     /* bearer token; empty: none is sent */
    struct view agent;     /* User-Agent; empty: weft */
};

struct kube_client *kube_client_new(struct loop *loop, const struct kube_config *config);
struct kube_client *kube_client_free(struct kube_client *client); /* after its calls and watches; returns NULL */

/* A resource as it stands in a path: /api/v1/… when the group is empty, else /apis/<group>/<version>/… */
struct kube_resource {
    struct view group, version, plural;
    bool namespaced;
};

/* The path of a collection (name empty) or an object; an empty ns of a namespaced resource means all namespaces. */
void kube_path(struct buf *out, const struct kube_resource *r, struct view ns, struct view name,
               struct view subresource);

enum kube_verb {
    KUBE_GET,
    KUBE_CREATE,
    KUBE_UPDATE,
    KUBE_PATCH, /* JSON merge patch, RFC 7386 */
    KUBE_DELETE,
};

struct kube_request {
    enum kube_verb verb;
    struct kube_resource resource;
    struct view ns, name, subresource; /* subresource: status, token, … or empty */
    struct view query;                 /* without '?', already escaped */
    struct view body;                  /* JSON; copied */
};

/* The bit that is set in tasks that calls and watches wake: a task of this module's users keeps it free for them. */
enum { KUBE_WAKE = 1 << 16 };

/* Starts a call; `wake` (may be NULL) is woken when it is done. Never NULL: what fails at once is a call that is already done. */
struct kube_call *kube_call_new(struct kube_client *client, const struct kube_request *request, struct task *wake);
bool kube_call_done(const struct kube_call *call);
int kube_call_status(const struct kube_call *call);       /* HTTP status; -errno when no answer came */
struct view kube_call_body(const struct kube_call *call); /* valid until kube_call_free */
struct kube_call *kube_call_free(struct kube_call *call); /* also cancels; takes NULL, returns NULL */

/* Who a bearer token belongs to, asked of the API server (authentication.k8s.io/v1 TokenReview). */
struct kube_call *kube_token_review(struct kube_client *client, struct view token, struct view audience,
                                    struct task *wake);

struct kube_identity {
    bool authenticated;
    struct view username;            /* system:serviceaccount:<ns>:<name> */
    struct view ns, service_account; /* parts of username; empty when it is not a service account */
    struct view error;
};
/* Reads a finished review; -EPROTO when the answer cannot be trusted to say who it is. Views live in the call. */
int kube_token_review_result(struct kube_call *call, struct kube_identity *ret) must_check;
