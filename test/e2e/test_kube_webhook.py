# SPDX-License-Identifier: Apache-2.0
"""The webhooks on a real API server, without nodes: weft-control runs beside it, the configurations of the chart point at
https://localhost:15017. Pods get sidecars, objects are judged, who overwrites a caBundle sees it put right, and when weft-control
is gone the failure policy decides."""
import json
import os
import signal
import subprocess

import pytest

from cluster import Machine, lacks
from mesh import WEFT, until, virtual_service

CONTROL = f"{os.path.dirname(WEFT)}/weft-control"
MUTATING = ["mutatingwebhookconfiguration", "istio-sidecar-injector"]
VALIDATING = ["validatingwebhookconfiguration", "istio-validator-istio-system"]
POD = """
apiVersion: v1
kind: Pod
metadata: {{name: {name}, labels: {{app: web, {labels}}}, annotations: {{{annotations}}}}}
spec:
  serviceAccountName: default
  automountServiceAccountToken: false
  securityContext: {{fsGroup: 2000, runAsNonRoot: true, runAsUser: 1000}}
  initContainers: [{{name: first, image: example.org/first:1}}]
  containers:
  - name: web
    image: example.org/web:1
    ports: [{{name: http, containerPort: 8080, protocol: TCP}}]
    readinessProbe: {{httpGet: {{path: /ready, port: http}}}}
    livenessProbe: {{exec: {{command: [live]}}}}
    lifecycle: {{preStop: {{httpGet: {{path: /stop, port: 8080}}}}}}
"""


class Api(Machine):
    """etcd and kube-apiserver with weft-control beside them."""

    def kube_up(self, *args, **kw):
        return super().kube_up(*args, **{**kw, "env": {"KUBE_PARTS": "api", "KUBE_CRDS": "yes", **kw.get("env", {})}})

    def start(self):
        self.log = open(f"/tmp/weft-{self.name}.log", "ab")
        self.control = self.popen(CONTROL, "--kubeconfig", self.env["KUBECONFIG"], stdin=subprocess.DEVNULL, stdout=self.log,
                                  stderr=self.log, start_new_session=True)
        until("the webhooks answer, or weft-control ended", lambda: self.control.poll() is not None or self.run(
            "curl", "-fsk", "https://localhost:15017/ready", check=False).returncode == 0, timeout=30)
        assert self.control.poll() is None, open(self.log.name, encoding="utf-8").read()
        until("the validating webhook is strict", lambda: self.hook(*VALIDATING)["failurePolicy"] == "Fail", timeout=30)

    def stop(self):
        os.killpg(self.control.pid, signal.SIGKILL)
        self.control.wait()
        self.log.close()

    def hook(self, *which):
        return json.loads(self.kubectl("get", *which, "-o", "json").stdout)["webhooks"][0]

    def create(self, text, *args, ns="default", check=False, **kw):
        return self.kubectl("create", "-n", ns, "-f", "-", *args, input=text, check=check, **kw)

    def namespace(self, name, **labels):
        self.kubectl("create", "namespace", name)
        self.kubectl("create", "serviceaccount", "default", "-n", name)
        if labels:
            self.kubectl("label", "namespace", name, *[f"{k.replace('_', '-')}={v}" for k, v in labels.items()])


@pytest.fixture(scope="module")
def api():
    why = lacks()
    if why:
        pytest.skip(why)
    it = Api(f"webhook-{os.getpid()}")
    try:
        it.up()
        rendered = it.weft("install", "--dry-run", "-o", "json").stdout
        docs = json.loads(rendered)
        kept = [d for d in docs.get("items", docs) if d["kind"].endswith("WebhookConfiguration") or d["kind"] == "ConfigMap"]
        for d in kept:
            for hook in d.get("webhooks", []):
                service = hook["clientConfig"].pop("service")
                hook["clientConfig"]["url"] = f"https://localhost:15017{service['path']}"
        it.kubectl("create", "namespace", "istio-system")
        it.create(json.dumps({"apiVersion": "v1", "kind": "List", "items": kept}), ns="istio-system", check=True)
        it.kubectl("create", "serviceaccount", "default")
        it.kubectl("label", "namespace", "default", "istio-injection=enabled")
        it.namespace("plain")
        it.start()
        until("pods are injected", lambda: "istio-proxy" in it.create(POD.format(name="first", labels="", annotations=""),
                                                                       "--dry-run=server", "-o", "name", "-o", "json").stdout, timeout=30)
        yield it
        it.stop()
    finally:
        it.down()
        if os.path.exists(f"/tmp/weft-{it.name}.log"):
            os.unlink(f"/tmp/weft-{it.name}.log")


