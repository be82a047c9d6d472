// SPDX-License-Identifier: Apache-2.0
/* CreateCertificate: who may have which certificate. Over plaintext gRPC on the simulated network, with real signing. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/limits.h"
#include "control/identity/ca.h"
#include "control/control.h"
#include "http/grpc_call.h"
#include "net/conn.h"
#include "net/loop.h"
#include "net/sim.h"
#include "trust/ca.h"
#include "trust/csr.h"
#include "trust/token.h"
#include "xds/pb_wire.h"
#include "xds/types.h"

#define WALL (UINT64_C(1767225600) * NS_PER_S)

struct fixture {
    struct sim *sim;
    struct loop *loop, *client;
    struct http_shared *http;
    struct ca *ca;
    struct token_key *key, *other_key;
    struct token_keys *keys;
    struct control *control;
    struct task task;
    struct http_conn *conn;
    struct buf csr, foreign; /* foreign: asks for somebody else's identity */
};

static void run(struct task *t, uint32_t events)
{
}

static void init(struct fixture *f)
{
    const char *why = "";
    struct buf jwks = {0}, key = {0};
    struct control_config config = {.xds_plain = addr_v4(0x0a000001, 15010), .trust_domain = VIEW("cluster.local")};

    *f = (struct fixture){.sim = sim_new(3)};
    f->loop = sim_loop(sim_host(f->sim, "istiod", "10.0.0.1"), SIM_PROXY);
    f->client = sim_loop(sim_host(f->sim, "pod", "10.0.0.2"), SIM_PROXY);
    f->http = http_shared_new(f->client);
    assert_int_equal(ca_new(&(struct ca_options){.trust_domain = VIEW("cluster.local")}, WALL, &f->ca, &why), 0);
    assert_int_equal(token_key_new(&f->key), 0);
    assert_int_equal(token_key_new(&f->other_key), 0);
    token_key_jwks(f->key, &jwks);
    assert_int_equal(token_keys_from_jwks(buf_read(&jwks), &f->keys, &why), 0);
    buf_done(&jwks);
    assert_int_equal(csr_new(VIEW("spiffe://cluster.local/ns/default/sa/reviews"), &key, &f->csr), 0);
    buf_wipe(&key);
    assert_int_equal(csr_new(VIEW("spiffe://cluster.local/ns/kube-system/sa/admin"), &key, &f->foreign), 0);
    buf_wipe(&key);
    config.loop = f->loop;
    config.ca = f->ca;
    config.keys = f->keys;
    if (control_new(&config, &f->control, &why) < 0)
        fail_msg("%s", why);
    task_init(&f->task, f->client, run, "client");
}

static void done(struct fixture *f)
{
    control_free(f->control);
    http_conn_free(f->conn);
    task_done(&f->task);
    http_shared_free(f->http);
    ca_unref(f->ca);
    token_key_free(f->key);
    token_key_free(f->other_key);
    token_keys_unref(f->keys);
    buf_done(&f->csr);
    buf_done(&f->foreign);
    sim_free(f->sim);
}

struct ask {
    const char *path, *audience;
    bool other_key, expired, no_token, garbage, impersonate, foreign;
    int64_t seconds;
    size_t padding;
};

static struct grpc_call *call(struct fixture *f, const struct ask *q)
{
    struct token t = {.audience = view_of(q->audience ? q->audience : "istio-ca"),
                      .ns = VIEW("default"),
                      .sa = VIEW("reviews"),
                      .issued = WALL - 7200 * NS_PER_S,
                      .expires = q->expired ? WALL - 3600 * NS_PER_S : WALL + 3600 * NS_PER_S};
    struct grpc_call_config config = {.path = view_of(q->path ? q->path : CA_CREATE_PATH), .authority = VIEW("istiod")};
    const struct http_conn_config http = {.role = HTTP_CLIENT, .version = HTTP_2, .scheme = VIEW("http")};
    struct buf token = {0}, message = {0}, junk = {0};
    struct addr to = addr_v4(0x0a000001, 15010);
    struct grpc_call *c = NULL;
    struct conn *conn;

