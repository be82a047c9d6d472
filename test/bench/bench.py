#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measure proxies side by side on one small, noisy machine.

    bench.py SCENARIO [SCENARIO...] [--peers nginx,haproxy,envoy] [--rounds N] [--scale F]

Scenarios: b1 b1sys b1ir b2 b2rate b2sys b2ir startup scale idle b7 b7ir h2 tcp aa
Each prints a Markdown table and writes the raw samples to WORK/results.

Method: all peers of a scenario are started once and stay up; the load visits
them in turn, ROUNDS times, in a rotating order; figures are the median of the
rounds, with min-max.  CPU is the sum of /proc/PID/task/*/schedstat over the
peer's process tree, so it counts nothing but that peer.  Everything runs under
SCHED_FIFO so that niced jobs on the same machine do not preempt it.  --pin one
puts client, backend and proxies on CPU 0 (no cross-CPU wake-ups: best for CPU
per request); --pin split puts the proxies alone on CPU 1 (each wake-up is an
inter-processor interrupt, dear in a virtual machine).  Loads are bounded in count and time.
"""
import argparse
import glob
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

import peers

HERE = os.path.dirname(os.path.abspath(__file__))
WORK = os.environ.get("BENCH_WORK", os.path.join(tempfile.gettempdir(), "weft-bench"))
CERTS = f"{WORK}/certs"
BT = f"{WORK}/bt"
CPU_LOAD, CPU_PROXY = 0, 1
ARGS = None
RUNNING = []
NEXT_PORT = int(os.environ.get("BENCH_PORT", "21000"))


# -------------------------------------------------------------- processes

def port():
    global NEXT_PORT
    NEXT_PORT += 1
    return NEXT_PORT


def placed(cpu, rt):
    def pre():
        os.sched_setaffinity(0, {cpu})
        if rt:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
    return pre


class Proc:
    def __init__(self, argv, cpu, rt=True, log="/dev/null", **kw):
        self.p = subprocess.Popen(argv, preexec_fn=placed(cpu, rt), stderr=open(log, "ab"),
                                  stdout=kw.pop("stdout", subprocess.DEVNULL), **kw)
        self.log = log
        RUNNING.append(self)

    def pids(self):
        out, todo = [], [self.p.pid]
        while todo:
            pid = todo.pop()
            out.append(pid)
            for f in glob.glob(f"/proc/{pid}/task/*/children"):
                todo += [int(x) for x in open(f).read().split()]
        return out

    def cpu_ns(self):
        n = 0
        for pid in self.pids():
            for f in glob.glob(f"/proc/{pid}/task/*/schedstat"):
                n += int(open(f).read().split()[0])
        return n

    def ticks(self):
        """(user, system) in 10 ms ticks."""
        u = s = 0
        for pid in self.pids():
            f = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
            u, s = u + int(f[11]), s + int(f[12])
        return u, s

    def mem(self):
        """kB: rss, pss, anonymous pss, private dirty; summed over the tree.

        Differences are taken on anonymous PSS: the file part of PSS changes
        when another process maps the same binary."""
        tot = {"Rss": 0, "Pss": 0, "Pss_Anon": 0, "Private_Dirty": 0}
        for pid in self.pids():
            for line in open(f"/proc/{pid}/smaps_rollup"):
                k = line.split(":")[0]
                if k in tot:
                    tot[k] += int(line.split()[1])
        return tot

    def stop(self):
        if self.p.poll() is None:
            self.p.terminate()
            try:
                self.p.wait(10)
            except subprocess.TimeoutExpired:
                for pid in reversed(self.pids()):
                    os.kill(pid, signal.SIGKILL)
                self.p.wait(10)
        if self in RUNNING:
            RUNNING.remove(self)


def stop_all():
    for p in list(reversed(RUNNING)):
        p.stop()


class Ctx:
    def __init__(self, name, role, up, single=False, n=1000):
        self.port, self.up, self.certs, self.single, self.n = port(), up, CERTS, single, n
        self.dir = f"{WORK}/run/{name}-{role}-{self.port}"
        shutil.rmtree(self.dir, ignore_errors=True)
        os.makedirs(self.dir)
        os.chmod(self.dir, 0o777)


