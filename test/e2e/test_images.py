# SPDX-License-Identifier: Apache-2.0
"""The container images: what is in them, that they load and run where people load and run them, and that a build can be repeated.

Every loader has a store of its own in a temporary directory; containerd runs without network and ends with the test.
"""
import hashlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time

import pytest
from sandbox import ROOT, run

MB = 1 << 20
MOST = {"weft": 15, "weft-control": 15, "bookinfo": 15, "weft-proxy": 25}
TOOL = [sys.executable, f"{ROOT}/tools/images.py"]


def needs(*programs):
    gone = [p for p in programs if not shutil.which(p)]
    return pytest.mark.skipif(bool(gone), reason=f"not installed: {' '.join(gone)}")


def build(output, *arguments):
    out = run([*TOOL, "--output", str(output), "-o", "json", *arguments], timeout=600).stdout
    return json.loads(out)["images"]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return build(tmp_path_factory.mktemp("images"))


def archive(built, name):
    return next(row["file"] for row in built if row["image"] == name)


def members(path):
    with tarfile.open(path) as tar:
        return {m.name: tar.extractfile(m).read() for m in tar.getmembers() if m.isfile()}


def unpack(path, to):
    """The root file system of the first image, with the owners and modes that it names."""
    content = members(path)
    layer = json.loads(content["manifest.json"])[0]["Layers"][0]
    blob = to.parent / "layer.tar"
    blob.write_bytes(content[layer])
    with tarfile.open(blob) as tar:
        tar.extractall(to, numeric_owner=True)
    return to


def test_the_archives_are_no_larger_than_promised(built):
    for row in built:
        assert row["size"] <= MOST[row["image"]] * MB, row
    assert {row["image"] for row in built} == set(MOST)


def test_the_same_commit_gives_the_same_digests_wherever_it_is_built(built, tmp_path):
    again = build(tmp_path / "out", "--build", str(tmp_path / "elsewhere" / "deeper"), "weft-proxy")
    assert again[0]["digest"] == next(row["digest"] for row in built if row["image"] == "weft-proxy")
    with open(archive(built, "weft-proxy"), "rb") as one, open(again[0]["file"], "rb") as two:
        assert hashlib.sha256(one.read()).digest() == hashlib.sha256(two.read()).digest()


def test_layout_and_dockers_files_name_the_same_content(built):
    for path in {row["file"] for row in built}:
        content = members(path)
        for name, blob in content.items():
            if name.startswith("blobs/sha256/"):
                assert name.rsplit("/", maxsplit=1)[1] == hashlib.sha256(blob).hexdigest()
        docker = {name: image for image in json.loads(content["manifest.json"]) for name in image["RepoTags"]}
        index = json.loads(content["index.json"])["manifests"]
        assert {d["annotations"]["io.containerd.image.name"] for d in index} == set(docker)
        for d in index:
            manifest = json.loads(content["blobs/" + d["digest"].replace(":", "/")])
            image = docker[d["annotations"]["io.containerd.image.name"]]
            assert [image["Config"]] == ["blobs/" + manifest["config"]["digest"].replace(":", "/")]
            assert image["Layers"] == ["blobs/" + layer["digest"].replace(":", "/") for layer in manifest["layers"]]


def test_everything_belongs_to_root_and_any_user_can_read_it(built):
    for path in {row["file"] for row in built}:
        content = members(path)
        layer = tarfile.open(fileobj=io.BytesIO(content[json.loads(content["manifest.json"])[0]["Layers"][0]]))
        for m in layer.getmembers():
            assert (m.uid, m.gid, m.mtime) == (0, 0, 0), m.name
            assert m.mode & 0o444 == 0o444 and not m.mode & 0o6000, m.name
            assert m.name == "tmp" or not m.mode & 0o002 or m.issym(), m.name
        assert layer.getmember("tmp").mode == 0o1777


def test_every_image_of_the_samples_manifests_is_there(built):
    wanted = set()
    for name in os.listdir(f"{ROOT}/samples/bookinfo"):
        if name.endswith(".yaml") and name != "images.yaml":
            with open(f"{ROOT}/samples/bookinfo/{name}", encoding="utf-8") as f:
                wanted |= set(re.findall(r"^\s*(?:- )?image: (\S+)", f.read(), re.M))
    wanted.discard("auto")
    have = {name for row in built for name in row["names"]}
    for image in wanted:
        full = image if image.split("/")[0].count(".") else f"docker.io/{image}"
        assert (full if ":" in full else f"{full}:latest") in have, image


def test_a_name_of_istios_runs_the_part_that_it_stands_for(built):
    content = members(archive(built, "bookinfo"))
    for image in json.loads(content["manifest.json"]):
        config = json.loads(content[image["Config"]])["config"]
        for name in image["RepoTags"]:
            role = re.search(r"/examples-bookinfo-([a-z]+)-(v\d):", name)
            expected = [role.group(1), "--version", role.group(2)] if role else []
            assert config["Entrypoint"] == ["/usr/local/bin/bookinfo", *expected], name


