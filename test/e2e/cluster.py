# SPDX-License-Identifier: Apache-2.0
"""A namespace of a real Kubernetes for a test (mesh.py has the interface), and the machine below it.

    machine = Machine(); machine.up(); machine.install()        once a run: test/kube, the images, `weft install`
    with Cluster(machine, "protocols", manifests) as mesh: ...

The cluster lives in namespaces of its own, so everything that talks to it runs inside (`Machine.run`). It ends with this process,
whatever becomes of it. WEFT_E2E_KUBE=NAME uses a cluster that runs already, with weft installed or not, and leaves it running.
"""
import atexit
import itertools
import json
import os
import re
import subprocess
import sys
import textwrap

from mesh import LOGGED, ROOT, WEFT, Failed, Mesh, run, until

KUBE_UP = f"{ROOT}/test/kube/kube-up.sh"
IMAGES = os.environ.get("WEFT_E2E_IMAGES", f"{ROOT}/build/images")
OURS = ("status", "edges", "analyze", "check", "version")       # weft's verbs; kubectl has the others
CONFIG = {"accessLogFile": "/dev/stdout", "accessLogEncoding": "JSON"}


def lacks():
    """Why no cluster can be had here; empty when it can."""
    done = subprocess.run([KUBE_UP, "check"], capture_output=True, text=True)
    return "" if done.returncode == 0 else done.stderr.strip().removeprefix("kube: ")


class Machine:
    def __init__(self, name=None):
        self.name = name or os.environ.get("WEFT_E2E_KUBE") or f"e2e-{os.getpid()}"
        self.borrowed = not name and "WEFT_E2E_KUBE" in os.environ
        self.prefix, self.env, self.owner, self.pid, self.before = [], {}, None, 0, set()

    def kube_up(self, *args, check=True, timeout=1800, **kw):
        env = {**os.environ, "KUBE_NAME": self.name, "KUBE_CRDS": "no", **kw.pop("env", {})}
        return run([KUBE_UP, *args], check=check, timeout=timeout, env=env, **kw)

    def up(self):
        if not self.borrowed:
            read, self.owner = os.pipe()
            self.kube_up("up", env={"KUBE_OWNER_FD": str(read)}, pass_fds=[read])
            os.close(read)
            atexit.register(self.down)
        said = dict(line.split("=", 1) for line in self.kube_up("env").stdout.split())
        self.pid = int(said["KUBE_PID"])
        self.prefix = ["nsenter", "-t", str(self.pid), "--net", "--mount", "--pid", "--uts", f"--wd={ROOT}", "--"]
        self.env = {**os.environ, "KUBECONFIG": said["KUBECONFIG"], "PATH": f"{said['KUBE_BIN']}:{os.environ['PATH']}"}
        return self

    def down(self):
        if self.owner is not None and not self.borrowed:
            self.kube_up("down", check=False, timeout=120)
            os.close(self.owner)
            self.owner = None

    def run(self, *argv, check=True, timeout=60, **kw):
        return run([*self.prefix, *argv], check=check, timeout=timeout, env=self.env, **kw)

    def popen(self, *argv, **kw):
        return subprocess.Popen([*self.prefix, *argv], env=self.env, **kw)

    def kubectl(self, *args, **kw):
        return self.run("kubectl", *args, **kw)

    def weft(self, *args, **kw):
        return self.run(WEFT, *args, **kw)

    def load(self, *archives):
        self.kube_up("load", *archives, timeout=300)

    def install(self, again=False, images=("weft-control", "weft-proxy", "bookinfo", "test-apps")):
        """Images into the node and weft onto the cluster, as a user does it."""
        installed = self.kubectl("get", "deployment/istiod", "-n", "istio-system", check=False).returncode == 0
        if self.borrowed and installed and not again:
            return self
        if not again:
            missing = [i for i in images if not os.path.exists(f"{IMAGES}/{i}.tar")]
            if missing:
                raise Failed(f"{', '.join(missing)} is not in {IMAGES}: make images, and test/e2e/apps/container.py for test-apps")
            self.load(*(f"{IMAGES}/{i}.tar" for i in images))
            self.before = self.objects()
        self.weft("install", *[f"--set=meshConfig.{k}={v}" for k, v in CONFIG.items()], timeout=180)
        return self

    def objects(self):
        """Every object there is, by kind, namespace and name, but for those that Kubernetes makes and drops by itself."""
        kinds = self.kubectl("api-resources", "--verbs=list", "-o", "name").stdout.split()
        passing = {"events", "events.events.k8s.io", "leases.coordination.k8s.io", "endpoints", "endpointslices.discovery.k8s.io",
                   "pods", "replicasets.apps", "controllerrevisions.apps"}
        form = 'jsonpath={range .items[*]}{.kind}{" "}{.apiVersion}{" "}{.metadata.namespace}/{.metadata.name}{"\\n"}{end}'
        out = self.kubectl("get", ",".join(k for k in kinds if k not in passing), "-A", "-o", form, timeout=120).stdout
        return {line for line in out.split("\n") if line}

    def pids(self, program):
        """Processes with that name, as numbered inside."""
        found = []
        for line in self.run("ps", "-eo", "pid=,comm=").stdout.split("\n"):
            if line.split()[1:] == [program[:15]]:
                found.append(line.split()[0])
        return found


