#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""House rules that a machine can check: layers, first screens, sizes, formatting.

    tools/lint.py [CHECK...]      all checks, or the named ones: layers story sizes format tidy

Exit 0 when everything holds, 1 with one line per finding (file:line: what is wrong, what to do).
Formatting uses clang-format-14, tidy clang-tidy-14 on the files changed since the last commit (all with CI=true
would take too long; the compilers' warnings are errors there anyway).
"""
import os
import re
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
MOST_FILES = 40     # in one folder: more and a newcomer no longer reads the listing
MOST_LINES = 800    # in one file: more can't be held in the head
STORY_WITHIN = 12   # the line before which a file says what it is for


def tracked(*endings):
    out = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True,
                         check=True).stdout
    return [f for f in out.split("\n") if f.endswith(endings) and os.path.exists(f"{ROOT}/{f}")]


def read(path):
    with open(f"{ROOT}/{path}", encoding="utf-8", errors="replace") as f:
        return f.read()


def layers():
    allowed = {}
    for line in read("tools/layers.txt").split("\n"):
        line = line.split("#")[0].strip()
        if line:
            name, rest = line.split(":")
            allowed[name.strip()] = rest.split()
    for name, may in allowed.items():       # a list in layer order can hold no cycle
        for other in may:
            if other != "*" and list(allowed).index(other) >= list(allowed).index(name):
                yield "tools/layers.txt", 1, f"{name} may not include {other}: it stands later in the list"
    for path in tracked(".c", ".h", ".cc"):
        parts = path.split("/")
        if parts[0] != "src":
            continue
        folder = parts[1] if len(parts) > 2 else "programs"
        may = allowed.get(folder)
        if may is None:
            yield path, 1, f"folder {folder} is not in tools/layers.txt"
            continue
        for n, line in enumerate(read(path).split("\n"), 1):
            m = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
            if not m:
                continue
            target = m.group(1).split("/")
            if len(target) < 2:
                yield path, n, f'include "{m.group(1)}" lacks its folder'
            elif target[0] != folder and "*" not in may and target[0] not in may:
                yield path, n, f"{folder} may not include {target[0]} (tools/layers.txt)"


def story():
    for path in tracked(".c", ".h", ".cc", ".def", ".py", ".sh"):
        head = read(path).split("\n")[:STORY_WITHIN]
        if not any("SPDX-License-Identifier: Apache-2.0" in line for line in head[:3]):
            yield path, 1, "no SPDX line: begin with SPDX-License-Identifier: Apache-2.0"
        words = " ".join(line for line in head if re.match(r'\s*(/\*|\*|//|#(?!include|pragma|define|!)|"""|[A-Z])', line)
                         and "SPDX" not in line)
        if len(words.split()) < 5:
            yield path, 1, f"no story: say what this file is for before line {STORY_WITHIN}"


def sizes():
    folders = {}
    for path in tracked(".c", ".h", ".cc", ".def", ".py", ".ts"):
        folders.setdefault(os.path.dirname(path), []).append(path)
        n = read(path).count("\n")
        if n > MOST_LINES:
            yield path, n, f"{n} lines: would two rooms read better? (at most {MOST_LINES})"
    for folder, files in folders.items():
        sources = {os.path.splitext(f)[0] for f in files}   # a .c and its .h are one thing to look at
        if len(sources) > MOST_FILES:
            yield folder, 1, f"{len(sources)} files: split the folder (at most {MOST_FILES})"


def format():  # named as people ask for it
    tool = shutil.which("clang-format-14") or shutil.which("clang-format")
    if not tool:
        print("lint: format skipped: clang-format-14 is not installed")
        return
    files = [f for f in tracked(".c", ".h", ".cc")]
    out = subprocess.run([tool, "--dry-run", *files], cwd=ROOT, capture_output=True, text=True).stderr
    bad = {}
    for m in re.finditer(r"^(.+?):(\d+):\d+: warning: code should be clang-formatted", out, re.M):
        bad.setdefault(m.group(1), m.group(2))
    for path, line in bad.items():
        yield path, line, "not formatted: make format"


def tidy():
    tool = shutil.which("clang-tidy-14") or shutil.which("clang-tidy")
    build = os.environ.get("BUILD", "build")
    if not tool or not os.path.exists(f"{ROOT}/{build}/compile_commands.json"):
        print("lint: tidy skipped: clang-tidy-14 or the build folder is missing")
        return
    changed = subprocess.run(["git", "diff", "--name-only", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.split()
    files = [f for f in changed if f.startswith("src/") and f.endswith(".c") and os.path.exists(f"{ROOT}/{f}")]
    if files:
        out = subprocess.run([tool, "-p", build, "--quiet", *files], cwd=ROOT, capture_output=True, text=True).stdout
        for m in re.finditer(r"^(.+?):(\d+):\d+: (?:warning|error): (.*)", out, re.M):
            yield os.path.relpath(m.group(1), ROOT), m.group(2), m.group(3)


CHECKS = {c.__name__: c for c in (layers, story, sizes, format, tidy)}


def main():
    names = sys.argv[1:] or list(CHECKS)
    unknown = [n for n in names if n not in CHECKS]
    if unknown:
        sys.exit(f"lint: no check {unknown[0]}; there are: {' '.join(CHECKS)}")
    found = 0
    for name in names:
        for path, line, what in CHECKS[name]():
            print(f"{path}:{line}: [{name}] {what}")
            found += 1
    print(f"lint: {' '.join(names)}: {found} finding{'s' if found != 1 else ''}")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
