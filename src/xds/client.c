// SPDX-License-Identifier: Apache-2.0
/* The task around xds/state.h: find the control plane, connect, keep one delta stream, start again when it breaks.
 *
 *   pause → resolve → connect → stream ─┐
 *     ↑──────── back-off ←──────────────┘
 */
#include "xds/client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "http/conn.h"
#include "http/grpc_call.h"
#include "net/conn.h"
#include "net/loop.h"
#include "net/resolve.h"
#include "net/step.h"
#include "net/tls.h"
#include "xds/state.h"
#include "xds/types.h"

enum {
    EVENT_LATE = 1,
    EVENT_NAME = 2,
    EVENT_CONN = 4,
    EVENT_CALL = 8,
    EVENT_START = 16,
    EVENT_WARM = 32,
};

#define BACKOFF_FIRST (200 * NS_PER_MS)
#define BACKOFF_MOST (10 * NS_PER_S)
#define STABLE (30 * NS_PER_S) /* a stream that lived so long starts the back-off anew */

#define CLIENT_STEPS(STEP)                                                                                             \
    STEP(client_pause, 0)                                                                                              \
    STEP(client_resolve, 5 * NS_PER_S)                                                                                 \
    STEP(client_connect, 5 * NS_PER_S)                                                                                 \
    STEP(client_stream, 0)
CLIENT_STEPS(STEP_DECLARE)
static const struct step client_steps[] = {CLIENT_STEPS(STEP_ROW)};
enum { CLIENT_STEPS(STEP_INDEX) };

struct xds_client {
    struct tls_san san; /* of the control plane: needed until the handshake has ended */
    struct task task;
    struct steps steps;
    struct timer warm;
    struct xds_client_config config;
    struct arena arena; /* of the configuration */
    struct task *owner;
    uint32_t bits;

    struct query query;
    struct addr to;
    struct http_conn *http;
    struct grpc_call *call;
    struct xds_out out;
    struct xds_state state;
    struct buf token;
    struct buf error;
    bool have_addr, connected, ready, dead;
    uint64_t backoff, resume_at, connected_at;
    uint64_t connects, failures;
};

static void set_error(struct xds_client *x, const char *what, struct view why)
{
    buf_clear(&x->error);
    buf_str(&x->error, what);
    if (why.n) {
        buf_str(&x->error, ": ");
        buf_view(&x->error, why);
    }
}

static void hang_up(struct xds_client *x)
{
    x->call = grpc_call_free(x->call);
    x->http = http_conn_free(x->http);
    buf_clear(&x->out.bytes);
    x->connected = false;
    query_done(&x->query);
}

/* Full jitter on the upper half: half of the back-off for sure, so that many proxies spread and none hammers. */
static enum step_result fail(struct xds_client *x)
{
    uint64_t now = loop_now(x->config.loop);

    if (x->connected && now - x->connected_at > STABLE)
        x->backoff = 0;
    x->failures++;
    hang_up(x);
    x->backoff = x->backoff ? x->backoff * 2 : BACKOFF_FIRST;
    if (x->backoff > BACKOFF_MOST)
        x->backoff = BACKOFF_MOST;
    x->resume_at = now + x->backoff / 2 + rng_below(loop_rng(x->config.loop), x->backoff / 2 + 1);
    steps_jump(&x->steps, AT_client_pause);
    if (x->owner)
        task_wake(x->owner, x->bits);
    return STEP_NEXT;
}

static enum step_result client_pause(void *self)
{
    struct xds_client *x = self;
    uint64_t now = loop_now(x->config.loop);

    if (now < x->resume_at) {
        steps_extend(&x->steps, x->resume_at - now);
        return STEP_WAIT;
    }
    return STEP_NEXT;
}

static enum step_result client_resolve(void *self)
{
    struct xds_client *x = self;

