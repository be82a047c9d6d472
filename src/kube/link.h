// SPDX-License-Identifier: Apache-2.0
/* The client's connections. One HTTP/2 connection serves all exchanges; where the server speaks only HTTP/1 each exchange
 * has one of its own. Connections are made when a stream is asked for. Private to kube/.
 *
 *   r = kube_link_stream(f);        // 0: f->stream; -EAGAIN: f's task is woken when it is worth another try; -errno
 *   kube_link_silent(f);            // no answer in time: if nothing at all came on its connection, that is looked into
 *   kube_link_forget(f);            // f is over
 *
 * Who waits for the server to come back puts a kube_retry into client->pausing: all are woken when a connection stands.
 */
#pragma once

#include "base/arena.h"
#include "base/list.h"
#include "kube/client.h"
#include "kube/credential.h"
#include "net/addr.h"
#include "net/tls.h"

struct fetch;
struct resolver;

struct kube_client {
    struct loop *loop;
    struct http_shared *http;
    struct arena texts;
    struct kube_config config; /* in texts */
    const char *bad;           /* why the configuration can never work; NULL */
    struct addr to;            /* a Unix socket, an IP literal, or ADDR_NONE: a name to be resolved */
    struct view scheme, host, authority, prefix;
    uint16_t port;
    bool tls, h1; /* h1: the server is known not to speak HTTP/2 */
    struct resolver *resolver;
    struct tls_context *context;
    uint64_t context_hash; /* of the files that it was made from */
    struct tls_san san;
    struct credential credential;
    struct list links, waiting, pausing; /* struct kube_link; fetches without a stream; struct kube_retry */
    char why[200];                       /* why there is no connection; empty: there is one, or nobody asked */
};

struct kube_retry {
    struct list link;
    struct task *task;
    uint32_t bits;
};

int kube_link_stream(struct fetch *f) must_check;
void kube_link_silent(struct fetch *f);
void kube_link_forget(struct fetch *f);
void kube_link_wake(struct kube_client *c); /* all fetches that wait */
void kube_link_close(struct kube_client *c);
