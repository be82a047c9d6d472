# SPDX-License-Identifier: Apache-2.0
"""A stock Prometheus finds and scrapes the mesh by the rules that it has for a cluster."""
import json
import re
import shutil
import subprocess
import threading
import time

import pytest

from mesh import LOGGED, client, server, until

pytestmark = pytest.mark.skipif(not shutil.which("prometheus"), reason="Debian's package prometheus is not installed")

# The control plane's metrics have the names that Istio gave them: counters without _total, gauges that end in _count.
ISTIOS_OWN = ("pilot_", "citadel_", "sidecar_injection_", "galley_")

LABELS_HTTP = """reporter source_workload source_canonical_service source_canonical_revision source_workload_namespace source_principal
source_app source_version source_cluster destination_workload destination_workload_namespace destination_principal destination_app
destination_version destination_service destination_canonical_service destination_canonical_revision destination_service_name
destination_service_namespace destination_cluster request_protocol response_code grpc_response_status response_flags
connection_security_policy""".split()


@pytest.fixture(scope="module")
def mesh(world):
    with world("prometheus", LOGGED + client() + server("web") + server("raw", "tcp", 9000, port_name="tcp")) as m:
        json.loads(m.client("http web 8080 20"))
        m.client("tcp raw 9000 1")
        yield m


def scrape(mesh, selector, path=":15090/stats/prometheus", ns=None):
    ip = mesh.pods(selector, ns)[0]["status"]["podIP"]
    return mesh.node("curl", "-s", f"http://{ip}{path}").stdout


def test_requests_carry_istios_25_labels(mesh):
    for selector, reporter in (("app=client", "source"), ("app=web", "destination")):
        def counted():
            for line in scrape(mesh, selector).split("\n"):
                if line.startswith("istio_requests_total{") and 'destination_app="web"' in line:
                    return line
        line = until(f"istio_requests_total at {selector}", counted)
        labels = dict(re.findall(r'(\w+)="([^"]*)"', line))
        assert sorted(labels) == sorted(LABELS_HTTP)
        assert labels["reporter"] == reporter
        assert labels["source_workload"] == "client" and labels["destination_workload"] == "web"
        assert labels["destination_service"] == f"web.{mesh.ns}.svc.cluster.local"
        assert labels["source_principal"] == mesh.identity()
        assert labels["connection_security_policy"] == ("unknown" if reporter == "source" else "mutual_tls")
        assert line.rstrip().endswith(" 20"), line


def test_tcp_connections_know_both_workloads(mesh):
    for selector in ("app=client", "app=raw"):
        line = until(f"TCP metrics at {selector}", lambda: next((l for l in scrape(mesh, selector).split("\n")
                     if l.startswith("istio_tcp_sent_bytes_total{") and 'destination_workload="raw"' in l), None), timeout=15)
        labels = dict(re.findall(r'(\w+)="([^"]*)"', line))
        assert sorted(labels) == sorted(set(LABELS_HTTP) - {"response_code", "grpc_response_status"})
        assert labels["source_workload"] == "client"


def test_promtool_has_nothing_to_say_but_istios_own_names(mesh):
    for text in (scrape(mesh, "app=web"), scrape(mesh, "app=istiod", ":15014/metrics", "istio-system")):
        assert "# TYPE" in text
        out = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True)
        complaints = [l for l in (out.stdout + out.stderr).split("\n") if l.strip() and "_milliseconds" not in l
                      and not l.startswith(ISTIOS_OWN)]
        assert not complaints


def test_a_stock_prometheus_finds_proxies_and_control_plane(mesh):
    config = mesh.write("prometheus.yml", f"""
global: {{scrape_interval: 1s}}
scrape_configs:
- job_name: envoy-stats
  metrics_path: /stats/prometheus
  {mesh.discovery()}
  relabel_configs:
  - source_labels: [__meta_kubernetes_pod_container_port_name]
    action: keep
    regex: '.*-envoy-prom'
  - source_labels: [__meta_kubernetes_namespace]
    target_label: namespace
  - source_labels: [__meta_kubernetes_pod_name]
    target_label: pod_name
- job_name: istiod
  {mesh.discovery()}
  relabel_configs:
  - source_labels: [__meta_kubernetes_pod_container_port_name]
    action: keep
    regex: http-monitoring
""")
    data = f"{mesh.dir.name}/data"
    t = threading.Thread(target=lambda: mesh.node("timeout", "25", "prometheus", f"--config.file={config}", f"--storage.tsdb.path={data}",
                                                  "--web.listen-address=127.0.0.1:19090", check=False))
    t.start()
    try:
        def ask(query):
            out = mesh.node("curl", "-s", "-G", "http://127.0.0.1:19090/api/v1/query", "--data-urlencode", f"query={query}", check=False).stdout
            return json.loads(out)["data"]["result"] if out.startswith("{") else []
        until("requests in Prometheus", lambda: ask('sum(istio_requests_total{reporter="destination",destination_app="web"}) >= 20'), timeout=20)
        until("all proxies", lambda: {r["metric"]["pod_name"].rsplit("-", 2)[0] for r in ask('up{job="envoy-stats"} == 1')} >=
              {"client", "web", "raw"}, timeout=10)
        until("the control plane", lambda: ask('up{job="istiod"} == 1'))
    finally:
        t.join()
