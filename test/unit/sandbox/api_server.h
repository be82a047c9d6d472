// SPDX-License-Identifier: Apache-2.0
/* An API server for tests of what talks to one: the sandbox's, on an abstract socket and on the test's own loop.
 *
 *   struct server s; server_init(&s);
 *   server_put(&s, "{apiVersion: v1, kind: Namespace, metadata: {name: a}}");
 *   … kube calls of the code under test through s.client …   server_until(&s, is_done, arg);
 *   server_down(&s); … server_up(&s);     // away for a while; what it stores stays
 *   server_done(&s);
 *
 * Not together with control/store.h: the sandbox has a struct store of its own.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "http/conn.h"
#include "kube/client.h"
#include "net/loop.h"
#include "sandbox/admit.h"
#include "sandbox/api/server.h"
#include "trust/token.h"
#include "wire/node.h"

struct server {
    struct loop *loop;
    struct arena a;
    struct store *store;
    struct cluster cluster;
    struct api api;
    struct api_server *server;
    struct kube_client *client;
    struct token_key *key;
    struct token_keys *keys;
    char where[64];
};

static inline void server_changed(void *arg)
{
    struct server *s = arg;

    if (s->server)
        api_server_poke(s->server);
}

static inline void server_up(struct server *s)
{
    s->server = api_server_new(&s->api);
    assert_int_equal(api_server_listen(s->server, view_of(s->where)), 0);
}

static inline void server_down(struct server *s)
{
    s->server = api_server_free(s->server);
}

static inline void server_init(struct server *s)
{
    struct buf jwks = {0};
    const char *why;

    *s = (struct server){.loop = loop_new(NULL)};
    snprintf(s->where, sizeof(s->where), "unix:@weft-test-api-%d", (int)getpid());
    arena_init(&s->a, 0);
    s->store = store_new(server_changed, s);
    cluster_init(&s->cluster, s->store);
    assert_int_equal(cluster_bootstrap(&s->cluster), 0);
    cluster_run(&s->cluster);
    assert_int_equal(token_key_new(&s->key), 0);
    token_key_jwks(s->key, &jwks);
    assert_int_equal(token_keys_from_jwks(buf_read(&jwks), &s->keys, &why), 0);
    buf_done(&jwks);
    s->api = (struct api){.cluster = &s->cluster, .loop = s->loop, .token_key = s->key, .token_keys = s->keys};
    s->api.shared = http_shared_new(s->loop);
    server_up(s);
    s->client = kube_client_new(s->loop, &(struct kube_config){.unix_path = view_from(view_of(s->where), 5)});
}

static inline void server_done(struct server *s)
{
    kube_client_free(s->client);
    api_server_free(s->server);
    http_shared_free(s->api.shared);
    cluster_done(&s->cluster);
    store_free(s->store);
    token_key_free(s->key);
    token_keys_unref(s->keys);
    loop_free(s->loop);
    arena_done(&s->a);
}

static inline void server_turn(struct server *s)
{
    if (!loop_turn(s->loop, false))
        usleep(500);
}

static inline void server_until(struct server *s, bool (*done)(void *arg), void *arg)
{
    uint64_t end = clock_mono() + 10 * NS_PER_S;

    while (!done(arg) && clock_mono() < end)
        server_turn(s);
    assert_true(done(arg));
}

static inline void server_for(struct server *s, uint64_t ns)
{
    for (uint64_t end = clock_mono() + ns; clock_mono() < end;)
        server_turn(s);
}

/* One object, as text; replaces. */
static inline void server_put(struct server *s, struct view text)
{
    struct node *n;

    assert_int_equal(node_parse(&s->a, arena_view(&s->a, text), &n, NULL), 0);
    assert_int_equal(store_write(s->store, &(struct store_put){.tree = n}, NULL, NULL), 0);
}

static inline const struct record *server_get(struct server *s, enum mesh_kind kind, const char *ns, const char *name)
{
    return store_get(s->store, kind, view_of(ns), view_of(name));
}
