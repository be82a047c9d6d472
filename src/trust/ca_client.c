// SPDX-License-Identifier: Apache-2.0
/* One CreateCertificate call (ca_client.h): resolve, connect with TLS, call, read the chain. */
#include "trust/ca_client.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "http/conn.h"
#include "http/grpc_call.h"
#include "net/conn.h"
#include "net/loop.h"
#include "net/resolve.h"
#include "net/step.h"
#include "proto/xds.pb-c.h"
#include "trust/ca.h"
#include "trust/csr.h"

enum ca_client_bits {
    CA_START = 1,
    CA_RESOLVED = 2,
    CA_HTTP = 4,
    CA_CALL = 8,
    CA_LATE = 16,
    CA_TIMEOUT = 32,
};

struct ca_client {
    const struct ca_client_config *config;
    struct task task, *owner;
    uint32_t bits;
    struct steps steps;
    struct timer timeout;
    struct query query;
    struct tls_context *tls;
    struct conn *tcp; /* http owns it */
    struct http_conn *http;
    struct grpc_call *call;
    struct addr addr;
    struct tls_san san;
    struct buf request, chain, root, why;
    int result; /* -EAGAIN: under way */
};

#define CA_CLIENT_STEPS(STEP)                                                                                          \
    STEP(ca_resolve, 5 * NS_PER_S)                                                                                     \
    STEP(ca_connect, 5 * NS_PER_S)                                                                                     \
    STEP(ca_call, 5 * NS_PER_S)                                                                                        \
    STEP(ca_answer, 0)
CA_CLIENT_STEPS(STEP_DECLARE)
static const struct step ca_client_steps[] = {CA_CLIENT_STEPS(STEP_ROW)};

static enum step_result fail(struct ca_client *c, int error, const char *what, struct view why)
{
    c->result = error;
    buf_clear(&c->why);
    buf_str(&c->why, what);
    if (why.n) {
        buf_str(&c->why, ": ");
        buf_view(&c->why, why);
    }
    return STEP_DONE;
}

/* ---- the request's parts ---- */

static int read_token(const struct ca_client_config *config, struct buf *out)
{
    buf_str(out, "Bearer ");
    if (config->token.n) {
        buf_view(out, config->token);
        return 0;
    }
    int fd = config->token_path ? open(config->token_path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0)
        return config->token_path ? -errno : -ENOENT;
    char text[LIMIT_JWT_BYTES + 1];
    ssize_t n = read(fd, text, sizeof(text));
    int r = n < 0 ? -errno : n == 0 || n > LIMIT_JWT_BYTES ? -EINVAL : 0;
    close(fd);
    if (r == 0) {
        struct view v = view_make(text, (size_t)n);
        while (v.n && (v.p[v.n - 1] == '\n' || v.p[v.n - 1] == ' '))
            v.n--;
        buf_view(out, v);
    }
    explicit_bzero(text, sizeof(text));
    return r;
}

static void make_request(struct ca_client *c, struct view csr_pem)
{
    Ca__IstioCertificateRequest request = CA__ISTIO_CERTIFICATE_REQUEST__INIT;
    Pb__Struct metadata = PB__STRUCT__INIT;
    Pb__Struct__FieldsEntry entry = PB__STRUCT__FIELDS_ENTRY__INIT, *entries[1] = {&entry};
    Pb__Value value = PB__VALUE__INIT;
    struct buf csr = {0}, cluster = {0};
    buf_view(&csr, csr_pem);
    buf_view(&cluster, c->config->cluster_id);
    value.kind_case = PB__VALUE__KIND_STRING_VALUE;
    value.string_value = (char *)(uintptr_t)buf_cstr(&cluster);
    entry.key = (char *)(uintptr_t) "ClusterID";
    entry.value = &value;
    metadata.n_fields = 1;
    metadata.fields = entries;
    request.csr = (char *)(uintptr_t)buf_cstr(&csr);
    request.validity_duration = (int64_t)(c->config->ttl / NS_PER_S);
    request.metadata = c->config->cluster_id.n ? &metadata : NULL;
    size_t n = ca__istio_certificate_request__get_packed_size(&request), room;
    ca__istio_certificate_request__pack(&request, (uint8_t *)buf_room(&c->request, n + 1, &room));
    buf_added(&c->request, n);
    buf_done(&csr);
    buf_done(&cluster);
}

