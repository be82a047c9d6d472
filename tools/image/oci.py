# SPDX-License-Identifier: Apache-2.0
"""An archive that every container tool loads: an OCI image layout, with Docker's manifest.json and repositories beside it.

    digests, size = write("weft.tar", root, [Image([...names], [...entrypoint], "1337:1337", "title")], labels, seconds)

All images of an archive share one layer, which is not compressed: the digest then depends on no compressor's version,
a layer is its own diff id, and registries compress on the way in anyway. The same input gives the same bytes.
"""
import hashlib
import io
import json
import os
import platform
import stat
import tarfile
import time

TYPE = "application/vnd.oci.image"
MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
PATH = "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Image:
    def __init__(self, names, entrypoint, user, title, ports=()):
        self.names, self.entrypoint, self.user, self.title, self.ports = names, entrypoint, user, title, ports


def labels(version, revision):
    found = {"org.opencontainers.image.vendor": "weft", "org.opencontainers.image.licenses": "Apache-2.0",
             "org.opencontainers.image.version": version}
    if revision:
        found["org.opencontainers.image.revision"] = revision
    return found


def to_json(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def digest(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


def blob_path(content):
    return "blobs/" + digest(content).replace(":", "/")


def descriptor(kind, content, **more):
    return {"mediaType": f"{TYPE}.{kind}", "digest": digest(content), "size": len(content), **more}


def add(tar, path, mode, content, seconds):
    info = tarfile.TarInfo(path)
    info.mode, info.mtime = stat.S_IMODE(mode), seconds
    info.uname = info.gname = "root"
    if stat.S_ISDIR(mode):
        info.type = tarfile.DIRTYPE
    elif stat.S_ISLNK(mode):
        info.type, info.linkname = tarfile.SYMTYPE, content
    else:
        info.size = len(content)
    tar.addfile(info, io.BytesIO(content) if info.size else None)


def layer_of(root):
    """Times are 0: the layer depends on nothing but the files, so that it stays the same over commits that leave them."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path in sorted(root.entries):
            mode, content = root.entries[path]
            add(tar, path.lstrip("/"), mode, content, 0)
    return out.getvalue()


def config_of(image, layer, image_labels, seconds):
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
    config = {"Entrypoint": image.entrypoint, "Env": [f"PATH={PATH}"], "User": image.user, "WorkingDir": "/",
              "Labels": {"org.opencontainers.image.title": image.title, **image_labels}}
    if image.ports:
        config["ExposedPorts"] = {f"{port}/tcp": {} for port in image.ports}
    machine = platform.machine()
    return to_json({"architecture": MACHINES.get(machine, machine), "os": "linux", "created": created, "config": config,
                    "rootfs": {"type": "layers", "diff_ids": [digest(layer)]},
                    "history": [{"created": created, "created_by": "tools/images.py"}]})


def write(path, root, images, image_labels, seconds):
    """Returns the manifests' digests in the order of images, and the bytes in the root file system."""
    layer = layer_of(root)
    blobs, index, docker, repositories, digests = {blob_path(layer): layer}, [], [], {}, []
    for image in images:
        config = config_of(image, layer, image_labels, seconds)
        manifest = to_json({"schemaVersion": 2, "mediaType": f"{TYPE}.manifest.v1+json",
                            "config": descriptor("config.v1+json", config),
                            "layers": [descriptor("layer.v1.tar", layer)]})
        blobs[blob_path(config)], blobs[blob_path(manifest)] = config, manifest
        digests.append(digest(manifest))
        docker.append({"Config": blob_path(config), "RepoTags": image.names, "Layers": [blob_path(layer)]})
        for name in image.names:
            repository, tag = name.rsplit(":", 1)
            repositories.setdefault(repository, {})[tag] = digest(layer).split(":")[1]
            index.append(descriptor("manifest.v1+json", manifest, annotations={
                "io.containerd.image.name": name, "org.opencontainers.image.ref.name": name}))
    parts = {"oci-layout": to_json({"imageLayoutVersion": "1.0.0"}), "manifest.json": to_json(docker),
             "index.json": to_json({"schemaVersion": 2, "mediaType": f"{TYPE}.index.v1+json", "manifests": index}),
             "repositories": to_json(repositories), **{p: blobs[p] for p in sorted(blobs)}}
    with tarfile.open(f"{path}.part", mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for folder in ("blobs", "blobs/sha256"):
            add(tar, folder, stat.S_IFDIR | 0o755, b"", 0)
        for name, content in parts.items():
            add(tar, name, stat.S_IFREG | 0o644, content, 0)
    os.replace(f"{path}.part", path)
    return digests, root.size()
