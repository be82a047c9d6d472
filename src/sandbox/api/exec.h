// SPDX-License-Identifier: Apache-2.0
/* `weft exec`: a command in a container, with the caller's own descriptors as its stdin, stdout and stderr.
 *
 * A connection of the exec socket carries one message with three descriptors,
 *   {"namespace":"default","pod":"web-1","container":"","command":["ls","-l"]}
 * then one byte for each signal that the caller got and passes on; the daemon answers one line, {"exit":0} or
 * {"error":"…"}. A closed connection ends the command. {"node":true} without descriptors is answered by a line with the
 * descriptor of the node's network namespace: the caller enters it and runs the command itself.
 */
#pragma once

#include "base/must.h"
#include "sandbox/cluster.h"

struct exec_server;
struct loop;
struct runtime;

struct exec_server *exec_server_new(struct loop *loop, struct cluster *cluster, struct runtime *rt);
struct exec_server *exec_server_free(struct exec_server *s);
void exec_server_adopt(struct exec_server *s, int fd); /* owns fd */
