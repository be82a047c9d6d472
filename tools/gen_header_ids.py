#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Perfect hash over the names of src/wire/headers.def, for header_id_of(): writes `#define HEADER_HASH_MUL` and the slot
# table. Run by meson (src/wire/meson.build); the search takes well under a second and is deterministic.
import re
import struct
import sys

LOWER = 0x2020202020202020
MASK = (1 << 64) - 1
BITS = 9


def key(name: bytes) -> int:
    """Must equal name_key() in src/wire/headers.c."""
    n = len(name)
    if n >= 8:
        a = struct.unpack("<Q", name[:8])[0] | LOWER
        b = struct.unpack("<Q", name[-8:])[0] | LOWER
        mid = n // 2 - 4
        c = struct.unpack("<Q", name[mid:mid + 8])[0] | LOWER
        return (a ^ ((b << 5 | b >> 59) & MASK) ^ ((c << 23 | c >> 41) & MASK)) + n & MASK
    if n >= 4:
        a = struct.unpack("<I", name[:4])[0] | (LOWER & 0xFFFFFFFF)
        b = struct.unpack("<I", name[-4:])[0] | (LOWER & 0xFFFFFFFF)
        return (a << 32 | b) + n & MASK
    if n >= 2:
        a = struct.unpack("<H", name[:2])[0] | 0x2020
        return (a << 8 | name[-1] | 0x20) + n
    return n


def main(source: str, out: str) -> None:
    names = re.findall(r'^HEADER\((\w+), "([^"]+)"', open(source).read(), re.M)
    keys = [key(name.encode()) for _, name in names]
    if len(set(keys)) != len(keys):
        sys.exit("headers.def: two names with the same key, change name_key()")
    mul = 0x9E3779B97F4A7C15
    for _ in range(5_000_000):
        slots = {}
        for i, k in enumerate(keys):
            slot = (k * mul & MASK) >> (64 - BITS)
            if slot in slots:
                break
            slots[slot] = i
        else:
            break
        mul = (mul * 6364136223846793005 + 1442695040888963407) & MASK | 1
    else:
        sys.exit("headers.def: no perfect hash found, raise BITS")
    with open(out, "w") as f:
        f.write("/* Made by tools/gen_header_ids.py from headers.def. */\n")
        f.write(f"#define HEADER_HASH_BITS {BITS}\n#define HEADER_HASH_MUL UINT64_C({mul:#x})\n")
        f.write("#define HEADER_HASH_SLOTS \\\n")
        f.write(" \\\n".join(f"    [{slot}] = HEADER_{names[i][0]}," for slot, i in sorted(slots.items())) + "\n")


main(sys.argv[1], sys.argv[2])
