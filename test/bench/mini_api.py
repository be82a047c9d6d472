# SPDX-License-Identifier: Apache-2.0
"""An API server for benches: LIST and WATCH of objects that are made up, over a Unix socket, so that a control plane can be
measured with thousands of them where no cluster is at hand.

    api = MiniApi("/tmp/x.sock"); api.put(obj); api.start()
    at = api.put(obj)                  # after start: an event to all watches; returns monotonic ns of the moment before

It speaks the part of the protocol that weft-control uses, and 404 for the rest. Objects look as a kubelet and an apiserver
leave them (managedFields, status), because their size is what is measured.
"""
import json
import os
import queue
import socket
import threading
import time

PLURALS = {"Namespace": "namespaces", "Service": "services", "EndpointSlice": "endpointslices", "Pod": "pods",
           "VirtualService": "virtualservices", "DestinationRule": "destinationrules", "ConfigMap": "configmaps"}


class MiniApi:
    def __init__(self, path):
        self.path, self.objects, self.version, self.watches, self.lock = path, {}, 1, {}, threading.Lock()
        self.socket = None

    @staticmethod
    def collection(obj):
        return obj["apiVersion"], PLURALS[obj["kind"]]

    def put(self, obj):
        with self.lock:
            self.version += 1
            obj["metadata"]["resourceVersion"] = str(self.version)
            group = self.objects.setdefault(self.collection(obj), {})
            key = (obj["metadata"].get("namespace", ""), obj["metadata"]["name"])
            kind = "MODIFIED" if key in group else "ADDED"
            group[key] = json.dumps(obj)
            return self.tell(obj, kind, group[key])

    def delete(self, obj):
        with self.lock:
            key = (obj["metadata"].get("namespace", ""), obj["metadata"]["name"])
            text = self.objects[self.collection(obj)].pop(key)
            self.version += 1
            return self.tell(obj, "DELETED", text)

    def tell(self, obj, kind, text):
        line = f'{{"type":"{kind}","object":{text}}}\n'.encode()
        at = time.monotonic_ns()
        for q in self.watches.get(self.collection(obj), []):
            q.put(line)
        return at

    def start(self):
        self.socket = socket.socket(socket.AF_UNIX)
        if os.path.exists(self.path):
            os.unlink(self.path)
        self.socket.bind(self.path)
        self.socket.listen(64)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                c, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(c,), daemon=True).start()

    def serve(self, c):
        rest = b""
        try:
            while True:
                while b"\r\n\r\n" not in rest:
                    more = c.recv(65536)
                    if not more:
                        return
                    rest += more
                head, rest = rest.split(b"\r\n\r\n", 1)
                length = 0
                for line in head.split(b"\r\n")[1:]:
                    if line.lower().startswith(b"content-length:"):
                        length = int(line.split(b":")[1])
                while len(rest) < length:
                    rest += c.recv(65536)
                rest = rest[length:]
                self.answer(c, head.split(b" ")[1].decode())
        except OSError:
            pass
        finally:
            c.close()

    def answer(self, c, target):
        path, _, query = target.partition("?")
        parts = path.strip("/").split("/")
        version, parts = (parts[1], parts[2:]) if parts[0] == "api" else ("/".join(parts[1:3]), parts[3:])
        ns = parts[1] if len(parts) > 2 and parts[0] == "namespaces" else None
        plural = parts[-1] if parts else ""
        if "watch=1" in query or "watch=true" in query:
            self.watch(c, (version, plural), ns)
            return
        with self.lock:
            group = self.objects.get((version, plural), {})
            items = [t for (n, _), t in group.items() if ns is None or n == ns]
            asked = dict(p.split("=", 1) for p in query.split("&") if "=" in p)
            begin, limit = int(asked.get("continue") or 0), int(asked.get("limit") or 10**9)
            rest = f',"continue":"{begin + limit}"' if begin + limit < len(items) else ""
            body = (f'{{"kind":"List","apiVersion":"{version}","metadata":{{"resourceVersion":"{self.version}"{rest}}},'
                    f'"items":[{",".join(items[begin:begin + limit])}]}}').encode()
        if version not in ("v1", "discovery.k8s.io/v1") and "istio.io" not in version:
            body = b'{"kind":"Status","apiVersion":"v1","code":404,"reason":"NotFound"}'
            c.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            return
        c.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    def watch(self, c, collection, ns):
        q = queue.SimpleQueue()
        with self.lock:
            self.watches.setdefault(collection, []).append(q)
        c.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            while True:
                line = q.get()
                if line is None:
                    return
                c.sendall(b"%x\r\n%s\r\n" % (len(line), line))
        finally:
            with self.lock:
                self.watches[collection].remove(q)


