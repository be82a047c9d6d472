#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The container image of the tests' applications: this machine's Python with gRPC, a shell, curl, server.py, client.py and the sample's
program, which makes load. In the sandbox they run without an image.

    container.py OUTPUT.tar BOOKINFO        BOOKINFO: the sample's static program, from where tools/images.py has built it

One file system under two names, weft.local/test-server:1 and weft.local/test-client:1.
"""
import glob
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, f"{os.path.dirname(os.path.dirname(os.path.dirname(HERE)))}/tools")
from image import files, oci  # noqa: E402

sys.path.insert(0, os.path.dirname(HERE))
import mesh  # noqa: E402

LEFT_OUT = {"test", "tests", "idlelib", "ensurepip", "lib2to3", "tkinter", "turtledemo", "pydoc_data", "distutils", "unittest"}


def add_tree(root, directory):
    for base, directories, names in os.walk(directory):
        directories[:] = sorted(d for d in directories if d not in LEFT_OUT and not d.startswith("config-"))
        for name in names:
            path = os.path.join(base, name)
            if not os.path.exists(path):
                continue
            root.copy(path)
            if name.endswith(".pyc"):       # valid whatever the time of its source, which is 0 in an image
                inside, (mode, code) = next(reversed(root.entries.items()))
                root.file(inside, code[:4] + b"\1\0\0\0" + code[8:])
            if name.endswith(".so"):
                root.libraries(path)


def content(bookinfo):
    root = files.Root()
    root.program("/usr/bin/python3", os.path.realpath("/usr/bin/python3"), "python3")
    add_tree(root, f"/usr/lib/{os.path.basename(os.path.realpath('/usr/bin/python3'))}")
    for package in ("grpc",):
        add_tree(root, f"/usr/lib/python3/dist-packages/{package}")
    root.program("/usr/bin/curl", "/usr/bin/curl", "curl")
    root.copy("/bin/busybox", "/usr/bin/busybox", "busybox-static")
    for tool in subprocess.run(["/bin/busybox", "--list"], capture_output=True, text=True, check=True).stdout.split():
        if f"/usr/bin/{tool}" not in root.entries:
            root.link(f"/usr/bin/{tool}", "busybox")
    root.copy(bookinfo, "/usr/local/bin/bookinfo")
    for path in glob.glob(f"{HERE}/*.py"):
        root.copy(path, f"{mesh.APPS_IN_IMAGE}/{os.path.basename(path)}")
    return root


def main():
    output, bookinfo = sys.argv[1:]
    apps = mesh.APPS_IN_IMAGE
    images = [oci.Image([mesh.SERVER_IMAGE], ["/usr/bin/python3", f"{apps}/server.py"], "0:0", "The tests' servers"),
              oci.Image([mesh.CLIENT_IMAGE], ["/usr/bin/busybox", "sleep", "2147483647"], "0:0", "The tests' client")]
    _, size = oci.write(output, content(bookinfo), images, {}, 0)
    print(f"{output}: {size / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
