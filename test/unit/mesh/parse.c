// SPDX-License-Identifier: Apache-2.0
/* Files into objects: documents, lists, JSON, defaults, and every field of the kinds that carry traffic. */
#include "mesh/parse.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"
#include "mesh/core.h"
#include "mesh/destination_rule.h"
#include "mesh/peer_authentication.h"
#include "mesh/virtual_service.h"
#include "mesh/workload.h"

struct fixture {
    struct arena a;
    struct diags d;
    struct object_list l;
};

static int parse(struct fixture *f, const char *text)
{
    *f = (struct fixture){0};
    arena_init(&f->a, 0);
    diags_init(&f->d, &f->a);
    return mesh_parse(&f->a, &f->d, &(struct mesh_source){.file = VIEW("x.yaml"), .text = view_of(text)}, &f->l);
}

static void must_parse(struct fixture *f, const char *text)
{
    if (parse(f, text) == 0)
        return;
    struct buf b = {0};
    diags_print(&f->d, &b, false);
    print_message("%s", buf_cstr(&b));
    buf_done(&b);
    fail();
}

static void lists_documents_and_json_give_the_same_objects(void **state)
{
    static const char *const texts[] = {
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n---\n# comment\n---\napiVersion: v1\nkind: Namespace\n"
        "metadata: {name: b}\n",
        "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Namespace, metadata: {name: a}}\n"
        "- {apiVersion: v1, kind: Namespace, metadata: {name: b}}\n",
        "{\"apiVersion\":\"v1\",\"kind\":\"NamespaceList\",\"metadata\":{},\"items\":[{\"apiVersion\":\"v1\",\"kind\":"
        "\"Namespace\",\"metadata\":{\"name\":\"a\"}},{\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\"metadata\":"
        "{\"name\":\"b\",\"creationTimestamp\":null}}]}",
        "{\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\"metadata\":{\"name\":\"a\"}}\n"
        "{\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\"metadata\":{\"name\":\"b\"}}\n",
    };
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        struct fixture f;
        must_parse(&f, texts[i]);
        assert_int_equal(f.l.n, 2);
        assert_true(view_is(f.l.list[0]->meta.name, "a") && view_is(f.l.list[1]->meta.name, "b"));
        assert_int_equal(f.l.list[0]->kind, KIND_NAMESPACE);
        arena_done(&f.a);
    }
}

static void a_bad_document_leaves_the_others(void **state)
{
    struct fixture f;
    assert_int_equal(parse(&f, "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n---\na: [\n---\n"
                               "apiVersion: v1\nkind: Namespace\nmetadata: {name: b}\n"),
                     -EINVAL);
    assert_int_equal(f.l.n, 2);
    assert_int_equal(f.d.n_errors, 1);
    arena_done(&f.a);
}

static void origins_carry_file_line_and_object(void **state)
{
    struct fixture f;
    must_parse(&f, "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n---\napiVersion: networking.istio.io/v1\n"
                   "kind: VirtualService\nmetadata: {name: v}\nspec:\n  hosts: [r]\n  http:\n  - route:\n"
                   "    - destination: {host: r}\n");
    const struct virtual_service *vs = OBJECT_AS(f.l.list[1], VIRTUAL_SERVICE, virtual_service);
    const struct origin *at = &vs->http[0].route[0].destination.host_at;
    assert_true(view_is(at->file, "x.yaml") && view_is(at->kind, "VirtualService") && view_is(at->ns, "default"));
    assert_true(view_is(at->path, "spec.http[0].route[0].destination.host"));
    assert_int_equal(at->line, 12);
    assert_int_equal(at->col, 27);
    assert_int_equal(at->span, 1);
    arena_done(&f.a);
}

