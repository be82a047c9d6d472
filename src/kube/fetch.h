// SPDX-License-Identifier: Apache-2.0
/* One HTTP exchange with the API server on a connection of its own; what calls and watches are made of. Private to kube/.
 *
 *   kube_fetch_start(&f, client, "GET", path, VIEW_NONE, VIEW_NONE, &task, BIT);
 *   …in the task: kube_fetch_run(&f): moves what came into f.body; f.status is set with the head; f.over at the end.
 */
#pragma once

#include "base/buf.h"
#include "kube/client.h"

struct http_conn;
struct http_shared;
struct http_stream;

struct kube_client {
    struct loop *loop;
    struct http_shared *http;
    char *path; /* unix:… for addr_parse, which borrows it */
    struct view token, agent;
    char *texts; /* behind token and agent */
};

struct fetch {
    struct kube_client *client;
    struct task *task;
    uint32_t bits;
    const char *method;
    char *path;
    struct buf out; /* request body */
    struct view content_type;
    struct http_conn *conn;
    struct http_stream *stream;
    struct buf body; /* received; the owner takes from its front */
    unsigned status; /* 0: no head yet */
    bool active, sent, over;
    int error; /* -errno when it ended badly */
};

void kube_fetch_start(struct fetch *f, struct kube_client *client, const char *method, struct view path,
                      struct view content_type, struct view body, struct task *task, uint32_t bits);
void kube_fetch_run(struct fetch *f);
void kube_fetch_done(struct fetch *f);
