# SPDX-License-Identifier: Apache-2.0
"""What became of an object is in its status: conditions that are true, in the words of `weft apply`, written once and only when
something changed."""
import glob
import json
import os
import re
import time

import pytest

from mesh import LOGGED, SAMPLE, client, run, server, until, virtual_service


@pytest.fixture(scope="module")
def mesh(world):
    with world("status", LOGGED + client() + server("web", labels="version: v1")) as m:
        yield m


def route(host, name="web", subset=""):
    return virtual_service(name, f"  - route: [{{destination: {{host: {host}{subset}}}}}]")


def conditions(mesh, kind, name, generation=None):
    """By type, once all of them are about this generation (default: the object's own); else nothing."""
    found = mesh.get(kind, name)
    want = generation or found["metadata"]["generation"]
    all_of_it = {c["type"]: c for c in found.get("status", {}).get("conditions", [])}
    return all_of_it if all_of_it and all(int(c["observedGeneration"]) == want for c in all_of_it.values()) else {}


def everywhere(mesh, kind, name, at_least=1):
    """Programmed on n of n proxies."""
    now = conditions(mesh, kind, name).get("Programmed", {})
    n = re.fullmatch(r"(\d+) of (\d+) proxies", now.get("message", ""))
    return now if n and n[1] == n[2] and int(n[1]) >= at_least and now["status"] == "True" else None


@pytest.fixture
def web(mesh):
    mesh.apply(route("web"))
    until("the first status", lambda: everywhere(mesh, "virtualservice", "web", 2))
    yield
    mesh("delete", "virtualservice", "web")


def test_a_good_object_is_accepted_resolved_and_on_all_proxies(mesh, web):
    now = conditions(mesh, "virtualservice", "web")
    assert [(t, now[t]["status"], now[t]["reason"]) for t in ("Accepted", "ResolvedRefs", "Programmed", "Reconciled")] == [
        ("Accepted", "True", "Accepted"), ("ResolvedRefs", "True", "ResolvedRefs"), ("Programmed", "True", "Programmed"),
        ("Reconciled", "True", "Programmed")]
    assert re.fullmatch(r"(\d+)/\1 proxies up to date\.", now["Reconciled"]["message"])
    assert "validationMessages" not in mesh.get("virtualservice", "web")["status"]


def test_a_broken_reference_is_named_in_the_words_of_apply_and_forgotten_when_it_is_right(mesh, web):
    before = conditions(mesh, "virtualservice", "web")
    time.sleep(1.1)                                                         # times have whole seconds
    said = mesh.apply(route("wep"))
    broken = until("broken", lambda: (c := conditions(mesh, "virtualservice", "web")).get("ResolvedRefs", {}).get("status") == "False" and c)
    message = broken["ResolvedRefs"]["message"]
    assert broken["ResolvedRefs"]["reason"] == "RefNotFound"
    assert "routes to a host that does not exist" in message and "did you mean `web`?" in message
    assert "spec.http[0].route[0].destination.host" in message and "503" in message
    if mesh.world == "sandbox":
        line = next(l for l in (said.stdout + said.stderr).split("\n") if "IST0101" in l)
        assert line.strip() in message
    assert broken["Accepted"]["status"] == "True"
    assert broken["Accepted"]["lastTransitionTime"] == before["Accepted"]["lastTransitionTime"]
    assert broken["ResolvedRefs"]["lastTransitionTime"] > before["ResolvedRefs"]["lastTransitionTime"]
    assert mesh.get("virtualservice", "web")["status"]["validationMessages"] == [
        {"level": "WARNING", "type": {"code": "IST0101", "name": "ReferencedResourceNotFound"}}]
    mesh.apply(route("web"))
    until("right again", lambda: conditions(mesh, "virtualservice", "web").get("ResolvedRefs", {}).get("status") == "True")
    assert "validationMessages" not in mesh.get("virtualservice", "web")["status"]


def test_what_an_object_names_may_come_later(mesh):
    mesh.apply(route("web", "later", ", subset: v1"))
    try:
        until("lost", lambda: conditions(mesh, "virtualservice", "later").get("ResolvedRefs", {}).get("status") == "False")
        mesh.apply("""
            apiVersion: networking.istio.io/v1
            kind: DestinationRule
            metadata: {name: later}
            spec: {host: web, subsets: [{name: v1, labels: {version: v1}}]}
            """)
        until("found", lambda: conditions(mesh, "virtualservice", "later").get("ResolvedRefs", {}).get("status") == "True")
        until("the rule is on its proxies", lambda: everywhere(mesh, "destinationrule", "later", 2))
    finally:
        mesh("delete", "virtualservice", "later")
        mesh("delete", "destinationrule", "later")


def test_an_object_that_concerns_nobody_says_so(mesh):
    mesh.apply("""
        apiVersion: networking.istio.io/v1
        kind: Gateway
        metadata: {name: nobody}
        spec: {selector: {app: nobody}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]}
        """)
    try:
        now = until("a status", lambda: conditions(mesh, "gateways.networking.istio.io", "nobody"))
        assert now["Programmed"]["status"] == "True" and now["Programmed"]["message"] == "0 of 0 proxies"
    finally:
        mesh("delete", "gateways.networking.istio.io", "nobody")


