#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the HTTP/1 codec alone costs: user instructions to parse and to write a typical head (callgrind, deterministic).

    codec_cost.py [BUILD]        default: build; needs BUILD/src/wire/libwire.a and BUILD/src/base/libbase.a
"""
import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BUILD = sys.argv[1] if len(sys.argv) > 1 else f"{ROOT}/build"


def collected(argv, work):
    log = f"{work}/log"
    subprocess.run(["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", f"--log-file={log}", *argv], check=True,
                   stdout=subprocess.DEVNULL)
    return int(re.search(r"Collected : (\d+)", open(log, encoding="utf-8").read()).group(1))


with tempfile.TemporaryDirectory(prefix="weft-bench-") as work:
    exe = f"{work}/h1_cost"
    libs = [f"{BUILD}/src/wire/libwire.a", f"{BUILD}/src/base/libbase.a"]
    subprocess.run(["cc", "-O2", "-D_GNU_SOURCE", f"-I{ROOT}/src", "-o", exe, f"{HERE}/tools/h1_cost.c", *libs, "-lnghttp2",
                    "-lyaml", "-lre2", "-lxxhash", "-lstdc++"], check=True)
    for what in ("request", "response", "write"):
        text = subprocess.run([exe, what, "1"], capture_output=True, text=True, check=True).stdout.strip()
        cost = (collected([exe, what, "11000"], work) - collected([exe, what, "1000"], work)) / 10000
        print(f"{what:9} {cost:8.0f} instructions   {text}")
