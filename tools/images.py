#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Container images without a registry and without a container tool: weft's programs and the sample as OCI archives.

    tools/images.py [NAME...]         all of weft's and the sample's, or the named ones; --list says which there are
        --output DIR                  where to write NAME.tar (build/images)
        --build DIR                   where to compile the static programs (build-static)
        --hub HUB --tag TAG           names become HUB/NAME:TAG (docker.io/weft, weft's version)
        -o json                       the table as JSON

What is where: `files.py` collects a root file system, `oci.py` packs it, this file says which image has what. The same
commit gives the same digests: names sorted, times from SOURCE_DATE_EPOCH or the commit, layers not compressed.
Exit 0 when all were written, 1 when one could not be built or is too large, 2 for wrong usage.
"""
import argparse
import json
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from image import files, oci  # noqa: E402

MB = 1 << 20

# Istio's published names of the sample, so that manifests found elsewhere run unchanged: registry, tags.
BOOKINFO_ROLES = ("productpage-v1", "details-v1", "ratings-v1", "reviews-v1", "reviews-v2", "reviews-v3")
BOOKINFO_NAMES = (
    ("docker.io/istio", ("1.16.2", "1.16.4", "1.17.0", "1.18.0", "1.19.1", "1.20.0", "1.20.1", "1.20.2", "1.20.3")),
    ("registry.istio.io/release", ("1.20.3",)),
)


class Failed(Exception):
    """What a person must act on; the message is the whole of it."""


class Archive:
    """One tar: a root file system and the images that start a program of it."""

    def __init__(self, name, about, most, programs, content, images):
        self.name, self.about, self.most, self.programs = name, about, most, programs
        self.content, self.images = content, images


def simple(name, about, user):
    """An image whose entrypoint is the program of its own name."""
    def images(hub, tag):
        return [oci.Image([f"{hub}/{name}:{tag}"], [f"/usr/local/bin/{name}"], user, f"weft: {about}")]
    return images


def bookinfo_images(hub, tag):
    yield oci.Image([f"{hub}/bookinfo:{tag}", f"{hub}/bookinfo:latest"], ["/usr/local/bin/bookinfo"], "1000:1000",
                    "Bookinfo, the sample application", ports=(9080,))
    for role in BOOKINFO_ROLES:
        service, version = role.split("-")
        names = [f"{registry}/examples-bookinfo-{role}:{t}" for registry, tags in BOOKINFO_NAMES for t in tags]
        yield oci.Image(names, ["/usr/local/bin/bookinfo", service, "--version", version], "1000:1000",
                        f"Bookinfo, the sample application: {service} {version}", ports=(9080,))


def proxy_content(root):
    root.trust_store()
    files.add_iptables(root)
    root.link("/usr/local/bin/pilot-agent", "weft-proxy")   # what people type after `kubectl exec … --`


ARCHIVES = (
    Archive("weft-control", "the control plane", 15 * MB, ("src/weft-control",), files.Root.trust_store,
            simple("weft-control", "the control plane", "1337:1337")),
    Archive("weft-proxy", "the data plane, and the init container that captures traffic", 25 * MB,
            ("src/weft-proxy", "src/weft-node"), proxy_content, simple("weft-proxy", "the data plane", "1337:1337")),
    Archive("weft", "the command line", 15 * MB, ("src/weft",), files.Root.trust_store,
            simple("weft", "the command line", "1337:1337")),
    Archive("bookinfo", "the sample application, under Istio's names too", 15 * MB, ("samples/bookinfo/bookinfo",),
            None, bookinfo_images),
)


def sh(*argv, **kw):
    try:
        done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, errors="replace", check=False, **kw)
    except FileNotFoundError:
        raise Failed(f"{argv[0]} is not installed; ./run build installs what is needed on Debian") from None
    if done.returncode:
        tail = "\n".join((done.stdout + done.stderr).strip().split("\n")[-20:])
        raise Failed(f"{' '.join(argv)}: exit {done.returncode}\n{tail}")
    return done.stdout


def version():
    with open(f"{ROOT}/meson.build", encoding="utf-8") as f:
        return re.search(r"^\s*version: '([^']+)'", f.read(), re.M).group(1)


def commit():
    """(revision, seconds) of the commit; without git, or outside of a checkout, ("", 0)."""
    try:
        revision, seconds = sh("git", "log", "-1", "--format=%H %ct").split()
    except (Failed, ValueError):
        return "", 0
    dirty = sh("git", "status", "--porcelain", "--untracked-files=no").strip()
    return revision + ("-dirty" if dirty else ""), int(seconds)


def compile_static(build, programs):
    """Builds the programs without shared libraries; paths of this machine stay out of them."""
    if not os.path.exists(f"{build}/build.ninja"):
        here = os.path.relpath(ROOT, build)
        sh("meson", "setup", build, "-Dstatic=true", "-Dtests=false", "-Ddebug=false", "-Doptimization=2",
           *(f"-D{lang}_args=-ffile-prefix-map={here}/=" for lang in ("c", "cpp")))
    sh("ninja", "-C", build, *programs)


def write_archive(archive, options, labels, seconds):
    root = files.Root()
    for program in archive.programs:
        root.program(f"/usr/local/bin/{os.path.basename(program)}", f"{options.build}/{program}")
    if archive.content:
        archive.content(root)
    images = list(archive.images(options.hub, options.tag))
    path = f"{options.output}/{archive.name}.tar"
    digests, size = oci.write(path, root, images, labels, seconds)
    if size > archive.most:
        raise Failed(f"{path}: the root file system has {size} bytes, more than the {archive.most} that are allowed")
    return [{"image": archive.name, "file": path, "size": size, "digest": digest, "names": image.names}
            for image, digest in zip(images, digests)]


def show(rows):
    table = [("IMAGE", "NAME", "SIZE", "DIGEST")]
    for row in rows:
        more = f" and {len(row['names']) - 1} more" if len(row["names"]) > 1 else ""
        table.append((row["image"], row["names"][0] + more, f"{row['size'] / MB:.1f} MB", row["digest"][:19]))
    widths = [max(len(line[i]) for line in table) for i in range(4)]
    for line in table:
        print("   ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip())


def main():
    known = {a.name: a for a in ARCHIVES}
    parser = argparse.ArgumentParser(prog="images.py", description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="; ".join(f"{a.name}: {a.about}" for a in ARCHIVES))
    parser.add_argument("--output", default=f"{ROOT}/build/images")
    parser.add_argument("--build", default=f"{ROOT}/build-static")
    parser.add_argument("--hub", default=os.environ.get("HUB") or "docker.io/weft")
    parser.add_argument("--tag", default=os.environ.get("TAG") or version())
    parser.add_argument("--list", action="store_true", help="the images there are")
    parser.add_argument("-o", dest="format", choices=("table", "json"), default="table")
    options = parser.parse_args()
    if options.list:
        print("\n".join(f"{a.name:14} {a.about}" for a in ARCHIVES))
        return 0
    for name in options.names:
        if name not in known:
            parser.error(f"there is no image {name}; --list says which there are")
    chosen = [known[name] for name in options.names or known]
    try:
        revision, seconds = commit()
        seconds = int(os.environ.get("SOURCE_DATE_EPOCH") or seconds)
        labels = oci.labels(options.tag, revision)
        os.makedirs(options.output, exist_ok=True)
        options.build = os.path.abspath(options.build)
        compile_static(options.build, [p for a in chosen for p in a.programs])
        rows = [row for a in chosen for row in write_archive(a, options, labels, seconds)]
    except (Failed, files.Missing) as e:
        print(f"images: {e}", file=sys.stderr)
        return 1
    if options.format == "json":
        print(json.dumps({"images": rows}, indent=2))
    else:
        show(rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
