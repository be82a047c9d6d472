// SPDX-License-Identifier: Apache-2.0
/* The whole line in one process: YAML → control plane → xDS and certificates over (simulated) TLS → three real proxies →
 * traffic of captured applications. Pods page-1, reviews-1 (v1) and reviews-2 (v2); istiod on a host of its own.
 */
#include "../unit/proxy/harness.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/control.h"
#include "control/store.h"
#include "proxy/proxy_impl.h"
#include "trust/ca.h"
#include "trust/token.h"

#define WALL (UINT64_C(1767225600) * NS_PER_S) /* the simulation's clock begins at 2026-01-01 */
#define GET "GET /reviews/1 HTTP/1.1\r\nHost: reviews\r\nUser-Agent: test\r\n\r\n"
#define PODS 3

static const char objects[] =
    "apiVersion: v1\nkind: Namespace\nmetadata: {name: default}\n---\n"
    "apiVersion: v1\nkind: Service\nmetadata: {name: reviews, namespace: default}\n"
    "spec: {clusterIP: 10.96.0.3, selector: {app: reviews}, ports: [{name: http, port: 9080}]}\n---\n"
    "apiVersion: v1\nkind: Pod\n"
    "metadata: {name: page-1, namespace: default, labels: {app: page, version: v1, security.istio.io/tlsMode: istio}}\n"
    "spec: {serviceAccountName: page, containers: [{name: app, image: x}]}\n"
    "status: {podIP: 10.0.0.1, phase: Running, conditions: [{type: Ready, status: \"True\"}]}\n---\n"
    "apiVersion: v1\nkind: Pod\n"
    "metadata: {name: reviews-1, namespace: default, labels: {app: reviews, version: v1, security.istio.io/tlsMode: "
    "istio}}\n"
    "spec: {serviceAccountName: reviews, containers: [{name: app, image: x, ports: [{containerPort: 9080}]}]}\n"
    "status: {podIP: 10.0.0.2, phase: Running, conditions: [{type: Ready, status: \"True\"}]}\n---\n"
    "apiVersion: v1\nkind: Pod\n"
    "metadata: {name: reviews-2, namespace: default, labels: {app: reviews, version: v2, security.istio.io/tlsMode: "
    "istio}}\n"
    "spec: {serviceAccountName: reviews, containers: [{name: app, image: x, ports: [{containerPort: 9080}]}]}\n"
    "status: {podIP: 10.0.0.3, phase: Running, conditions: [{type: Ready, status: \"True\"}]}\n---\n"
    "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n"
    "metadata: {name: reviews-x, namespace: default, labels: {kubernetes.io/service-name: reviews}}\n"
    "addressType: IPv4\nports: [{name: http, port: 9080}]\nendpoints:\n"
    "- {addresses: [10.0.0.2], conditions: {ready: true}, targetRef: {kind: Pod, name: reviews-1, namespace: "
    "default}}\n"
    "- {addresses: [10.0.0.3], conditions: {ready: true}, targetRef: {kind: Pod, name: reviews-2, namespace: "
    "default}}\n---\n"
    "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: reviews, namespace: default}\n"
    "spec: {host: reviews, subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]}\n";

#define ALL_TO(version)                                                                                                \
    "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: reviews, namespace: default}\n"        \
    "spec: {hosts: [reviews], http: [{route: [{destination: {host: reviews, subset: " version "}}]}]}\n"

struct mesh {
    struct world w; /* page's application and the two servers */
    struct loop *istiod, *outside, *loops[PODS];
    struct proxy_options options[PODS];
    struct proxy *proxies[PODS];
    struct control *control;
    struct control_config config;
    struct ca *ca;
    struct token_key *key;
    struct token_keys *keys;
    char dir[64], root[96], tokens[PODS][96];
};

static void write_file(const char *path, struct view text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0 && write(fd, text.p, text.n) == (ssize_t)text.n);
    close(fd);
}

static void make_trust(struct mesh *m)
{
    const char *why = "";
    struct buf jwks = {0};

    snprintf(m->dir, sizeof(m->dir), "/tmp/weft-sim-%d-XXXXXX", (int)getpid());
    assert_non_null(mkdtemp(m->dir));
    assert_int_equal(ca_new(&(struct ca_options){.trust_domain = VIEW("cluster.local")}, WALL, &m->ca, &why), 0);
    snprintf(m->root, sizeof(m->root), "%s/root-cert.pem", m->dir);
    write_file(m->root, ca_root_pem(m->ca));
    assert_int_equal(token_key_new(&m->key), 0);
    token_key_jwks(m->key, &jwks);
    assert_int_equal(token_keys_from_jwks(buf_read(&jwks), &m->keys, &why), 0);
    buf_done(&jwks);
}

