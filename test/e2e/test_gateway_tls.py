# SPDX-License-Identifier: Apache-2.0
"""TLS at an ingress gateway, asked by a client without a sidecar: whose certificate is shown for which name, who is let in, what
passes through unopened, what is redirected, and that a Secret that changes is taken without a restart."""
import base64
import json
import os
import subprocess

import pytest

from mesh import CLIENT_IMAGE, LOGGED, SERVER_IMAGE, Failed, server, until


class Authority:
    """A CA in a directory; certificates as PEM text."""

    def __init__(self, at, name):
        self.at, self.name = at, name
        self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                     "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.crt",
                     "-addext", "keyUsage=critical,keyCertSign,cRLSign")
        self.pem = self.read(f"{name}.crt")

    def openssl(self, *argv):
        subprocess.run(["openssl", *argv], cwd=self.at, check=True, capture_output=True)

    def read(self, name):
        with open(os.path.join(self.at, name), encoding="utf-8") as f:
            return f.read()

    def issue(self, name, *hosts):
        """(certificate, key) for the names; the subject is CN=name."""
        san = "subjectAltName=" + ",".join(f"DNS:{h}" for h in hosts or [name])
        with open(os.path.join(self.at, "san"), "w", encoding="utf-8") as f:
            f.write(san)
        self.openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/O=test/CN={name}",
                     "-keyout", "leaf.key", "-out", "leaf.csr")
        self.openssl("x509", "-req", "-in", "leaf.csr", "-CA", f"{self.name}.crt", "-CAkey", f"{self.name}.key", "-CAcreateserial",
                     "-days", "1", "-out", "leaf.crt", "-extfile", "san")
        return self.read("leaf.crt"), self.read("leaf.key")


def secret(name, **data):
    lines = "".join(f"  {k.replace('_', '.')}: {base64.b64encode(v.encode()).decode()}\n" for k, v in data.items())
    return f"---\napiVersion: v1\nkind: Secret\nmetadata: {{name: \"{name}\"}}\ndata:\n{lines}"


def tls_secret(name, pair, **more):
    return secret(name, tls_crt=pair[0], tls_key=pair[1], **more)


GATEWAY = """---
apiVersion: v1
kind: Service
metadata: {name: gw}
spec:
  selector: {gate: tls}
  ports:
  - {name: http2, port: 80, targetPort: 8080}
  - {name: https, port: 443, targetPort: 8443}
  - {name: tls, port: 9000, targetPort: 9001}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: gw}
spec:
  selector: {matchLabels: {gate: tls}}
  template:
    metadata:
      labels: {gate: tls, sidecar.istio.io/inject: "true"}
      annotations: {inject.istio.io/templates: gateway}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: istio-proxy, image: auto}]
"""

CLIENT = f"""---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: client}}
spec:
  selector: {{matchLabels: {{app: client}}}}
  template:
    metadata: {{labels: {{app: client, sidecar.istio.io/inject: "false"}}}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{{name: client, image: "{CLIENT_IMAGE}", volumeMounts: [{{name: certs, mountPath: /certs}}]}}]
      volumes: [{{name: certs, secret: {{secretName: client-certs}}}}]
"""