# ---- objects ----

def meta(name, ns, **more):
    m = {"name": name, "namespace": ns, "uid": f"6f1c2a9e-0000-4000-8000-{abs(hash((ns, name))) % 10**12:012d}",
         "creationTimestamp": "2026-01-01T00:00:00Z"}
    m.update(more)
    m["managedFields"] = [{"manager": "kube-controller-manager", "operation": "Update", "apiVersion": "v1",
                           "time": "2026-01-01T00:00:00Z", "fieldsType": "FieldsV1",
                           "fieldsV1": {"f:metadata": {"f:labels": {".": {}, "f:app": {}, "f:version": {}}},
                                        "f:spec": {f"f:field{i}": {} for i in range(40)}}}]
    return m


def namespace(name):
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {"istio-injection": "enabled"},
                                                                  "creationTimestamp": "2026-01-01T00:00:00Z"}}


def service(name, ns, n):
    return {"apiVersion": "v1", "kind": "Service", "metadata": meta(name, ns, labels={"app": name}),
            "spec": {"clusterIP": f"10.96.{n // 250}.{n % 250 + 1}", "type": "ClusterIP", "selector": {"app": name},
                     "ports": [{"name": "http", "port": 9080, "targetPort": 9080, "protocol": "TCP"}]}}


def pod_ip(n, replica):
    return f"10.{1 + (n >> 16) + replica * 8}.{n >> 8 & 255}.{n & 255}"


def endpoints(name, ns, n, replicas, skip=-1):
    return {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": meta(f"{name}-x", ns, labels={"kubernetes.io/service-name": name}),
            "endpoints": [{"addresses": [pod_ip(n, r)], "conditions": {"ready": True, "serving": True, "terminating": False},
                           "nodeName": f"node-{n % 10}", "targetRef": {"kind": "Pod", "name": f"{name}-{r}", "namespace": ns}}
                          for r in range(replicas) if r != skip],
            "ports": [{"name": "http", "port": 9080, "protocol": "TCP"}]}


def injected_pod(name, ns, n, replica):
    """As an API server shows a pod with a sidecar: some 8 KB."""
    env = [{"name": f"VARIABLE_{i}", "value": f"value-of-variable-{i}"} for i in range(25)]
    mounts = [{"name": f"volume-{i}", "mountPath": f"/var/run/secrets/mount-{i}"} for i in range(8)]
    containers = [{"name": c, "image": f"docker.io/weft/{c}:1.0", "env": env, "volumeMounts": mounts,
                   "resources": {"requests": {"cpu": "10m", "memory": "40Mi"}},
                   "ports": [{"containerPort": 9080, "protocol": "TCP"}] if c == "app" else []}
                  for c in ("app", "istio-proxy")]
    return {"apiVersion": "v1", "kind": "Pod",
            "metadata": meta(f"{name}-{replica}", ns, labels={"app": name, "version": "v1", "security.istio.io/tlsMode": "istio",
                                                              "service.istio.io/canonical-name": name},
                             annotations={"sidecar.istio.io/status": json.dumps({"initContainers": ["istio-init"], "containers": ["istio-proxy"]})},
                             ownerReferences=[{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": f"{name}-7d4b9c", "uid": "1", "controller": True}]),
            "spec": {"serviceAccountName": "default", "nodeName": f"node-{n % 10}", "containers": containers,
                     "volumes": [{"name": f"volume-{i}", "emptyDir": {}} for i in range(8)]},
            "status": {"phase": "Running", "podIP": pod_ip(n, replica), "podIPs": [{"ip": pod_ip(n, replica)}],
                       "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}],
                       "containerStatuses": [{"name": c["name"], "ready": True, "restartCount": 0, "image": c["image"],
                                              "imageID": "sha256:" + "0" * 64, "containerID": "containerd://" + "0" * 64,
                                              "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}} for c in containers]}}


def virtual_service(name, ns, timeout):
    return {"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": meta(name, ns),
            "spec": {"hosts": [name], "http": [{"timeout": f"{timeout}s", "route": [{"destination": {"host": name}}]}]}}


def fill(api, services, namespaces, replicas=2):
    for k in range(namespaces):
        api.put(namespace(f"bench-{k}"))
    for n in range(services):
        name, ns = f"app-{n}", f"bench-{n % namespaces}"
        api.put(service(name, ns, n))
        api.put(endpoints(name, ns, n, replicas))
        for r in range(replicas):
            api.put(injected_pod(name, ns, n, r))
