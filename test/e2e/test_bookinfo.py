# SPDX-License-Identifier: Apache-2.0
"""The lessons of samples/bookinfo, seen from outside: what a person gets who follows them."""
import collections
import json
import re
import time

import pytest

from mesh import SAMPLE, client, until

LESSONS = f"{SAMPLE}/networking"


@pytest.fixture(scope="module")
def mesh(world):
    with world("bookinfo", client(), files=[f"{SAMPLE}/{f}.yaml" for f in ("bookinfo", "mesh")], inject=True) as m:
        yield m


@pytest.fixture
def lesson(mesh):
    """Applies lessons and takes them back after the test."""
    used = []

    def apply(name):
        mesh.apply(f"{LESSONS}/{name}.yaml")
        used.append(name)
    yield apply
    for name in used:
        mesh.delete(f"{LESSONS}/{name}.yaml")


def versions(mesh, n, *headers):
    """How often each version of reviews answered: v1 has no rating, v2 black, v3 red."""
    script = f"for i in $(seq {n}); do curl -s -m 10 {' '.join('-H ' + repr(h) for h in headers)} http://reviews:9080/reviews/0; echo; done"
    count = collections.Counter()
    for line in mesh.sh("app=client", script, timeout=120).split("\n"):
        if line.startswith("{"):
            colors = set(re.findall(r'"color":"(\w+)"', line))
            count["v2" if "black" in colors else "v3" if "red" in colors else "v1" if "rating" not in line else "error"] += 1
        elif line.strip():
            count["failed"] += 1
    return count


def only(mesh, version, *headers):
    until(f"only {version} answers", lambda: set(versions(mesh, 8, *headers)) == {version})


def test_without_rules_all_versions_answer(mesh):
    assert set(versions(mesh, 60)) == {"v1", "v2", "v3"}


def test_everything_to_version_1(mesh, lesson):
    lesson("destination-rule-all")
    lesson("all-v1")
    only(mesh, "v1")


def test_reviews_from_version_3(mesh, lesson):
    lesson("reviews-v3")
    only(mesh, "v3")


def test_ninety_ten_within_statistics(mesh, lesson):
    lesson("reviews-90-10")
    until("no v3", lambda: "v3" not in versions(mesh, 20))
    count = versions(mesh, 400)
    assert set(count) == {"v1", "v2"}
    assert 18 <= count["v2"] <= 66, count      # 40 expected, four standard deviations of 6


def test_jason_sees_version_2(mesh, lesson):
    lesson("reviews-jason-v2")
    only(mesh, "v1")
    only(mesh, "v2", "end-user: jason")


def test_abort_for_jason(mesh, lesson):
    lesson("ratings-abort")
    until("500 for jason", lambda: mesh.ask("http://ratings:9080/ratings/0", headers=["end-user: jason"]) == (500, "fault filter abort"))
    assert mesh.ask("http://ratings:9080/ratings/0")[0] == 200
    until("flag FI", lambda: [l for l in mesh.proxy_log("app=client") if l.get("response_code") == 500 and l["response_flags"] == "FI"])


def test_delay_for_jason(mesh, lesson):
    lesson("ratings-delay")

    def delayed():
        start = time.monotonic()
        status, _ = mesh.ask("http://ratings:9080/ratings/0", headers=["end-user: jason"])
        return status == 200 and 7 <= time.monotonic() - start < 9
    until("a delay of 7 s", delayed, timeout=40)
    start = time.monotonic()
    assert mesh.ask("http://ratings:9080/ratings/0")[0] == 200
    assert time.monotonic() - start < 2


def test_timeout_of_reviews(mesh, lesson):
    lesson("reviews-timeout")

    def timed_out():
        start = time.monotonic()
        status, body = mesh.ask("http://reviews:9080/reviews/0")
        return status == 504 and body == "upstream request timeout" and time.monotonic() - start < 1.9
    until("504 after half a second", timed_out)
    until("flag UT", lambda: [l for l in mesh.proxy_log("app=client") if l.get("response_flags") == "UT"])


def test_mirrored_requests_reach_version_3_and_its_answers_are_dropped(mesh, lesson):
    lesson("reviews-mirror")
    only(mesh, "v1")

    def seen():
        return len([l for l in mesh.proxy_log("app=reviews,version=v3") if l.get("path", "").startswith("/reviews/")])
    before = seen()
    assert set(versions(mesh, 20)) == {"v1"}
    until("20 copies at version 3", lambda: seen() - before >= 20)


def test_a_retry_hides_a_failure(mesh):
    mesh.apply("""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: details}
spec:
  hosts: [details]
  http:
  - route: [{destination: {host: details}}]
    retries: {attempts: 3, retryOn: "404", perTryTimeout: 2s}
""")
    try:
        def tries():
            mesh.ask("http://details:9080/nothing-here")
            return len([l for l in mesh.proxy_log("app=details") if l.get("path") == "/nothing-here"]) >= 4
        until("one try and three retries at the server", tries)
    finally:
        mesh("delete", "virtualservice", "details")


def test_status_says_that_every_proxy_is_synced(mesh):
    out = until("synced", lambda: (lambda o: o if "reviews-v1" in o and "synced" in o.lower() else None)(mesh("status").stdout))
    for name in ("productpage-v1", "details-v1", "ratings-v1", "reviews-v2", "reviews-v3"):
        assert name in out


def test_edges_show_both_identities(mesh):
    edges = until("the edge to details", lambda: [e for e in json.loads(mesh("edges", "-o", "json").stdout)
                                                  if "details" in json.dumps(e)] if mesh.ask("http://details:9080/details/0") else None)
    text = json.dumps(edges)
    assert mesh.identity("bookinfo-details") in text
    assert mesh.identity() in text
