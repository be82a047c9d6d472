# SPDX-License-Identifier: Apache-2.0
"""`weft check --pre`, `weft install`, `weft check` and `weft uninstall` against a real API server with nothing behind it (etcd and
kube-apiserver only, up in 5 s): whatever stands in the way is an object, so every fault can be made by hand. Each must be named by
exactly the check that is about it, with the object at fault, and be forgotten when it is gone."""
import datetime
import json
import os
import subprocess

import pytest

from cluster import Machine
from mesh import ROOT, WEFT

HELM = os.path.expanduser("~/.cache/weft/helm/helm")


class ApiOnly(Machine):
    def kube_up(self, *args, **kw):
        return super().kube_up(*args, env={"KUBE_PARTS": "api", **kw.pop("env", {})}, **kw)


@pytest.fixture(scope="module")
def api():
    machine = ApiOnly(f"check-{os.getpid()}")
    try:
        yield machine.up()
    finally:
        machine.down()


def later(seconds):
    at = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)
    return at.strftime("%Y-%m-%dT%H:%M:%S.000000Z")


def apply(api, text):
    api.run("kubectl", "apply", "--server-side", "--force-conflicts", "-f", "-", input=text)


def delete(api, text):
    api.run("kubectl", "delete", "--wait=false", "--ignore-not-found", "-f", "-", input=text)


def check(api, *args, code=None):
    """{id: findings} of what does not hold."""
    done = api.run(WEFT, "check", "-o", "json", *args, check=False)
    assert code is None or done.returncode == code, done.stdout + done.stderr
    return {c["id"]: c["found"] for g in json.loads(done.stdout)["categories"] for c in g["checks"] if c.get("found")}


def webhook(name, kind="Validating", service="{name: gone, namespace: default}", policy="Fail"):
    return f"""
apiVersion: admissionregistration.k8s.io/v1
kind: {kind}WebhookConfiguration
metadata: {{name: {name}}}
webhooks:
- name: hook.example.com
  clientConfig: {{service: {service}}}
  rules: [{{apiGroups: [example.com], apiVersions: [v1], operations: [CREATE], resources: [things]}}]
  failurePolicy: {policy}
  sideEffects: None
  admissionReviewVersions: [v1]
"""


def policy(name, ns, kind):
    return f"""
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{name: {name}, namespace: {ns}}}
spec: {{podSelector: {{}}, policyTypes: [{kind}]}}
"""


CILIUM = """
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: cilium, namespace: kube-system}
spec:
  selector: {matchLabels: {a: b}}
  template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: d}]}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: cilium-config, namespace: kube-system}
data: {kube-proxy-replacement: "true", bpf-lb-sock-hostns-only: "%s"}
"""
ISTIO = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: istiod%s, namespace: default, labels: {app: istiod, istio.io/rev: %s}}
spec:
  selector: {matchLabels: {a: b}}
  template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: d}]}}
"""
OLD_CRD = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: virtualservices.networking.istio.io}
spec:
  group: networking.istio.io
  scope: Namespaced
  names: {kind: VirtualService, plural: virtualservices}
  versions: [{name: v1alpha3, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]
"""

# what is wrong: objects, which check names it, and what it names; a check of None: nothing is wrong
BEFORE = {
    "a webhook whose Service is gone": (webhook("stuck"), "WC007", "ValidatingWebhookConfiguration stuck"),
    "and a mutating one": (webhook("stuck", "Mutating"), "WC007", "MutatingWebhookConfiguration stuck"),
    "one that is ignored when it fails blocks nobody": (webhook("lazy", policy="Ignore"), None, ""),
    "the managed Istio add-on of AKS": ("apiVersion: v1\nkind: Namespace\nmetadata: {name: aks-istio-system}\n", "WC003", "aks-istio-system"),
    "a namespace of the add-on": ("apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {istio.io/rev: asm-1-27}}\n", "WC003", "shop"),
    "Cilium that takes Services away from sidecars": (CILIUM % "false", "WC006", "cilium-config"),
    "Cilium that does not": (CILIUM % "true", None, ""),
    "another Istio": (ISTIO % ("", "default"), "WC012", "Deployment default/istiod"),
    "an Istio of another revision": (ISTIO % ("-asm", "asm-1-27"), None, ""),
    "a definition that is too old": (OLD_CRD, "WC013", "does not serve version v1"),
    "another injector": (webhook("linkerd-proxy-injector-webhook-config", "Mutating", policy="Ignore"), "WC014", "linkerd-proxy-injector"),
    "a policy that lets nothing out": (policy("quiet", "default", "Egress"), "WC015", "NetworkPolicy default/quiet"),
    "a policy that lets nothing in, elsewhere": (policy("deaf", "default", "Ingress"), None, ""),
    "a node whose clock is ahead": (f"apiVersion: coordination.k8s.io/v1\nkind: Lease\nmetadata: {{name: n1, namespace: kube-node-lease}}\n"
                                    f"spec: {{renewTime: \"{later(600)}\"}}\n", "WC005", "node n1"),
    "a node whose clock is right": (f"apiVersion: coordination.k8s.io/v1\nkind: Lease\nmetadata: {{name: n1, namespace: kube-node-lease}}\n"
                                    f"spec: {{renewTime: \"{later(0)}\"}}\n", None, ""),
}