    if (addr_parse_ip(x->config.host, x->config.port, &x->to) == 0)
        return STEP_NEXT;
    if (!x->config.resolver) {
        set_error(x, "no resolver", VIEW_NONE);
        return fail(x);
    }
    if (!x->have_addr) {
        x->have_addr = true;
        query_init(&x->query, &x->task, EVENT_NAME);
        resolve(x->config.resolver, &x->query, x->config.host, RESOLVE_V4 | RESOLVE_V6);
    }
    if (x->query.status == -EAGAIN && !steps_late(&x->steps))
        return STEP_WAIT;
    x->have_addr = false;
    if (x->query.status != 0 || !x->query.n_addrs) {
        set_error(x, "cannot resolve", x->config.host);
        return fail(x);
    }
    x->to = x->query.addrs[rng_below(loop_rng(x->config.loop), x->query.n_addrs)];
    x->to.port = x->config.port;
    query_done(&x->query);
    return STEP_NEXT;
}

static int dial(struct xds_client *x)
{
    static const struct view h2[] = {{"h2", 2}};
    const struct conn_options options = {.timeout = 5 * NS_PER_S,
                                         .keepalive = true,
                                         .keepalive_idle = 20,
                                         .keepalive_interval = 5,
                                         .keepalive_probes = 3};
    const struct http_conn_config http = {
        .role = HTTP_CLIENT, .version = HTTP_2, .scheme = x->config.tls ? VIEW("https") : VIEW("http")};
    x->san = (struct tls_san){TLS_SAN_DNS, x->config.server_name};
    struct tls_options tls = {.sni = x->config.server_name, .alpn = h2, .n_alpn = 1, .sans = &x->san, .n_sans = 1};
    struct conn *c, *secure;
    int r = conn_connect(x->config.loop, &x->to, &options, &c);

    if (r < 0)
        return r;
    if (x->config.tls) {
        r = tls_connect(x->config.tls, c, &tls, &secure);
        if (r < 0) {
            conn_close(c);
            return r;
        }
        c = secure;
    }
    x->http = http_conn_new(x->config.http, c, &http, &x->task, EVENT_CONN);
    return 0;
}

static int start_call(struct xds_client *x)
{
    struct buf authority = {0}, authorization = {0};
    struct grpc_call_config config = {.path = VIEW(XDS_DELTA_PATH),
                                      .scheme = x->config.tls ? VIEW("https") : VIEW("http")};
    int r;

    buf_printf(&authority, "%.*s:%u", VIEW_ARGS(x->config.server_name), x->config.port);
    config.authority = buf_read(&authority);
    if (buf_len(&x->token)) {
        buf_str(&authorization, "Bearer ");
        buf_view(&authorization, buf_read(&x->token));
        config.authorization = buf_read(&authorization);
    }
    r = grpc_call_start(x->http, &config, &x->task, EVENT_CALL, &x->call);
    if (authorization.data)
        explicit_bzero(authorization.data, authorization.cap);
    buf_done(&authorization);
    buf_done(&authority);
    return r;
}

static enum step_result client_connect(void *self)
{
    struct xds_client *x = self;
    int r = x->http ? 0 : dial(x);

    if (r == 0)
        r = start_call(x);
    if (r == -EAGAIN && !steps_late(&x->steps) && !(http_conn_ready(x->http) & HTTP_CONN_CLOSED))
        return STEP_WAIT;
    if (r < 0) {
        struct conn *below = x->http ? http_conn_below(x->http) : NULL;
        struct view why = below ? conn_error_text(below) : VIEW_NONE;
        set_error(x, "cannot connect to the control plane",
                  why.n ? why : view_of(steps_late(&x->steps) ? "timeout" : strerror(-r)));
        return fail(x);
    }
    x->connects++;
    x->connected_at = loop_now(x->config.loop);
    xds_state_connected(&x->state, &x->out);
    return STEP_NEXT;
}

