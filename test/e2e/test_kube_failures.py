# SPDX-License-Identifier: Apache-2.0
"""Parts of the cluster fail while 100 requests a second pass through the mesh: none of them may fail, and what was changed meanwhile
arrives. The server is rolled in the middle of some, since a mesh that stands still has it easy."""
import time

import pytest

from mesh import client, server, until
from test_lifecycle import Load


@pytest.fixture(scope="module")
def mesh(world):
    with world("failures", client() + server("web", replicas=2, probe="httpGet: {path: /ready, port: 8080}", grace=5)) as m:
        yield m


def rule(value):
    return f"""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: web}}
spec:
  hosts: [web]
  http:
  - headers: {{response: {{set: {{x-rule: {value}}}}}}}
    route: [{{destination: {{host: web}}}}]
"""


def arrives(mesh, value, timeout=30):
    until(f"x-rule: {value}", lambda: f"x-rule: {value}" in mesh.sh("app=client", "curl -si -m 5 http://web:8080/"), timeout=timeout)


def api(mesh):
    until("the API server is back", lambda: mesh.machine.kubectl("get", "--raw", "/readyz", check=False).returncode == 0, timeout=60)


def control_pods(mesh):
    return [p for p in mesh.pods("app=istiod", "istio-system") if not p["metadata"].get("deletionTimestamp")]


def leader(mesh):
    return mesh.get("lease", "weft-leader", "-n", "istio-system")["spec"].get("holderIdentity", "")


def settled(mesh):
    until("weft-control is ready", lambda: all(c["ready"] for p in control_pods(mesh) for c in p["status"].get("containerStatuses", [])), timeout=90)


class DetachedLoad:
    """As Load, but it writes to a file in the client's pod: kubectl exec ends with the API server."""

    def __init__(self, mesh, seconds, rate=100):
        self.mesh, self.end = mesh, time.monotonic() + seconds
        before = mesh.machine.pids("bookinfo")
        mesh.sh("app=client", f"setsid {mesh.bookinfo} loadgen --url http://web:8080/ --rate {rate} --seconds {seconds} > /tmp/load 2>&1 < /dev/null &")
        self.pid, = until("the load's process", lambda: set(mesh.machine.pids("bookinfo")) - set(before))

    def text(self):
        return self.mesh.node("cat", f"/proc/{self.pid}/root/tmp/load", check=False).stdout

    def failed(self):
        """Counted by lines that the program writes for each failure; the summary comes at the end."""
        return sum(1 for line in self.text().split("\n") if "failed:" in line)

    def ended(self):
        time.sleep(max(0, self.end - time.monotonic()))
        text = lambda: self.mesh.sh("app=client", "cat /tmp/load")
        summary = until("the load's summary", lambda: next((l for l in text().split("\n") if l.startswith("total: ")), None), timeout=20)
        assert " 0 failed" in summary, text()[-2000:]


def test_no_request_fails_while_the_api_server_is_dead_for_a_minute(mesh):
    settled(mesh)
    mesh.apply(rule("before"))
    arrives(mesh, "before")
    load = DetachedLoad(mesh, 75)
    mesh.machine.kube_up("stop", "kube-apiserver")
    time.sleep(60)
    assert load.failed() == 0
    mesh.machine.kube_up("start", "kube-apiserver")
    api(mesh)
    mesh.apply(rule("after"))
    arrives(mesh, "after", timeout=45)
    load.ended()
    settled(mesh)


def test_no_request_fails_while_etcd_restarts(mesh):
    load = Load(mesh, 20, rate=100)
    mesh.machine.kube_up("stop", "etcd")
    time.sleep(3)
    mesh.machine.kube_up("start", "etcd")
    api(mesh)
    mesh.apply(rule("etcd"))
    arrives(mesh, "etcd")
    load.ended()
    settled(mesh)


def test_no_request_fails_while_weft_control_is_killed_and_a_change_made_meanwhile_arrives(mesh):
    load = Load(mesh, 20, rate=100)
    mesh.kill("weft-control")
    # the validating webhook's policy is to refuse what it can't check; a person tries again
    until("the change is taken", lambda: mesh.apply(rule("killed"), check=False).returncode == 0, timeout=40)
    arrives(mesh, "killed", timeout=60)
    load.ended()
    settled(mesh)


def test_the_leader_is_killed_and_another_one_leads(mesh):
    until("two of weft-control", lambda: len(control_pods(mesh)) >= 2)
    settled(mesh)
    first = until("a leader", lambda: leader(mesh), timeout=30)
    load = Load(mesh, 25, rate=100)
    mesh("delete", "pod", first.split("_")[0], "-n", "istio-system", "--grace-period=0", "--force")
    mesh.apply(rule("leaderless"))
    arrives(mesh, "leaderless")
    until("another leader", lambda: leader(mesh) not in ("", first), timeout=40)
    load.ended()
    settled(mesh)


def test_a_pod_is_refused_or_admitted_by_the_failure_policy_while_no_webhook_answers(mesh):
    """Injection that fails must be seen, not give pods without a sidecar; other namespaces are not stopped by it."""
    mesh("scale", "deployment/istiod", "-n", "istio-system", "--replicas=0")
    try:
        until("no weft-control", lambda: not control_pods(mesh), timeout=40)
        other = mesh.namespace("other")
        pod = "{apiVersion: v1, kind: Pod, metadata: {name: %s, labels: {%s}}, spec: {terminationGracePeriodSeconds: 0, containers: [{name: x, image: kube-up.local/pause:1}]}}\n"
        start = time.monotonic()
        assert mesh.apply(pod % ("plain", "a: b"), ns=other).returncode == 0
        assert time.monotonic() - start < 15
        out = mesh.apply(pod % ("meshed", 'sidecar.istio.io/inject: "true"'), ns=other, check=False)
        assert out.returncode, "a pod that asks for a sidecar came up without one"
        assert "istio" in out.stderr
    finally:
        mesh("scale", "deployment/istiod", "-n", "istio-system", "--replicas=2")
        mesh("rollout", "status", "deployment/istiod", "-n", "istio-system", "--timeout=90s", timeout=100)
    assert mesh.ask("http://web:8080/")[0] == 200
