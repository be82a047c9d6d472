// SPDX-License-Identifier: Apache-2.0
/* The sandbox's API: the paths, verbs, bodies and status codes of a Kubernetes API server for the kinds that we know,
 * and a few of our own under /weft/v1. No sockets here: a request in, a response out (sandbox/api/server.h carries them).
 *
 *   /api/v1/… and /apis/<group>/<version>/…      GET (list, ?watch=1, one), POST, PUT, PATCH (merge), DELETE, …/status
 *   …/pods/<name>/log                            ?container= &follow=1 &previous=1 &tailLines=
 *   …/pods/<name>:<port>/proxy/<path>            GET from the pod: how `weft status` and `weft edges` read proxies
 *   …/serviceaccounts/<name>/token               TokenRequest
 *   /apis/authentication.k8s.io/v1/tokenreviews  TokenReview
 *   /weft/v1/apply ?file= &namespace=            a manifest as text; diagnostics come back as JSON and as text
 *   /weft/v1/delete, /weft/v1/analyze, /weft/v1/sandbox, /weft/v1/down
 *   /prometheus/sd                               Prometheus' HTTP service discovery (sandbox/api/sd.h)
 *
 * Who may connect to the socket may do everything: it is the same user (checked when the connection is made).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/list.h"
#include "base/view.h"
#include "sandbox/cluster.h"

struct http_shared;
struct loop;
struct task;
struct runtime;
struct token_key;
struct token_keys;
struct api_stream;

/* Issuer of tokens, and their audience when none is asked for. */
#define API_ISSUER "https://kubernetes.default.svc.cluster.local"

struct api {
    struct cluster *cluster;
    struct runtime *runtime;             /* NULL in tests: no pods run */
    const struct token_key *token_key;   /* NULL: no tokens are signed */
    const struct token_keys *token_keys; /* its public half */
    struct loop *loop;
    struct http_shared *shared; /* for calls to pods */
    void *arg;
    void (*describe)(void *arg, struct buf *json); /* GET /weft/v1/sandbox */
    void (*down)(void *arg);                       /* POST /weft/v1/down */
    bool discovery_only; /* GET /prometheus/sd and nothing else: what a TCP port of the machine may serve */
};

struct api_request {
    struct view method, path, query; /* path still escaped */
    struct view content_type;
    struct view body;
};

struct api_response {
    unsigned status;
    const char *type; /* content-type */
    struct buf body;
    struct api_stream *stream; /* not NULL: the body goes on (chunked) */
};

/* Always answers. The caller frees resp->body and resp->stream. */
void api_handle(struct api *api, const struct api_request *req, struct api_response *resp);

/* A body that goes on: a watch, a followed log, a proxied answer. */
struct api_stream {
    /* Appends what there is now. 0: more may come (call again when woken); 1: that was the end; status may be set. */
    int (*more)(struct api_stream *s, struct buf *out);
    void (*free)(struct api_stream *s);
    struct task *task; /* set by the transport before the first call of more(): woken with `bits` */
    uint32_t bits;
    uint64_t poll_ns; /* ask again after so long even if nothing woke it; 0: no */
    unsigned status;  /* of a response whose head waits for the stream: 0 until it is known */
    const char *type;
    bool late_head; /* the head is sent when status is known */
};
static inline struct api_stream *api_stream_free(struct api_stream *s)
{
    if (s)
        s->free(s);
    return NULL;
}

/* ---- For the files of the API. */

/* A Status object of the Kubernetes API. reason: "NotFound" … */
void api_fail(struct api_response *resp, unsigned status, const char *reason, const char *fmt, ...) printf_like(4, 5);
/* One query parameter, unescaped, in the arena; false when it is not there. */
bool api_query(struct arena *a, struct view query, const char *name, struct view *ret_value);
bool api_query_true(struct view query, const char *name);
struct view api_unescape(struct arena *a, struct view text);
/* Diagnostics and what happened to each object, as the CLI prints them. */
void api_diags(struct api_response *resp, struct diags *d, unsigned status, const char *reason);

/* What a path names. */
struct api_target {
    struct arena *a;
    enum mesh_kind kind;
    struct view api_version; /* group/version of the path */
    struct view ns, name, sub, rest;
};

void api_list(struct api *api, const struct api_target *t, const struct api_request *req, struct api_response *resp);
void api_watch(struct api *api, const struct api_target *t, const struct api_request *req, struct api_response *resp);
void api_log(struct api *api, const struct api_target *t, const struct api_request *req, struct api_response *resp);
void api_proxy(struct api *api, const struct api_target *t, const struct api_request *req, struct api_response *resp);
void api_token_request(struct api *api, const struct api_target *t, const struct api_request *req,
                       struct api_response *resp);
void api_token_review(struct api *api, const struct api_request *req, struct api_response *resp);
void api_weft(struct api *api, struct view path, const struct api_request *req, struct api_response *resp);

/* labelSelector and fieldSelector (metadata.name, metadata.namespace, status.phase, spec.nodeName). */
struct api_filter {
    struct label_selector labels;
    struct label *fields;
    size_t n_fields;
};
/* -EINVAL: *ret_why names what is wrong. */
int api_filter_parse(struct arena *a, struct view query, struct api_filter *ret, struct view *ret_why) must_check;
bool api_filter_match(const struct api_filter *f, const struct record *r);
