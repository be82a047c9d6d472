#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What one proxied request costs, in figures that do not depend on the machine's mood.

    bench_smoke.py [PATH/TO/weft-proxy]      default: build/src/weft-proxy

Plain HTTP/1 GET with a 100 byte answer through weft-proxy on loopback: user instructions (callgrind), system calls
(strace), allocations (a counting malloc), anonymous memory when idle. Each has a ceiling in ceilings.json; a figure
above it fails. Ends by itself in less than a minute. Exit 0: all below; 1: one above; 77: a tool is missing.
"""
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
PROXY = sys.argv[1] if len(sys.argv) > 1 else f"{ROOT}/build/src/weft-proxy"
CEILINGS = json.load(open(f"{HERE}/ceilings.json", encoding="utf-8"))
RUNNING = []


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def start(argv, env=None):
    p = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, **(env or {})})
    RUNNING.append(p)
    return p


def answers(port):
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as s:
            s.sendall(b"GET / HTTP/1.1\r\nHost: ready\r\nConnection: close\r\n\r\n")
            return s.recv(64).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def wait_for(port, seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if answers(port):
            return
        time.sleep(0.02)
    sys.exit(f"nothing answers on port {port}")


def stop(p, port):
    """SIGINT ends at once; under callgrind a sleeping process may need an event to notice."""
    p.send_signal(signal.SIGINT)
    for _ in range(40):
        try:
            p.wait(0.25)
            return
        except subprocess.TimeoutExpired:
            answers(port)
    p.kill()
    p.wait()


class Bench:
    def __init__(self, work):
        self.work, self.bt = work, f"{work}/bt"
        subprocess.run(["cc", "-O2", "-o", self.bt, f"{HERE}/tools/bt.c", "-lssl", "-lcrypto"], check=True)
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", f"{work}/count.so", f"{HERE}/tools/count_malloc.c"], check=True)
        self.backend = free_port()
        start([self.bt, "serve", str(self.backend), "100"])
        wait_for(self.backend)

    def proxy(self, wrap=(), env=None, workers=1):
        port = free_port()
        p = start([*wrap, PROXY, "--bench-route", f"{port}:{self.backend}", "--concurrency", str(workers)], env)
        wait_for(port)
        return p, port

    def load(self, port, n, c=1):
        r = subprocess.run([self.bt, "load", "-c", str(c), "-n", str(n), "-T", "40", str(port)], capture_output=True,
                           text=True, timeout=60)
        got = json.loads(r.stdout)
        if r.returncode or got["errors"] or got["non200"] or got["done"] != n:
            sys.exit(f"the load of {n} requests failed: {r.stdout} {r.stderr}")

    def instructions(self):
        counts = []
        for n in (300, 1300):
            log = f"{self.work}/callgrind.{n}"
            wrap = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", f"--log-file={log}"]
            p, port = self.proxy(wrap)
            self.load(port, n)
            stop(p, port)
            counts.append(int(re.search(r"Collected : (\d+)", open(log, encoding="utf-8").read()).group(1)))
        return (counts[1] - counts[0]) / 1000

    def system_calls(self, c):
        p, port = self.proxy()
        self.load(port, 1000, c)
        out, n = f"{self.work}/strace", 2000
        st = start(["strace", "-c", "-f", "-U", "name,calls", "-o", out, "-p", str(p.pid)])
        time.sleep(1)
        self.load(port, n, c)
        st.send_signal(signal.SIGINT)
        st.wait(20)
        stop(p, port)
        # connections of the load are opened and closed under strace too: what belongs to them is not per request
        keep = ("sendto", "sendmsg", "writev", "write", "recvfrom", "recvmsg", "read", "epoll_wait", "epoll_ctl")
        calls = {f[0]: int(f[1]) for f in (line.split() for line in open(out, encoding="utf-8"))
                 if len(f) == 2 and f[1].isdigit()}
        calls["epoll_ctl"] = max(0, calls.get("epoll_ctl", 0) - 4 * c - 4)
        return sum(calls.get(k, 0) for k in keep) / n, calls["epoll_ctl"] / n

    def allocations(self):
        counts = []
        for n in (2000, 12000):
            path = f"{self.work}/mallocs.{n}"
            p, port = self.proxy(env={"LD_PRELOAD": f"{self.work}/count.so", "COUNT_MALLOC": path})
            self.load(port, n, 8)
            stop(p, port)
            counts.append(int(open(path, encoding="utf-8").read()))
        return max(0, counts[1] - counts[0]) / 10000

    def idle_kb(self):
        p, port = self.proxy(workers=2)
        self.load(port, 2000, 16)
        time.sleep(0.2)
        kb = int(re.search(r"Anonymous:\s+(\d+)", open(f"/proc/{p.pid}/smaps_rollup", encoding="utf-8").read()).group(1))
        stop(p, port)
        return kb


def main():
    missing = [t for t in ("valgrind", "strace", "cc") if not shutil.which(t)]
    if missing:
        print("skipped: missing " + ", ".join(missing))
        return 77
    began, failed = time.monotonic(), 0
    with tempfile.TemporaryDirectory(prefix="weft-bench-") as work:
        try:
            b = Bench(work)
            one, ctl = b.system_calls(1)
            figures = {
                "instructions": b.instructions(),
                "syscalls_c1": one,
                "epoll_ctl": ctl,
                "syscalls_c64": b.system_calls(64)[0],
                "allocations": b.allocations(),
                "idle_kb": b.idle_kb(),
            }
        finally:
            for p in RUNNING:
                if p.poll() is None:
                    p.terminate()
                    try:
                        p.wait(5)
                    except subprocess.TimeoutExpired:
                        p.kill()
    for name, got in figures.items():
        most, text = CEILINGS[name]["most"], CEILINGS[name]["what"]
        bad = got > most
        failed += bad
        print(f"{'FAIL' if bad else 'ok':5}{name:14}{got:12,.2f}  ceiling {most:10,.2f}   {text}")
    print(f"{time.monotonic() - began:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