RULES = """---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw}
spec:
  selector: {gate: tls}
  servers:
  - {port: {number: 80, name: http, protocol: HTTP}, hosts: [a.test], tls: {httpsRedirect: true}}
  - {port: {number: 80, name: http-up, protocol: HTTP}, hosts: [up.test, wrong.test]}
  - {port: {number: 443, name: https-a, protocol: HTTPS}, hosts: [a.test], tls: {mode: SIMPLE, credentialName: a}}
  - {port: {number: 443, name: https-b, protocol: HTTPS}, hosts: ["*.b.test"], tls: {mode: SIMPLE, credentialName: b}}
  - {port: {number: 443, name: https-m, protocol: HTTPS}, hosts: [m.test], tls: {mode: MUTUAL, credentialName: m}}
  - {port: {number: 443, name: https-n, protocol: HTTPS}, hosts: [n.test], tls: {mode: MUTUAL, credentialName: "n"}}
  - {port: {number: 443, name: https-o, protocol: HTTPS}, hosts: [o.test], tls: {mode: OPTIONAL_MUTUAL, credentialName: m}}
  - port: {number: 443, name: https-s, protocol: HTTPS}
    hosts: [s.test]
    tls: {mode: MUTUAL, credentialName: m, subjectAltNames: [alice.test]}
  - {port: {number: 443, name: https-v, protocol: HTTPS}, hosts: [v.test], tls: {mode: SIMPLE, credentialName: a, minProtocolVersion: TLSV1_3}}
  - {port: {number: 443, name: https-w, protocol: HTTPS}, hosts: [w.test], tls: {mode: SIMPLE, credentialName: a, maxProtocolVersion: TLSV1_2}}
  - {port: {number: 443, name: https-later, protocol: HTTPS}, hosts: [later.test], tls: {mode: SIMPLE, credentialName: later}}
  - {port: {number: 443, name: https-never, protocol: HTTPS}, hosts: [never.test], tls: {mode: SIMPLE, credentialName: never}}
  - {port: {number: 443, name: tls-p, protocol: TLS}, hosts: [one.pass.test, two.pass.test, "*.wild.test"], tls: {mode: PASSTHROUGH}}
  - {port: {number: 9000, name: tls, protocol: TLS}, hosts: [t.test], tls: {mode: SIMPLE, credentialName: a}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web}
spec:
  hosts: [a.test, "*.b.test", m.test, n.test, o.test, s.test, v.test, w.test, later.test]
  gateways: [gw]
  http:
  - route: [{destination: {host: web, port: {number: 8080}}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: up}
spec:
  hosts: [up.test]
  gateways: [gw]
  http: [{route: [{destination: {host: strict, port: {number: 8443}}}]}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: strict}
spec:
  host: strict
  trafficPolicy: {tls: {mode: MUTUAL, credentialName: up, sni: strict.test, subjectAltNames: [strict.test]}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: wrong}
spec:
  hosts: [wrong.test]
  gateways: [gw]
  http: [{route: [{destination: {host: one, subset: checked, port: {number: 8443}}}], retries: {attempts: 0}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: one}
spec:
  host: one
  subsets: [{name: checked, labels: {app: one}, trafficPolicy: {tls: {mode: SIMPLE, credentialName: up, subjectAltNames: [other.test]}}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: pass}
spec:
  hosts: [one.pass.test, two.pass.test, "*.wild.test"]
  gateways: [gw]
  tls:
  - match: [{port: 443, sniHosts: [one.pass.test]}]
    route: [{destination: {host: one, port: {number: 8443}}}]
  - match: [{port: 443, sniHosts: [two.pass.test, "*.wild.test"]}]
    route: [{destination: {host: two, port: {number: 8443}}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: echo}
spec:
  hosts: [t.test]
  gateways: [gw]
  tcp:
  - match: [{port: 9000}]
    route: [{destination: {host: echo, port: {number: 7000}}}]
"""


def tls_server(name):
    """A server that ends TLS itself, with the certificate of its own Secret."""
    return f"""---
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec:
  selector: {{app: {name}}}
  ports: [{{port: 8443, name: tls}}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}, sidecar.istio.io/inject: "true"}}}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: {name}
        image: {SERVER_IMAGE}
        args: [https, "8443", {name}, /certs]
        ports: [{{containerPort: 8443}}]
        readinessProbe: {{tcpSocket: {{port: 8443}}, periodSeconds: 1, failureThreshold: 1}}
        volumeMounts: [{{name: certs, mountPath: /certs}}]
      volumes: [{{name: certs, secret: {{secretName: {name}-certs}}}}]
"""


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    return {name: Authority(str(tmp_path_factory.mktemp(name)), name) for name in ("servers", "clients", "others")}


@pytest.fixture(scope="module")
def mesh(world, pki):
    alice, bob, eve = (pki[ca].issue(name, f"{name}.test") for ca, name in
                       (("clients", "alice"), ("clients", "bob"), ("others", "eve")))
    manifests = [
        LOGGED, GATEWAY, CLIENT, server("web"), server("echo", "tcp", 7000, port_name="tcp"), tls_server("one"), tls_server("two"),
        tls_server("strict"), tls_secret("strict-certs", pki["servers"].issue("strict", "strict.test"), ca_crt=pki["clients"].pem),
        tls_secret("up", alice, ca_crt=pki["servers"].pem),
        secret("client-certs", ca_crt=pki["servers"].pem, alice_crt=alice[0], alice_key=alice[1], bob_crt=bob[0], bob_key=bob[1],
               eve_crt=eve[0], eve_key=eve[1]),
        tls_secret("a", pki["servers"].issue("a", "a.test", "v.test", "w.test", "t.test", "later.test")),
        tls_secret("b", pki["servers"].issue("b", "*.b.test")),
        tls_secret("m", pki["servers"].issue("m", "m.test", "o.test", "s.test")), secret("m-cacert", ca_crt=pki["clients"].pem),
        tls_secret("n", pki["servers"].issue("n", "n.test"), ca_crt=pki["clients"].pem),
        tls_secret("one-certs", pki["servers"].issue("one", "one.pass.test")),
        tls_secret("two-certs", pki["servers"].issue("two", "two.pass.test", "*.wild.test")), RULES]
    with world("gwtls", "".join(manifests)) as m:
        until("the gateway serves", lambda: curl(m, "https://a.test/")["status"] == 200)
        yield m