def inits(done):
    assert done.returncode == 0, done.stderr
    return [c["name"] for c in json.loads(done.stdout)["spec"].get("initContainers", [])]


def test_a_pod_of_a_labelled_namespace_gets_its_sidecar(api):
    pod = json.loads(api.create(POD.format(name="web", labels="", annotations=""), "-o", "json", check=True).stdout)
    first, second, third = pod["spec"]["initContainers"]
    assert [first["name"], second["name"], third["name"]] == ["istio-init", "istio-proxy", "first"]
    assert first["securityContext"]["capabilities"] == {"add": ["NET_ADMIN", "NET_RAW"], "drop": ["ALL"]}
    assert first["command"] == ["weft-node"] and first["image"] == second["image"]
    assert second["restartPolicy"] == "Always" and second["securityContext"]["runAsUser"] == 1337
    assert pod["spec"]["containers"][0]["readinessProbe"]["httpGet"]["path"] == "/app-health/web/readyz"
    assert pod["spec"]["containers"][0]["lifecycle"]["preStop"]["httpGet"]["path"] == "/app-lifecycle/web/prestopz"
    token = next(v for v in pod["spec"]["volumes"] if v["name"] == "istio-token")
    assert token["projected"]["sources"][0]["serviceAccountToken"]["audience"] == "istio-ca"
    assert pod["metadata"]["annotations"]["istio.io/rev"] == "default"


@pytest.mark.parametrize("ns, labels, injected", [
    ("default", "", True),
    ("default", "sidecar.istio.io/inject: 'false'", False),
    ("plain", "", False),
    ("plain", "sidecar.istio.io/inject: 'true'", True),
    ("plain", "istio.io/rev: default", True),
    ("plain", "istio.io/rev: other", False)])
def test_labels_decide(api, ns, labels, injected):
    done = api.create(POD.format(name="asked", labels=labels, annotations=""), "--dry-run=server", "-o", "json", ns=ns)
    assert ("istio-proxy" in inits(done)) == injected


def plain(value):
    """Without what the API server adds before it asks a webhook, also inside of texts that are JSON."""
    defaults = {"scheme": "HTTP", "timeoutSeconds": 1, "protocol": "TCP"}
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items() if defaults.get(k) != v}
    if isinstance(value, list):
        return [plain(v) for v in value]
    if isinstance(value, str) and value[:1] in ("{", "["):
        return plain(json.loads(value))
    return value


@pytest.mark.parametrize("annotations", ["", "sidecar.istio.io/nativeSidecar: 'false'", "inject.istio.io/templates: gateway",
                                         "'proxy.istio.io/config': 'holdApplicationUntilProxyStarts: true'",
                                         "sidecar.istio.io/proxyCPU: 20m, traffic.sidecar.istio.io/excludeOutboundPorts: '25,26'"])
def test_offline_injection_makes_the_same_pod(api, annotations, tmp_path):
    """What `weft inject` prints is taken by the API server field for field, and is what the webhook makes."""
    text = POD.format(name="same", labels="", annotations=annotations)
    (tmp_path / "pod.yaml").write_text(text)
    offline = api.weft("inject", "-f", str(tmp_path / "pod.yaml"), "-o", "json").stdout
    by_us = api.create(offline, "--dry-run=server", "--validate=strict", "-o", "json")
    by_webhook = api.create(text, "--dry-run=server", "-o", "json")
    assert by_us.returncode == 0, by_us.stderr
    ours, theirs = json.loads(by_us.stdout), json.loads(by_webhook.stdout)
    for key in {*ours["spec"], *theirs["spec"]}:
        assert plain(ours["spec"].get(key)) == plain(theirs["spec"].get(key)), key
    assert ours["metadata"]["labels"] == theirs["metadata"]["labels"]
    assert plain(ours["metadata"]["annotations"]) == plain(theirs["metadata"]["annotations"])


