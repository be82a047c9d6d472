// SPDX-License-Identifier: Apache-2.0
/* An API server that says what a test wants, over TLS and HTTP/2, in simulated time. Rules are looked up by the longest
 * beginning of "METHOD path?query"; what has no rule is 404. A rule with status 0 opens a watch, into which the test writes.
 *
 *   fake_init(&f, false);  fake_rule(&f, "GET /api/v1/pods?limit", 200, "{…}");  fake_rule(&f, "GET /api/v1/pods?watch", 0, "");
 *   f.client …  fake_run(&f, NS_PER_S);  fake_line(&f, "/api/v1/pods", "{\"type\":…}");  fake_saw(&f, "GET /api/v1/pods?limit")
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/list.h"
#include "kube/client.h"
#include "net/sim.h"
#include "net/task.h"

struct ca;
struct http_shared;
struct http_stream;
struct acceptor;
struct tls_context;

struct fake_request {
    struct list link;
    struct fake *fake;
    struct task task;
    struct http_stream *stream;
    struct view line; /* "GET /path?query" */
    struct view token;
    struct buf body;
    bool answered, watch;
};

struct fake_rule {
    const char *line, *body;
    int status;
};

struct fake {
    struct sim *sim;
    struct sim_host *host;
    struct loop *server, *loop;
    struct arena a;
    struct ca *ca;
    struct tls_context *tls;
    struct http_shared *http;
    struct task task, owner; /* owner: of what the test makes; counts its wakes */
    struct acceptor *acceptor;
    struct list conns, requests;
    struct fake_rule rules[32];
    bool h1; /* speaks HTTP/1.1 only*/
    int n_rules, n_conns, woken;
    struct buf log;    /* a line a request */
    const char *token; /* only this one is taken: 401 */
    bool (*hook)(struct fake *f, struct fake_request *q);
    void *arg;
    struct kube_config config;
    struct kube_client *client; /* made by fake_client */
};

void fake_init(struct fake *f, bool h1);
void fake_done(struct fake *f);
void fake_client(struct fake *f); /* with f->config, which a test may change before */
void fake_rule(struct fake *f, const char *line, int status, const char *body); /* replaces one with the same line */
void fake_reply(struct fake_request *q, int status, struct view body);
void fake_line(struct fake *f, const char *path, const char *json); /* into the open watches of a path */
void fake_hang_up(struct fake *f, const char *path);                /* ends them in order */
void fake_down(struct fake *f);                                     /* all connections reset, nobody listens */
void fake_up(struct fake *f);
void fake_drain(struct fake *f); /* GOAWAY on all connections */
void fake_run(struct fake *f, uint64_t ns);
int fake_saw(const struct fake *f, const char *part); /* how many lines of the log begin so */