static const char virtual_service_text[] =
    "apiVersion: networking.istio.io/v1alpha3\nkind: VirtualService\nmetadata: {name: v, namespace: shop}\nspec:\n"
    "  hosts: [reviews, '*.example.com']\n  gateways: [mesh, infra/edge]\n  exportTo: ['.']\n  http:\n"
    "  - name: first\n    match:\n"
    "    - uri: {prefix: /api}\n      headers: {end-user: {exact: jason}, x-any: {}}\n"
    "      queryParams: {q: {regex: '[0-9]+'}}\n      withoutHeaders: {x-no: {prefix: a}}\n      ignoreUriCase: true\n"
    "      port: 9080\n      sourceLabels: {app: web}\n      gateways: [mesh]\n      method: {exact: GET}\n"
    "    - uri: {regex: '/v[0-9]+'}\n"
    "    route:\n    - destination: {host: reviews, subset: v1, port: {number: 9080}}\n      weight: 90\n"
    "      headers: {request: {set: {x-a: '1'}, remove: [x-b]}}\n"
    "    - destination: {host: reviews, subset: v2}\n      weight: 10\n"
    "    timeout: 1.5s\n    retries: {attempts: 3, perTryTimeout: 200ms, retryOn: '5xx,503'}\n"
    "    rewrite: {uri: /, authority: other}\n"
    "    fault: {delay: {fixedDelay: 2s, percentage: {value: 12.5}}, abort: {httpStatus: 418, percentage: {value: "
    "1}}}\n"
    "    mirror: {host: shadow}\n    mirrorPercentage: {value: 30}\n    mirrors: [{destination: {host: second}}]\n"
    "    corsPolicy: {allowOrigins: [{exact: 'https://a'}], allowMethods: [GET], maxAge: 24h, allowCredentials: "
    "false}\n"
    "    headers: {response: {add: {x-c: why}}}\n"
    "  - redirect: {uri: /new, redirectCode: 308}\n"
    "    match: [{uri: {exact: /old}}]\n"
    "  - directResponse: {status: 503, body: {string: sorry}}\n"
    "  tcp:\n  - match: [{port: 3306}]\n    route: [{destination: {host: db}}]\n"
    "  tls:\n  - match: [{port: 443, sniHosts: [a.example.com]}]\n    route: [{destination: {host: secure}, weight: "
    "100}]\n";

static void a_virtual_services_fields_arrive(void **state)
{
    struct fixture f;
    must_parse(&f, virtual_service_text);
    const struct virtual_service *vs = OBJECT_AS(f.l.list[0], VIRTUAL_SERVICE, virtual_service);
    const struct http_route *r = &vs->http[0];
    const struct http_match *m = &r->match[0];
    assert_true(view_is(vs->o.meta.ns, "shop") && vs->hosts.n == 2 && vs->gateways.n == 2 && vs->export_to.n == 1);
    assert_int_equal(vs->n_http, 3);
    assert_int_equal(r->n_match, 2);
    assert_true(m->uri.set && m->uri.type == MATCH_PREFIX && view_is(m->uri.text, "/api") && m->ignore_uri_case);
    assert_true(m->n_headers == 2 && view_is(m->headers[0].name, "end-user") &&
                m->headers[0].match.type == MATCH_EXACT);
    assert_true(m->headers[1].match.set && m->headers[1].match.type == MATCH_PRESENT);
    assert_true(m->n_query_params == 1 && m->query_params[0].match.type == MATCH_REGEX && m->n_without_headers == 1);
    assert_true(m->port == 9080 && m->source_labels.n == 1 && m->gateways.n == 1 && m->method.set && !m->scheme.set);
    assert_true(r->n_route == 2 && r->route[0].weight == 90 && r->route[0].destination.port == 9080);
    assert_true(view_is(r->route[0].destination.subset, "v1") && r->route[0].headers.request.set.n == 1);
    assert_true(r->timeout.set && r->timeout.ns == 1500 * NS_PER_MS);
    assert_true(r->retries->attempts == 3 && r->retries->per_try_timeout.ns == 200 * NS_PER_MS);
    assert_true(view_is(r->rewrite->uri, "/") && r->rewrite->has_uri && view_is(r->rewrite->authority, "other"));
    assert_true(r->fault->delay->fixed_ns == 2 * NS_PER_S && r->fault->delay->percent == 12.5);
    assert_true(r->fault->abort->http_status == 418 && r->fault->abort->percent == 1);
    assert_int_equal(r->n_mirrors, 2);
    assert_true(view_is(r->mirrors[0].destination.host, "shadow") && r->mirrors[0].percent == 30);
    assert_true(view_is(r->mirrors[1].destination.host, "second") && r->mirrors[1].percent == 100);
    assert_true(r->cors->n_allow_origins == 1 && r->cors->allow_credentials.set && !r->cors->allow_credentials.value);
    assert_true(r->headers.response.add.n == 1);
    assert_true(vs->http[1].redirect->code == 308 && vs->http[2].direct_response->status == 503);
    assert_true(view_is(vs->http[2].direct_response->body, "sorry"));
    assert_true(vs->n_tcp == 1 && vs->tcp[0].match[0].port == 3306 && vs->tls[0].match[0].sni_hosts.n == 1);
    arena_done(&f.a);
}

