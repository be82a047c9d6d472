# SPDX-License-Identifier: Apache-2.0
"""As a new user would: weft install, label the namespace, restart what runs there; and what `weft check` and a second `weft install` say."""
import time

import pytest

from mesh import SAMPLE, STRICT, client, until


@pytest.fixture(scope="module")
def mesh(world):
    with world("newcomer", client(), files=[f"{SAMPLE}/bookinfo.yaml"]) as m:
        yield m


def sample(mesh):
    return [p for p in mesh.pods("app in (productpage, details, reviews, ratings)") if not p["metadata"].get("deletionTimestamp")]


def meshed(pod):
    return "istio-proxy" in {c["name"] for c in pod["spec"]["containers"] + pod["spec"].get("initContainers", [])}


def ready(pod):
    return pod["status"]["phase"] == "Running" and all(c["ready"] for c in pod["status"].get("containerStatuses", []))


def test_bookinfo_is_in_the_mesh_after_a_label_and_a_restart(mesh):
    assert not any(meshed(p) for p in sample(mesh))
    mesh("label", "namespace", mesh.ns, "istio-injection=enabled")
    start = time.monotonic()
    mesh("rollout", "restart", "deployment/productpage-v1", *[f"deployment/{n}" for n in
         ("details-v1", "ratings-v1", "reviews-v1", "reviews-v2", "reviews-v3")])
    mesh.ready()
    pods = until("only new pods", lambda: (lambda p: p if len(p) == 6 else None)(sample(mesh)), timeout=40)
    assert all(meshed(p) and ready(p) for p in pods)
    print(f"in the mesh after {time.monotonic() - start:.1f} s")
    assert all(s["restartCount"] == 0 for p in pods for s in p["status"]["containerStatuses"] + p["status"]["initContainerStatuses"])


def test_strict_mutual_tls_holds_and_the_page_still_shows(mesh):
    mesh.apply(STRICT)
    page = lambda: mesh.ask("http://productpage:9080/productpage")
    until("the page with its reviews", lambda: (lambda r: r[0] == 200 and "unavailable" not in r[1])(page()))
    mesh.apply(client("outsider", inject=False))
    mesh.ready()
    assert mesh.ask("http://details:9080/details/0", "app=outsider", check=False)[0] in (0, 503)


def test_check_finds_nothing_wrong(machine):
    out = machine.weft("check", check=False)
    assert out.returncode == 0, out.stdout + out.stderr


def test_a_second_install_changes_nothing(machine):
    versions = lambda: machine.kubectl("get", "deployment,service,configmap,mutatingwebhookconfiguration", "-n", "istio-system", "-o",
                                       'jsonpath={range .items[*]}{.kind}/{.metadata.name} {.metadata.generation}{"\\n"}{end}').stdout
    before = versions()
    machine.install(again=True)
    assert versions() == before