def answers(p, body=b"GET /api/v1/ready HTTP/1.1\r\nHost: ready\r\n\r\n"):
    try:
        with socket.create_connection(("127.0.0.1", p), 20) as s:
            if body is None:
                return True
            s.sendall(body)
            return s.recv(64).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def wait_ready(pr, p, http=True, limit=60):
    end = time.monotonic() + limit
    while time.monotonic() < end:
        if answers(p) if http else answers(p, None):
            return
        if pr.p.poll() is not None:
            break
        time.sleep(0.002)
    sys.exit(f"not ready on {p}: {pr.p.args}\n" + open(pr.log).read()[-2000:])


def spawn(name, role, up, single=False, wrap=(), rt=True, n=1000, ready=True):
    c = Ctx(name, role, up, single, n)
    d = peers.PEERS[name](role, c)
    if d is None:
        return None
    for f, text in d["files"].items():
        with open(f"{c.dir}/{f}", "w") as out:
            out.write(text)
    pr = Proc(list(wrap) + d["argv"], CPU_PROXY, rt, f"{c.dir}/log", cwd=c.dir)
    pr.port, pr.name, pr.dir = c.port, name, c.dir
    if ready:
        wait_ready(pr, c.port, http=role in ("http", "out", "scale"), limit=200)
    return pr


def backend(body, kind="serve"):
    p = port()
    argv = [BT, kind, str(p)] + ([str(body)] if kind == "serve" else [])
    pr = Proc(argv, CPU_LOAD)
    pr.port, pr.name = p, "direct"
    wait_ready(pr, p, http=kind == "serve")
    return pr


def load(p, n, c=1, *extra, rt=True):
    r = subprocess.run([BT, "load", "-c", str(c), "-n", str(n), *extra, str(p)],
                       preexec_fn=placed(CPU_LOAD, rt), capture_output=True, text=True, timeout=300)
    if r.returncode:
        sys.exit(f"load failed on port {p}: {r.stdout} {r.stderr}")
    return json.loads(r.stdout)


# ----------------------------------------------------------------- output

def med(xs):
    return statistics.median(xs)


def rng(xs, f="{:.1f}"):
    return f.format(med(xs)) + " (" + f.format(min(xs)) + "–" + f.format(max(xs)) + ")"


def table(title, head, rows, raw=None):
    title += f" [pin={ARGS.pin}]"
    text = f"\n### {title}\n\n| " + " | ".join(head) + " |\n|" + "---|" * len(head) + "\n"
    for r in rows:
        text += "| " + " | ".join(str(x) for x in r) + " |\n"
    print(text, flush=True)
    os.makedirs(f"{WORK}/results", exist_ok=True)
    with open(f"{WORK}/results/tables.md", "a") as f:
        f.write(time.strftime("\n<!-- %F %T -->") + text)
    if raw is not None:
        slug = re.sub(r"[^a-z0-9]+", "-", title.lower())[:60]
        with open(f"{WORK}/results/{slug}-{int(time.time())}.json", "w") as f:
            json.dump(raw, f)


def names(*drop):
    sel = ARGS.peers.split(",") if ARGS.peers else [p for p in peers.PEERS]
    return [p for p in sel if p not in drop]


def rotate(items, r):
    k = r % len(items)
    return items[k:] + items[:k]


def count(n):
    return max(200, int(n * ARGS.scale))


# -------------------------------------------------------------- scenarios

def sample(procs, fn):
    """Run fn; return (its result, CPU ns of each proc, user share over procs)."""
    a = [p.cpu_ns() for p in procs]
    ta = [p.ticks() for p in procs]
    res = fn()
    tb = [p.ticks() for p in procs]
    b = [p.cpu_ns() for p in procs]
    u = sum(y[0] - x[0] for x, y in zip(ta, tb))
    s = sum(y[1] - x[1] for x, y in zip(ta, tb))
    return res, [y - x for x, y in zip(a, b)], (u, s)


