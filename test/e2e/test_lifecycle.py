# SPDX-License-Identifier: Apache-2.0
"""Traffic flows on while things change: readiness, rollouts, certificates, the control plane."""
import json
import threading

import pytest

from mesh import LOGGED, Failed, client, server, until


@pytest.fixture(scope="module")
def mesh(world):
    manifests = LOGGED + client() + server("web", replicas=2, probe="httpGet: {path: /ready, port: 8080}", grace=5)
    with world("lifecycle", manifests) as m:
        yield m


class Load:
    """200 requests a second from the client pod for some seconds; `ended` gives the summary and fails on any error."""

    def __init__(self, mesh, seconds, rate=200):
        self.mesh, self.out = mesh, None
        # A pod is Ready a moment before the other proxies know its address: the load begins when they do.
        until("the service answers", lambda: mesh.ask("http://web:8080/")[0] == 200)

        def work():
            self.out = mesh.sh("app=client", f"{mesh.bookinfo} loadgen --url http://web:8080/ --rate {rate} --seconds {seconds}; true",
                               timeout=seconds + 60)
        self.thread = threading.Thread(target=work)
        self.thread.start()

    def ended(self):
        self.thread.join()
        summary = self.out.strip().split("\n")[-1]
        if " 0 failed" not in summary:
            log = self.mesh("logs", self.mesh.pod("app=client"), "-c", "istio-proxy", check=False).stdout
            raise Failed(self.out[-2000:] + "\n".join(line for line in log.split("\n") if '"response_code":5' in line)[-4000:])
        return int(summary.split()[1])


def test_an_application_that_writes_head_and_body_apart_is_not_slowed(mesh):
    """Nagle's algorithm at the application and a delayed acknowledgement at the proxy would make 40 ms of each request."""
    load = Load(mesh, 2)
    load.ended()
    p50 = float(load.out.split("p50 ")[-1].split()[0])
    assert p50 < 20, load.out


def test_an_unready_pod_leaves_the_endpoints_and_comes_back(mesh):
    names = lambda: set(json.loads(mesh.client("http web 8080 30"))["names"])
    both = until("two endpoints", lambda: names() if len(names()) == 2 else None)
    pod = mesh.pods("app=web")[0]["metadata"]["name"]
    mesh("exec", pod, "--", "touch", "/tmp/unready")
    try:
        until("one endpoint", lambda: len(names()) == 1)
    finally:
        mesh("exec", pod, "--", "rm", "/tmp/unready")
    assert until("two endpoints again", lambda: names() if len(names()) == 2 else None) == both


def test_no_error_while_a_deployment_rolls(mesh):
    load = Load(mesh, 15)
    before = {p["metadata"]["name"] for p in mesh.pods("app=web")}
    mesh("rollout", "restart", "deployment/web")
    mesh("rollout", "status", "deployment/web", "--timeout", "30s")
    until("all pods are new", lambda: not before & {p["metadata"]["name"] for p in mesh.pods("app=web")}, timeout=30)
    assert load.ended() >= 2900


def test_no_error_while_the_control_plane_is_killed_and_restarted(mesh):
    load = Load(mesh, 12)
    pod = mesh.pod("app=istiod", "istio-system")
    before = mesh.get("pod", pod, "-n", "istio-system")["status"]["containerStatuses"][0]["restartCount"]
    mesh.kill("weft-control")
    until("restarted and ready", lambda: (lambda s: s["restartCount"] > before and s["ready"])(
        mesh.get("pod", pod, "-n", "istio-system")["status"]["containerStatuses"][0]), timeout=30)
    mesh.apply("""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web}
spec:
  hosts: [web]
  http:
  - headers: {response: {set: {x-after: restart}}}
    route: [{destination: {host: web}}]
""")
    until("a change made after the restart arrives", lambda: "x-after: restart" in mesh.sh("app=client", "curl -si http://web:8080/"))
    assert load.ended() >= 2300


@pytest.mark.only("sandbox", "a cluster's CA is asked for short certificates in test_rotation.py")
def test_no_error_while_certificates_renew(world):
    """Certificates of a few seconds: every proxy renews several times during the load."""
    manifests = LOGGED + client() + server("web", replicas=2)
    with world("renewal", manifests, up=["--certificate-ttl", "8s"]) as short:
        load = Load(short, 15)
        serial = lambda: short.admin("app=client", "/certs")
        first = serial()
        until("another certificate", lambda: serial() != first, timeout=14)
        assert load.ended() >= 2900
