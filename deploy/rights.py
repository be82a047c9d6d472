#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the rules of the chart's ClusterRole and Role from src/control/rights.def, so that what weft-control is allowed is
what it says it needs. `rights.py --check` only compares (a test runs it); without it the templates are rewritten."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
BEGIN, END = "# rights.def begins\n", "# rights.def ends\n"
ROLES = {"CLUSTER": "clusterrole.yaml", "HOME": "role.yaml"}


def rights():
    text = (ROOT / "src/control/rights.def").read_text()
    text = re.sub(r"/\*.*?\*/|//[^\n]*", "", text, flags=re.S)
    string = r'((?:"[^"]*"\s*)+)'
    for row in re.finditer(rf"RIGHT\(\s*{string},\s*{string},\s*{string},\s*{string},\s*(\w+),\s*{string}\)", text):
        group, resources, verbs, names, where, why = (
            part if part.isidentifier() else "".join(re.findall(r'"([^"]*)"', part)) for part in row.groups()
        )
        yield where, group, resources.split(","), verbs.split(","), [n for n in names.split(",") if n], why


def flow(items):
    return "[" + ", ".join(i if i else '""' for i in items) + "]"


def rules(where):
    out = []
    for place, group, resources, verbs, names, why in rights():
        if place != where:
            continue
        out.append(f"# {why}\n")
        # a name cannot restrict create: the object has none yet
        parts = [(["create"], []), ([v for v in verbs if v != "create"], names)] if names and "create" in verbs else [(verbs, names)]
        for some, named in parts:
            out.append(f"- apiGroups: {flow([group])}\n  resources: {flow(resources)}\n")
            out.append(f"  resourceNames: {flow(named)}\n" if named else "")
            out.append(f"  verbs: {flow(some)}\n")
    return "".join(out)


def main():
    stale = []
    for where, name in ROLES.items():
        path = ROOT / "deploy/chart/templates" / name
        before, _, rest = path.read_text().partition(BEGIN)
        _, _, after = rest.partition(END)
        text = before + BEGIN + rules(where) + END + after
        if text != path.read_text():
            stale.append(str(path.relative_to(ROOT)))
            if "--check" not in sys.argv:
                path.write_text(text)
    if stale and "--check" in sys.argv:
        sys.exit(f"{', '.join(stale)}: not as src/control/rights.def says; run deploy/rights.py")


main()