def test_a_wrong_annotation_is_refused_in_words_and_a_slip_is_told(api):
    bad = api.create(POD.format(name="bad", labels="", annotations="sidecar.istio.io/interceptionMode: SIDEWAYS"))
    assert bad.returncode and "sidecar.istio.io/interceptionMode" in bad.stderr and "REDIRECT or NONE" in bad.stderr
    slip = api.create(POD.format(name="slip", labels="", annotations="sidecar.istio.io/proxyCpu: 1m"))
    assert slip.returncode == 0 and "did you mean `sidecar.istio.io/proxyCPU`?" in slip.stderr


def rule(name, host, extra=""):
    return virtual_service(name, f"  - route: [{{destination: {{host: {host}}}}}]\n    {extra}")


def test_objects_are_judged_as_weft_apply_does(api):
    bad = api.create(rule("bad", "web", "retries: {retryOn: 'sometimes, 5xx', attempts: 2}\n    fault: {abort: {percentage: {value: 200}, httpStatus: 500}}"))
    assert bad.returncode and "denied the request" in bad.stderr and "spec.http[0]" in bad.stderr and "effect:" in bad.stderr
    unsure = api.create(rule("unsure", "webb"))
    assert unsure.returncode == 0 and "[IST0101]" in unsure.stderr
    policy = api.create("apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p}\nspec: {}\n")
    assert policy.returncode and "nothing would enforce it" in policy.stderr
    assert api.kubectl("delete", "virtualservice", "unsure").returncode == 0


def test_an_object_of_a_megabyte_is_judged_in_time(api):
    rules = [{"match": [{"uri": {"prefix": f"/{i}/{'x' * 20}"}, "headers": {"a": {"exact": f"b{i}"}}}],
              "route": [{"destination": {"host": "web"}}]} for i in range(7000)]
    big = {"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": {"name": "big"},
           "spec": {"hosts": ["web"], "http": rules}}
    text = json.dumps(big)
    assert len(text) > 1_000_000
    done = api.create(text, "--dry-run=server")
    assert done.returncode == 0, done.stderr[:500]
    rules[6999]["route"][0]["destination"]["port"] = {"number": 80, "name": "x"}
    rules[6999]["timeout"] = "5s"
    rules[6999]["mirrors"] = [{"destination": {"host": "web"}, "percentage": {"value": 101}}]
    assert api.create(json.dumps(big), "--dry-run=server").returncode


def test_who_overwrites_the_configurations_sees_them_put_right(api):
    right = api.hook(*MUTATING)["clientConfig"]["caBundle"]
    for path, wrong, hook in (("clientConfig/caBundle", "AAAA", MUTATING), ("failurePolicy", "Ignore", VALIDATING)):
        api.kubectl("patch", *hook, "--type=json", "-p",
                    json.dumps([{"op": "replace", "path": f"/webhooks/0/{path}", "value": wrong}]))
    until("caBundle is right again", lambda: api.hook(*MUTATING)["clientConfig"]["caBundle"] == right, timeout=10)
    until("failurePolicy is Fail again", lambda: api.hook(*VALIDATING)["failurePolicy"] == "Fail", timeout=10)


def test_the_counters_count(api):
    text = api.run("curl", "-fs", "http://localhost:15014/metrics").stdout
    seen = dict(line.rsplit(" ", 1) for line in text.split("\n") if line and line[0] != "#")
    assert int(seen["sidecar_injection_requests_total"]) == sum(
        int(seen[f"sidecar_injection_{k}_total"]) for k in ("success", "failure", "skip"))
    assert int(seen["sidecar_injection_success_total"]) > 0 and int(seen["sidecar_injection_failure_total"]) > 0
    assert int(seen['galley_validation_failed{group="networking.istio.io",reason="invalid_resource",resource="virtualservices",'
                    'version="v1"}']) > 0


def test_without_weft_control_the_failure_policy_decides(api):
    api.stop()
    refused = api.create(POD.format(name="late", labels="", annotations=""), timeout=20)
    assert refused.returncode and "namespace.sidecar-injector.istio.io" in refused.stderr
    assert api.create(POD.format(name="late", labels="", annotations=""), ns="plain").returncode == 0      # not ours: untouched
    assert api.create(POD.format(name="without", labels="sidecar.istio.io/inject: 'false'", annotations="")).returncode == 0
    assert api.create(rule("late", "web")).returncode
    api.start()
    assert "istio-proxy" in inits(api.create(POD.format(name="again", labels="", annotations=""), "-o", "json"))