def test_an_empty_cluster_holds(api):
    assert check(api, "--pre", code=0) == {}


@pytest.mark.parametrize("what", BEFORE)
def test_before_installing(api, what):
    objects, wanted, named = BEFORE[what]
    apply(api, objects)
    try:
        found = check(api, "--pre")
        assert set(found) == ({wanted} if wanted else set()), found
        assert all(named in line for line in found.get(wanted, [])), found
    finally:
        delete(api, objects)
        for ns in ("aks-istio-system", "shop"):     # nobody ends a namespace here
            api.run("bash", "-c", f"kubectl get ns {ns} -o json 2>/dev/null | sed 's/\"kubernetes\"//' | "
                                  f"kubectl replace --raw /api/v1/namespaces/{ns}/finalize -f - || true", check=False)


def test_missing_rights_are_named(api):
    kubeconfig = api.run("kubectl", "config", "view", "--raw", "--flatten", "-o", "json").stdout
    config = json.loads(kubeconfig)
    apply(api, "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: poor, namespace: default}\n")
    token = api.run("kubectl", "create", "token", "poor").stdout.strip()
    config["users"][0]["user"] = {"token": token}
    path = f"/tmp/weft-check-{os.getpid()}.json"
    api.run("bash", "-c", f"cat >{path}", input=json.dumps(config))
    try:
        found = check(api, "--pre", "--kubeconfig", path, code=1)
        assert any("customresourcedefinitions.apiextensions.k8s.io: you may not get, list, create" in line for line in found["WC010"]), found
        assert any("mutatingwebhookconfigurations" in line for line in found["WC011"]), found
        refused = api.run(WEFT, "install", "--wait=false", "--kubeconfig", path, check=False)
        assert refused.returncode == 1 and "forbidden" in refused.stderr, refused.stderr
    finally:
        api.run("rm", "-f", path)


def test_no_cluster_is_exit_code_3(api):
    gone = json.dumps({"apiVersion": "v1", "kind": "Config", "current-context": "x",
                       "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}], "users": [{"name": "x", "user": {}}],
                       "clusters": [{"name": "x", "cluster": {"server": "http://127.0.0.1:1"}}]})
    path = f"/tmp/weft-check-{os.getpid()}-gone.json"
    api.run("bash", "-c", f"cat >{path}", input=gone)
    try:
        for args in (["check"], ["check", "--pre"], ["install"], ["uninstall", "-y"]):
            done = api.run(WEFT, *args, "--kubeconfig", path, check=False)
            assert done.returncode == 3, (args, done.stdout, done.stderr)
        done = api.run(WEFT, "check", "--kubeconfig", "/nonexistent", check=False)
        assert done.returncode == 3 and "/nonexistent" in done.stderr, done.stderr
    finally:
        api.run("rm", "-f", path)


def test_the_real_api_server_takes_the_chart(api):
    done = api.run("bash", "-c", f"set -o pipefail; {WEFT} install --dry-run --set global.istioNamespace=default | "
                                 "kubectl apply --server-side --force-conflicts --dry-run=server -f - 2>&1", check=False)
    assert done.returncode == 0 and done.stdout.count("serverside-applied") > 40, done.stdout