WROTE = "status=%{http_code} version=%{http_version} redirect=%{redirect_url} error=%{errormsg}"


def curl(mesh, url, who="", *more):
    """One request from the client: what curl says of it, and the answer's body. status 0: the handshake or the connection failed."""
    scheme, rest = url.split("://")
    port = {"http": 80, "https": 443}[scheme]
    host = rest.split("/")[0]
    identity = f"--cert /certs/{who}.crt --key /certs/{who}.key" if who else ""
    out = mesh.sh("app=client", f"curl -s -m 10 --cacert /certs/ca.crt --connect-to {host}:{port}:gw:{port} {identity} {' '.join(more)} "
                  f"-w '\\n{WROTE}' '{url}'; true")
    body, _, line = out.rpartition("\nstatus=")
    status, version, redirect, error = (part.partition("=")[2] for part in f"status={line}".split(" ", 3))
    return {"status": int(status or 0), "version": version, "redirect": redirect, "error": error, "body": body}


def seen_by_the_application(answer):
    assert answer["status"] == 200, answer
    return json.loads(answer["body"])["headers"]


def test_the_name_decides_which_certificate_is_shown(mesh):
    a = curl(mesh, "https://a.test/")
    assert (a["status"], a["version"]) == (200, "2"), a
    assert seen_by_the_application(a)["x-forwarded-proto"] == "https"
    assert curl(mesh, "https://x.b.test/")["status"] == 200         # by wildcard; curl checks the certificate against the name
    assert curl(mesh, "https://a.test/", "", "--http1.1")["version"] == "1.1"


def test_a_name_that_no_server_has_is_not_served(mesh):
    answer = curl(mesh, "https://nobody.test/", "", "--insecure")
    assert answer["status"] == 0, answer
    answer = curl(mesh, "https://a.test/", "", "-H", "'Host: b.test'")
    assert answer["status"] == 404, answer                          # the connection is a's: its routes know no b.test


@pytest.mark.parametrize("host", ["m.test", "n.test"])              # the CA is in m-cacert, or in ca.crt of n itself
def test_mutual_lets_in_who_has_a_certificate_of_the_named_authority(mesh, host):
    assert curl(mesh, f"https://{host}/")["status"] == 0, "without a certificate"
    assert curl(mesh, f"https://{host}/", "eve")["status"] == 0, "with another authority's certificate"
    headers = seen_by_the_application(curl(mesh, f"https://{host}/", "alice"))
    assert "CN=alice" in headers["x-forwarded-client-cert"], headers


def test_mutual_with_names_lets_in_only_those(mesh):
    assert curl(mesh, "https://s.test/", "alice")["status"] == 200
    assert curl(mesh, "https://s.test/", "bob")["status"] == 0


def test_optional_mutual_serves_without_a_certificate_but_not_with_a_wrong_one(mesh):
    assert "CN=" not in seen_by_the_application(curl(mesh, "https://o.test/")).get("x-forwarded-client-cert", "")
    assert "CN=bob" in seen_by_the_application(curl(mesh, "https://o.test/", "bob"))["x-forwarded-client-cert"]
    assert curl(mesh, "https://o.test/", "eve")["status"] == 0


def test_a_gateway_without_its_secret_says_so(mesh):
    status = until("a status", lambda: mesh.get("gateways.networking.istio.io", "gw", "-n", mesh.ns).get("status"))
    assert "no Secret `never` in namespace" in json.dumps(status), status


