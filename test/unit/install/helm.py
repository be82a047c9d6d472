#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The real helm and `weft install --dry-run` make the same objects from the same chart, for several values: helm.py WEFT CHART.
Helm is taken from ~/.cache/weft/helm (tools/helm.sh builds it there) or $PATH; without it the test is skipped (77)."""
import os
import shutil
import subprocess
import sys

try:
    import yaml
except ImportError:
    print("skipped: there is no python3-yaml")
    sys.exit(77)

HELM = os.path.expanduser("~/.cache/weft/helm/helm")
CASES = [
    [],
    ["revision=canary", "revisionTags={prod,default}", "defaultRevision=canary", "pilot.autoscaleEnabled=true"],
    ["global.hub=registry.local/a", "global.tag=t", "pilot.tag=u", "global.logAsJson=true", "global.imagePullSecrets={a,b}"],
    ["pilot.env.N=3", "pilot.env.MAX=24h", "pilot.tolerations[0].key=a", "pilot.tolerations[0].operator=Exists"],
    ["pilot.replicaCount=1", "global.networkPolicy.enabled=false", r"pilot.podAnnotations.a\.b/c=yes"],
    ["meshConfig.defaultConfig.holdApplicationUntilProxyStarts=true", "meshConfig.accessLogFile=/dev/stdout"],
    ["gateways.istio-ingressgateway.enabled=false", "base.excludedCRDs={gateways.networking.istio.io}"],
    ["gateways.istio-ingressgateway.type=NodePort", "gateways.istio-ingressgateway.env.A=b",
     "gateways.istio-ingressgateway.loadBalancerSourceRanges={10.0.0.0/8}"],
    ["sidecarInjectorWebhook.enableNamespacesByDefault=true", "base.enableCRDTemplates=false", "global.network=n1"],
]
REFUSED = ["global.hubb=x", "pilot.replicaCount=x", "meshConfig.trustDomain=null", "global.imagePullPolicy=Maybe"]


def objects(text):
    out = {}
    for o in yaml.safe_load_all(text):
        if o and o["kind"] != "Namespace":  # helm's --create-namespace makes it
            o["metadata"]["labels"].pop("app.kubernetes.io/managed-by")  # Helm there, weft here: that is its meaning
            out[o["kind"], o["metadata"].get("namespace"), o["metadata"]["name"]] = o
    return out


def main():
    weft, chart = sys.argv[1:3]
    helm = HELM if os.access(HELM, os.X_OK) else shutil.which("helm")
    if not helm:
        print("skipped: there is no helm; tools/helm.sh builds it")
        return 77
    template = [helm, "template", "istiod", chart, "--namespace", "istio-system", "--kube-version", "1.34.0"]
    bad = 0
    for case in CASES:
        sets = [w for s in case for w in ("--set", s)]
        theirs = objects(subprocess.run(template + sets, check=True, stdout=subprocess.PIPE, text=True).stdout)
        ours = objects(subprocess.run([weft, "install", "--dry-run"] + sets, check=True, stdout=subprocess.PIPE, text=True).stdout)
        for key in sorted(set(theirs) | set(ours), key=str):
            if theirs.get(key) != ours.get(key):
                bad += 1
                print(f"{case}: {key}\n  helm: {theirs.get(key)}\n  weft: {ours.get(key)}")
        if len(ours) < 15:
            bad += 1
            print(f"{case}: only {len(ours)} objects")
    for one in REFUSED:
        codes = [subprocess.run(c + ["--set", one], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode
                 for c in (template, [weft, "install", "--dry-run"])]
        if not all(codes):
            bad += 1
            print(f"{one}: helm and weft exit with {codes}")
    print(f"{len(CASES)} cases, {len(REFUSED)} refused ones, {bad} differences")
    return 1 if bad else 0


sys.exit(main())
