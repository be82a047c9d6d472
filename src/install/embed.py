#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes files into a C array: embed.py OUT ROOT FILE… ; each is {path below ROOT, its bytes}."""
import os
import sys

out, root, files = sys.argv[1], sys.argv[2], sys.argv[3:]


def literal(data):
    """C string literals, a line of the file each."""
    lines = data.split(b"\n")
    for i, line in enumerate(lines):
        text = "".join(chr(c) if 32 <= c < 127 and c not in b'"\\?' else f"\\{c:03o}" for c in line)
        yield f'     "{text}{"" if i == len(lines) - 1 else chr(92) + "n"}"'


with open(out, "w", encoding="ascii") as f:
    f.write('#include "install/chart_files.h"\n\nconst struct chart_file chart_files[] = {\n')
    for path in sorted(files):
        with open(path, "rb") as source:
            data = source.read()
        f.write(f'    {{"{os.path.relpath(path, root)}",\n' + "\n".join(literal(data)) + f",\n     {len(data)}}},\n")
    f.write("};\n" + f"const size_t chart_files_n = {len(files)};\n")