static void write_token(struct mesh *m, int i, const char *ns, const char *sa)
{
    struct token t = {.issuer = VIEW("https://kubernetes.default.svc"),
                      .audience = VIEW("istio-ca"),
                      .ns = view_of(ns),
                      .sa = view_of(sa),
                      .issued = WALL - NS_PER_S,
                      .expires = WALL + 3600 * NS_PER_S};
    struct buf text = {0};

    assert_int_equal(token_sign(m->key, &t, &text), 0);
    snprintf(m->tokens[i], sizeof(m->tokens[i]), "%s/token-%d", m->dir, i);
    write_file(m->tokens[i], buf_read(&text));
    buf_done(&text);
}

static void apply(struct mesh *m, const char *file, const char *yaml)
{
    assert_int_equal(store_put_file(control_store(m->control), view_of(file), view_of(yaml)), 0);
}

static void start_control(struct mesh *m)
{
    const char *why = "";

    if (control_new(&m->config, &m->control, &why) < 0)
        fail_msg("%s", why);
    apply(m, "objects.yaml", objects);
}

static void start_proxy(struct mesh *m, int i, const char *pod, const char *ip, const char *account,
                        const char *token_ns)
{
    static struct xds_label labels[PODS][2];
    struct view name = view_of(pod);

    labels[i][0] = (struct xds_label){VIEW("app"), view_head(name, name.n - 2)};
    labels[i][1] = (struct xds_label){VIEW("version"), i == 2 ? VIEW("v2") : VIEW("v1")};
    write_token(m, i, token_ns, account);
    m->options[i] = (struct proxy_options){.type = VIEW("sidecar"),
                                           .pod = name,
                                           .ns = VIEW("default"),
                                           .ip = view_of(ip),
                                           .service_account = view_of(account),
                                           .domain = VIEW("default.svc.cluster.local"),
                                           .trust_domain = VIEW("cluster.local"),
                                           .workload = view_head(name, name.n - 2),
                                           .app = view_head(name, name.n - 2),
                                           .canonical_service = view_head(name, name.n - 2),
                                           .labels = labels[i],
                                           .n_labels = 2,
                                           .cluster_id = VIEW("Kubernetes"),
                                           .discovery_host = VIEW("istiod.istio-system.svc"),
                                           .ca_host = VIEW("istiod.istio-system.svc"),
                                           .server_name = VIEW("istiod.istio-system.svc"),
                                           .discovery_port = 15012,
                                           .ca_port = 15012,
                                           .root_path = m->root,
                                           .token_path = m->tokens[i],
                                           .metrics_port = 15090,
                                           .drain = NS_PER_S};
    m->proxies[i] = proxy_new(&m->options[i], m->loops[i], &m->loops[i], 1);
}

static bool all_ready(void *arg)
{
    struct mesh *m = arg;

    for (int i = 0; i < PODS; i++)
        if (!proxy_ready(m->proxies[i]))
            return false;
    return true;
}

static bool all_stopped(void *arg)
{
    struct mesh *m = arg;

    for (int i = 0; i < PODS; i++)
        if (!proxy_stopped(m->proxies[i]))
            return false;
    return true;
}

static void mesh_init_with(struct mesh *m, uint64_t seed, const char *page_token_ns, const char *page_pod)
{
    const struct sim_capture capture = {.outbound = 15001, .inbound = 15006, .except = {15090}};
    struct world *w = &m->w;

    memset(m, 0, sizeof(*m));
    make_trust(m);
    w->sim = sim_new(seed);
    m->istiod = sim_loop(sim_host(w->sim, "istiod", "10.0.0.100"), SIM_PROXY);
    m->outside = sim_loop(sim_host(w->sim, "outside", "10.0.0.9"), SIM_PROXY);
    sim_name(w->sim, "istiod.istio-system.svc", "10.0.0.100");
    w->pod = sim_host(w->sim, "page-1", "10.0.0.1");
    w->app = sim_loop(w->pod, SIM_APP);
    server_init(w, 0, "v1", "10.0.0.2", true);
    server_init(w, 1, "v2", "10.0.0.3", true);
    sim_capture(w->pod, &capture);
    sim_capture(w->hosts[0], &capture);
    sim_capture(w->hosts[1], &capture);
    m->loops[0] = sim_loop(w->pod, SIM_PROXY);
    m->loops[1] = sim_loop(w->hosts[0], SIM_PROXY);
    m->loops[2] = sim_loop(w->hosts[1], SIM_PROXY);
    m->config = (struct control_config){.loop = m->istiod,
                                        .xds_tls = addr_v4(0x0a000064, 15012),
                                        .xds_plain = addr_v4(0x0a000064, 15010),
                                        .debug = addr_v4(0x0a000064, 15014),
                                        .keys = m->keys,
                                        .ca = m->ca,
                                        .trust_domain = VIEW("cluster.local"),
                                        .cluster_id = VIEW("Kubernetes")};
    start_control(m);
    start_proxy(m, 0, page_pod, "10.0.0.1", "page", page_token_ns);
    start_proxy(m, 1, "reviews-1", "10.0.0.2", "reviews", "default");
    start_proxy(m, 2, "reviews-2", "10.0.0.3", "reviews", "default");
}