def test_nobody_can_claim_another_certificate_in_a_header(mesh):
    claim = "'x-forwarded-client-cert: Hash=abc;Subject=\"CN=admin\"'"
    for who, url in (("", "https://a.test/"), ("alice", "https://m.test/")):
        assert "CN=admin" not in str(seen_by_the_application(curl(mesh, url, who, "-H", claim)))


def test_protocol_versions_are_kept(mesh):
    assert curl(mesh, "https://v.test/", "", "--tls-max", "1.2")["status"] == 0
    assert curl(mesh, "https://v.test/", "", "--tlsv1.3")["status"] == 200
    assert curl(mesh, "https://w.test/", "", "--tlsv1.3")["status"] == 0
    assert curl(mesh, "https://w.test/")["status"] == 200
    assert curl(mesh, "https://a.test/", "", "--tls-max", "1.2")["status"] == 200       # the default asks for 1.2
    assert curl(mesh, "https://a.test/", "", "--tls-max", "1.1", "--ciphers", "DEFAULT@SECLEVEL=0")["status"] == 0


def test_plaintext_is_sent_to_https(mesh):
    answer = curl(mesh, "http://a.test/some/where?q=1")
    assert (answer["status"], answer["redirect"]) == (301, "https://a.test/some/where?q=1"), answer


def test_what_passes_through_is_not_opened_and_goes_where_its_name_says(mesh):
    for host, name in (("one.pass.test", "one"), ("two.pass.test", "two"), ("deep.wild.test", "two")):
        answer = curl(mesh, f"https://{host}/")
        assert answer["status"] == 200, (host, answer)
        body = json.loads(answer["body"])
        assert body["name"] == name, (host, body)
        assert "x-request-id" not in body["headers"], "the gateway has read it"


def test_tls_of_another_protocol_ends_at_the_gateway(mesh):
    got = json.loads(mesh.client("tls gw 9000 t.test /certs/ca.crt hello"))
    assert got["answer"] == "hello" and "t.test" in got["names"], got


def test_a_secret_that_comes_later_is_taken_and_a_new_one_replaces_it_without_a_restart(mesh, pki):
    assert curl(mesh, "https://later.test/")["status"] == 0
    mesh.apply(tls_secret("later", pki["others"].issue("later", "later.test")))

    def error():
        return curl(mesh, "https://later.test/")["error"]
    until("the certificate of others is shown", lambda: "unable to get local issuer" in error() or "self-signed" in error())
    mesh.apply(tls_secret("later", pki["servers"].issue("later", "later.test")))
    until("the certificate of servers is shown", lambda: curl(mesh, "https://later.test/")["status"] == 200)
    for broken in (tls_secret("later", ("no certificate", "no key")),
                   tls_secret("later", (pki["servers"].issue("later")[0], pki["servers"].issue("other")[1]))):
        mesh.apply(broken, check=False)
        with pytest.raises(Failed):
            until("broken PEM takes the good certificate away", lambda: curl(mesh, "https://later.test/")["status"] != 200, timeout=2)
    assert curl(mesh, "https://a.test/")["status"] == 200
    mesh.apply(tls_secret("later", pki["servers"].issue("later", "later.test", "fixed.test")))
    until("the repaired one is taken", lambda: "fixed.test" in mesh.client("tls gw 443 later.test /certs/ca.crt"))


def test_the_gateway_opens_tls_to_a_backend_with_the_secret_that_a_rule_names(mesh):
    answer = curl(mesh, "http://up.test/")
    assert answer["status"] == 200 and json.loads(answer["body"])["name"] == "strict", answer
    assert curl(mesh, "http://wrong.test/")["status"] == 503         # its certificate is for another name
    until("logged why", lambda: any("SAN one.pass.test is not the expected other.test" in str(line) for line in mesh.proxy_log("gate=tls")))


def test_the_log_says_why_a_handshake_failed(mesh):
    curl(mesh, "https://m.test/")
    curl(mesh, "https://m.test/", "eve")
    curl(mesh, "https://never.test/")

    def reasons():
        return {(line.get("requested_server_name"), line.get("upstream_transport_failure_reason")) for line in mesh.proxy_log("gate=tls")}
    for why in (("m.test", "TLS error: peer did not return a certificate"),
                ("m.test", "TLS error: certificate verify failed: unable to get local issuer certificate"),
                ("never.test", "the secret of the certificate does not exist")):
        until(f"logged: {why}", lambda why=why: why in reasons(), timeout=5)
