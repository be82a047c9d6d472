// SPDX-License-Identifier: Apache-2.0
/* The insides of a relay, for tcp.c and for the log that tells of it. Everyone else uses tcp.h. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "net/addr.h"
#include "net/timer.h"
#include "plan/end_reason.h"
#include "proxy/upstream.h"

struct conn;
struct connection;
struct peer;
struct series;

/* One direction. */
struct pipe {
    struct buf rest;      /* taken from one side, not yet by the other */
    struct buf first;     /* a metadata preface that is not complete */
    bool expect;          /* a preface comes first */
    bool ended, shut;     /* the source has ended; the other side was told */
    struct conn *failed;  /* side that failed */
    uint64_t moved, told; /* payload bytes; of them in the metrics already */
};

struct relay {
    struct connection *connection;
    struct conn *down, *up;
    struct pipe to_up, to_down;
    struct upstream *upstream;
    struct upstream_wait names;
    struct host *endpoint;
    struct view cluster; /* name, in the listener */
    struct view text;    /* transport failure reason */
    struct addr upstream_addr, upstream_local;
    struct timer idle, report;
    enum end_reason reason;
    bool connected, over, reset, moved, counted;
    uint64_t opened;
    const struct peer *peer; /* of the upstream side */
    struct series *series;   /* once it is known whose */
};
