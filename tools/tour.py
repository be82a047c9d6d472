#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Print the first comment of every source file in layer order: the code as a book. `make tour | less`."""
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def story(path):
    text = open(path, encoding="utf-8").read()
    m = re.search(r"/\*(.*?)\*/", text, re.S)
    return [re.sub(r"^\s*\* ?", "", line).rstrip() for line in m.group(1).strip().split("\n")] if m else []


def main():
    order = [line.split(":")[0] for line in open(f"{ROOT}/tools/layers.txt") if re.match(r"\w+:", line)]
    chapters = [f for f in order if f not in ("programs",)]
    for n, folder in enumerate(chapters, 1):
        base = f"{ROOT}/src/{folder}"
        files = sorted(os.path.join(d, f) for d, _, fs in os.walk(base) for f in fs if f.endswith((".c", ".h", ".cc", ".def")))
        headers = {f[:-2] for f in files if f.endswith(".h")}
        print(f"\n{'=' * 100}\n{n}. {folder}/\n{'=' * 100}")
        for path in files:
            if path.endswith(".c") and path[:-2] in headers:
                continue        # the header tells the story; the .c says how, for its reader
            print(f"\n--- {os.path.relpath(path, ROOT)}")
            print("\n".join("    " + line if line else "" for line in story(path)))
    for path in sorted(f for f in os.listdir(f"{ROOT}/src") if f.endswith(".c")):
        print(f"\n--- src/{path}")
        print("\n".join("    " + line if line else "" for line in story(f"{ROOT}/src/{path}")))


if __name__ == "__main__":
    try:
        main()
        sys.stdout.flush()
    except BrokenPipeError:     # `make tour | head` has read enough
        os._exit(0)