static void mesh_init(struct mesh *m, uint64_t seed)
{
    mesh_init_with(m, seed, "default", "page-1");
}

static void forget_clients(struct world *w)
{
    for (uint32_t i = 0; i < w->n_clients; i++) {
        conn_close(w->clients[i].conn);
        task_done(&w->clients[i].task);
        buf_done(&w->clients[i].in);
        buf_done(&w->clients[i].out);
    }
    memset(w->clients, 0, sizeof(w->clients));
    w->n_clients = 0;
}

static void mesh_done(struct mesh *m)
{
    struct world *w = &m->w;

    forget_clients(w);
    for (int i = 0; i < PODS; i++)
        proxy_stop(m->proxies[i]);
    assert_true(sim_run_until(w->sim, all_stopped, m, 10 * NS_PER_S));
    for (int i = 0; i < PODS; i++) {
        proxy_free(m->proxies[i]);
        unlink(m->tokens[i]);
    }
    control_free(m->control);
    server_done(&w->servers[0]);
    server_done(&w->servers[1]);
    sim_free(w->sim);
    ca_unref(m->ca);
    token_key_free(m->key);
    token_keys_unref(m->keys);
    unlink(m->root);
    rmdir(m->dir);
}

static struct client *ask(struct mesh *m, const char *path)
{
    struct world *w = &m->w;
    struct client *c = &w->clients[w->n_clients++];
    struct addr to = addr_v4(0x0a000064, 15014);
    char request[128];

    task_init(&c->task, m->outside, client_run, "client");
    assert_int_equal(conn_connect(m->outside, &to, &(struct conn_options){0}, &c->conn), 0);
    conn_own(c->conn, &c->task, 1, 2);
    snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: istiod\r\nConnection: close\r\n\r\n", path);
    client_send(w, c, request, 100 * NS_PER_MS);
    assert_status(c, 200);
    return c;
}

static unsigned count(struct buf *b, const char *what)
{
    struct view v = buf_read(b), needle = view_of(what);
    unsigned n = 0;

    for (size_t at; (at = view_find_view(v, needle)) < v.n; n++)
        v = view_from(v, at + needle.n);
    return n;
}

/* n requests of page to reviews, each on a connection of its own; how many of each version answered. */
static void requests(struct mesh *m, unsigned n, unsigned *ret_v1, unsigned *ret_v2)
{
    *ret_v1 = *ret_v2 = 0;
    while (n--) {
        struct client *c = world_connect(&m->w, "10.96.0.3", 9080);
        client_send(&m->w, c, GET, 100 * NS_PER_MS);
        assert_status(c, 200);
        *ret_v1 += has(&c->in, "hello from v1");
        *ret_v2 += has(&c->in, "hello from v2");
        forget_clients(&m->w);
    }
}

/* ---- tests ---- */

static void from_start_to_mutual_tls_in_milliseconds(void **state)
{
    struct mesh m;
    unsigned v1, v2;

    mesh_init(&m, 21);
    assert_true(sim_run_until(m.w.sim, all_ready, &m, 50 * NS_PER_MS));
    requests(&m, 20, &v1, &v2);
    assert_int_equal(v1 + v2, 20);
    assert_true(v1 > 0 && v2 > 0);
    assert_has(&m.w.servers[0].seen, "x-forwarded-client-cert: By=spiffe://cluster.local/ns/default/sa/reviews;Hash=");
    assert_has(&m.w.servers[0].seen, ";URI=spiffe://cluster.local/ns/default/sa/page");
    assert_int_equal(count(&ask(&m, "/metrics")->in, "citadel_server_success_cert_issuance_count 3\n"), 1);
    mesh_done(&m);
}

