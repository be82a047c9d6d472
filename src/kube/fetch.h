// SPDX-License-Identifier: Apache-2.0
/* One HTTP exchange with the API server; what calls and watches are made of. Private to kube/.
 *
 *   kube_fetch_start(&f, client, &(struct fetch_request){.method = "GET", .path = path}, &task, BIT);
 *   …in the task: kube_fetch_run(&f): moves what came into f.body; f.status is set with the head; f.over at the end.
 *
 * An exchange is repeated once by itself when it is refused with 401 and there is another token, and when its connection
 * turns out to be dead and the server cannot have done it.
 */
#pragma once

#include "base/buf.h"
#include "base/list.h"
#include "kube/client.h"
#include "kube/link.h"

struct http_stream;
struct kube_link;

struct fetch_request {
    const char *method; /* static */
    struct view path, content_type, body;
    bool metadata_only;
};

struct fetch {
    struct kube_client *client;
    struct task *task;
    uint32_t bits;
    const char *method, *accept;
    char *path;
    struct buf out; /* request body */
    size_t out_at;  /* sent of it */
    struct view content_type;
    struct http_stream *stream;
    struct list wait;        /* in client->waiting, without a stream */
    int link_error;          /* no connection could be made */
    uint64_t heard;          /* bytes that the connection had received when the stream was opened */
    uint64_t generation;     /* of the credential that was sent */
    struct buf body;         /* received; the owner takes from its front */
    unsigned status;         /* 0: no head yet */
    unsigned retry_after_s;  /* what the server asked for; 0: nothing */
    bool hold;               /* the owner does not want more bytes now: the server waits */
    bool active, sent, over; /* over: nothing more comes */
    bool again;              /* this is the second try */
    int error;               /* -errno when it ended badly */
};

void kube_fetch_start(struct fetch *f, struct kube_client *client, const struct fetch_request *r, struct task *task,
                      uint32_t bits);
void kube_fetch_run(struct fetch *f);
void kube_fetch_done(struct fetch *f);

/* Appends mark, name and '=' and the escaped value to a path, unless the value is empty; the next mark is '&'. */
void kube_fetch_parameter(struct buf *path, char *mark, const char *name, struct view value);
