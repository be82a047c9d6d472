# SPDX-License-Identifier: Apache-2.0
"""A sandbox for a test: `weft up` of some manifests, and what a person would type into it.

    with Sandbox("protocols", manifests, images) as mesh:
        mesh.apply("networking/all-v1.yaml")
        out = mesh.exec("deploy/client", "curl -s http://echo:8080/")
"""
import json
import os
import signal
import subprocess
import tempfile
import textwrap
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
WEFT = os.environ.get("WEFT", f"{ROOT}/build/src/weft")
APPS = f"{ROOT}/test/e2e/apps"
SAMPLE = f"{ROOT}/samples/bookinfo"

# Which program stands for which image: the test's own server and client beside what images.yaml of the sample says.
IMAGES = f"""
images:
- image: test/server
  command: [/usr/bin/python3, {APPS}/server.py]
- image: test/client
  command: [/usr/bin/sleep, infinity]
"""


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


class Sandbox:
    def __init__(self, name, manifests="", files=(), images=IMAGES, up=()):
        self.name = f"e2e-{name}-{os.getpid()}"
        self.dir = tempfile.TemporaryDirectory(prefix="weft-e2e-")
        self.files = list(files)
        self.up = list(up)
        if manifests:
            self.files.append(self.write("manifests.yaml", manifests))
        self.images = self.write("images.yaml", images)

    def write(self, name, text):
        path = os.path.join(self.dir.name, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(textwrap.dedent(text))
        return path

    def __enter__(self):
        start = time.monotonic()
        try:
            self("up", *self.files, "--detach", "--images", self.images, *self.up, timeout=90)
        except BaseException:
            self.__exit__()
            raise
        self.seconds = time.monotonic() - start
        return self

    def __exit__(self, *exc):
        run([WEFT, "down", "-s", self.name], check=False, timeout=60)
        self.dir.cleanup()

    def __call__(self, verb, *args, check=True, timeout=60, **kw):
        return run([WEFT, verb, "-s", self.name, *args], check=check, timeout=timeout, **kw)

    def apply(self, text, check=True):
        """A file's path, or YAML."""
        if "\n" in text:
            return self("apply", "-f", "-", input=textwrap.dedent(text), check=check)
        return self("apply", "-f", text, check=check)

    def delete(self, text):
        if "\n" in text:
            return self("delete", "-f", "-", input=textwrap.dedent(text), check=False)
        return self("delete", "-f", text, check=False)

    def get(self, *args):
        return json.loads(self("get", *args, "-o", "json").stdout)

    def state(self):
        """What the sandbox says of itself: where service discovery is, whether everything is ready."""
        return json.loads(run(["curl", "-s", "--abstract-unix-socket", f"weft-{self.name}", "http://x/weft/v1/sandbox"]).stdout)

    def pods(self, selector, ns="default"):
        return self.get("pods", "-n", ns, "-l", selector)["items"]

    def pod(self, selector, ns="default"):
        """The name of the one running pod with these labels."""
        names = [p["metadata"]["name"] for p in self.pods(selector, ns) if not p["metadata"].get("deletionTimestamp")]
        assert names, f"no pod {selector} in {ns}"
        return names[0]

    def sh(self, selector, command, ns="default", container=None, check=True, timeout=60):
        """A shell command in the pod's container; its output."""
        extra = ["-c", container] if container else []
        return self("exec", self.pod(selector, ns), "-n", ns, *extra, "--", "/bin/sh", "-c", command, check=check,
                    timeout=timeout).stdout

    def client(self, command, selector="app=client", ns="default", check=True, timeout=60):
        """A command of apps/client.py in the client pod."""
        return self.sh(selector, f"/usr/bin/python3 {APPS}/client.py {command}", ns, check=check, timeout=timeout)

    def node(self, *argv, check=True, timeout=60):
        return self("exec", "--node", "--", *argv, check=check, timeout=timeout)

    def ask(self, url, selector="app=client", ns="default", headers=(), check=True):
        """(status, body) of a GET from the client pod."""
        lines = " ".join(f"-H '{h}'" for h in headers)
        out = self.sh(selector, f"curl -s -m 20 -o - -w '\\n%{{http_code}}' {lines} '{url}'", ns, check=check)
        body, _, status = out.rpartition("\n")
        return int(status or 0), body

    def kill(self, program):
        """SIGKILL to every process of this sandbox with that name. From inside of its pod, a pid 1 cannot be killed."""
        parents, ours = {}, set()
        for line in run(["ps", "-eo", "pid=,ppid=,args="]).stdout.split("\n"):
            if line.strip():
                pid, parent, args = line.split(None, 2)
                parents[int(pid)] = (int(parent), args)
                if self.name in args and " up " in args:
                    ours.add(int(pid))
        killed = 0
        for pid, (parent, args) in parents.items():
            while parent and parent not in ours:
                parent = parents.get(parent, (0, ""))[0]
            if parent and os.path.basename(args.split()[0]) == program:
                os.kill(pid, signal.SIGKILL)
                killed += 1
        assert killed, f"no process {program} in the sandbox"

    def proxy_log(self, selector, ns="default"):
        """The JSON access log lines of the pod's sidecar."""
        out = self("logs", self.pod(selector, ns), "-n", ns, "-c", "istio-proxy").stdout
        lines = []
        for line in out.split("\n"):
            if line.startswith("{"):
                lines.append(json.loads(line))
        return lines


def server(name, kind="http", port=8080, labels="", port_name="http", inject=True, replicas=1, probe="", args=""):
    """Service and Deployment of a server of apps/server.py."""
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
      terminationGracePeriodSeconds: 1
      containers:
      - name: {name}
        image: test/server
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
      - {{name: client, image: test/client}}
"""


LOGGED = """---
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data:
  mesh: |
    accessLogFile: /dev/stdout
    accessLogEncoding: JSON
"""
