# SPDX-License-Identifier: Apache-2.0
"""The root file system of an image, collected in memory: path → mode and content. Everything belongs to root.

    root = Root()
    root.program("/usr/local/bin/weft", "build-static/src/weft")     stripped; what it loads comes with it
    root.trust_store()                                               the authorities that browsers trust

A program of ours is static and brings nothing along. A program of the distribution (iptables) brings the shared
libraries that the loader names, under the names it looks for.
"""
import glob
import os
import re
import stat
import subprocess
import tempfile

CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
LIB_DIRS = ("bin", "sbin", "lib", "lib64")      # links into /usr, as in the distribution that the libraries are from

ETC = {
    "/etc/passwd": "root:x:0:0:root:/:/sbin/nologin\n"
                   "nobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin\n"
                   "app:x:1000:1000:app:/:/sbin/nologin\n"
                   "istio-proxy:x:1337:1337:istio-proxy:/:/sbin/nologin\n",
    "/etc/group": "root:x:0:\nnogroup:x:65534:\napp:x:1000:\nistio-proxy:x:1337:\n",
    "/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n",
}

class Missing(Exception):
    """A file of the distribution is not there; the message names the package."""


class Root:
    def __init__(self):
        self.entries = {}       # path → (mode with file type, bytes, or a link's target)
        for name in LIB_DIRS:
            self.link(f"/{name}", f"usr/{name}")
        for path in ("/dev", "/proc", "/sys", "/run", "/etc/istio", "/var/lib/istio", "/var/run"):
            self.directory(path)
        self.directory("/tmp", 0o1777)
        for path, text in ETC.items():
            self.file(path, text.encode())

    def directory(self, path, mode=0o755):
        self._parents(path)
        self.entries[path] = (stat.S_IFDIR | mode, b"")

    def _parents(self, path):
        parent = os.path.dirname(path)
        if parent != "/" and parent not in self.entries:
            self.directory(parent)

    def file(self, path, content, mode=0o644):
        self._parents(path)
        self.entries[path] = (stat.S_IFREG | mode, content)

    def link(self, path, target):
        self._parents(path)
        self.entries[path] = (stat.S_IFLNK | 0o777, target)

    def copy(self, source, path=None, package=""):
        """A file of this machine, under its own name."""
        path = path or source
        for name in LIB_DIRS:
            if path.startswith(f"/{name}/"):
                path = f"/usr{path}"
        try:
            with open(source, "rb") as f:
                self.file(path, f.read(), 0o755 if os.access(source, os.X_OK) else 0o644)
        except FileNotFoundError:
            raise Missing(f"{source} is not there; install {package or 'the package that has it'}") from None

    def program(self, path, source, package=""):
        """An executable without its symbols, and the libraries that it loads."""
        if not os.path.exists(source):
            raise Missing(f"{source} is not there; {'install ' + package if package else 'it was not built'}")
        with tempfile.NamedTemporaryFile() as out:
            subprocess.run(["strip", "-s", "-o", out.name, source], check=True)
            with open(out.name, "rb") as f:
                self.file(path, f.read(), 0o755)
        self.libraries(source)

    def libraries(self, source):
        """What the loader would map for this file, and the loader itself."""
        listed = subprocess.run(["ldd", source], capture_output=True, text=True, check=False)
        if listed.returncode:       # static
            return
        for line in listed.stdout.split("\n"):
            found = re.match(r"\s*(\S+)(?: => (\S+))? \(0x", line)
            if found and "vdso" not in found.group(1):
                self.copy(found.group(2) or found.group(1))
            elif "not found" in line:
                raise Missing(f"{source} needs {line.split()[0]}, which is not there")

    def trust_store(self):
        """Where OpenSSL of this distribution, Istio's defaults and most programs look."""
        self.copy(CERTIFICATES, package="ca-certificates")
        self.link("/usr/lib/ssl/cert.pem", CERTIFICATES)

    def size(self):
        return sum(len(content) for mode, content in self.entries.values() if stat.S_ISREG(mode))


def add_iptables(root):
    """Both kinds: weft-node looks which of them the machine's kernel has rules of, as iptables-wrapper scripts do. The
    plain names are nft's, the distribution's default."""
    kinds = {"nft": "/usr/sbin/xtables-nft-multi", "legacy": "/usr/sbin/xtables-legacy-multi"}
    for kind, program in kinds.items():
        root.program(program, program, "iptables")
        for family in ("iptables", "ip6tables"):
            for end in ("", "-save", "-restore"):
                root.link(f"/usr/sbin/{family}-{kind}{end}", os.path.basename(program))
                if kind == "nft":
                    root.link(f"/usr/sbin/{family}{end}", os.path.basename(program))
    found = glob.glob("/usr/lib/*/xtables")
    if not found:
        raise Missing("the modules of iptables are not there; install iptables")
    for path in sorted(glob.glob(f"{found[0]}/*.so")):  # all: a rule of others that can't be read back would be fatal
        if os.path.islink(path):
            root.link(path, os.readlink(path))
        else:
            root.copy(path)
    root.program("/usr/bin/ip", "/bin/ip", "iproute2")
