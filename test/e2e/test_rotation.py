# SPDX-License-Identifier: Apache-2.0
"""The mesh's root is replaced under load: Secret cacerts changes as an operator changes it, both roots are trusted meanwhile, and no
request fails. What is plugged in wrong changes nothing and is named."""
import base64
import os
import subprocess

import pytest

from mesh import LOGGED, client, server, until
from test_lifecycle import Load

STRICT = """---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: istio-system}
spec: {mtls: {mode: STRICT}}
"""
NAME = "istio-ca-root-cert"


class Root:
    """A root with one intermediate, made by the openssl command."""

    def __init__(self, at, name):
        self.at, self.name = at, name
        ec = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        self.openssl("req", "-x509", *ec, "-days", "30", "-subj", f"/O={name} root", "-keyout", f"{name}-root.key", "-out",
                     f"{name}-root.crt", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
        self.openssl("req", "-new", *ec, "-subj", f"/O={name} intermediate", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        with open(os.path.join(at, "ext"), "w", encoding="utf-8") as f:
            f.write("basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n")
        self.openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{name}-root.crt", "-CAkey", f"{name}-root.key", "-CAcreateserial",
                     "-days", "20", "-out", f"{name}.crt", "-extfile", "ext")
        self.root, self.cert, self.key = (self.read(f) for f in (f"{name}-root.crt", f"{name}.crt", f"{name}.key"))

    def openssl(self, *argv):
        subprocess.run(["openssl", *argv], cwd=self.at, check=True, capture_output=True)

    def read(self, name):
        with open(os.path.join(self.at, name), encoding="utf-8") as f:
            return f.read()

    def plug_in(self, mesh, roots, key=None):
        files = {"ca-cert.pem": self.cert, "ca-key.pem": key or self.key, "cert-chain.pem": self.cert + self.root, "root-cert.pem": roots}
        lines = "".join(f"  {k}: {base64.b64encode(v.encode()).decode()}\n" for k, v in files.items())
        mesh.apply(f"apiVersion: v1\nkind: Secret\nmetadata: {{name: cacerts, namespace: istio-system}}\ndata:\n{lines}")


def bundle(mesh):
    return mesh.get("configmap", NAME)["data"]["root-cert.pem"]


def metric(mesh, name):
    text = mesh.sh("app=outsider", "curl -s http://istiod.istio-system:15014/metrics")
    values = [float(line.split()[-1]) for line in text.split("\n") if line.startswith((name + " ", name + "{"))]
    assert values, f"no metric {name}"
    return sum(values)


def issuer(mesh):
    """Who signed what the server's sidecar shows to a caller outside of the mesh (who then has no certificate and is sent away)."""
    ip = [p for p in mesh.pods("app=web") if not p["metadata"].get("deletionTimestamp")][0]["status"]["podIP"]
    out = mesh.sh("app=outsider", f"openssl s_client -connect {ip}:8080 -alpn istio -showcerts < /dev/null 2>&1; true")
    return ([line.split("O = ")[-1] for line in out.split("\n") if line.strip().startswith("i:")] or [out])[0]


def roll(mesh):
    """New pods: new certificates, new connections, a new look at the mounted roots."""
    mesh("rollout", "restart", "deployment/web")
    mesh("rollout", "status", "deployment/web", "--timeout", "30s")


@pytest.mark.only("sandbox", "the mesh's CA is everybody's on a cluster that other tests use")
def test_no_request_fails_while_the_root_is_replaced_and_a_broken_ca_changes_nothing(world, tmp_path):
    manifests = LOGGED + STRICT + client() + client("outsider", inject=False) + server("web", replicas=2)
    with world("rotation", manifests, up=["--certificate-ttl", "8s"]) as mesh:
        old = bundle(mesh)
        new = Root(tmp_path, "new")
        load = Load(mesh, 45)
        assert metric(mesh, "weft_ca_problem") == 0

        new.plug_in(mesh, old + new.root)
        until("both roots are everywhere", lambda: new.root.strip() in bundle(mesh) and old.strip() in bundle(mesh))
        roll(mesh)
        until("workloads' certificates are signed under the new root", lambda: issuer(mesh) == "new intermediate")
        roll(mesh)
        # The old root goes when every certificate under it was renewed: they live for 8 seconds.
        until("nobody's certificate is of the old root", lambda: metric(mesh, "citadel_server_success_cert_issuance_count") > 12)
        new.plug_in(mesh, new.root)
        until("the old root is gone", lambda: bundle(mesh).strip() == new.root.strip())
        roll(mesh)

        new.plug_in(mesh, new.root, key=Root(tmp_path, "other").key)
        until("the key that does not fit is named", lambda: metric(mesh, "weft_ca_problem") == 1)
        assert "does not belong to the CA certificate" in mesh("logs", "-n", "istio-system", mesh.pod("app=istiod", "istio-system")).stdout
        assert load.ended() >= 8900
        assert mesh.ask("http://web:8080/")[0] == 200
        new.plug_in(mesh, new.root)
        until("all is well", lambda: metric(mesh, "weft_ca_problem") == 0)

        # Whoever edits or deletes what proxies mount meets the control plane.
        mesh.apply(f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {NAME}}}\ndata: {{root-cert.pem: nonsense}}")
        until("the edit is undone", lambda: bundle(mesh).strip() == new.root.strip(), timeout=2)
        mesh.namespace("later")
        until("a new namespace has the roots of now",
              lambda: mesh.get("configmap", NAME, "-n", "later")["data"]["root-cert.pem"].strip() == new.root.strip(), timeout=3)
