# SPDX-License-Identifier: Apache-2.0
"""A running mesh as a test sees it: one interface, two worlds.

    def test_x(mesh):
        mesh.apply("networking/all-v1.yaml")
        status, body = mesh.ask("http://echo:8080/")

sandbox.py has the Sandbox (`weft up` of some manifests), cluster.py the Cluster (a namespace of a real Kubernetes). Which one a run
uses says `pytest --on sandbox|cluster`; the fixture `world` is its class. A test that only makes sense in one world says so and
why: @pytest.mark.only("sandbox", "reason").

A test that runs on both names no namespace: `mesh.ns` is where its manifests are ("default" in the sandbox).
"""
import json
import os
import subprocess
import tempfile
import textwrap
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
WEFT = os.environ.get("WEFT", f"{ROOT}/build/src/weft")
SAMPLE = f"{ROOT}/samples/bookinfo"

SERVER_IMAGE, CLIENT_IMAGE = "weft.local/test-server:1", "weft.local/test-client:1"
APPS_IN_IMAGE = "/apps"


class Failed(AssertionError):
    """A command did not end as expected; its whole output is in the text."""


def run(argv, check=True, timeout=60, **kw):
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout, errors="replace", **kw)
    except subprocess.TimeoutExpired as e:
        raise Failed(f"{' '.join(map(str, argv))}: still running after {timeout} s\n{e.stdout}\n{e.stderr}") from None
    if check and done.returncode:
        raise Failed(f"{' '.join(map(str, argv))}: exit {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done


def until(what, probe, timeout=20, pause=0.1):
    """Waits until probe() is true and returns what it gave; fails with `what` and the last answer."""
    end, last = time.monotonic() + timeout, None
    while time.monotonic() < end:
        try:
            last = probe()
            if last:
                return last
        except Failed as e:
            last = e
        time.sleep(pause)
    raise Failed(f"not within {timeout} s: {what}; last: {last}")


class Mesh:
    """What both worlds share; a world adds the call, node(), kill() and how it comes and goes."""
    world = ""              # "sandbox" or "cluster"
    ns = "default"          # where manifests without a namespace go
    apps = ""               # the directory of apps/*.py as a container sees it
    bookinfo = ""           # the sample's program as a container sees it
    capture = "any"         # tcpdump's interface, at the node, where all traffic between pods passes

    def __init__(self):
        self.dir = tempfile.TemporaryDirectory(prefix="weft-e2e-")

    def write(self, name, text):
        path = os.path.join(self.dir.name, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(textwrap.dedent(text))
        return path

    def __call__(self, verb, *args, check=True, timeout=60, **kw):
        """A verb that `weft` and `kubectl` share (get, delete, exec, logs, rollout, label), or one of weft's (status, edges)."""
        raise NotImplementedError

    def weft(self, verb, *args, **kw):
        """The same, and it is weft that is asked, in either world."""
        return self(verb, *args, **kw)

    def namespace(self, name, labels=""):
        """Makes a namespace of this mesh and returns its real name. labels: 'a: b, c: d'"""
        raise NotImplementedError

    def apply(self, text, check=True, ns=None):
        """A file's path, or YAML. The answer's text names every refused object."""
        raise NotImplementedError

    def delete(self, text, ns=None):
        raise NotImplementedError

    def node(self, *argv, check=True, timeout=60):
        """A command on the machine that all pods share."""
        raise NotImplementedError

    def kill(self, program):
        """SIGKILL to every process of this mesh with that name, from outside of its pod."""
        raise NotImplementedError

    def get(self, *args):
        return json.loads(self("get", *args, "-o", "json").stdout)

    def pods(self, selector, ns=None):
        return self.get("pods", "-n", ns or self.ns, "-l", selector)["items"]

    def pod(self, selector, ns=None):
        """The name of the one running pod with these labels."""
        names = [p["metadata"]["name"] for p in self.pods(selector, ns) if not p["metadata"].get("deletionTimestamp")]
        assert names, f"no pod {selector} in {ns or self.ns}"
        return names[0]

    def sh(self, selector, command, ns=None, container=None, check=True, timeout=60):
        """A shell command in the pod's container; its output."""
        extra = ["-c", container] if container else []
        return self("exec", self.pod(selector, ns), "-n", ns or self.ns, *extra, "--", "/bin/sh", "-c", command, check=check,
                    timeout=timeout).stdout

    def admin(self, selector, path, ns=None):
        """The proxy's admin page, asked in its pod."""
        return self.sh(selector, f"curl -s http://127.0.0.1:15000{path}", ns)

    def client(self, command, selector="app=client", ns=None, check=True, timeout=60):
        """A command of apps/client.py in the client pod."""
        return self.sh(selector, f"/usr/bin/python3 {self.apps}/client.py {command}", ns, check=check, timeout=timeout)

    def ask(self, url, selector="app=client", ns=None, headers=(), check=True):
        """(status, body) of a GET from the client pod."""
        lines = " ".join(f"-H '{h}'" for h in headers)
        out = self.sh(selector, f"curl -s -m 20 -o - -w '\\n%{{http_code}}' {lines} '{url}'", ns, check=check)
        body, _, status = out.rpartition("\n")
        return int(status or 0), body

    def identity(self, account="default", ns=None):
        return f"spiffe://cluster.local/ns/{ns or self.ns}/sa/{account}"

    def proxy_log(self, selector, ns=None):
        """The JSON access log lines of the pod's sidecar."""
        out = self("logs", self.pod(selector, ns), "-n", ns or self.ns, "-c", "istio-proxy").stdout
        lines = []
        for line in out.split("\n"):
            if line.startswith("{"):
                lines.append(json.loads(line))
        return lines


def server(name, kind="http", port=8080, labels="", port_name="http", inject=True, replicas=1, probe="", args="", grace=1):
    """Service and Deployment of a server of apps/server.py, which ends by SIGKILL when its grace is over. Under load that must be more
    than Kubernetes takes to say that an endpoint goes: on a busy machine a second."""
    return f"""---
apiVersion: v1
kind: Service
metadata: {{name: {name}, labels: {{app: {name}}}}}
spec:
  selector: {{app: {name}}}
  ports: [{{port: {port}{f', name: {port_name}' if port_name else ''}}}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}{', ' + labels if labels else ''}, sidecar.istio.io/inject: "{str(inject).lower()}"}}}}
    spec:
      terminationGracePeriodSeconds: {grace}
      containers:
      - name: {name}
        image: {SERVER_IMAGE}
        args: [{kind}, "{port}"{args}]
        ports: [{{containerPort: {port}}}]
        readinessProbe: {{{probe or f"tcpSocket: {{port: {port}}}"}, periodSeconds: 1, failureThreshold: 1}}
"""


def client(name="client", inject=True):
    return f"""---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}, sidecar.istio.io/inject: "{str(inject).lower()}"}}}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - {{name: client, image: {CLIENT_IMAGE}}}
"""


def virtual_service(name, http, host="web"):
    """http: its rules as YAML, two spaces in."""
    return f"""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name}}}
spec:
  hosts: [{host}]
  http:
{http}
"""


# The namespace takes nothing but mutual TLS.
STRICT = """---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default}
spec: {mtls: {mode: STRICT}}
"""

# The mesh writes an access log. On a cluster that belongs to the installation, so Cluster leaves it out.
LOGGED = """---
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data:
  mesh: |
    accessLogFile: /dev/stdout
    accessLogEncoding: JSON
"""