static int read_response(struct ca_client *c, struct view message)
{
    Ca__IstioCertificateResponse *m =
        ca__istio_certificate_response__unpack(NULL, message.n, (const uint8_t *)message.p);
    if (!m)
        return -EPROTO;
    size_t n = m->n_cert_chain < LIMIT_TLS_CHAIN_CERTS + 1 ? m->n_cert_chain : 0;
    for (size_t i = 0; i < n; i++) { /* leaf first, root last; each may hold several */
        struct view text = view_of(m->cert_chain[i]), one;
        struct buf *to = i == n - 1 && n > 1 ? &c->root : &c->chain;
        while (ca_cut_pem(&text, &one)) {
            buf_view(to, one);
            if (!view_ends(one, VIEW("\n")))
                buf_char(to, '\n');
        }
    }
    ca__istio_certificate_response__free_unpacked(m, NULL);
    return buf_len(&c->chain) ? 0 : -EPROTO;
}

/* ---- the steps ---- */

static enum step_result ca_resolve(void *self)
{
    struct ca_client *c = self;
    if (c->config->addr) {
        c->addr = *c->config->addr;
        return STEP_NEXT;
    }
    if (steps_late(&c->steps))
        return fail(c, -ETIMEDOUT, "resolving the CA's name takes too long", c->config->host);
    if (!c->query.open && c->query.status == -EAGAIN) {
        resolve(c->config->resolver, &c->query, c->config->host, RESOLVE_V4 | RESOLVE_V6);
        return STEP_WAIT;
    }
    if (c->query.status == -EAGAIN)
        return STEP_WAIT;
    if (c->query.status < 0)
        return fail(c, c->query.status, "the CA's name does not resolve", c->config->host);
    c->addr = c->query.addrs[rng_below(loop_rng(c->config->loop), c->query.n_addrs)];
    c->addr.port = c->config->port;
    return STEP_NEXT;
}

static int connect_ca(struct ca_client *c, const char **why)
{
    static const struct view h2 = {"h2", 2};
    const struct ca_client_config *config = c->config;
    struct view name = config->server_name.n ? config->server_name : config->host;
    struct conn *lower;
    int r = tls_context_new(config->loop, &(struct tls_config){.trust = config->trust, .alpn = &h2, .n_alpn = 1},
                            &c->tls, why);
    if (r < 0)
        return r;
    r = conn_connect(config->loop, &c->addr, &(struct conn_options){.timeout = 5 * NS_PER_S}, &lower);
    if (r < 0)
        return r;
    c->san = (struct tls_san){TLS_SAN_DNS, name};
    r = tls_connect(c->tls, lower, &(struct tls_options){.sni = name, .sans = &c->san, .n_sans = 1}, &c->tcp);
    if (r < 0) {
        conn_close(lower);
        return r;
    }
    c->http = http_conn_new(config->http, c->tcp,
                            &(struct http_conn_config){.role = HTTP_CLIENT, .version = HTTP_2, .scheme = VIEW("https")},
                            &c->task, CA_HTTP);
    return 0;
}

static enum step_result lost(struct ca_client *c, const char *what)
{
    int error = http_conn_error(c->http);
    return fail(c, error < 0 ? error : -ECONNRESET, what, conn_error_text(http_conn_below(c->http)));
}

static enum step_result ca_connect(void *self)
{
    struct ca_client *c = self;
    const char *why = NULL;
    if (!c->http) {
        int r = connect_ca(c, &why);
        if (r < 0)
            return fail(c, r, "no connection to the CA", view_of(why ? why : strerror(-r)));
    }
    unsigned ready = http_conn_ready(c->http);
    if (ready & HTTP_CONN_CLOSED)
        return lost(c, "no connection to the CA");
    if (steps_late(&c->steps))
        return fail(c, -ETIMEDOUT, "connecting to the CA takes too long", VIEW_NONE);
    return ready & HTTP_CONN_CAPACITY ? STEP_NEXT : STEP_WAIT;
}

