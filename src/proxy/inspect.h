// SPDX-License-Identifier: Apache-2.0
/* Telling protocols apart by the first bytes, which are put back for whoever reads next.
 *
 *   r = inspect(c);                      // 0: c->spoken, c->sni, c->alpn are set; -EAGAIN: too few bytes yet
 *
 * TLS is told by its record and ClientHello, HTTP/2 by its preface, HTTP/1 by a method, a target and HTTP/1.x. For a
 * plaintext HTTP connection c->alpn holds http/1.0, http/1.1 or h2c, the names that filter chains are matched with.
 */
#pragma once

#include "base/must.h"
#include "http/conn.h"

struct conn;
struct connection;
struct loop;

int inspect(struct connection *c) must_check; /* 0, -EAGAIN, -errno (the peer went away) */
/* HTTP/2 if the connection preface comes, else HTTP/1. */
int inspect_preface(struct conn *conn, struct loop *loop, enum http_version *ret_version) must_check;
/* What `bytes` are, if that can be said: SPOKEN_UNKNOWN when they are nothing we know. -EAGAIN: more bytes are needed. */
int inspect_http(struct view bytes, int *ret_spoken) must_check;
