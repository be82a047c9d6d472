#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`./run demo --kube`: Bookinfo in the mesh on a real Kubernetes, made and removed by this program.

    demo.py [--once]

The steps are a user's: weft install, label the namespace, apply the manifests. Then the page is at http://127.0.0.1:8080/productpage of
this machine until Ctrl-C; with --once there are 20 s of traffic, tables, and an exit code: 0, or 1 when a check failed.
"""
import ctypes
import json
import os
import signal
import socket
import sys
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, f"{ROOT}/test/e2e")
import cluster  # noqa: E402
from mesh import SAMPLE, Failed, until  # noqa: E402

PORT, TRAFFIC_S, EDGES = 8080, 20, 7
CLONE_NEWNET = 0x40000000


def note(text, good=True):
    print(f"  {'√' if good else '×'} {text}", file=sys.stderr, flush=True)
    return good


def copy(source, sink):
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def forward(pid, address):
    """127.0.0.1:PORT of this machine leads to an address in the cluster: a socket belongs to the network namespace that it was made in."""
    front = socket.create_server(("127.0.0.1", PORT))

    def serve():
        with open(f"/proc/{pid}/ns/net", encoding="utf-8") as ns:
            if ctypes.CDLL(None, use_errno=True).setns(ns.fileno(), CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
        while True:
            near, _ = front.accept()
            try:
                far = socket.create_connection(address, 5)
            except OSError:
                near.close()
                continue
            for pair in ((near, far), (far, near)):
                threading.Thread(target=copy, args=pair, daemon=True).start()
    threading.Thread(target=serve, daemon=True).start()


def pods_of(machine, *args):
    return json.loads(machine.kubectl("get", "pods", "-o", "json", *args).stdout)["items"]


def show(machine):
    """The tables, and whether every edge inside the mesh is encrypted."""
    good = True
    for verb in ("status", "edges"):
        done = machine.weft(verb, check=False)
        print(f"\n{done.stdout}{done.stderr}".rstrip(), flush=True)
        good = good and done.returncode == 0
        if verb == "edges" and done.returncode == 0:
            yes = sum(1 for line in done.stdout.split("\n") if " yes " in line)
            good = note(f"mutual TLS on {yes} of {EDGES} edges inside the mesh", yes >= EDGES) and good
    return good


def demo(machine, once):
    machine.up()
    note(f"Kubernetes {machine.kubectl('version', '-o', 'yaml').stdout.split('serverVersion:')[1].split('gitVersion: ')[1].split()[0]}, one node")
    machine.install(images=("weft-control", "weft-proxy", "bookinfo"))
    note("weft install: control plane istiod, webhooks, definitions, gateway istio-ingressgateway")
    machine.kubectl("label", "namespace", "default", "istio-injection=enabled", "--overwrite")
    start = time.monotonic()
    for name in ("bookinfo", "gateway", "loadgen"):
        machine.kubectl("apply", "-f", f"{SAMPLE}/{name}.yaml")
    for ns in ("default", "istio-system", "clients"):
        machine.kubectl("wait", "--for=condition=Available", "deployment", "--all", "-n", ns, "--timeout=90s", timeout=100)
    pods = pods_of(machine, "-n", "default")
    meshed = [p for p in pods if any(c["name"] == "istio-proxy" for c in p["spec"].get("initContainers", []) + p["spec"]["containers"])]
    good = note(f"{len(pods)} pods of Bookinfo, {len(meshed)} with a sidecar, ready after {time.monotonic() - start:.1f} s", len(pods) == len(meshed))
    ip = until("an address for the gateway", lambda: machine.kubectl(
        "get", "service", "istio-ingressgateway", "-n", "istio-system", "-o", "jsonpath={.status.loadBalancer.ingress[0].ip}").stdout)
    until("the page", lambda: "<" in machine.run("curl", "-sf", "-m", "5", f"http://{ip}/productpage", check=False).stdout, timeout=30)
    note(f"the page answers through the ingress gateway at {ip}")
    if once:
        time.sleep(TRAFFIC_S)
        return show(machine) and good
    forward(machine.pid, (ip, 80))
    print(f"  Bookinfo    http://127.0.0.1:{PORT}/productpage        (through the ingress gateway)\n"
          f"  Try         KUBE_NAME={machine.name} test/kube/kube-up.sh shell, and there: kubectl get pods · weft status · "
          "kubectl apply -f samples/bookinfo/networking/reviews-v3.yaml", file=sys.stderr)
    signal.pause()
    return good


def main():
    why = cluster.lacks()
    if why:
        print(f"demo: no Kubernetes can be had here: {why}", file=sys.stderr)
        return 2
    machine = cluster.Machine("demo")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        return 0 if demo(machine, "--once" in sys.argv[1:]) else 1
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return 0
    except Failed as e:
        note(str(e), False)
        return 1
    finally:
        machine.down()


if __name__ == "__main__":
    sys.exit(main())