static void a_virtual_service_reaches_all_three_and_only_what_changed_is_sent(void **state)
{
    struct mesh m;
    unsigned v1, v2;
    struct client *c;

    mesh_init(&m, 22);
    assert_true(sim_run_until(m.w.sim, all_ready, &m, NS_PER_S));
    apply(&m, "vs.yaml", ALL_TO("v1"));
    sim_run(m.w.sim, 200 * NS_PER_MS);
    requests(&m, 10, &v1, &v2);
    assert_int_equal(v1, 10);
    apply(&m, "vs.yaml", ALL_TO("v2"));
    sim_run(m.w.sim, 200 * NS_PER_MS);
    requests(&m, 10, &v1, &v2);
    assert_int_equal(v2, 10);
    c = ask(&m, "/debug/syncz");
    assert_int_equal(count(&c->in, "\"proxy\":"), 3);
    assert_int_equal(count(&c->in, "\"synced\":true"), 3);
    assert_has(&c->in, "\"proxy\":\"reviews-2.default\"");
    c = ask(&m, "/metrics");
    assert_has(&c->in, "pilot_xds_pushes{type=\"rds\"} 9\n"); /* the first and two changes, each to three */
    assert_has(&c->in, "pilot_xds_pushes{type=\"lds\"} 3\n");
    assert_has(&c->in, "pilot_xds_pushes{type=\"cds\"} 3\n");
    mesh_done(&m);
}

static void a_bad_object_is_named_and_changes_nothing(void **state)
{
    struct mesh m;
    unsigned v1, v2;

    mesh_init(&m, 23);
    assert_true(sim_run_until(m.w.sim, all_ready, &m, NS_PER_S));
    apply(&m, "vs.yaml", ALL_TO("v1"));
    assert_int_equal(store_put_file(control_store(m.control), VIEW("vs.yaml"),
                                    VIEW("apiVersion: networking.istio.io/v1\nkind: VirtualService\n"
                                         "metadata: {name: reviews, namespace: default}\n"
                                         "spec: {hosts: [reviews], htpp: []}\n")),
                     -EINVAL);
    sim_run(m.w.sim, 500 * NS_PER_MS);
    requests(&m, 5, &v1, &v2);
    assert_int_equal(v1, 5); /* the last good one */
    assert_has(&ask(&m, "/debug/diagz")->in, "htpp");
    mesh_done(&m);
}

static void traffic_flows_while_the_control_plane_is_away_and_when_it_is_back(void **state)
{
    struct mesh m;
    unsigned v1, v2;
    struct client *c;

    mesh_init(&m, 24);
    assert_true(sim_run_until(m.w.sim, all_ready, &m, NS_PER_S));
    m.control = control_free(m.control);
    requests(&m, 20, &v1, &v2);
    assert_int_equal(v1 + v2, 20);
    start_control(&m);
    requests(&m, 150, &v1, &v2); /* 15 s: all have come back by then */
    assert_int_equal(v1 + v2, 150);
    c = ask(&m, "/debug/syncz");
    assert_int_equal(count(&c->in, "\"synced\":true"), 3);
    c = ask(&m, "/metrics");
    assert_has(&c->in, "pilot_xds_pushes{type=\"rds\"} 0\n"); /* equal content, nothing is sent again */
    assert_has(&c->in, "pilot_xds_pushes{type=\"eds\"} 0\n");
    apply(&m, "vs.yaml", ALL_TO("v2"));
    sim_run(m.w.sim, 200 * NS_PER_MS);
    requests(&m, 5, &v1, &v2);
    assert_int_equal(v2, 5);
    mesh_done(&m);
}

static void a_proxy_gets_nothing_with_another_namespaces_token(void **state)
{
    struct mesh m;

    mesh_init_with(&m, 25, "other", "page-1");
    assert_false(sim_run_until(m.w.sim, all_ready, &m, 5 * NS_PER_S));
    assert_false(proxy_ready(m.proxies[0]));
    assert_true(proxy_ready(m.proxies[1]) && proxy_ready(m.proxies[2]));
    assert_int_equal(count(&ask(&m, "/debug/syncz")->in, "\"proxy\":"), 2);
    mesh_done(&m);
}

static bool has_secret(const struct mesh *m, int i, const char *name)
{
    struct name_ref ref = name_ref(view_of(name));

    return m->proxies[i]->plan && plan_secret(m->proxies[i]->plan, &ref);
}

static bool servers_have_it(void *arg)
{
    return has_secret(arg, 1, "kubernetes://up-cacert") && has_secret(arg, 2, "kubernetes://up-cacert");
}

