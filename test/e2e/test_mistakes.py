# SPDX-License-Identifier: Apache-2.0
"""Mistakes: what is refused keeps the last good configuration, what is accepted names its effect, and the wire does what Istio does."""
import json
import re

import pytest

from mesh import LOGGED, client, server, until, virtual_service


@pytest.fixture(scope="module")
def mesh(world):
    with world("mistakes", LOGGED + client() + server("web", labels="version: v1")) as m:
        until("the client's proxy knows the pod", lambda: m.ask("http://web:8080/")[0] == 200)
        yield m


def rule(http, name="web"):
    return virtual_service(name, http)


# name, routes, in the message
REFUSED = [
    ("an unknown field", "  - route: [{destination: {host: web}}]\n    timeOut: 1s", ["timeOut", "timeout", ":9:5"]),
    ("a bad duration", "  - route: [{destination: {host: web}}]\n    timeout: 10 seconds", ["10 seconds"]),
    ("a bad regex", "  - match: [{uri: {regex: '[0-9'}}]\n    route: [{destination: {host: web}}]", ["[0-9", "missing ]"]),
    ("a negative weight", "  - route: [{destination: {host: web}, weight: -10}]", ["`weight` is out of range"]),
    ("all weights zero", "  - route: [{destination: {host: web}, weight: 0}, {destination: {host: web}, weight: 0}]", ["weight"]),
    ("no route", "  - match: [{uri: {prefix: /}}]", ["route"]),
    ("broken YAML", "  - route: [", ["error"]),
]


@pytest.mark.parametrize("name,http,words", REFUSED, ids=[r[0] for r in REFUSED])
def test_refused(mesh, name, http, words):
    out = mesh.apply(rule(http), check=False)
    assert out.returncode == 1, out
    text = out.stdout + out.stderr
    if mesh.world == "cluster":         # kubectl reads the YAML, and its own words say where; the rest is the webhook's answer
        words = [w for w in words if not w.startswith(":") and w != "error"]
    assert not words or re.search(r"\[(IST|WEFT)\d{4}\]", text), text
    for word in words:
        assert word in text, text
    assert mesh.ask("http://web:8080/")[0] == 200


def test_a_refused_change_keeps_the_last_good_one(mesh):
    good = "  - headers: {response: {set: {x-rule: good}}}\n    route: [{destination: {host: web}}]"
    headers = lambda: mesh.sh("app=client", "curl -si http://web:8080/")
    mesh.apply(rule(good))
    try:
        until("the good rule", lambda: "x-rule: good" in headers())
        assert mesh.apply(rule(good.replace("good", "bad") + "\n    timeOut: 1s"), check=False).returncode == 1
        assert "x-rule: good" in headers()
    finally:
        mesh("delete", "virtualservice", "web")


# name, routes, warning's code and words, status, flag, part of weft-reason
ACCEPTED = [
    ("unknown host", "  - route: [{destination: {host: wep}}]", ["IST0101", "wep", "did you mean `web`"], 503, "NC", "wep"),
    ("unknown subset", "  - route: [{destination: {host: web, subset: v9}}]", ["IST0101", "v9"], 503, "NC", "v9"),
    ("no matching route", "  - match: [{uri: {prefix: /only-this}}]\n    route: [{destination: {host: web}}]", [], 404, "NR", "route"),
]


@pytest.mark.parametrize("name,http,words,status,flag,reason", ACCEPTED, ids=[a[0] for a in ACCEPTED])
def test_accepted_with_its_effect(mesh, name, http, words, status, flag, reason):
    out = mesh.apply(rule(http))
    try:
        for word in words:
            assert word in out.stdout + out.stderr, out
        if words:
            assert "effect" in out.stdout + out.stderr
        until(f"{status} {flag}", lambda: mesh.ask("http://web:8080/")[0] == status)
        line = until("an access log line", lambda: [l for l in mesh.proxy_log("app=client") if l.get("response_flags") == flag and
                                                    reason in l.get("weft-reason", "").replace(f"{mesh.ns}/web", "", 1)])[-1]
        assert line["response_code"] == status
        assert f"VirtualService {mesh.ns}/web" in line["weft-reason"], line
    finally:
        mesh("delete", "virtualservice", "web")
    until("200 again", lambda: mesh.ask("http://web:8080/")[0] == 200)


def test_a_subset_without_endpoints_is_503_uh(mesh):
    mesh.apply("""
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: web}
spec:
  host: web
  subsets: [{name: empty, labels: {version: none}}]
""" + "---" + rule("  - route: [{destination: {host: web, subset: empty}}]"))
    try:
        until("503", lambda: mesh.ask("http://web:8080/")[0] == 503)
        until("flag UH", lambda: any(l.get("response_flags") == "UH" for l in mesh.proxy_log("app=client")))
    finally:
        mesh("delete", "virtualservice", "web")
        mesh("delete", "destinationrule", "web")
    until("200 again", lambda: mesh.ask("http://web:8080/")[0] == 200)


@pytest.mark.only("sandbox", "on a cluster kubectl says which kinds there are")
def test_unknown_kinds_are_named_with_the_nearest(mesh):
    out = mesh.apply("""
apiVersion: networking.istio.io/v1
kind: VirtualServise
metadata: {name: x}
spec: {}
""", check=False)
    assert out.returncode == 1
    assert "VirtualService" in out.stdout + out.stderr


def test_apply_as_data_has_one_form(mesh):
    """What became of every object and what is to be said of it, whether a sandbox's daemon or an API server has them."""
    def apply(text):
        done = mesh.weft("apply", "-o", "json", "-f", "-", input=text, check=False)
        said = json.loads(done.stdout)
        assert list(said) == ["objects", "diagnostics", "text"], said
        return done.returncode, said["objects"], [d["code"] for d in said["diagnostics"]], said["text"]

    ours = {"kind": "VirtualService", "group": "networking.istio.io", "namespace": mesh.ns, "name": "as-data"}
    good = rule("  - route: [{destination: {host: web}}]", "as-data")
    lost = {"kind": "ConfigMap", "group": "", "namespace": "nowhere", "name": "lost"}
    nowhere = "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: lost, namespace: nowhere}\n"
    try:
        assert apply(good) == (0, [{"verb": "created", **ours}], [], "")
        # On a cluster the object's first status may come between two looks.
        until("unchanged", lambda: apply(good) == (0, [{"verb": "unchanged", **ours}], [], ""), timeout=5)
        code, objects, codes, text = apply(good.replace("host: web}", "host: wep}"))
        assert (code, objects, codes) == (0, [{"verb": "configured", **ours}], ["IST0101"])
        assert "did you mean `web`" in text
        code, objects, codes, text = apply(good.replace("http:", "htpp:") + nowhere)
        assert (code, objects) == (1, [{"verb": "rejected", **lost}])
        assert sorted(codes) == ["WEFT0004", "WEFT0301" if mesh.world == "sandbox" else "WEFT0010"]
        assert "`htpp`" in text and "nowhere" in text
    finally:
        mesh("delete", "virtualservice", "as-data")


def test_the_sandbox_itself_is_asked_for_in_either_world(mesh):
    out = mesh.weft("get", "sandbox", check=False)
    if mesh.world == "sandbox":
        assert out.returncode == 0 and "READY" in out.stdout
    else:
        assert out.returncode == 3 and "is no sandbox" in out.stderr and "weft status" in out.stderr, out