class Cluster(Mesh):
    world = "cluster"
    apps = "/apps"
    bookinfo = "/usr/local/bin/bookinfo"
    capture = "any"
    numbers = itertools.count(1)

    def __init__(self, machine, name, manifests="", files=(), inject=False, images="", up=()):
        """As Sandbox; images and up have no meaning here."""
        super().__init__()
        self.machine, self.manifests, self.files, self.inject = machine, manifests, list(files), inject
        self.ns = f"{name}-{os.getpid()}-{next(self.numbers)}"
        self.namespaces = []

    def __enter__(self):
        self.ns = self.namespace("", "istio-injection: enabled" if self.inject else "")
        try:
            for text in [*self.files, self.manifests]:
                if text and self.theirs(text):
                    self.apply(text)
            self.ready()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc):
        if not os.environ.get("WEFT_E2E_KEEP"):
            self.machine.kubectl("delete", "namespace", "--wait=false", *self.namespaces, check=False)
        self.dir.cleanup()

    def ready(self, timeout=60):
        """Waits until every Deployment is rolled out; else fails with what there is."""
        for name in self("get", "deployments", "-o", "name").stdout.split():
            if self("rollout", "status", name, f"--timeout={timeout}s", timeout=timeout + 10, check=False).returncode:
                raise Failed(f"{name} is not ready:\n{self.story()}")

    def story(self):
        """What one looks at when pods do not come up."""
        pods = self("get", "pods", "-o", "wide", check=False).stdout
        events = self("get", "events", "--sort-by=.lastTimestamp", check=False).stdout
        return pods + events + self.machine.kubectl("logs", "-n", "istio-system", "deployment/istiod", "--tail=20", check=False).stdout

    def __call__(self, verb, *args, check=True, timeout=60, **kw):
        if verb in OURS:
            return self.weft(verb, *args, check=check, timeout=timeout, **kw)
        if verb == "exec" and "-i" not in args:
            kw.setdefault("stdin", subprocess.DEVNULL)
        return self.machine.kubectl(verb, *self.where(args), *args, check=check, timeout=timeout, **kw)

    def where(self, args):
        return [] if {"-n", "-A", "--namespace"} & set(args[:args.index("--") if "--" in args else None]) else ["-n", self.ns]

    def weft(self, verb, *args, **kw):
        return self.machine.weft(verb, *self.where(args), *args, **kw)

    def namespace(self, name, labels=""):
        real = f"{self.ns}-{name}" if name else self.ns
        self.machine.kubectl("apply", "-f", "-", input=f"{{apiVersion: v1, kind: Namespace, metadata: {{name: {real}, labels: {{weft-e2e: mesh, {labels}}}}}}}")
        self.namespaces.append(real)
        until("a default account", lambda: self.machine.kubectl("get", "serviceaccount", "default", "-n", real, check=False).returncode == 0)
        return real

    def theirs(self, text):
        """Without the objects that belong to the installation (the sample's gateway is its), or to the namespace that the sandbox has
        instead of ours."""
        if "\n" not in text:
            with open(text, encoding="utf-8") as f:
                text = f.read()
        docs = re.split(r"^---.*\n", textwrap.dedent(text.replace(LOGGED, "---\n")), flags=re.M)
        skip = (r"^kind: Namespace\nmetadata:\s+(\{name: default\b|name: default$)", r"^\s*(metadata: \{.*)?namespace: istio-system\b")
        return "---\n".join(d for d in docs if d.strip() and not any(re.search(s, d, re.M) for s in skip))

    def apply(self, text, check=True, ns=None):
        return self.machine.kubectl("apply", "-n", ns or self.ns, "-f", "-", input=self.theirs(text), check=check)

    def delete(self, text, ns=None):
        return self.machine.kubectl("delete", "-n", ns or self.ns, "--ignore-not-found", "-f", "-", input=self.theirs(text), check=False)

    def discovery(self):
        """What Prometheus's role pod finds, as a file: Debian builds its Prometheus without the discovery of Kubernetes."""
        targets = []
        for pod in self.get("pods", "-A")["items"]:
            about = {"__meta_kubernetes_namespace": pod["metadata"]["namespace"], "__meta_kubernetes_pod_name": pod["metadata"]["name"]}
            for container in pod["spec"]["containers"] + pod["spec"].get("initContainers", []):
                for port in container.get("ports", []):
                    targets.append({"targets": [f"{pod['status'].get('podIP')}:{port['containerPort']}"], "labels": {
                        **about, "__meta_kubernetes_pod_container_name": container["name"],
                        "__meta_kubernetes_pod_container_port_name": port.get("name", "")}})
        return f"file_sd_configs: [{{files: [{self.write('targets.json', json.dumps(targets))}]}}]"

    def node(self, *argv, check=True, timeout=60):
        return self.machine.run(*argv, check=check, timeout=timeout)

    def kill(self, program):
        pids = self.machine.pids(program)
        assert pids, f"no process {program} in the cluster"
        self.machine.run("kill", "-9", *pids)


if __name__ == "__main__":      # cluster.py NAME: a cluster with weft on it, until `KUBE_NAME=NAME test/kube/kube-up.sh down`
    os.environ["KUBE_NAME"] = os.environ["WEFT_E2E_KUBE"] = sys.argv[1]
    machine = Machine()
    machine.kube_up("up")
    machine.up().install()