/* A Secret that a rule names for the pods of reviews, whose PEM is the mesh's own root. */
static void apply_credential(struct mesh *m)
{
    struct buf yaml = {0};
    struct view pem = ca_root_pem(m->ca), line;

    buf_str(&yaml,
            "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: up, namespace: default}\n"
            "spec: {host: reviews, workloadSelector: {matchLabels: {app: reviews}}, trafficPolicy: {tls: {mode: "
            "SIMPLE, credentialName: up}}}\n---\n"
            "apiVersion: v1\nkind: Secret\nmetadata: {name: up, namespace: default}\nstringData:\n  ca.crt: |\n");
    while (pem.n) {
        line = view_head(pem, view_find(pem, '\n'));
        pem = line.n < pem.n ? view_from(pem, line.n + 1) : VIEW_NONE;
        buf_printf(&yaml, "    %.*s\n", VIEW_ARGS(line));
    }
    apply(m, "up.yaml", buf_cstr(&yaml));
    buf_done(&yaml);
}

static void a_secret_goes_only_to_a_pod_that_is_selected_and_is_who_it_says(void **state)
{
    struct mesh m;

    mesh_init_with(&m, 26, "default",
                   "reviews-1"); /* page's account, but the name and the labels of a pod of reviews */
    apply_credential(&m);
    assert_true(sim_run_until(m.w.sim, servers_have_it, &m, 10 * NS_PER_S));
    assert_true(proxy_ready(m.proxies[0]));
    assert_false(has_secret(&m, 0, "kubernetes://up-cacert"));
    mesh_done(&m);
    mesh_init_with(&m, 27, "default", "page-1"); /* itself: the rule does not select it */
    apply_credential(&m);
    assert_true(sim_run_until(m.w.sim, servers_have_it, &m, 10 * NS_PER_S));
    assert_false(has_secret(&m, 0, "kubernetes://up-cacert"));
    mesh_done(&m);
}

/* istiod is away while its CA is replaced, so nobody is told: what the kubelet mounts is what leads proxies back to it. */
static void proxies_that_were_away_while_the_root_changed_come_back_by_the_mounted_file(void **state)
{
    struct mesh m;
    struct ca *other = NULL, *both = NULL;
    struct buf roots = {0}, key = {0};
    struct ca_options o = {.trust_domain = VIEW("cluster.local")};
    const char *why = "";
    unsigned v1, v2;

    mesh_init(&m, 29);
    assert_true(sim_run_until(m.w.sim, all_ready, &m, NS_PER_S));
    assert_int_equal(ca_new(&o, WALL, &other, &why), 0);
    buf_view(&roots, ca_root_pem(m.ca));
    buf_view(&roots, ca_root_pem(other));
    assert_int_equal(ca_key_pem(other, &key), 0);
    assert_int_equal(ca_from_pem(ca_cert_pem(other), buf_read(&key), buf_read(&roots), VIEW_NONE, &o, &both, &why), 0);
    forget_clients(&m.w);
    control_free(m.control);
    m.config.ca = both;
    start_control(&m);
    sim_run(m.w.sim, 5 * NS_PER_S);
    assert_int_equal(count(&ask(&m, "/debug/syncz")->in, "\"proxy\":"),
                     0); /* its certificate is of a root unknown to them */
    forget_clients(&m.w);
    write_file(m.root, buf_read(&roots));
    for (int i = 0; i < 10; i++) {
        requests(&m, 5, &v1, &v2);
        assert_int_equal(v1 + v2, 5);
        sim_run(m.w.sim, 5 * NS_PER_S);
    }
    assert_int_equal(count(&ask(&m, "/debug/syncz")->in, "\"proxy\":"), 3);
    forget_clients(&m.w);
    sim_run(m.w.sim, 13 * 3600 * NS_PER_S); /* every certificate is renewed, under the new root */
    requests(&m, 5, &v1, &v2);
    assert_int_equal(v1 + v2, 5);
    mesh_done(&m);
    ca_unref(other);
    ca_unref(both);
    buf_done(&roots);
    buf_done(&key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(from_start_to_mutual_tls_in_milliseconds),
        cmocka_unit_test(a_virtual_service_reaches_all_three_and_only_what_changed_is_sent),
        cmocka_unit_test(a_bad_object_is_named_and_changes_nothing),
        cmocka_unit_test(traffic_flows_while_the_control_plane_is_away_and_when_it_is_back),
        cmocka_unit_test(a_proxy_gets_nothing_with_another_namespaces_token),
        cmocka_unit_test(a_secret_goes_only_to_a_pod_that_is_selected_and_is_who_it_says),
        cmocka_unit_test(proxies_that_were_away_while_the_root_changed_come_back_by_the_mounted_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
