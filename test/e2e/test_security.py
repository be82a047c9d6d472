# SPDX-License-Identifier: Apache-2.0
"""Identity and mutual TLS: what is on the wire, who is served under PERMISSIVE and STRICT, who is injected."""
import json
import threading
import time

import pytest

from mesh import CLIENT_IMAGE, LOGGED, client, server, until

@pytest.fixture(scope="module")
def mesh(world):
    with world("security", LOGGED + client() + client("outsider", inject=False) + server("web")) as m:
        yield m


def strict(mode):
    return f"""
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {{name: default}}
spec: {{mtls: {{mode: {mode}}}}}
"""


def test_no_plaintext_http_between_meshed_pods(mesh):
    done = {}

    def capture():
        done["out"] = mesh.node("timeout", "6", "tcpdump", "-n", "-i", mesh.capture, "-A", "-s", "0", "-l", "tcp", check=False).stdout
    t = threading.Thread(target=capture)
    t.start()
    time.sleep(1.5)
    assert json.loads(mesh.client("http web 8080 20 /canary-in-the-mesh"))["200"] == 20
    mesh.client("http web 8080 5 /canary-from-outside", selector="app=outsider")
    t.join()
    assert "canary-from-outside" in done["out"], "the capture itself does not work"
    assert "canary-in-the-mesh" not in done["out"]


def test_a_client_without_sidecar_is_served_under_permissive_and_refused_under_strict(mesh):
    assert mesh.ask("http://web:8080/", "app=outsider")[0] == 200
    mesh.apply(strict("STRICT"))
    try:
        until("outsider refused", lambda: mesh.ask("http://web:8080/", "app=outsider", check=False)[0] == 0)
        assert mesh.ask("http://web:8080/")[0] == 200
    finally:
        mesh.delete(strict("STRICT"))
    until("outsider served again", lambda: mesh.ask("http://web:8080/", "app=outsider", check=False)[0] == 200)


def test_the_server_knows_its_client(mesh):
    _, body = mesh.ask("http://web:8080/")
    xfcc = json.loads(body)["headers"]["x-forwarded-client-cert"]
    assert f"URI={mesh.identity()}" in xfcc


# Namespace label, pod label, pod annotation, injected?
TABLE = [
    ("enabled", None, None, True), ("enabled", "true", None, True), ("enabled", "false", None, False),
    ("disabled", None, None, False), ("disabled", "true", None, False),
    ("plain", None, None, False), ("plain", "true", None, True), ("plain", "false", None, False),
    ("enabled", None, "false", False), ("plain", None, "true", False),
]


def test_pods_are_injected_by_the_decision_table(mesh):
    where = {"enabled": mesh.namespace("enabled", "istio-injection: enabled"),
             "disabled": mesh.namespace("disabled", "istio-injection: disabled"), "plain": mesh.namespace("plain")}
    for i, (ns, label, annotation, _) in enumerate(TABLE):
        labels = f'sidecar.istio.io/inject: "{label}"' if label else ""
        annotations = f'annotations: {{sidecar.istio.io/inject: "{annotation}"}}' if annotation else ""
        mesh.apply(f"""
apiVersion: v1
kind: Pod
metadata:
  name: case-{i}
  namespace: {where[ns]}
  labels: {{app: case, {labels}}}
  {annotations}
spec:
  terminationGracePeriodSeconds: 0
  containers: [{{name: app, image: {CLIENT_IMAGE}}}]
""", ns=where[ns])
    wrong = []
    for i, (ns, label, annotation, expected) in enumerate(TABLE):
        pod = mesh.get("pod", f"case-{i}", "-n", where[ns])
        names = [c["name"] for c in pod["spec"].get("initContainers", []) + pod["spec"]["containers"]]
        if ("istio-proxy" in names) != expected:
            wrong.append((ns, label, annotation, names))
        mesh("delete", "pod", f"case-{i}", "-n", where[ns], check=False)
    assert not wrong


def test_the_init_container_asks_for_istios_capture(mesh):
    """What it then writes is compared rule by rule in test/unit/node."""
    pod = mesh.pod("app=web")
    init = mesh.get("pod", pod)["spec"]["initContainers"][0]
    assert init["args"][0] in ("istio-iptables", "iptables")
    assert init["args"][1:] == ["-p", "15001", "-z", "15006", "-u", "1337", "-m", "REDIRECT", "-i", "*", "-x", "", "-b", "*",
                                "-d", "15090,15021,15020", "--log_output_level=default:info"]