def test_a_new_sidecar_is_counted(mesh, web):
    count = lambda: int(everywhere(mesh, "virtualservice", "web")["message"].split()[0])
    before = count()
    mesh.apply(client("another"))
    try:
        until("one more", lambda: everywhere(mesh, "virtualservice", "web", before + 1), timeout=60)
    finally:
        mesh("delete", "deployment", "another")


def triggers(mesh):
    lines = mesh.sh("app=client", "curl -s http://istiod.istio-system:15014/metrics | grep ^pilot_push_triggers").split("\n")
    return sum(float(line.split()[-1]) for line in lines if line)


@pytest.mark.only("sandbox", "other tests push on a cluster that is shared, and it has two control planes")
def test_a_change_costs_one_write_which_causes_no_push_and_no_other(mesh, web):
    until("all is quiet", lambda: triggers(mesh) == (time.sleep(3), triggers(mesh))[1], timeout=60)
    before, pushes = mesh.get("virtualservice", "web")["metadata"], triggers(mesh)
    seen = set()
    mesh.apply(route("web") + "    timeout: 7s\n")
    end = time.monotonic() + 6
    while time.monotonic() < end:
        now = mesh.get("virtualservice", "web")
        seen.add((now["metadata"]["generation"], now["metadata"]["resourceVersion"], json.dumps(now["status"], sort_keys=True)))
        time.sleep(0.05)
    assert now["metadata"]["generation"] == before["generation"] + 1
    assert len({s[1] for s in seen} - {before["resourceVersion"]}) == 2, sorted(seen)     # the change, and its status
    assert everywhere(mesh, "virtualservice", "web", 2)
    assert triggers(mesh) == pushes + 1


@pytest.mark.only("sandbox", "a real API server needs no test of this")
def test_spec_and_status_are_written_apart(mesh, web):
    path = "http://x/apis/networking.istio.io/v1/namespaces/default/virtualservices/web"

    def patch(sub, body):
        return json.loads(run(["curl", "-s", "--abstract-unix-socket", f"weft-{mesh.name}", "-X", "PATCH", "-H",
                               "content-type: application/merge-patch+json", "-d", json.dumps(body), path + sub]).stdout)
    before = mesh.get("virtualservice", "web")
    both = {"spec": {"hosts": ["other"]}, "status": {"probe": "x"}}
    now = patch("/status", both)
    assert (now["spec"], now["status"]["probe"]) == (before["spec"], "x")
    assert now["metadata"]["generation"] == before["metadata"]["generation"]
    assert patch("", {"status": {"probe": "y"}})["status"]["probe"] == "x"
    assert patch("", {"metadata": {"labels": {"a": "b"}}})["metadata"]["generation"] == before["metadata"]["generation"]
    now = patch("", {"spec": {"hosts": ["web", "web.default.svc.cluster.local"]}, "status": {"probe": "y"}})
    assert (now["status"]["probe"], now["metadata"]["generation"]) == ("x", before["metadata"]["generation"] + 1)
    stale = patch("/status", {"metadata": {"resourceVersion": before["metadata"]["resourceVersion"]}, "status": {"probe": None}})
    assert stale["code"] == 409
    assert "probe" not in patch("/status", {"status": {"probe": None}})["status"]


def test_every_lesson_of_the_sample_is_programmed(world, request):
    files = [f"{SAMPLE}/{f}" for f in ("bookinfo.yaml", "gateway.yaml", "networking/destination-rule-all.yaml")]
    at_gateways = 0                                                         # proxies that a Gateway concerns
    if request.config.getoption("--on") == "sandbox":
        files.append(f"{SAMPLE}/ingress.yaml")
        at_gateways = 1
    short = {"VirtualService": "virtualservice", "DestinationRule": "destinationrule", "PeerAuthentication": "peerauthentication",
             "Gateway": "gateways.networking.istio.io", "ServiceEntry": "serviceentry"}
    with world("lessons", files=files, inject=True) as m:
        lessons = sorted(glob.glob(f"{SAMPLE}/networking/*.yaml"))
        assert len(lessons) > 5
        for lesson in [files[1], files[2], *lessons]:
            m.apply(lesson)
            with open(lesson, encoding="utf-8") as f:
                docs = [d for d in re.split(r"^---.*\n", f.read(), flags=re.M) if re.search(r"^kind: ", d, re.M)]
            for doc in docs:
                kind = short.get(re.search(r"^kind: (\w+)", doc, re.M)[1])
                name = re.search(r"^  name: (\S+)|^metadata: \{name: ([\w-]+)", doc, re.M)
                if not kind:
                    continue
                name = name[1] or name[2]
                until(f"{os.path.basename(lesson)}: {kind} {name}", lambda: everywhere(m, kind, name, at_gateways if "gateway" in lesson else 1), timeout=40)
                now = conditions(m, kind, name)
                assert now["Accepted"]["status"] == now["ResolvedRefs"]["status"] == "True", (lesson, now)
