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
 * Over TLS all calls and watches share one HTTP/2 connection, which is made when it is needed and replaced when it breaks
 * or falls silent; a Unix socket or an HTTP/1 server gets a connection for each. Every call has a deadline. A call never re-enters its owner: it only wakes the task that was named.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/must.h"
#include "base/view.h"

struct arena;
struct kube_exec;
struct loop;
struct task;
struct kube_client;
struct kube_call;

/* Where the API server is and who we are there. By hand for a Unix socket, otherwise from kube/config.h. kube_client_new
 * copies what it needs. Files are read again when a connection is made (certificates) or once they may be old (token: every
 * 60 s, and at once when the server answers 401), because the kubelet and others rotate them. */
struct kube_config {
    struct view unix_path;                              /* a path, or "@name" for an abstract socket: plain HTTP; or */
    struct view server;                                 /* https://host[:port][/prefix], or http:// (kubectl proxy) */
    struct view ca_pem, ca_file;                        /* roots for the server's certificate; neither: the system's */
    struct view server_name;                            /* what the certificate must say; empty: the host of `server` */
    bool insecure;                                      /* insecure-skip-tls-verify: nothing is verified */
    struct view cert_pem, cert_file, key_pem, key_file; /* client certificate */
    struct view token, token_file; /* bearer token; empty: none is sent. The file wins while it can be read */
    const struct kube_exec *exec;  /* a command that prints credentials (kube/config.h) */
    struct view agent;             /* User-Agent; empty: weft */
    struct view ns;                /* of the context or the pod: for the caller, the client does not use it */
    struct view context;           /* the context's name, for messages; empty in a cluster */
    struct arena *memory;          /* of kube_config_load: see kube_config_done */
};

/* Never fails: what is wrong with the configuration (an unreadable file, a bad certificate) is what each call ends with. */
struct kube_client *kube_client_new(struct loop *loop, const struct kube_config *config);
struct kube_client *kube_client_free(struct kube_client *client); /* after its calls and watches; returns NULL */

bool kube_client_local(const struct kube_client *client); /* over a Unix socket: a sandbox, which has no definitions */

/* A resource as it stands in a path: /api/v1/… when the group is empty, else /apis/<group>/<version>/… */
struct kube_resource {
    struct view group, version, plural; /* watches take several versions, "v1,v1beta1": the first that the server has */
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
    KUBE_APPLY,      /* server-side apply as field manager weft, conflicts are taken over; JSON is fine as body */
    KUBE_JSON_PATCH, /* RFC 6902 */
};

struct kube_request {
    enum kube_verb verb;
    struct kube_resource resource;
    struct view ns, name, subresource; /* subresource: status, token, … or empty */
    struct view path;                  /* not a resource but this path, as /version; the four above are unused */
    struct view query;                 /* without '?', already escaped */
    struct view body;                  /* JSON; copied, and wiped afterwards */
    uint64_t timeout;                  /* ns; 0: 10 s */
    bool metadata_only;                /* GET: the answer is a PartialObjectMetadata(List) */
};

/* The bit that is set in tasks that calls and watches wake: a task of this module's users keeps it free for them. */
enum { KUBE_WAKE = 1 << 16 };

/* Starts a call; `wake` (may be NULL) is woken when it is done. Never NULL: what fails at once is a call that is already done. */
struct kube_call *kube_call_new(struct kube_client *client, const struct kube_request *request, struct task *wake);
bool kube_call_done(const struct kube_call *call);
int kube_call_status(const struct kube_call *call);       /* HTTP status; -errno when no answer came */
struct view kube_call_body(const struct kube_call *call); /* valid until kube_call_free */
struct kube_call *kube_call_free(struct kube_call *call); /* also cancels; takes NULL, returns NULL */

/* Why it failed, for a person: the API server's message, or what became of the connection. Empty when all is well. */
struct view kube_call_why(struct kube_call *call); /* valid until kube_call_free */
/* For programs that do one thing after the other: turns the client's loop until the call is done. Never inside of a task. */
int kube_call_wait(struct kube_call *call); /* kube_call_status */

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
