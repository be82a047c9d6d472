# SPDX-License-Identifier: Apache-2.0
"""What a user of Kubernetes does with pods in the mesh, and what the kubelet does: exec, logs, port-forward, probes, Jobs, both kinds of
sidecars. The server is under STRICT, so that whatever reaches the application in plain text does so because weft lets it."""
import json
import subprocess
import time

import pytest

from mesh import CLIENT_IMAGE, SERVER_IMAGE, STRICT, client, server, until


@pytest.fixture(scope="module")
def mesh(world):
    with world("workloads", STRICT + client() + server("web")) as m:
        yield m


def containers(pod):
    """name → spec of the containers, and of the init containers."""
    spec = pod["spec"]
    return {c["name"]: c for c in spec["containers"]}, {c["name"]: c for c in spec.get("initContainers", [])}


def pod(name, body, annotations="", spec=""):
    return f"""
apiVersion: v1
kind: Pod
metadata: {{name: {name}, labels: {{app: {name}, sidecar.istio.io/inject: "true"}}, annotations: {{{annotations}}}}}
spec:
  terminationGracePeriodSeconds: 1
  {spec}
  containers:
  - name: app
    image: {SERVER_IMAGE}
{body}
"""


def status_of(mesh, name):
    return {s["name"]: s for s in mesh.get("pod", name)["status"].get("containerStatuses", [])}


def test_the_sidecar_is_a_native_one_that_starts_before_the_application(mesh):
    it = mesh.pods("app=web")[0]
    plain, init = containers(it)
    assert list(plain) == ["web"]
    assert init["istio-proxy"]["restartPolicy"] == "Always"
    assert all(c["ready"] for c in it["status"]["containerStatuses"] + it["status"]["initContainerStatuses"])
    state = {s["name"]: s for s in it["status"]["initContainerStatuses"] + it["status"]["containerStatuses"]}
    assert state["istio-proxy"]["state"]["running"]["startedAt"] <= state["web"]["state"]["running"]["startedAt"]


def test_an_annotation_asks_for_a_classic_sidecar(mesh):
    mesh.apply(pod("classic", '    args: [http, "8080"]', 'sidecar.istio.io/nativeSidecar: "false"'))
    mesh("wait", "--for=condition=Ready", "pod/classic", "--timeout=30s")
    plain, init = containers(mesh.get("pod", "classic"))
    assert set(plain) == {"app", "istio-proxy"}
    assert "istio-proxy" not in init
    assert mesh.ask("http://web:8080/", "app=classic")[0] == 200
    mesh("delete", "pod", "classic")


def test_exec_and_logs_mean_the_application_unless_told_otherwise(mesh):
    name = mesh.pod("app=web")
    assert "server.py" in mesh("exec", name, "--", "cat", "/proc/1/cmdline").stdout
    assert mesh("exec", name, "-c", "istio-proxy", "--", "/usr/local/bin/weft-proxy", "--version", check=False).stdout.startswith("weft")
    assert mesh("logs", name, "-c", "istio-proxy").stdout
    mesh("logs", name)


