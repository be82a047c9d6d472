# SPDX-License-Identifier: Apache-2.0
"""A sandbox for a test: `weft up` of some manifests, and what a person would type into it (mesh.py has the interface).

    with Sandbox("protocols", manifests) as mesh:
        mesh.apply("networking/all-v1.yaml")
        out = mesh("exec", "deploy/client", "--", "curl", "-s", "http://echo:8080/").stdout
"""
import json
import os
import signal
import textwrap
import time

from mesh import CLIENT_IMAGE, LOGGED, ROOT, SAMPLE, SERVER_IMAGE, WEFT, Failed, Mesh, client, run, server, until

__all__ = ["APPS", "IMAGES", "LOGGED", "ROOT", "SAMPLE", "WEFT", "Failed", "Sandbox", "client", "run", "server", "until"]

APPS = f"{ROOT}/test/e2e/apps"

# Which program stands for which image: the test's own server and client; the sample's are added.
IMAGES = f"""
images:
- image: {SERVER_IMAGE}
  command: [/usr/bin/python3, {APPS}/server.py]
- image: {CLIENT_IMAGE}
  command: [/usr/bin/sleep, infinity]
"""


class Sandbox(Mesh):
    world = "sandbox"
    apps = APPS
    bookinfo = f"{ROOT}/build/samples/bookinfo/bookinfo"

    def __init__(self, name, manifests="", files=(), inject=False, images="", up=()):
        """inject: label the namespace, as the sample's manifests do. images: more entries of images.yaml. up: more flags."""
        super().__init__()
        self.name = f"e2e-{name}-{os.getpid()}"
        self.files = list(files)
        self.up = list(up)
        if inject:
            manifests = "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: default, labels: {istio-injection: enabled}}\n" + manifests
        if manifests:
            self.files.append(self.write("manifests.yaml", manifests))
        with open(f"{SAMPLE}/images.yaml", encoding="utf-8") as f:
            sample = f.read().partition("images:\n")[2]
        self.images = self.write("images.yaml", IMAGES + sample + images)

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

    def namespace(self, name, labels=""):
        self.apply(f"apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}, labels: {{{labels}}}}}\n")
        return name

    def apply(self, text, check=True, ns=None):
        where = ["-n", ns] if ns else []
        if "\n" in text:
            return self("apply", *where, "-f", "-", input=textwrap.dedent(text), check=check)
        return self("apply", *where, "-f", text, check=check)

    def delete(self, text, ns=None):
        where = ["-n", ns] if ns else []
        if "\n" in text:
            return self("delete", *where, "-f", "-", input=textwrap.dedent(text), check=False)
        return self("delete", *where, "-f", text, check=False)

    def state(self):
        """What the sandbox says of itself: where service discovery is, whether everything is ready."""
        return json.loads(run(["curl", "-s", "--abstract-unix-socket", f"weft-{self.name}", "http://x/weft/v1/sandbox"]).stdout)

    def discovery(self):
        """How a Prometheus at the node finds this mesh's pods."""
        return f'http_sd_configs: [{{url: "{self.state()["serviceDiscovery"]}", refresh_interval: 1s}}]'

    def node(self, *argv, check=True, timeout=60):
        return self("exec", "--node", "--", *argv, check=check, timeout=timeout)

    def kill(self, program):
        """From inside of its pod, a pid 1 cannot be killed."""
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