static void a_destination_rules_fields_arrive(void **state)
{
    struct fixture f;
    must_parse(
        &f,
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: d}\nspec:\n  host: reviews\n"
        "  trafficPolicy:\n    loadBalancer: {consistentHash: {httpCookie: {name: u, ttl: 0s}, maglev: {tableSize: "
        "5003}}}\n"
        "    connectionPool: {tcp: {maxConnections: 10, connectTimeout: 30ms}, http: {http1MaxPendingRequests: 1}}\n"
        "    outlierDetection: {consecutive5xxErrors: 0, interval: 5m, maxEjectionPercent: 100}\n"
        "    tls: {mode: ISTIO_MUTUAL}\n"
        "    portLevelSettings: [{port: {number: 80}, loadBalancer: {simple: ROUND_ROBIN}}]\n"
        "  subsets: [{name: v1, labels: {version: v1}, trafficPolicy: {loadBalancer: {simple: RANDOM}}}]\n");
    const struct destination_rule *dr = OBJECT_AS(f.l.list[0], DESTINATION_RULE, destination_rule);
    const struct traffic_policy *p = dr->policy;
    const struct consistent_hash *h = p->load_balancer->consistent_hash;
    assert_true(h->maglev && h->table_size == 5003 && h->cookie->ttl.set && h->cookie->ttl.ns == 0);
    assert_true(p->connection_pool->tcp->max_connections == 10 && p->connection_pool->http->max_pending == 1);
    assert_true(p->outlier->consecutive_5xx.set && p->outlier->consecutive_5xx.value == 0);
    assert_true(!p->outlier->consecutive_gateway.set && p->outlier->max_ejection_percent == 100);
    assert_true(p->tls->mode == CLIENT_TLS_ISTIO_MUTUAL && p->n_ports == 1 && p->ports[0].port == 80);
    assert_true(destination_rule_subset(dr, VIEW("v1"))->policy->load_balancer->simple == LB_RANDOM);
    assert_null(destination_rule_subset(dr, VIEW("v2")));
    arena_done(&f.a);
}

static void defaults_of_kubernetes_are_filled_in(void **state)
{
    struct fixture f;
    must_parse(
        &f, "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: w}\nspec:\n  selector: {matchLabels: {a: b}}\n"
            "  template:\n    metadata: {labels: {a: b}}\n    spec:\n      containers:\n      - name: c\n"
            "        readinessProbe: {httpGet: {path: /, port: web}}\n        ports: [{containerPort: 80, name: web}]\n"
            "---\napiVersion: batch/v1\nkind: Job\nmetadata: {name: j}\nspec:\n  template:\n    spec:\n"
            "      restartPolicy: Never\n      containers: [{name: c}]\n"
            "---\napiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {a: aGk=, b: eA==}\nstringData: {b: yes!, "
            "c: z}\n");
    const struct deployment *w = OBJECT_AS(f.l.list[0], DEPLOYMENT, deployment);
    const struct probe *p = w->template.spec.containers[0].readiness;
    assert_true(w->replicas == 1 && view_is(w->template.spec.service_account, "default"));
    assert_true(p->period_s == 10 && p->timeout_s == 1 && p->failure_threshold == 3 && p->success_threshold == 1);
    assert_int_equal(pod_port(&w->template.spec, &p->http_get->port), 80);
    const struct job *j = OBJECT_AS(f.l.list[1], JOB, job);
    assert_true(j->completions == 1 && j->backoff_limit == 6);
    const struct secret *s = OBJECT_AS(f.l.list[2], SECRET, secret);
    assert_true(s->data.n == 3 && labels_is(&s->data, "a", "hi") && labels_is(&s->data, "b", "yes!"));
    arena_done(&f.a);
}

static void kinds_are_found_by_every_name(void **state)
{
    static const char *const words[] = {"vs", "VirtualService", "virtualservices", "VIRTUALSERVICE",
                                        "virtualservices.networking.istio.io"};
    enum mesh_kind k;
    for (size_t i = 0; i < COUNT_OF(words); i++) {
        assert_int_equal(mesh_kind_find(view_of(words[i]), &k), 0);
        assert_int_equal(k, KIND_VIRTUAL_SERVICE);
    }
    assert_int_equal(mesh_kind_find(VIEW("v"), &k), -ENOENT);
    assert_int_equal(mesh_kind_find(VIEW(""), &k), -ENOENT);
    assert_int_equal(mesh_kind_of(VIEW("networking.istio.io/v1beta1"), VIEW("Gateway"), &k), 0);
    assert_int_equal(mesh_kind_of(VIEW("gateway.networking.k8s.io/v1"), VIEW("Gateway"), &k), -ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_documents_and_json_give_the_same_objects),
        cmocka_unit_test(a_bad_document_leaves_the_others),
        cmocka_unit_test(origins_carry_file_line_and_object),
        cmocka_unit_test(a_virtual_services_fields_arrive),
        cmocka_unit_test(a_destination_rules_fields_arrive),
        cmocka_unit_test(defaults_of_kubernetes_are_filled_in),
        cmocka_unit_test(kinds_are_found_by_every_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
