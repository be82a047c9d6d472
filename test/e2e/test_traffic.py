# SPDX-License-Identifier: Apache-2.0
"""What rules do to traffic beyond routing: CORS as a browser would ask, endpoints that are set aside while they fail."""
import json
import time

import pytest

from mesh import LOGGED, SERVER_IMAGE, client, server, until


def replica(name, service):
    """One more endpoint of a Service that server() has made, under a name of its own, answering as that name."""
    return f"""---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  selector: {{matchLabels: {{replica: {name}}}}}
  template:
    metadata: {{labels: {{app: {service}, replica: {name}, sidecar.istio.io/inject: "true"}}}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: {service}
        image: {SERVER_IMAGE}
        args: [http, "8080", {name}]
        ports: [{{containerPort: 8080}}]
        readinessProbe: {{tcpSocket: {{port: 8080}}, periodSeconds: 1, failureThreshold: 1}}
"""


def two(service):
    """A Service with two endpoints, named <service>-good and <service>-bad; the bad one can be told to fail (/fails-at/…)."""
    only_service = server(service).split("---\napiVersion: apps/v1")[0]
    return only_service + replica(f"{service}-good", service) + replica(f"{service}-bad", service)


OUTLIERS = {
    "web": "{consecutive5xxErrors: 3, interval: 4s, baseEjectionTime: 4s, maxEjectionPercent: 50}",
    "gate": "{consecutive5xxErrors: 0, consecutiveGatewayErrors: 3, interval: 500ms, baseEjectionTime: 300s, maxEjectionPercent: 100}",
    "panic": "{consecutive5xxErrors: 3, interval: 500ms, baseEjectionTime: 300s, maxEjectionPercent: 100, minHealthPercent: 60}",
}


def rules(service):
    return f"""---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: {service}}}
spec:
  host: {service}
  trafficPolicy:
    loadBalancer: {{simple: ROUND_ROBIN}}
    outlierDetection: {OUTLIERS[service]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {service}}}
spec:
  hosts: [{service}]
  http: [{{route: [{{destination: {{host: {service}}}}}], retries: {{attempts: 0}}}}]
"""


CORS = """---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: cors}
spec:
  hosts: [cors]
  http:
  - match: [{uri: {prefix: /ignore}}]
    route: [{destination: {host: cors}}]
    corsPolicy: {allowOrigins: [{exact: "https://shop.test"}], allowMethods: [GET], unmatchedPreflights: IGNORE}
  - route: [{destination: {host: cors}}]
    corsPolicy:
      allowOrigins: [{exact: "https://shop.test"}, {prefix: "https://dev-"}, {regex: "https://[a-z]+\\\\.example\\\\.test"}]
      allowMethods: [GET, PUT]
      allowHeaders: [x-token, content-type]
      exposeHeaders: [x-seen]
      maxAge: 24h
      allowCredentials: true
"""


@pytest.fixture(scope="module")
def mesh(world):
    manifests = LOGGED + client() + server("cors") + CORS + "".join(two(s) + rules(s) for s in OUTLIERS)
    with world("traffic", manifests) as m:
        for service in OUTLIERS:
            until(f"both endpoints of {service} serve", lambda service=service: len(ask(m, service, 10)["names"]) == 2)
        yield m


# ---- CORS ----


def answer(mesh, path, *headers, method="GET"):
    """(status, headers) as the client gets them."""
    lines = " ".join(f"-H '{h}'" for h in headers)
    out = mesh.sh("app=client", f"curl -s -m 10 -o /dev/null -D - -X {method} {lines} http://cors:8080{path}").replace("\r", "")
    first, *rest = out.strip().split("\n")
    return int(first.split()[1]), {k.lower(): v for k, v in (line.split(": ", 1) for line in rest if ": " in line)}


def seen(mesh):
    return json.loads(mesh.ask("http://cors:8080/seen")[1])["seen"]


def cors_headers(headers):
    return {k: v for k, v in headers.items() if k.startswith("access-control-")}


ALLOWED = ("https://shop.test", "https://dev-7.test", "https://www.example.test")
FORBIDDEN = ("https://evil.test", "http://shop.test", "https://shop.test.evil.test", "https://www.example.test.evil.test", "null")


@pytest.mark.parametrize("origin", ALLOWED)
def test_a_preflight_of_an_allowed_origin_is_answered_by_the_proxy(mesh, origin):
    before = seen(mesh)
    status, headers = answer(mesh, "/x", f"Origin: {origin}", "Access-Control-Request-Method: PUT", method="OPTIONS")
    assert status == 200
    assert cors_headers(headers) == {"access-control-allow-origin": origin, "access-control-allow-credentials": "true",
                                     "access-control-allow-methods": "GET,PUT", "access-control-allow-headers": "x-token,content-type",
                                     "access-control-max-age": "86400"}
    assert seen(mesh) == before, "the application was asked"