def test_install_is_idempotent_prunes_and_is_undone(api):
    """Without controllers nothing becomes ready; what is applied, changed and removed is the API server's word."""
    before = api.objects()
    report = lambda *args: json.loads(api.run(WEFT, "install", "--wait=false", "-o", "json", *args).stdout)["objects"]
    first = report()
    assert {o["result"] for o in first} == {"created"} and len(first) > 40
    assert {o["result"] for o in report()} == {"unchanged"}
    changed = {(o["kind"], o["name"]): o["result"] for o in report("--set", "pilot.replicaCount=3,gateways.istio-ingressgateway.enabled=false")}
    assert changed["Deployment", "istiod"] == "configured"
    assert changed["Service", "istio-ingressgateway"] == "removed"
    assert changed["Role", "istiod"] == "unchanged"
    found = check(api, code=1)
    assert any("no controller has seen it" in line for line in found["WC022"]), found
    assert set(found) <= {"WC022", "WC041"}, found
    api.kubectl("delete", "clusterrolebinding", "istiod-clusterrole-istio-system")
    assert check(api)["WC027"] == ["ClusterRoleBinding istiod-clusterrole-istio-system is missing"]
    slow = api.run(WEFT, "install", "--timeout", "2s", check=False)
    assert slow.returncode == 1 and "no controller has seen it" in slow.stderr, slow.stderr
    api.run(WEFT, "uninstall", "-y", "--timeout", "2s", check=False)    # the namespace stays Terminating: nobody ends it
    left = {o for o in api.objects() - before if "istio-system" not in o}
    assert not left, left
    left = {o for o in api.objects() - before if not o.startswith(("Namespace ", "ServiceAccount "))}
    assert not left, left


def test_what_is_not_wefts_is_left_alone(api):
    apply(api, OLD_CRD)
    try:
        report = json.loads(api.run(WEFT, "install", "--wait=false", "-o", "json", "--set", "global.istioNamespace=mesh-two").stdout)["objects"]
        assert {"kind": "CustomResourceDefinition", "name": "virtualservices.networking.istio.io", "result": "left alone"} in report
        versions = api.kubectl("get", "crd", "virtualservices.networking.istio.io", "-o", "jsonpath={.spec.versions[*].name}").stdout
        assert versions == "v1alpha3"
        out = api.run(WEFT, "uninstall", "-y", "--timeout", "2s", check=False)
        assert api.kubectl("get", "crd", "virtualservices.networking.istio.io", check=False).returncode == 0, out.stderr
    finally:
        delete(api, OLD_CRD)


def test_an_istio_that_is_there_is_not_overwritten(api):
    apply(api, "apiVersion: v1\nkind: Namespace\nmetadata: {name: mesh-three}\n")
    theirs = ISTIO.replace("namespace: default", "namespace: mesh-three") % ("", "default")
    apply(api, theirs)
    try:
        done = api.run(WEFT, "install", "--wait=false", "--set", "global.istioNamespace=mesh-three", check=False)
        assert done.returncode == 1 and "another Istio runs here" in done.stderr, done.stderr
    finally:
        delete(api, theirs)


@pytest.mark.skipif(not os.access(HELM, os.X_OK), reason="there is no helm: tools/helm.sh builds it")
def test_helms_installation_is_helms(api):
    chart = [HELM, "install", "istiod", f"{ROOT}/deploy/chart", "-n", "mesh-five", "--create-namespace", "--set", "global.istioNamespace=mesh-five"]
    api.run(*chart, "--set", "revision=five", timeout=120)
    try:
        refused = api.run(WEFT, "install", "--wait=false", "--revision", "five", "--set", "global.istioNamespace=mesh-five", check=False)
        assert refused.returncode == 1 and "Helm's release `istiod`: use `helm upgrade`" in refused.stderr, refused.stderr
        before = api.objects()
        api.run(HELM, "upgrade", "istiod", chart[3], "-n", "mesh-five", "--set", "global.istioNamespace=mesh-five,revision=five,pilot.replicaCount=3", timeout=120)
        assert api.kubectl("get", "deploy", "istiod-five", "-n", "mesh-five", "-o", "jsonpath={.spec.replicas}").stdout == "3"
        assert {o for o in api.objects() ^ before if "sh.helm.release" not in o} == set()
        before = api.objects()
        api.run(WEFT, "uninstall", "-y", "--timeout", "2s", check=False)    # namespaces of the cases before stay Terminating: nobody ends them
        assert api.objects() == before
    finally:
        api.run(HELM, "uninstall", "istiod", "-n", "mesh-five", timeout=120)
    left = api.kubectl("get", "clusterrole,mutatingwebhookconfiguration,validatingwebhookconfiguration,deploy,svc", "-A", "-o", "name",
                       "-l", "app.kubernetes.io/part-of=weft").stdout
    assert not left, left


def test_uninstall_asks(api):
    api.run(WEFT, "install", "--wait=false", "--set", "global.istioNamespace=mesh-four")
    try:
        done = api.run(WEFT, "uninstall", check=False, stdin=subprocess.DEVNULL)
        assert done.returncode == 2 and "Deployment mesh-four/istiod" in done.stderr and "-y" in done.stderr, done.stderr
        assert api.kubectl("get", "deployment", "istiod", "-n", "mesh-four", check=False).returncode == 0
    finally:
        api.run(WEFT, "uninstall", "-y", "--timeout", "2s", check=False)
