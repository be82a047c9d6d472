#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Run every test and end with one line: N passed, N failed, N skipped.

    tools/test.py [SUITE...]      all suites in order, or the named ones: lint unit asan tsan bench e2e kube

Each suite prints its own progress; what failed is repeated at the end with the command that runs it alone.
Exit 0 when nothing failed.
"""
import json
import os
import re
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
JOBS = ["-j", str(os.cpu_count() or 2)]


class Tally:
    def __init__(self):
        self.passed, self.failed, self.skipped = 0, [], []

    def add(self, name, result, again=""):
        if result == "passed":
            self.passed += 1
        elif result == "skipped":
            self.skipped.append((name, again))
        else:
            self.failed.append((name, again))


def sh(*argv, **kw):
    return subprocess.run(argv, cwd=ROOT, **kw)


def lint(tally):
    for check in ("layers", "story", "sizes", "format", "tidy"):
        ok = sh(sys.executable, "tools/lint.py", check).returncode == 0
        tally.add(f"lint {check}", "passed" if ok else "failed", f"tools/lint.py {check}")


def meson_suite(tally, build, *setup):
    """Build, run meson's tests, and read its machine-readable log."""
    if not os.path.exists(f"{ROOT}/{build}/build.ninja"):
        if sh("meson", "setup", build, *setup, stdout=subprocess.DEVNULL).returncode:
            return tally.add(f"{build}: configure", "failed", f"meson setup {build} {' '.join(setup)}")
    log = sh("ninja", "-C", build, *JOBS, capture_output=True, text=True)
    if log.returncode:
        print("\n".join(re.findall(r"^.*(?:error|FAILED).*$", log.stdout, re.M)[:40]))
        return tally.add(f"{build}: build", "failed", f"ninja -C {build}")
    sh("meson", "test", "-C", build, "--no-rebuild", "--print-errorlogs", "--num-processes", "2")
    path = f"{ROOT}/{build}/meson-logs/testlog.json"
    words = {"OK": "passed", "SKIP": "skipped", "EXPECTEDFAIL": "passed"}
    for line in open(path, encoding="utf-8") if os.path.exists(path) else []:
        test = json.loads(line)
        tally.add(f"{build}: {test['name']}", words.get(test["result"], "failed"),
                  f"meson test -C {build} {test['name'].split(' / ')[-1]}")


def unit(tally):
    sh("tools/helm.sh")     # once, cached like the cluster's programs; where it can't be had, unit/install/helm is skipped
    meson_suite(tally, "build")


def asan(tally):
    meson_suite(tally, "build-asan", "-Db_sanitize=address,undefined", "-Db_lundef=false", "-Darena=malloc")


def tsan(tally):
    meson_suite(tally, "build-tsan", "-Db_sanitize=thread", "-Db_lundef=false")


def bench(tally):
    for name in ("bench_smoke", "bench_mesh"):
        code = sh(sys.executable, f"test/bench/{name}.py").returncode
        tally.add(name, "passed" if code == 0 else "skipped" if code == 77 else "failed",
                  "a tool or root is missing, see above" if code == 77 else "make bench-smoke")


def pytest(tally, suite, *args):
    """The end-to-end tests, and their machine-readable report."""
    report = f"{ROOT}/build/{suite}.xml"
    if os.path.exists(report):
        os.unlink(report)
    sh("/usr/bin/python3", "-m", "pytest", "-p", "no:cacheprovider", "-v", "--tb=short", "--color=no",
       f"--junitxml={report}", *args, "test/e2e")
    if not os.path.exists(report):
        return tally.add(suite, "failed", f"python3 -m pytest {' '.join(args)} test/e2e")
    import xml.etree.ElementTree as xml
    for case in xml.parse(report).iter("testcase"):
        name = f"{case.get('classname')}::{case.get('name')}".replace("test.e2e.", "")
        kinds = {child.tag: child for child in case}
        if "failure" in kinds or "error" in kinds:
            tally.add(f"{suite} {name}", "failed", f"python3 -m pytest {' '.join(args)} test/e2e -k '{case.get('name')}'")
        elif "skipped" in kinds:
            tally.add(f"{suite} {name}", "skipped", kinds["skipped"].get("message", ""))
        else:
            tally.add(f"{suite} {name}", "passed")


def e2e(tally):
    if os.getuid() != 0:
        return tally.add("e2e", "skipped", "needs root: the sandbox makes network namespaces")
    pytest(tally, "e2e", "--on=sandbox")


def kube(tally):
    """The same cases and the cluster's own on a real Kubernetes, which is compiled at the first time."""
    done = sh("test/kube/kube-up.sh", "check", capture_output=True, text=True)
    if done.returncode:
        return tally.add("kube", "skipped", done.stderr.strip().removeprefix("kube: "))
    for step in (("test/kube/kube-up.sh", "build"), (sys.executable, "tools/images.py"),
                 (sys.executable, "test/e2e/apps/container.py", "build/images/test-apps.tar", "build-static/samples/bookinfo/bookinfo")):
        if sh(*step).returncode:
            return tally.add("kube", "failed", " ".join(step))
    pytest(tally, "kube", "--on=cluster")


SUITES = {s.__name__: s for s in (lint, unit, asan, tsan, bench, e2e, kube)}


def main():
    names = sys.argv[1:] or list(SUITES)
    tally = Tally()
    for name in names:
        start = time.time()
        print(f"== {name}", flush=True)
        SUITES[name](tally)
        print(f"== {name}: {time.time() - start:.0f} s", flush=True)
    for name, why in tally.skipped:
        print(f"skipped: {name}: {why}")
    for name, again in tally.failed:
        print(f"failed:  {name}" + (f"      again: {again}" if again else ""))
    print(f"{tally.passed} passed, {len(tally.failed)} failed, {len(tally.skipped)} skipped")
    sys.exit(1 if tally.failed else 0)


if __name__ == "__main__":
    main()