@pytest.mark.parametrize("origin", ALLOWED)
def test_a_request_of_an_allowed_origin_says_so(mesh, origin):
    status, headers = answer(mesh, "/x", f"Origin: {origin}")
    assert status == 200
    assert cors_headers(headers) == {"access-control-allow-origin": origin, "access-control-allow-credentials": "true",
                                     "access-control-expose-headers": "x-seen"}


@pytest.mark.parametrize("origin", FORBIDDEN)
def test_another_origin_gets_no_header_and_its_preflight_goes_on_to_the_application(mesh, origin):
    assert cors_headers(answer(mesh, "/x", f"Origin: {origin}")[1]) == {}
    before = seen(mesh)
    status, headers = answer(mesh, "/x", f"Origin: {origin}", "Access-Control-Request-Method: PUT", method="OPTIONS")
    assert (status, cors_headers(headers)) == (200, {})
    assert seen(mesh) == before + 1


def test_another_origins_preflight_is_kept_from_the_application_if_the_rule_says_so(mesh):
    before = seen(mesh)
    status, headers = answer(mesh, "/ignore", "Origin: https://evil.test", "Access-Control-Request-Method: GET", method="OPTIONS")
    assert (status, cors_headers(headers)) == (200, {})
    assert seen(mesh) == before


def test_requests_without_an_origin_and_options_that_are_no_preflight_are_left_alone(mesh):
    assert cors_headers(answer(mesh, "/x")[1]) == {}
    before = seen(mesh)
    status, headers = answer(mesh, "/x", "Origin: https://shop.test", method="OPTIONS")
    assert status == 200 and headers["access-control-allow-origin"] == "https://shop.test"
    assert seen(mesh) == before + 1


# ---- outlier detection ----


def ask(mesh, service, n, path="/"):
    """{status: count, names: {endpoint: count}} of n requests over one connection."""
    return json.loads(mesh.client(f"http {service} 8080 {n} {path}"))


def names_of_connections(mesh, service):
    """Who answers on eight connections, so that each worker of the client's proxy has some."""
    out = mesh.sh("app=client", f"for i in 1 2 3 4 5 6 7 8; do /usr/bin/python3 {mesh.apps}/client.py http {service} 8080 2; done")
    return {name for line in out.strip().split("\n") for name in json.loads(line)["names"]}


def test_an_endpoint_that_fails_is_set_aside_and_comes_back(mesh):
    began = time.monotonic()
    first = ask(mesh, "web", 20, "/fails-at/web-bad/500")
    assert first["500"] == 3, first                     # the third in a row was its last
    assert names_of_connections(mesh, "web") == {"web-good"}
    until("the endpoint is back", lambda: len(ask(mesh, "web", 4)["names"]) == 2)
    assert time.monotonic() - began > 3.5
    again = ask(mesh, "web", 20, "/fails-at/web-bad/500")
    began = time.monotonic()
    assert again["500"] == 3, again
    until("the endpoint is back", lambda: len(ask(mesh, "web", 4)["names"]) == 2)
    assert time.monotonic() - began > 7, "the second time in a row is twice as long"


def test_only_the_named_errors_count(mesh):
    assert ask(mesh, "gate", 20, "/fails-at/gate-bad/500")["500"] == 10
    assert ask(mesh, "gate", 20, "/fails-at/gate-bad/503")["503"] == 3
    assert names_of_connections(mesh, "gate") == {"gate-good"}


def test_with_too_few_healthy_endpoints_all_are_used(mesh):
    assert ask(mesh, "panic", 40, "/fails-at/panic-bad/500")["500"] in (19, 20, 21)    # turns begin anew
    assert set(ask(mesh, "panic", 10)["names"]) == {"panic-good", "panic-bad"}


def test_what_was_set_aside_is_counted_and_named(mesh):
    stats = mesh.admin("app=client", "/stats")
    clusters = mesh.admin("app=client", "/clusters")
    gate = f"outbound|8080||gate.{mesh.ns}.svc.cluster.local"
    assert f"cluster.{gate}.outlier_detection.ejections_active: 1" in stats, stats
    assert sum(line.startswith(gate) and "health_flags::/failed_outlier_check" in line for line in clusters.split("\n")) == 1, clusters
