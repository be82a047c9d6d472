// SPDX-License-Identifier: Apache-2.0
/* The API on sockets: HTTP/1.1 connections that came from a Unix socket, each request answered by api_handle().
 *
 *   srv = api_server_new(&api);
 *   api_server_adopt(srv, fd);                 // a connection that the supervisor accepted
 *   api_server_listen(srv, VIEW("unix:/run/weft/kube/api.sock"));     // for weft-control's pod
 *   api_server_poke(srv);                      // something changed: watches look again
 */
#pragma once

#include "base/must.h"
#include "base/view.h"
#include "sandbox/api/api.h"

struct api_server;

struct api_server *api_server_new(struct api *api);
struct api_server *api_server_free(struct api_server *s);                  /* ends every connection; takes NULL */
int api_server_adopt(struct api_server *s, int fd) must_check;             /* owns fd, also when it fails */
int api_server_listen(struct api_server *s, struct view where) must_check; /* as addr_parse reads it */
void api_server_poke(struct api_server *s);