static void publish(struct xds_client *x, bool force)
{
    if (xds_state_publish(&x->state, force)) {
        timer_rest(&x->warm);
        x->ready = true;
        task_wake(x->owner, x->bits);
    } else if (xds_state_pending(&x->state) && !timer_is_set(&x->warm)) {
        timer_in(&x->warm, LIMIT_XDS_WARM_MS * NS_PER_MS);
    }
}

static enum step_result client_stream(void *self)
{
    struct xds_client *x = self;
    struct view message;
    int r;

    while ((r = grpc_call_recv(x->call, &message)) == 0) {
        uint64_t nacks = x->state.nacks;

        x->connected = true;
        buf_clear(&x->error);
        if (xds_state_response(&x->state, message, &x->out) < 0) {
            set_error(x, "the control plane sent what is no response", VIEW_NONE);
            return fail(x);
        }
        if (x->state.nacks != nacks)
            task_wake(x->owner, x->bits);
        publish(x, false);
    }
    if (r == -EAGAIN) {
        while (xds_out_next(&x->out, &message)) {
            r = grpc_call_send(x->call, message, false);
            if (r < 0)
                break;
            xds_out_drop(&x->out);
        }
        if (r == 0 || r == -EAGAIN)
            return STEP_WAIT;
    }
    if (r == -ENODATA) {
        set_error(x, grpc_status_name(grpc_call_status(x->call)), grpc_call_message(x->call));
    } else {
        set_error(x, "the stream to the control plane broke", view_of(strerror(-r)));
    }
    return fail(x);
}

static void client_run(struct task *t, uint32_t events)
{
    struct xds_client *x = CONTAINER_OF(t, struct xds_client, task);

    if (events & EVENT_WARM && xds_state_pending(&x->state))
        publish(x, true);
    steps_walk(&x->steps, x);
}

struct xds_client *xds_client_new(const struct xds_client_config *config, struct task *owner, uint32_t bits)
{
    struct xds_client *x = calloc(1, sizeof(*x));

    must(x != NULL);
    arena_init(&x->arena, 0);
    x->config = *config;
    x->config.host = arena_view(&x->arena, config->host);
    x->config.server_name = config->server_name.n ? arena_view(&x->arena, config->server_name) : x->config.host;
    x->config.node = NULL;
    x->owner = owner;
    x->bits = bits;
    xds_state_init(&x->state, config->node);
    task_init(&x->task, config->loop, client_run, "xds client");
    query_init(&x->query, &x->task, EVENT_NAME);
    timer_init(&x->warm, &x->task, EVENT_WARM);
    steps_init(&x->steps, &x->task, EVENT_LATE, client_steps, sizeof(client_steps) / sizeof(client_steps[0]));
    task_wake(&x->task, EVENT_START);
    return x;
}

struct xds_client *xds_client_free(struct xds_client *x)
{
    if (!x)
        return NULL;
    hang_up(x);
    steps_done(&x->steps);
    timer_done(&x->warm);
    task_done(&x->task);
    xds_state_done(&x->state);
    buf_wipe(&x->token);
    buf_done(&x->error);
    buf_done(&x->out.bytes);
    arena_done(&x->arena);
    free(x);
    return NULL;
}

void xds_client_set_token(struct xds_client *x, struct view jwt)
{
    buf_wipe(&x->token);
    buf_view(&x->token, view_trim(view_head(jwt, LIMIT_JWT_BYTES)));
}

const struct plan *xds_client_plan(const struct xds_client *x)
{
    return x->state.plan;
}

struct xds_client_status xds_client_status(const struct xds_client *x)
{
    struct xds_client_status s = {
        .connected = x->connected,
        .ready = x->ready,
        .connected_since = x->connected_at,
        .updates = x->state.updates,
        .nacks = x->state.nacks,
        .connects = x->connects,
        .failures = x->failures,
        .resources_received = x->state.resources,
        .error = buf_len(&x->error) ? buf_read(&x->error) : buf_read(&x->state.error),
    };

    for (int i = 0; i < RESOURCE_KINDS; i++)
        s.version[i] = buf_read(&x->state.version[i]);
    return s;
}
