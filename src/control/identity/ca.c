// SPDX-License-Identifier: Apache-2.0
/* See ca.h. A call walks review → receive → sign → drain; every step has a deadline. */
#include "control/identity/ca.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "control/identity/authority.h"
#include "control/identity/review.h"
#include "http/grpc_call.h"
#include "http/stream.h"
#include "kube/client.h"
#include "net/addr.h"
#include "net/loop.h"
#include "net/step.h"
#include "trust/ca.h"
#include "trust/spiffe.h"
#include "xds/pb_wire.h"

enum { EVENT_CALL = 1, EVENT_LATE = 2 }; /* and KUBE_WAKE */

#define CALL_STEPS(STEP)                                                                                               \
    STEP(ca_review, 10 * NS_PER_S)                                                                                     \
    STEP(ca_receive, 10 * NS_PER_S)                                                                                    \
    STEP(ca_drain, 10 * NS_PER_S)
CALL_STEPS(STEP_DECLARE)
static const struct step ca_steps[] = {CALL_STEPS(STEP_ROW)};
enum { CALL_STEPS(STEP_INDEX) };

struct ca_service {
    struct ca_service_config config;
    struct list calls;
    struct ca_stats stats;
};

struct ca_call {
    struct task task;
    struct steps steps;
    struct list link;
    struct ca_service *service;
    struct grpc_call *call;
    struct review *review;
    struct arena arena;
    struct xds_identity identity;
    struct view from; /* the caller's address */
};

static enum step_result end(struct ca_call *c, enum grpc_status status, struct view why)
{
    grpc_call_finish(c->call, status, why);
    steps_jump(&c->steps, AT_ca_drain);
    return STEP_NEXT;
}

static enum step_result refuse(struct ca_call *c, uint64_t *counter, enum grpc_status status, struct view why)
{
    struct view ns = c->identity.ns, sa = c->identity.service_account;

    (*counter)++;
    if (ns.n)
        log_warn("no certificate for %.*s/%.*s at %.*s: %.*s", VIEW_ARGS(ns), VIEW_ARGS(sa), VIEW_ARGS(c->from),
                 VIEW_ARGS(why));
    else
        log_warn("no certificate for a caller at %.*s: %.*s", VIEW_ARGS(c->from), VIEW_ARGS(why));
    return end(c, status, why);
}

static enum step_result ca_review(void *self)
{
    struct ca_call *c = self;
    struct xds_identity who;
    struct view why = VIEW_NONE;
    int r;

    if (c->identity.ns.n) /* a certificate of this mesh, verified by TLS */
        return STEP_NEXT;
    r = review_result(c->review, &who, &why);
    if (r == -EAGAIN && !steps_late(&c->steps))
        return STEP_WAIT;
    if (r < 0) {
        c->service->stats.requests++;
        return refuse(c, &c->service->stats.authentication_failures,
                      r == -EACCES ? GRPC_UNAUTHENTICATED : GRPC_UNAVAILABLE, /* UNAVAILABLE: ask again */
                      r == -EAGAIN ? VIEW("the token review took too long") : why);
    }
    c->identity = (struct xds_identity){arena_view(&c->arena, who.trust_domain), arena_view(&c->arena, who.ns),
                                        arena_view(&c->arena, who.service_account)};
    return STEP_NEXT;
}

/* IstioCertificateRequest: csr = 1, validity_duration = 3, metadata = 4. */
static bool read_request(struct view bytes, struct view *ret_csr, int64_t *ret_seconds, bool *ret_impersonates)
{
    struct pb_cursor c = pb_cursor(bytes), entries, entry;
    struct pb_field f, e, k;

    *ret_csr = VIEW_NONE;
    *ret_seconds = 0;
    *ret_impersonates = false;
    while (pb_next(&c, &f)) {
        if (f.number == 1 && f.wire_type == 2)
            *ret_csr = f.bytes;
        else if (f.number == 3 && f.wire_type == 0)
            *ret_seconds = (int64_t)f.value;
        else if (f.number == 4 && f.wire_type == 2)
            for (entries = pb_cursor(f.bytes); pb_next(&entries, &e);)
                for (entry = pb_cursor(e.bytes); e.wire_type == 2 && pb_next(&entry, &k);)
                    *ret_impersonates |= k.number == 1 && view_is(k.bytes, "ImpersonatedIdentity");
    }
    return !c.bad && ret_csr->n > 0;
}

/* IstioCertificateResponse: repeated string cert_chain = 1. Leaf first, then one by one what stands below the roots; all
 * roots that are to be trusted together as the last one. */
static enum step_result send_chain(struct ca_call *c, struct view chain)
{
    struct buf message = {0};
    struct view one;
    int r;

    while (ca_cut_pem(&chain, &one))
        pb_write_bytes(&message, 1, one);
    pb_write_bytes(&message, 1, authority_roots(c->service->config.authority));
    r = grpc_call_send(c->call, buf_read(&message), false);
    buf_done(&message);
    if (r < 0)
        return STEP_DONE;
    c->service->stats.issued++;
    return end(c, GRPC_OK, VIEW_NONE);
}

static enum step_result refuse_to_sign(struct ca_call *c, int error, const char *why)
{
    static const struct {
        int error;
        enum ca_sign_error what;
        enum grpc_status status;
    } rows[] = {
        {-EINVAL, CA_CSR_ERROR, GRPC_INVALID_ARGUMENT},
        {-ERANGE, CA_TTL_ERROR, GRPC_INVALID_ARGUMENT},
        {-ESTALE, CA_NOT_READY, GRPC_INTERNAL},
        {-EAGAIN, CA_NOT_READY, GRPC_UNAVAILABLE},
    };
    struct ca_stats *s = &c->service->stats;