def test_port_forward_reaches_the_application_under_strict(mesh):
    forward = mesh.machine.popen("kubectl", "-n", mesh.ns, "port-forward", mesh.pod("app=web"), "18080:8080",
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert "Forwarding" in forward.stdout.readline()
        out = json.loads(mesh.node("curl", "-s", "-m", "5", "http://127.0.0.1:18080/through-the-kubelet").stdout)
        assert out["path"] == "/through-the-kubelet"
    finally:
        forward.terminate()
        forward.wait()


PROBES = """    args: [http, "8080"]
    ports: [{containerPort: 8080, name: web}]
    startupProbe: {httpGet: {path: /status/200, port: web}, periodSeconds: 1, failureThreshold: 30}
    readinessProbe: {httpGet: {path: /ready, port: 8080, httpHeaders: [{name: X-Probe, value: kubelet}]}, periodSeconds: 1, failureThreshold: 1}
    livenessProbe: {httpGet: {path: /ready, port: 8080}, periodSeconds: 1, failureThreshold: 3, initialDelaySeconds: 5}
"""


def test_http_probes_pass_under_strict_and_still_tell_the_truth(mesh):
    mesh.apply(pod("probed", PROBES))
    mesh("wait", "--for=condition=Ready", "pod/probed", "--timeout=30s")
    app = containers(mesh.get("pod", "probed"))[0]["app"]
    assert app["readinessProbe"]["httpGet"]["path"] == "/app-health/app/readyz"
    assert app["livenessProbe"]["httpGet"]["path"] == "/app-health/app/livez"
    assert app["startupProbe"]["httpGet"]["path"] == "/app-health/app/startupz"
    assert app["readinessProbe"]["httpGet"]["port"] == 15020
    time.sleep(5)
    assert status_of(mesh, "probed")["app"]["restartCount"] == 0
    mesh("exec", "probed", "-c", "app", "--", "touch", "/tmp/unready")
    until("not ready", lambda: not status_of(mesh, "probed")["app"]["ready"], timeout=10)
    until("restarted by its liveness probe", lambda: status_of(mesh, "probed")["app"]["restartCount"] > 0, timeout=20)
    until("ready again", lambda: status_of(mesh, "probed")["app"]["ready"], timeout=20)      # a new container has a new /tmp
    mesh("delete", "pod", "probed")


def test_tcp_and_exec_probes_pass_too(mesh):
    mesh.apply(pod("tcp-probed", """    args: [http, "8080"]
    readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1, failureThreshold: 1}
    livenessProbe: {exec: {command: [/bin/sh, -c, "true"]}, periodSeconds: 1}
"""))
    mesh("wait", "--for=condition=Ready", "pod/tcp-probed", "--timeout=30s")
    mesh("delete", "pod", "tcp-probed")
    mesh.apply(pod("closed", """    args: [http, "8080"]
    readinessProbe: {tcpSocket: {port: 8081}, periodSeconds: 1, failureThreshold: 1}
"""))
    until("running", lambda: "running" in status_of(mesh, "closed").get("app", {}).get("state", {}), timeout=20)
    time.sleep(4)
    assert not status_of(mesh, "closed")["app"]["ready"], "a probe of a closed port passed: something answered in its stead"
    mesh("delete", "pod", "closed")


def job(name, command):
    return f"""
apiVersion: batch/v1
kind: Job
metadata: {{name: {name}}}
spec:
  backoffLimit: 0
  template:
    metadata: {{labels: {{app: {name}, sidecar.istio.io/inject: "true"}}}}
    spec:
      restartPolicy: Never
      containers:
      - name: job
        image: {CLIENT_IMAGE}
        command: [/bin/sh, -c, "{command}"]
"""


def test_a_job_in_the_mesh_completes(mesh):
    mesh.apply(job("works", "curl -sf -m 10 http://web:8080/from-a-job"))
    mesh("wait", "--for=condition=Complete", "job/works", "--timeout=40s")
    it = mesh.pods("app=works")[0]
    assert "istio-proxy" in containers(it)[1]
    assert it["status"]["phase"] == "Succeeded"
    assert "/from-a-job" in mesh("logs", "job/works", "-c", "job").stdout


def test_a_job_that_fails_is_failed(mesh):
    mesh.apply(job("breaks", "curl -sf -m 10 http://web:8080/; exit 3"))
    mesh("wait", "--for=condition=Failed", "job/breaks", "--timeout=40s")
    state = {s["name"]: s for s in mesh.pods("app=breaks")[0]["status"]["containerStatuses"]}
    assert state["job"]["state"]["terminated"]["exitCode"] == 3


def test_a_terminating_pod_ends_soon(mesh):
    mesh.apply(pod("ending", '    args: [http, "8080"]'))
    mesh("wait", "--for=condition=Ready", "pod/ending", "--timeout=30s")
    start = time.monotonic()
    mesh("delete", "pod", "ending", timeout=40)
    assert time.monotonic() - start < 15


def test_a_pod_with_a_restricted_user_and_read_only_root_runs(mesh):
    mesh.apply(pod("restricted", """    args: [http, "8080"]
    securityContext: {runAsUser: 1234, runAsNonRoot: true, readOnlyRootFilesystem: true, allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
"""))
    mesh("wait", "--for=condition=Ready", "pod/restricted", "--timeout=30s")
    assert mesh.ask("http://web:8080/", "app=restricted")[0] == 200
    mesh("delete", "pod", "restricted")


def test_a_headless_service_is_in_the_mesh_too(mesh):
    mesh.apply("""
apiVersion: v1
kind: Service
metadata: {name: headless}
spec:
  clusterIP: None
  selector: {app: web}
  ports: [{port: 8080, name: http}]
""")
    until("the headless name", lambda: mesh.ask("http://headless:8080/", check=False)[0] == 200)


def test_the_api_server_is_reached_from_a_meshed_pod(mesh):
    """The application's own traffic to Kubernetes leaves the mesh: controllers and operators run in meshed pods too."""
    assert mesh.sh("app=client", "curl -sk -o /dev/null -w '%{http_code}' -m 10 https://kubernetes.default/healthz") in ("200", "401", "403")