    if (!f->conn) {
        assert_int_equal(conn_connect(f->client, &to, &(struct conn_options){0}, &conn), 0);
        f->conn = http_conn_new(f->http, conn, &http, &f->task, 1);
        sim_run(f->sim, 100 * NS_PER_MS);
    }
    buf_str(&token, "Bearer ");
    assert_int_equal(token_sign(q->other_key ? f->other_key : f->key, &t, &token), 0);
    if (!q->no_token)
        config.authorization = buf_read(&token);
    while (buf_len(&junk) < q->padding)
        buf_char(&junk, 'x');
    if (q->garbage)
        buf_str(&junk, "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n");
    pb_write_bytes(&message, 1, buf_len(&junk) ? buf_read(&junk) : buf_read(q->foreign ? &f->foreign : &f->csr));
    pb_write_u64(&message, 3, (uint64_t)q->seconds);
    if (q->impersonate)
        pb_write_bytes(&message, 4, VIEW("\x0a\x16\x0a\x14ImpersonatedIdentity"));
    assert_int_equal(grpc_call_start(f->conn, &config, &f->task, 1, &c), 0);
    assert_int_equal(grpc_call_send(c, buf_read(&message), true), 0);
    buf_done(&token);
    buf_done(&message);
    buf_done(&junk);
    sim_run(f->sim, NS_PER_S);
    return c;
}

static void a_token_gets_a_certificate_for_its_own_account(void **state)
{
    struct fixture f;
    struct grpc_call *c;
    struct view message, chain[4], root;
    size_t n = 0;

    init(&f);
    c = call(&f, &(struct ask){.seconds = 3600});
    assert_int_equal(grpc_call_recv(c, &message), 0);
    for (struct pb_cursor at = pb_cursor(message); n < 4;) {
        struct pb_field field;
        if (!pb_next(&at, &field))
            break;
        assert_int_equal(field.number, 1);
        chain[n++] = field.bytes;
    }
    assert_true(n >= 2);
    root = view_trim(ca_root_pem(f.ca));
    assert_true(view_find_view(chain[n - 1], view_head(root, root.n - 1)) < chain[n - 1].n);
    assert_true(view_starts(chain[0], VIEW("-----BEGIN CERTIFICATE-----"))); /* its names: test/sim/mesh.c */
    assert_int_equal(grpc_call_recv(c, &message), -ENODATA);
    assert_int_equal(grpc_call_status(c), GRPC_OK);
    grpc_call_free(c);
    done(&f);
}

static void everything_else_is_refused(void **state)
{
    static const struct {
        struct ask ask;
        enum grpc_status status;
    } rows[] = {
        {{.no_token = true}, GRPC_UNAUTHENTICATED},
        {{.other_key = true}, GRPC_UNAUTHENTICATED},
        {{.audience = "vault"}, GRPC_UNAUTHENTICATED},
        {{.expired = true}, GRPC_UNAUTHENTICATED},
        {{.impersonate = true}, GRPC_UNAUTHENTICATED},
        {{.foreign = true}, GRPC_PERMISSION_DENIED},
        {{.garbage = true}, GRPC_INVALID_ARGUMENT},
        {{.seconds = 91 * 86400}, GRPC_INVALID_ARGUMENT},
        {{.padding = LIMIT_CSR_BYTES + 1}, GRPC_INVALID_ARGUMENT},
        {{.seconds = -1}, GRPC_INVALID_ARGUMENT},
        {{.seconds = INT64_C(100) * 365 * 86400}, GRPC_INVALID_ARGUMENT},
        {{.path = "/istio.v1.auth.IstioCertificateService/Other"}, GRPC_UNIMPLEMENTED},
        {{.path = XDS_SOTW_PATH}, GRPC_UNIMPLEMENTED},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct fixture f;
        struct grpc_call *c;
        struct view message;

        init(&f);
        c = call(&f, &rows[i].ask);
        while (grpc_call_recv(c, &message) == -EAGAIN && sim_now(f.sim) < 10 * NS_PER_S)
            sim_run(f.sim, NS_PER_S); /* receiving also sends what did not fit at once */
        assert_true(grpc_call_done(c));
        if (grpc_call_status(c) != rows[i].status)
            fail_msg("row %zu: %s: %.*s", i, grpc_status_name(grpc_call_status(c)), VIEW_ARGS(grpc_call_message(c)));
        assert_true(grpc_call_message(c).n > 0);
        grpc_call_free(c);
        done(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_gets_a_certificate_for_its_own_account),
        cmocka_unit_test(everything_else_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