    if (error == -EPERM)
        return refuse(c, &s->identity_errors, GRPC_PERMISSION_DENIED, view_of(why));
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (rows[i].error == error)
            return refuse(c, &s->sign_errors[rows[i].what], rows[i].status, view_of(why));
    return refuse(c, &s->sign_errors[CA_CERT_GEN_ERROR], GRPC_INTERNAL, view_of(why));
}

static enum step_result sign(struct ca_call *c, struct view csr, int64_t seconds)
{
    struct ca_service *s = c->service;
    struct spiffe id = {s->config.trust_domain, c->identity.ns, c->identity.service_account};
    struct view uri = spiffe_uri(&c->arena, &id);
    struct ca_grant grant = {.uris = &uri, .n_uris = 1, .ttl = (uint64_t)seconds * NS_PER_S};
    struct ca *ca = authority_ca(s->config.authority);
    struct buf chain = {0};
    const char *why = ca ? "it could not be signed" : "the certificate authority is not there yet";
    enum step_result result;
    int r = ca ? ca_sign(ca, csr, &grant, loop_wall(s->config.loop), &chain, &why) : -EAGAIN;

    if (r < 0) {
        result = refuse_to_sign(c, r, why);
    } else {
        log_info("certificate issued to %.*s", VIEW_ARGS(uri));
        result = send_chain(c, view_head(buf_read(&chain), buf_len(&chain) - ca_root_pem(ca).n));
    }
    buf_done(&chain);
    return result;
}

static enum step_result ca_receive(void *self)
{
    struct ca_call *c = self;
    struct view bytes, csr;
    int64_t seconds;
    bool impersonates;
    int r = grpc_call_recv(c->call, &bytes);

    if (r == -EAGAIN && !steps_late(&c->steps))
        return STEP_WAIT;
    if (r < 0)
        return STEP_DONE;
    c->service->stats.requests++;
    if (bytes.n > LIMIT_CSR_BYTES + 4096 || !read_request(bytes, &csr, &seconds, &impersonates) ||
        csr.n > LIMIT_CSR_BYTES || seconds < 0 || seconds > INT64_C(10) * 365 * 86400) {
        return refuse(c, &c->service->stats.parse_errors, GRPC_INVALID_ARGUMENT,
                      VIEW("not an IstioCertificateRequest with a CSR of a sane size and validity"));
    }
    if (impersonates)
        return refuse(c, &c->service->stats.identity_errors, GRPC_UNAUTHENTICATED,
                      VIEW("ImpersonatedIdentity is not supported: nobody may ask for another's certificate"));
    return sign(c, csr, seconds);
}

static enum step_result ca_drain(void *self)
{
    struct ca_call *c = self;
    struct view bytes;
    int r = grpc_call_recv(c->call, &bytes);

    if ((r == 0 || r == -EAGAIN) && !grpc_call_done(c->call) && !steps_late(&c->steps))
        return STEP_WAIT;
    return STEP_DONE;
}

static void call_free(struct ca_call *c)
{
    list_del(&c->link);
    grpc_call_free(c->call);
    review_free(c->review);
    steps_done(&c->steps);
    task_done(&c->task);
    arena_done(&c->arena);
    free(c);
}

static void call_run(struct task *t, uint32_t events)
{
    struct ca_call *c = CONTAINER_OF(t, struct ca_call, task);

    if (steps_walk(&c->steps, c) == STEP_DONE)
        call_free(c);
}

/* A client certificate that TLS verified, or else the bearer token, which is always reviewed afresh here: whose pod is gone
 * gets no certificate. */
void ca_service_accept(struct ca_service *s, struct http_stream *stream, const struct xds_identity *peer,
                       const struct addr *from)
{
    struct ca_call *c = calloc(1, sizeof(*c));
    char text[ADDR_TEXT];

    must(c != NULL);
    c->service = s;
    arena_init(&c->arena, 1024);
    task_init(&c->task, s->config.loop, call_run, "ca call");
    steps_init(&c->steps, &c->task, EVENT_LATE, ca_steps, sizeof(ca_steps) / sizeof(ca_steps[0]));
    list_push(&s->calls, &c->link);
    c->from = arena_view(&c->arena, from ? addr_print(from, text) : VIEW("?"));
    if (peer && peer->ns.n && view_eq(peer->trust_domain, s->config.trust_domain))
        c->identity = (struct xds_identity){s->config.trust_domain, arena_view(&c->arena, peer->ns),
                                            arena_view(&c->arena, peer->service_account)};
    else
        c->review = review_new(s->config.reviewer, headers_get(&stream->in, VIEW("authorization")), true, &c->task);
    c->call = grpc_call_accept(stream, &c->task, EVENT_CALL);
    if (!c->call) {
        call_free(c);
        return;
    }
    task_wake(&c->task, EVENT_CALL);
}

struct ca_service *ca_service_new(const struct ca_service_config *config)
{
    struct ca_service *s = calloc(1, sizeof(*s));

    must(s != NULL);
    s->config = *config;
    list_init(&s->calls);
    return s;
}

struct ca_service *ca_service_free(struct ca_service *s)
{
    if (!s)
        return NULL;
    LIST_EACH (&s->calls, struct ca_call, link, c) {
        call_free(c);
    }
    free(s);
    return NULL;
}

const struct ca_stats *ca_service_stats(const struct ca_service *s)
{
    return &s->stats;
}
