# SPDX-License-Identifier: Apache-2.0
"""Every protocol passes through two sidecars byte for byte: HTTP/1.1 and 1.0, large bodies, WebSocket, gRPC, TCP with
half-close, servers that speak first, slow readers, keep-alive."""
import json

import pytest

from mesh import LOGGED, client, server, until


@pytest.fixture(scope="module")
def mesh(world):
    manifests = (LOGGED + client() + server("web") + server("old", "http10", 8081, port_name="http-old")
                 + server("rpc", "grpc", 9090, port_name="grpc") + server("raw", "tcp", 9000, port_name="tcp")
                 + server("greeter", "banner", 9001, port_name="tcp-greeter") + server("unnamed", "banner", 9002, port_name="")
                 + server("sniffed", "http", 8082, port_name=""))
    with world("protocols", manifests) as m:
        yield m


def test_requests_reuse_one_connection(mesh):
    out = json.loads(mesh.client("http web 8080 50"))
    assert out["200"] == 50


def test_the_server_sees_the_request_as_it_was_sent(mesh):
    status, body = mesh.ask("http://web:8080/some/path?a=1&b=%20x", headers=["X-Custom: Value", "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"])
    seen = json.loads(body)
    assert status == 200
    assert seen["path"] == "/some/path?a=1&b=%20x"
    assert seen["headers"]["x-custom"] == "Value"
    assert seen["headers"]["host"] == "web:8080"
    assert seen["headers"]["traceparent"].startswith("00-0af7651916cd43dd")
    assert "x-envoy-peer-metadata" not in seen["headers"]
    assert f"By={mesh.identity()}" in seen["headers"]["x-forwarded-client-cert"]


def test_a_hundred_megabytes_go_both_ways(mesh):
    assert int(mesh.client("post web 8080 100", timeout=120)) == 100 << 20


def test_http_1_0(mesh):
    assert mesh.client("http10 old 8081").strip() == "ok"
    assert mesh.client("http10 web 8080").strip() == "ok"


def test_websocket(mesh):
    assert mesh.client("ws web 8080").strip() == "ok"


def test_grpc_streams_and_trailers(mesh):
    assert mesh.client("grpc rpc 9090").strip() == "ok"


def test_tcp_with_half_close(mesh):
    assert int(mesh.client("tcp raw 9000 20")) == 20 << 20


def test_a_server_that_speaks_first_on_a_declared_port_is_heard_at_once(mesh):
    times = sorted(float(mesh.client("banner greeter 9001")) for _ in range(5))
    assert times[0] < 80, f"{times} ms: something waited for the client to speak"


def test_a_server_that_speaks_first_on_an_undeclared_port_is_heard_after_the_sniffing_timeout(mesh):
    times = sorted(float(mesh.client("banner unnamed 9002")) for _ in range(3))
    assert times[0] < 600, f"{times} ms"


def test_http_is_recognised_on_an_undeclared_port(mesh):
    assert json.loads(mesh.client("http sniffed 8082 5"))["200"] == 5
    until("the access log shows HTTP", lambda: any(l.get("protocol") == "HTTP/1.1" for l in mesh.proxy_log("app=sniffed")))


def test_slow_readers_get_every_byte(mesh):
    assert int(mesh.client("slow web 8080 8", timeout=120)) == 8 << 20


def test_chunks_and_trailers_arrive(mesh):
    out = mesh.sh("app=client", "curl -s http://web:8080/chunked/20")
    assert out == "".join(f"{i:05d}" for i in range(20))


def test_malformed_requests_get_400_and_reach_no_application(mesh):
    before = json.loads(mesh.ask("http://web:8080/seen")[1])["seen"]
    for attack in (r"GET / HTTP/1.1\r\nHost: web\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                   r"GET / HTTP/1.1\r\nHost: web\r\nContent-Length: +1\r\n\r\nx",
                   r"GET / HTTP/1.1\r\nHost : web\r\n\r\n",
                   r"GET / HTTP/1.1\r\nHost: web\r\nX: a\x00b\r\n\r\n"):
        out = mesh.client(f"raw web 8080 '{attack}'")
        assert " 400 " in out.split("\n")[0], (attack, out)
        assert "[closed]" in out or "[reset]" in out, (attack, out)
    assert json.loads(mesh.ask("http://web:8080/seen")[1])["seen"] == before