def cpu_rounds(title, chains, entry, n, c, extra=(), per=1, unit="req", rounds=None, loader=None):
    """chains: name -> list of Proc (in path order; [] = direct); entry: name -> port."""
    out = {k: {"cpu": [], "each": [], "rps": [], "p50": [], "p99": [], "u": 0, "s": 0} for k in chains}
    loader = loader or (lambda k, m: load(entry[k], m, c, *extra))
    for k in chains:                                   # warm-up
        loader(k, max(c, n // 10))
    for r in range(rounds or ARGS.rounds):
        for k in rotate(list(chains), r):
            res, cpu, (u, s) = sample(chains[k], lambda: loader(k, n))
            o = out[k]
            o["each"].append([x / n / per / 1000 for x in cpu])
            o["cpu"].append(sum(cpu) / n / per / 1000)
            o["rps"].append(res["rps"])
            o["p50"].append(res.get("p50", 0))
            o["p99"].append(res.get("p99", 0))
            o["u"] += u
            o["s"] += s
    rows = []
    for k, o in out.items():
        share = f"{100 * o['u'] / max(1, o['u'] + o['s']):.0f} %" if chains[k] else "–"
        cpu = rng(o["cpu"]) if chains[k] else "–"
        row = [k, cpu]
        if any(len(ch) > 1 for ch in chains.values()):
            row.append(" + ".join(f"{med([e[i] for e in o['each']]):.1f}"
                                  for i in range(len(chains[k]))) or "–")
        rows.append(row + [share, f"{med(o['rps']):.0f}", f"{med(o['p50']):.0f}", f"{med(o['p99']):.0f}"])
    head = ["peer", f"CPU µs/{unit} (min–max)"]
    if any(len(ch) > 1 for ch in chains.values()):
        head.append("of which, client side + server side")
    table(title, head + ["user share", f"{unit}/s", "p50 µs", "p99 µs"], rows, out)
    return out


def b1():
    be = backend(100)
    chains, entry = {"direct": []}, {"direct": be.port}
    for k in names("envoy-mesh"):
        pr = spawn(k, "http", be.port)
        if pr:
            chains[k], entry[k] = [pr], pr.port
    for c, n in ((1, 30000), (64, 60000)):
        cpu_rounds(f"B1 HTTP/1.1 keep-alive, 100 B, c={c}", chains, entry, count(n), c)
    stop_all()


def aa():
    """A/A check: the same binary twice must give a ratio near 1."""
    be = backend(100)
    a, b = spawn("nginx", "http", be.port), spawn("nginx", "http", be.port)
    o = cpu_rounds("A/A nginx twice, c=64", {"A": [a], "B": [b]}, {"A": a.port, "B": b.port},
                   count(60000), 64)
    ratio = [x / y for x, y in zip(o["A"]["cpu"], o["B"]["cpu"])]
    print("A/A ratio per pair:", rng(ratio, "{:.3f}"))
    stop_all()


def strace_count(pr, fn, n):
    """Attach strace to the whole tree, run fn (n requests), return per-request counts."""
    out = f"{pr.dir}/strace"
    argv = ["strace", "-c", "-f", "-U", "name,calls", "-o", out]
    for pid in pr.pids():
        argv += ["-p", str(pid)]
    st = subprocess.Popen(argv, stderr=subprocess.DEVNULL)
    time.sleep(1.5)
    fn()
    st.send_signal(signal.SIGINT)
    st.wait(30)
    calls = {}
    for line in open(out):
        f = line.split()
        if len(f) == 2 and f[1].isdigit() and f[0] != "total":
            calls[f[0]] = int(f[1]) / n
    return calls


def calls_text(calls):
    big = sorted(calls.items(), key=lambda x: -x[1])
    return ", ".join(f"{k} {v:.2f}" for k, v in big if v >= 0.02)


def b1sys():
    be, rows = backend(100), []
    for k in names("envoy-mesh"):
        pr = spawn(k, "http", be.port)
        if not pr:
            continue
        for c in (1, 64):
            load(pr.port, 2000, c)
            n = count(4000)
            calls = strace_count(pr, lambda: load(pr.port, n, c), n)
            rows.append([k, c, f"{sum(calls.values()):.2f}", calls_text(calls)])
        pr.stop()
    table("B1 syscalls per request (strace -c -f, 4000 requests)",
          ["peer", "c", "syscalls/req", "which"], rows, rows)
    stop_all()


def b2sys():
    be, rows = backend(1024), []
    for k in names():
        b = spawn(k, "in", be.port)
        if not b:
            continue
        a = spawn(k, "out", b.port)
        load(a.port, 2000, 16)
        n = count(4000)
        for who, pr in (("client side", a), ("server side", b)):
            calls = strace_count(pr, lambda: load(a.port, n, 16), n)
            rows.append([k, who, f"{sum(calls.values()):.2f}", calls_text(calls)])
        a.stop()
        b.stop()
    table("B2 syscalls per request, mTLS pair, c=16", ["peer", "side", "syscalls/req", "which"], rows, rows)
    stop_all()


def ir_of(k, role, up, n, loadargs, via=None):
    """Instructions of one run of peer k under callgrind that serves n requests."""
    log = f"{WORK}/run/vg-{k}-{role}-{n}"
    if os.path.exists(log):
        os.unlink(log)
    wrap = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", f"--log-file={log}"]
    t0 = time.monotonic()
    pr = spawn(k, role, up, single=True, wrap=wrap, rt=False)
    t1 = time.monotonic()
    entry, front = pr.port, None
    if via:                                     # the callgrind peer is the far one
        front = spawn(k, via, pr.port)
        entry = front.port
    load(entry, n, *loadargs, rt=False)
    if front:
        front.stop()
    # under valgrind a blocked process may only see the signal at its next event
    pr.p.terminate()
    for _ in range(60):
        try:
            pr.p.wait(1)
            break
        except subprocess.TimeoutExpired:
            answers(pr.port, None)
    pr.stop()
    ir = int(re.search(r"Collected : (\d+)", open(log).read()).group(1))
    print(f"  callgrind {k} {role} n={n}: start {t1 - t0:.1f} s, total {time.monotonic() - t0:.1f} s, Ir {ir}",
          flush=True)
    return ir


def b1ir():
    be, rows = backend(100), []
    for k in names("envoy-mesh"):
        if peers.PEERS[k]("http", Ctx(k, "probe", 1)) is None:
            continue
        n1, n2 = 500, 2500
        try:
            i1 = ir_of(k, "http", be.port, n1, (1,))
            i2 = ir_of(k, "http", be.port, n2, (1,))
            rows.append([k, f"{(i2 - i1) / (n2 - n1):,.0f}", f"{i1 / 1e6:,.0f} M"])
        except (SystemExit, AttributeError, subprocess.TimeoutExpired) as e:
            rows.append([k, "failed", str(e)[:100]])
    table("B1 user instructions per request (callgrind, c=1)",
          ["peer", "instr/req", "whole run of 500"], rows, rows)
    stop_all()


def b2ir():
    be, rows = backend(1024), []
    for k in names():
        if peers.PEERS[k]("in", Ctx(k, "probe", 1)) is None:
            continue
        res = {}
        for side in ("server", "client"):
            try:
                n1, n2 = 500, 2500
                if side == "server":
                    i1, i2 = (ir_of(k, "in", be.port, n, (1,), via="out") for n in (n1, n2))
                else:
                    b = spawn(k, "in", be.port)
                    i1, i2 = (ir_of(k, "out", b.port, n, (1,)) for n in (n1, n2))
                    b.stop()
                res[side] = f"{(i2 - i1) / (n2 - n1):,.0f}"
            except (SystemExit, AttributeError, subprocess.TimeoutExpired) as e:
                res[side] = "failed " + str(e)[:60]
        rows.append([k, res["client"], res["server"]])
    table("B2 user instructions per request (callgrind, c=1, 1 KB, mTLS pair)",
          ["peer", "client side", "server side"], rows, rows)
    stop_all()


def pairs(be):
    chains, entry = {"direct": []}, {"direct": be.port}
    for k in names():
        b = spawn(k, "in", be.port)
        if not b:
            continue
        a = spawn(k, "out", b.port)
        chains[k], entry[k] = [a, b], a.port
    return chains, entry


def b2():
    be = backend(1024)
    chains, entry = pairs(be)
    cpu_rounds("B2 mTLS pair, 1 KB, c=16, saturated", chains, entry, count(30000), 16)
    stop_all()


def b2rate():
    """Open loop, 1000 requests/s on 16 connections."""
    be = backend(1024)
    chains, entry = pairs(be)
    o = cpu_rounds("B2 mTLS pair, 1 KB, 1000 rps open loop, 16 connections", chains, entry,
                   count(10000), 16, ("-r", "1000"))
    rows, d = [], o["direct"]
    for k in chains:
        if k == "direct":
            continue
        rows.append([k, " + ".join(f"{med([e[i] for e in o[k]['each']]) / 1000:.4f}" for i in range(2)),
                     f"{med(o[k]['cpu']) / 1000:.4f}",
                     rng([x - y for x, y in zip(o[k]["p50"], d["p50"])], "{:.0f}"),
                     rng([x - y for x, y in zip(o[k]["p99"], d["p99"])], "{:.0f}")])
    table("B2 vCPU per 1000 rps and added latency of the pair",
          ["peer", "vCPU client + server side", "vCPU pair", "added p50 µs", "added p99 µs"], rows)
    # CPU of the idle pair, to separate it from per-request work
    rows = []
    for k, ch in chains.items():
        if ch:
            _, cpu, _ = sample(ch, lambda: time.sleep(10))
            rows.append([k] + [f"{x / 1e8:.4f}" for x in cpu])
    table("B2 idle CPU, % of one core over 10 s", ["peer", "client side", "server side"], rows)
    stop_all()


def startup():
    be, rows = backend(100), []
    for k in names():
        ts, ml = [], []
        for r in range(10):
            c = Ctx(k, "http", be.port)
            d = peers.PEERS[k]("http", c)
            if d is None:
                break
            for f, text in d["files"].items():
                open(f"{c.dir}/{f}", "w").write(text)
            t0 = time.monotonic()
            pr = Proc(d["argv"], CPU_PROXY, True, f"{c.dir}/log", cwd=c.dir)
            tl = None
            while True:
                if tl is None:
                    if not answers(c.port, None):
                        continue
                    tl = time.monotonic() - t0
                if answers(c.port):
                    break
            ts.append((time.monotonic() - t0) * 1000)
            ml.append(tl * 1000)
            if r == 9:
                time.sleep(2)
                cpu = pr.cpu_ns() / 1e6
                m = pr.mem()
                thr = sum(len(os.listdir(f"/proc/{p}/task")) for p in pr.pids())
                procs = len(pr.pids())
            pr.stop()
        if ts:
            exe = shutil.which(d["argv"][0])
            rows.append([k, rng(ml), rng(ts), f"{cpu:.0f}", f"{m['Rss'] / 1024:.1f}", f"{m['Pss'] / 1024:.1f}",
                         f"{m['Pss_Anon'] / 1024:.1f}", f"{m['Private_Dirty'] / 1024:.1f}", f"{procs}/{thr}",
                         f"{os.path.getsize(exe) / 1e6:.1f}"])
    table("Startup and idle memory (one route, one cluster, 1 worker)",
          ["peer", "exec → accepts, ms", "exec → first 200, ms", "CPU ms", "RSS MB", "PSS MB", "anon PSS MB",
           "private dirty MB", "processes/threads", "binary MB"], rows, rows)
    stop_all()


def scale():
    be, rows = backend(100), []
    for k in names():
        if peers.PEERS[k]("scale", Ctx(k, "probe", 1)) is None:
            continue
        small = spawn(k, "http", be.port)
        time.sleep(1)
        m0 = small.mem()
        small.stop()
        t0 = time.monotonic()
        pr = spawn(k, "scale", be.port, n=1000)
        t = time.monotonic() - t0
        # no backend listens on the routes' endpoints: a routed request must fail
        if answers(pr.port, b"GET /api/v1/x HTTP/1.1\r\nHost: svc777.local\r\n\r\n"):
            sys.exit(f"{k}: host routes are not in effect")
        time.sleep(2)
        m = pr.mem()
        cpu = pr.cpu_ns() / 1e6
        rows.append([k, f"{t * 1000:.0f}", f"{cpu:.0f}", f"{m['Rss'] / 1024:.1f}", f"{m['Pss'] / 1024:.1f}",
                     f"{(m['Pss_Anon'] - m0['Pss_Anon']) / 1024:.1f}",
                     f"{(m['Pss_Anon'] - m0['Pss_Anon']) / 1000:.1f}"])
        pr.stop()
    table("1000 clusters x 10 endpoints + 1000 host routes, static configuration",
          ["peer", "exec → first 200, ms", "CPU ms", "RSS MB", "PSS MB", "anon PSS added MB",
           "kB/cluster"], rows, rows)
    stop_all()


def idle():
    be, rows = backend(100), []
    for role, n, extra in (("http", 5000, []), ("in", 1000, ["-t", CERTS])):
        for k in names():
            pr = spawn(k, role, be.port)
            if not pr:
                continue
            load(pr.port, 2000, 16, *extra)
            time.sleep(1)
            m0 = pr.mem()
            cl = subprocess.Popen([BT, "idle", "-c", str(n), *extra, str(pr.port)], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, text=True, preexec_fn=placed(CPU_LOAD, True))
            word = cl.stdout.readline().split()
            time.sleep(3)
            m1 = pr.mem()
            alive = socket_count(pr)
            cl.stdin.close()
            cl.wait(30)
            time.sleep(3)
            m2 = pr.mem()
            rows.append([k, "plain" if role == "http" else "mTLS", n, alive, f"{m0['Pss_Anon'] / 1024:.1f}",
                         f"{m1['Pss_Anon'] / 1024:.1f}", f"{(m1['Pss_Anon'] - m0['Pss_Anon']) / n:.2f}",
                         f"{(m2['Pss_Anon'] - m0['Pss_Anon']) / 1024:.1f}"])
            if word[:2] != ["ready", "0"]:
                rows[-1][2] = f"{n} ({word})"
            pr.stop()
    table("Idle keep-alive connections, one request each, then silent",
          ["peer", "kind", "connections", "sockets open in peer", "anon PSS before MB", "with MB", "kB/connection (user)",
           "still held after close, MB"], rows, rows)
    stop_all()


def socket_count(pr):
    n = 0
    for pid in pr.pids():
        for f in os.listdir(f"/proc/{pid}/fd"):
            try:
                n += os.readlink(f"/proc/{pid}/fd/{f}").startswith("socket:")
            except OSError:
                pass
    return n


def b7():
    be = backend(100)
    plain, ep = {}, {}
    mtls, em = {}, {}
    for k in names("envoy-mesh"):
        a, b = spawn(k, "http", be.port), spawn(k, "in", be.port)
        if a and b:
            plain[k], ep[k], mtls[k], em[k] = [a], a.port, [b], b.port
    x = cpu_rounds("B8 new plain TCP connection + 1 request + close, c=8", plain, ep, count(6000), 8,
                   ("-k",), unit="conn")
    y = cpu_rounds("B7 new mTLS connection (full TLS 1.3, P-256, X25519) + 1 request + close, c=8", mtls, em,
                   count(1500), 8, ("-k", "-t", CERTS), unit="conn")
    table("B7 handshake alone = difference of the two", ["peer", "CPU µs/full mTLS handshake, server side"],
          [[k, f"{med(y[k]['cpu']) - med(x[k]['cpu']):.0f}"] for k in y])
    stop_all()


def b7ir():
    """User instructions per full mTLS handshake (+1 request +close) under callgrind."""
    be, rows = backend(100), []
    for k in names("envoy-mesh"):
        if peers.PEERS[k]("in", Ctx(k, "probe", 1)) is None:
            continue
        n1, n2 = 20, 120
        try:
            i1, i2 = (ir_of(k, "in", be.port, n, (1, "-k", "-t", CERTS)) for n in (n1, n2))
            rows.append([k, f"{(i2 - i1) / (n2 - n1):,.0f}"])
        except (SystemExit, AttributeError, subprocess.TimeoutExpired) as e:
            rows.append([k, "failed " + str(e)[:80]])
    table("B7 user instructions per full mTLS connection (handshake + 1 request + close), server side",
          ["peer", "instr/connection"], rows, rows)
    stop_all()


def h2load(p, n, c=4, m=32):
    r = subprocess.run(["h2load", "-c", str(c), "-m", str(m), "-n", str(n), "-t", "1",
                        f"http://127.0.0.1:{p}/f.txt"], preexec_fn=placed(CPU_LOAD, True),
                       capture_output=True, text=True, timeout=300)
    ok = re.search(r"(\d+) succeeded", r.stdout)
    if not ok or int(ok.group(1)) != n:
        sys.exit(f"h2load: {r.stdout} {r.stderr}")
    return {"rps": float(re.search(r"([\d.]+) req/s", r.stdout).group(1))}


def h2():
    be = backend(1024)
    d = f"{WORK}/run/h2root"
    os.makedirs(d, exist_ok=True)
    open(f"{d}/f.txt", "w").write("x" * 1024)
    p = port()
    be2 = Proc(["nghttpd", "--no-tls", "-m", "10000", "-d", d, str(p)], CPU_LOAD)
    be2.port = p
    wait_ready(be2, p, http=False)
    for role, up, title in (("h2h1", be, "HTTP/2 in, HTTP/1.1 out"), ("h2h2", be2, "HTTP/2 in, HTTP/2 out")):
        chains, entry = {}, {}
        for k in names("envoy-mesh"):
            pr = spawn(k, role, up.port)
            if pr:
                chains[k], entry[k] = [pr], pr.port
        for c, m in ((4, 32), (1, 1)):
            cpu_rounds(f"B3 {title}, 1 KB, {c} connections x {m} streams", chains, entry,
                       count(40000 if c > 1 else 10000), c, loader=lambda k, n: h2load(entry[k], n, c, m))
        for k in chains:
            chains[k][0].stop()
    stop_all()


def tcp():
    be = backend(0, "source")
    chains, entry = {}, {}
    for k in names("envoy-mesh"):
        pr = spawn(k, "tcp", be.port)
        if pr:
            chains[k], entry[k] = [pr], pr.port

    def sink(k, n):
        r = subprocess.run([BT, "sink", "-c", "1", str(entry[k]), str(n * 1000000)],
                           preexec_fn=placed(CPU_LOAD, True), capture_output=True, text=True, timeout=300)
        d = json.loads(r.stdout)
        if d["bytes"] != d["want"]:
            sys.exit(f"sink {k}: {d}")
        return {"rps": d["bytes"] / 1e6 / d["secs"]}
    o = cpu_rounds("B6a TCP bulk, plaintext, one connection", chains, entry, count(3000), 1,
                   loader=sink, unit="MB")
    table("B6a CPU-seconds per GB (10^9 bytes)", ["peer", "CPU-s/GB"],
          [[k, rng([x / 1000 for x in v["cpu"]], "{:.3f}")] for k, v in o.items()])
    stop_all()


SCENARIOS = {f.__name__: f for f in (b1, b1sys, b1ir, b2, b2rate, b2sys, b2ir, startup, scale, idle,
                                     b7, b7ir, h2, tcp, aa)}


def main():
    global ARGS, CPU_PROXY
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("scenario", nargs="+", choices=list(SCENARIOS))
    ap.add_argument("--peers", help="comma-separated, default all in peers.py")
    ap.add_argument("--rounds", type=int, default=5)
    ap.add_argument("--pin", choices=["one", "split"], default="one",
                    help="one: all on CPU 0; split: proxies alone on CPU 1")
    ap.add_argument("--scale", type=float, default=1.0, help="multiply request counts")
    ARGS = ap.parse_args()
    CPU_PROXY = 1 if ARGS.pin == "split" else 0
    signal.signal(signal.SIGTERM, lambda *a: sys.exit("terminated"))
    os.makedirs(f"{WORK}/run", exist_ok=True)
    os.chmod(WORK, 0o755)
    if not os.path.exists(f"{CERTS}/server.pem"):
        subprocess.run([f"{HERE}/gencerts.sh", CERTS], check=True, capture_output=True)
    src = f"{HERE}/tools/bt.c"
    if not os.path.exists(BT) or os.path.getmtime(BT) < os.path.getmtime(src):
        subprocess.run(["cc", "-O2", "-Wall", "-Wextra", "-o", BT, src, "-lssl", "-lcrypto"], check=True)
    try:
        for s in ARGS.scenario:
            t0 = time.monotonic()
            SCENARIOS[s]()
            print(f"({s}: {time.monotonic() - t0:.0f} s)", flush=True)
    finally:
        stop_all()


if __name__ == "__main__":
    main()
