#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the mesh of the demo costs: time until Bookinfo is ready, time until a proxy is, memory of proxies and control plane.

    bench_mesh.py [PATH/TO/weft]      default: build/src/weft; needs root

Memory is anonymous (smaps_rollup), after ten seconds without traffic; a figure above its ceiling fails. Times depend on the
machine's mood: they are printed beside their targets and do not fail. Exit 0, 1 when one is above its ceiling, 77 without root.
"""
import os
import re
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
WEFT = sys.argv[1] if len(sys.argv) > 1 else f"{ROOT}/build/src/weft"
SAMPLE = f"{ROOT}/samples/bookinfo"
NAME = f"bench-{os.getpid()}"
PROXY_KB, CONTROL_KB, READY_MS, UP_S = 4096, 16384, 50, 5


def weft(verb, *args):
    return subprocess.run([WEFT, verb, "-s", NAME, *args], capture_output=True, text=True, timeout=90, stdin=subprocess.DEVNULL)


def processes():
    """pid and name of all that descends from our sandbox."""
    parents, ours = {}, set()
    for line in subprocess.run(["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True).stdout.strip().split("\n"):
        pid, parent, args = line.split(None, 2)
        parents[int(pid)] = (int(parent), args)
        if NAME in args and " up " in args:
            ours.add(int(pid))
    for pid, (parent, args) in parents.items():
        while parent and parent not in ours:
            parent = parents.get(parent, (0, ""))[0]
        if parent:
            yield pid, os.path.basename(args.split()[0])


def anonymous_kb(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="utf-8") as f:
        return int(re.search(r"^Anonymous:\s+(\d+)", f.read(), re.M).group(1))


def ready_ms(name=""):
    """What proxies say of their start: from exec until certificate, clusters and listeners were accepted."""
    out = []
    for pod in weft("get", "pods", "-o", "name").stdout.split():
        m = name in pod and re.search(r"ready: .* after (\d+) ms", weft("logs", pod, "-c", "istio-proxy").stdout)
        out += [int(m.group(1))] if m else []
    return out


def line(good, what, figure, bound):
    print(f"{'ok  ' if good else 'FAIL'} {what:42} {figure:>12}   {bound}")
    return good


def main():
    if os.getuid() != 0:
        print("bench_mesh: needs root")
        sys.exit(77)
    good = True
    try:
        start = time.monotonic()
        up = weft("up", *(f"{SAMPLE}/{f}.yaml" for f in ("bookinfo", "ingress", "gateway", "mesh")), "--images", f"{SAMPLE}/images.yaml", "-d")
        seconds = time.monotonic() - start
        if up.returncode:
            sys.exit(up.stderr)
        line(True, "Bookinfo: weft up until all pods are ready", f"{seconds:.2f} s", f"target {UP_S} s")
        line(True, "proxy: exec to certificate and first plan", f"{statistics.median(ready_ms()):.0f} ms", "all pods starting at once")
        alone = []
        for name in ("details-v1", "ratings-v1", "reviews-v1"):
            weft("rollout", "restart", f"deployment/{name}")
            weft("rollout", "status", f"deployment/{name}", "--timeout", "30s")
            alone += ready_ms(name)
        line(True, "the same, one pod starting alone", f"{statistics.median(alone):.0f} ms", f"target {READY_MS} ms")
        time.sleep(10)
        found = list(processes())
        proxies = [anonymous_kb(pid) for pid, name in found if name == "weft-proxy"]
        control = [anonymous_kb(pid) for pid, name in found if name == "weft-control"]
        good &= line(max(proxies) <= PROXY_KB, f"proxy: anonymous memory, largest of {len(proxies)}", f"{max(proxies):,} kB", f"ceiling {PROXY_KB:,} kB")
        good &= line(max(control) <= CONTROL_KB, "control plane: anonymous memory", f"{max(control):,} kB", f"ceiling {CONTROL_KB:,} kB")
    finally:
        weft("down")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