static enum step_result ca_call(void *self)
{
    struct ca_client *c = self;
    struct buf bearer = {0};
    int r = read_token(c->config, &bearer);
    if (r < 0) {
        buf_wipe(&bearer);
        return fail(c, r, "the service-account token cannot be read", view_of(strerror(-r)));
    }
    struct grpc_call_config call = {
        .path = VIEW("/istio.v1.auth.IstioCertificateService/CreateCertificate"),
        .authority = c->san.text,
        .scheme = VIEW("https"),
        .authorization = buf_read(&bearer),
    };
    r = grpc_call_start(c->http, &call, &c->task, CA_CALL, &c->call);
    buf_wipe(&bearer);
    if (r == -EAGAIN && !steps_late(&c->steps))
        return STEP_WAIT;
    if (r == 0)
        r = grpc_call_send(c->call, buf_read(&c->request), true);
    return r < 0 ? lost(c, "the call to the CA did not start") : STEP_NEXT;
}

static enum step_result ca_answer(void *self)
{
    struct ca_client *c = self;
    struct view message;
    int r;
    while ((r = grpc_call_recv(c->call, &message)) == 0)
        if (read_response(c, message) < 0)
            return fail(c, -EPROTO, "the CA's answer is malformed", VIEW_NONE);
    if (r == -EAGAIN)
        return STEP_WAIT;
    enum grpc_status status = grpc_call_status(c->call);
    if (status != GRPC_OK) {
        struct view below = conn_error_text(http_conn_below(c->http)), said = grpc_call_message(c->call);
        fail(c, status == GRPC_UNAUTHENTICATED || status == GRPC_PERMISSION_DENIED ? -EACCES : -EREMOTEIO,
             "the CA refused", said.n ? said : below);
        buf_printf(&c->why, " (%s)", grpc_status_name(status));
        return STEP_DONE;
    }
    if (buf_len(&c->chain) == 0)
        return fail(c, -EPROTO, "the CA answered without a certificate", VIEW_NONE);
    c->result = 0;
    return STEP_DONE;
}

static void ca_client_run(struct task *t, uint32_t events)
{
    struct ca_client *c = CONTAINER_OF(t, struct ca_client, task);
    if (c->result != -EAGAIN)
        return;
    if (events & CA_TIMEOUT)
        fail(c, -ETIMEDOUT, "the CA does not answer", VIEW_NONE);
    else
        steps_walk(&c->steps, c);
    if (c->result != -EAGAIN) {
        steps_done(&c->steps);
        timer_done(&c->timeout);
        task_wake(c->owner, c->bits);
    }
}

int ca_client_start(const struct ca_client_config *config, struct view csr_pem, struct task *task, uint32_t bits,
                    struct ca_client **ret_client)
{
    if (!config->trust || (!config->addr && !config->resolver))
        return -EINVAL;
    struct ca_client *c = mem_alloc(sizeof(*c));
    *c = (struct ca_client){.config = config, .owner = task, .bits = bits, .result = -EAGAIN};
    task_init(&c->task, config->loop, ca_client_run, "ca client");
    steps_init(&c->steps, &c->task, CA_LATE, ca_client_steps, COUNT_OF(ca_client_steps));
    query_init(&c->query, &c->task, CA_RESOLVED);
    timer_init(&c->timeout, &c->task, CA_TIMEOUT);
    timer_in(&c->timeout, config->timeout ? config->timeout : 10 * NS_PER_S);
    make_request(c, csr_pem);
    task_wake(&c->task, CA_START);
    *ret_client = c;
    return 0;
}

int ca_client_result(struct ca_client *c, struct buf *chain_pem, struct buf *root_pem)
{
    if (c->result == 0) {
        buf_view(chain_pem, buf_read(&c->chain));
        buf_view(root_pem, buf_read(&c->root));
    }
    return c->result;
}

struct view ca_client_why(const struct ca_client *c)
{
    return buf_read(&c->why);
}

struct ca_client *ca_client_free(struct ca_client *c)
{
    if (!c)
        return NULL;
    grpc_call_free(c->call);
    http_conn_free(c->http);
    tls_context_free(c->tls);
    query_done(&c->query);
    steps_done(&c->steps);
    timer_done(&c->timeout);
    task_done(&c->task);
    buf_done(&c->request);
    buf_done(&c->chain);
    buf_done(&c->root);
    buf_done(&c->why);
    mem_free(c);
    return NULL;
}