@pytest.fixture(scope="module")
def ctr(built, tmp_path_factory):
    """A containerd of our own with the archives imported; a function that runs `ctr`."""
    at = tmp_path_factory.mktemp("c")
    (at / "config.toml").write_text(f'version = 2\nroot = "{at}/root"\nstate = "{at}/state"\n'
                                    'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
                                    f'[grpc]\naddress = "{at}/sock"\n')
    with open(at / "log", "wb") as log:
        daemon = subprocess.Popen(["containerd", "-c", str(at / "config.toml")], stdout=log, stderr=log)
    try:
        for _ in range(100):
            if (at / "sock").exists():
                break
            time.sleep(0.1)

        def call(*argv, **kw):
            return run(["ctr", "-a", f"{at}/sock", "-n", "weft-test", *argv], **kw).stdout
        for path in sorted({row["file"] for row in built}):
            call("images", "import", "--snapshotter", "native", path)
        yield call
    finally:
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(20)


@needs("containerd", "ctr", "runc")
def test_containerd_imports_every_name_and_runs_the_programs(built, ctr):
    assert set(ctr("images", "ls", "-q").split()) == {name for row in built for name in row["names"]}
    for name in ("weft", "weft-control", "weft-proxy"):
        image = next(row["names"][0] for row in built if row["image"] == name)
        assert ctr("run", "--rm", "--snapshotter", "native", image, f"t-{name}", name, "--version").startswith(f"{name} ")


@needs("setpriv", "unshare", "chroot")
def test_the_init_container_sets_its_rules_with_two_capabilities_and_reads_them_back(built, tmp_path):
    root = unpack(archive(built, "weft-proxy"), tmp_path / "root")
    script = (f"cd / && setpriv --bounding-set -all,+net_admin,+net_raw,+sys_chroot chroot {root} weft-proxy istio-iptables "
              "-p 15001 -z 15006 -u 1337 -m REDIRECT -i '*' -b '*' -d 15090,15021 > /dev/null && "
              f"chroot {root} iptables-save -t nat && chroot {root} ip6tables-save -t nat && chroot {root} iptables-legacy-save && "
              f"chroot {root} ip addr show lo")
    env = {"PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
    out = run(["unshare", "-n", "sh", "-c", script], env=env).stdout
    assert "-A ISTIO_REDIRECT -p tcp -j REDIRECT --to-ports 15001" in out
    assert "-A ISTIO_OUTPUT -m owner --uid-owner 1337 -j RETURN" in out
    assert "-A ISTIO_INBOUND -p tcp -m tcp --dport 15021 -j RETURN" in out


def test_names_are_looked_up_without_any_library_of_the_image(built, tmp_path):
    """glibc's resolver in a static program: /etc/hosts answers, as for the names that a kubelet writes there."""
    root = unpack(archive(built, "bookinfo"), tmp_path / "root")
    (root / "etc/hosts").write_text("127.0.0.1 ratings\n")
    script = (f"ip link set lo up; chroot {root} bookinfo ratings & sleep 0.5; "
              f"chroot {root} bookinfo loadgen --url http://ratings:9080/ratings/0 --rate 5 --seconds 1; kill $!")
    out = run(["unshare", "-n", "sh", "-c", script], env={"PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}).stdout
    assert re.search(r"total: [1-9]\d* requests, 0 failed", out), out


@needs("skopeo")
def test_skopeo_reads_layout_and_docker_archive(built):
    for kind in ("oci-archive", "docker-archive"):
        info = json.loads(run(["skopeo", "inspect", f"{kind}:{archive(built, 'weft-proxy')}"]).stdout)
        assert info["Os"] == "linux" and info["Labels"]["org.opencontainers.image.title"] == "weft: the data plane"
    row = next(row for row in built if row["image"] == "bookinfo")
    info = json.loads(run(["skopeo", "inspect", f"oci-archive:{row['file']}:{row['names'][0]}"]).stdout)
    assert info["Digest"] == row["digest"]


@needs("podman")
def test_podman_loads_every_name(built):
    with tempfile.TemporaryDirectory(prefix="weft-") as at:     # its run directory may have no more than 50 characters
        podman = ["podman", "--root", f"{at}/root", "--runroot", f"{at}/run", "--storage-driver", "vfs", "--events-backend", "none"]
        for path in sorted({row["file"] for row in built}):
            run([*podman, "load", "-q", "-i", path], timeout=120)
        have = run([*podman, "images", "--format", "{{.Repository}}:{{.Tag}}"]).stdout.split()
    assert set(have) == {name for row in built for name in row["names"]}
