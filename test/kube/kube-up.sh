#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# kube-up.sh - a whole single-node Kubernetes on one Linux machine, without a
# registry, a container engine or a virtual machine.
#
#   kube-up.sh check             can it run here? else the reason, exit 77
#   kube-up.sh build             compile what is missing (minutes, once)
#   kube-up.sh up                start a fresh, empty cluster
#   kube-up.sh down              stop it and forget everything in it
#   kube-up.sh status            one line per component
#   kube-up.sh exec CMD ...      run CMD inside the cluster's machine
#   kube-up.sh env               its init's process id, KUBECONFIG, where kubectl is
#   kube-up.sh shell             the same, with an interactive shell
#   kube-up.sh load TAR ...      import OCI archives into the running cluster
#   kube-up.sh stop|start PART   end a component (SIGKILL), start it again
#   kube-up.sh fake N            add N nodes whose pods only pretend to run
#
# The cluster lives in network, mount, PID and UTS namespaces and cgroups of its
# own: one process (the "init" below) owns everything, so `down` is one kill,
# the machine's own routes, firewall and sysctls stay as they were, and nothing
# can reach an address outside. The price: a program that must talk to the API,
# a pod or a Service has to run inside, through `exec`.
#
# A keeper outside waits for the init and removes what it leaves. KUBE_OWNER_FD
# names an inherited pipe: when its last writer is gone (a killed test run, say),
# so is the cluster.
# shellcheck disable=SC2317  # verbs are called by their names
set -euo pipefail

# --- parameters (all may come from the environment) --------------------------
: "${KUBE_NAME:=default}"                   # several clusters run side by side
: "${KUBE_PARTS:=all}"                      # api: etcd, apiserver; control: and controllers; all
: "${KUBE_CRDS:=yes}"                       # those of Istio and of the Gateway API
: "${KUBE_OWNER_FD:=}"                      # ends the cluster when nobody writes there any more
: "${KUBE_CACHE:=${XDG_CACHE_HOME:-$HOME/.cache}/weft/kube}"  # binaries, images
: "${KUBE_STATE:=$KUBE_CACHE/run/$KUBE_NAME}"  # the running cluster; wiped by up
: "${KUBERNETES_VERSION:=1.34.4}"           # 1.34: last kubelet that takes cgroup v1 unasked
: "${GATEWAY_API_VERSION:=1.6.3}"           # CRDs
: "${GATEWAY_API_CHANNEL:=experimental}"    # standard or experimental
: "${ISTIO_API_VERSION:=1.31.1}"            # CRDs
: "${BUILD_JOBS:=$(nproc)}"
: "${FEATURE_GATES:=}"                      # e.g. Foo=true,Bar=false
: "${NODE_NAME:=node1}"
: "${NODE_IP:=172.31.0.1}"
: "${POD_CIDR:=10.244.0.0/22}"              # up to 1000 pods
: "${SERVICE_CIDR:=10.96.0.0/16}"           # .0.1 = API, .0.10 = DNS
: "${LB_PREFIX:=10.97.0}"                   # addresses for type: LoadBalancer
: "${CLUSTER_DOMAIN:=cluster.local}"
: "${MAX_PODS:=500}"
: "${PROXY_MODE:=iptables}"                 # kube-proxy: iptables or nftables
: "${CNI_BIN:=/usr/lib/cni}"
export KUBE_NAME KUBE_PARTS KUBE_CRDS KUBE_CACHE KUBE_STATE KUBERNETES_VERSION GATEWAY_API_VERSION \
	GATEWAY_API_CHANNEL ISTIO_API_VERSION \
	FEATURE_GATES NODE_NAME NODE_IP POD_CIDR SERVICE_CIDR LB_PREFIX \
	CLUSTER_DOMAIN MAX_PODS PROXY_MODE CNI_BIN

self=$(readlink -f "$0")
here=$(dirname "$self")
bin=$KUBE_CACHE/bin src=$KUBE_CACHE/src images=$KUBE_CACHE/images
crds=$KUBE_CACHE/crds/gateway-api-$GATEWAY_API_VERSION
pki=$KUBE_STATE/pki cfg=$KUBE_STATE/config log=$KUBE_STATE/log
api_ip=${SERVICE_CIDR%.*}.1 dns_ip=${SERVICE_CIDR%.*}.10
cgroup=kube-up-$KUBE_NAME                   # parent of every pod's cgroup
pause_image=kube-up.local/pause:1 dns_image=kube-up.local/dns:1
export KUBECONFIG=$cfg/admin.conf
export PATH=$bin:$PATH

say() { printf '%s\n' "$*" >&2; }
die() { say "kube: $*"; exit 1; }

# --- building ----------------------------------------------------------------

# wrapper DIR: enter a module of our own that only imports other modules.
wrapper() { mkdir -p "$src/$1" "$bin" "$images"; cd "$src/$1"; }

# fresh VERSION: does the module here still stand for that version? The stamp is
# written last, so a download that failed half way is begun again.
fresh() { [ "$(cat stamp 2>/dev/null)" = "$1" ]; }
tidy() { go mod tidy && echo "$1" >stamp; }

# compile OUTPUT PACKAGE [LDFLAGS]
compile() {
	[ -x "$bin/$1" ] && return
	local from=$SECONDS
	say "kube: compiling $1 ..."
	CGO_ENABLED=0 nice -n 19 go build -p "$BUILD_JOBS" -trimpath \
		-ldflags "-s -w ${3:-}" -o "$bin/$1.part" "$2"
	mv "$bin/$1.part" "$bin/$1"
	say "kube: compiled $1 in $((SECONDS - from)) s"
}

# Our two small programs live beside this script and share that module.
copy_own() {
	local c
	for c in dns fake; do
		mkdir -p "$c"
		cmp -s "$here/kube-$c.go" "$c/main.go" && continue
		cp "$here/kube-$c.go" "$c/main.go"
		rm -f "$bin/kube-$c"
	done
}

# k8s.io/kubernetes points at its own staging directories by relative replace
# lines, which a dependent module doesn't inherit: send each to its published
# twin v0.MINOR.PATCH instead.
build_kube() {
	wrapper kube
	local v=$KUBERNETES_VERSION p=k8s.io/component-base/version c mod cmds
	cmds="kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl"
	if ! fresh "$v"; then
		rm -f "$bin"/kube* "$bin/etcd"
		mod=$(cd / && go mod download -json "k8s.io/kubernetes@v$v" |
			sed -n 's/.*"GoMod": "\(.*\)",/\1/p')
		{
			echo "module kube-up/kube"
			sed -n '/^go /p; /^godebug /p' "$mod"
			echo "require k8s.io/kubernetes v$v"
			sed -n "s|^\t\(k8s.io/[a-z-]*\) => \./.*|replace \1 => \1 v0.${v#1.}|p" "$mod"
		} >go.mod
		{
			printf '//go:build tools\n\npackage tools\n\nimport (\n'
			for c in $cmds; do echo "	_ \"k8s.io/kubernetes/cmd/$c\""; done
			printf '	_ "go.etcd.io/etcd/server/v3"\n)\n'
		} >tools.go
		copy_own
		say "kube: fetching the modules of Kubernetes $v ..."
		tidy "$v"
	fi
	copy_own
	compile etcd go.etcd.io/etcd/server/v3
	for c in $cmds; do
		compile "$c" "k8s.io/kubernetes/cmd/$c" \
			"-X $p.gitVersion=v$v -X $p.gitMajor=1 -X $p.gitMinor=$(cut -d. -f2 <<<"$v")"
	done
	compile kube-dns ./dns
	compile kube-fake ./fake
}

# moddir MODULE@VERSION: its directory in the module cache
moddir() { (cd / && go mod download -json "$1") | sed -n 's/.*"Dir": "\(.*\)",/\1/p'; }

# The CRDs, copied out so that `up` needs no Go.
build_crds() {
	local out=$KUBE_CACHE/crds
	mkdir -p "$out"
	[ -d "$out/gateway-api-$GATEWAY_API_VERSION" ] || {
		cp -rL "$(moddir "sigs.k8s.io/gateway-api@v$GATEWAY_API_VERSION")/config/crd" "$out/part"
		chmod -R u+w "$out/part"
		rm "$out"/part/*/kustomization.yaml    # not an object: kubectl apply -f DIR trips
		mv "$out/part" "$out/gateway-api-$GATEWAY_API_VERSION"
	}
	[ -f "$out/istio-$ISTIO_API_VERSION.yaml" ] ||
		install -m 644 "$(moddir "istio.io/api@v$ISTIO_API_VERSION")/kubernetes/customresourcedefinitions.gen.yaml" \
			"$out/istio-$ISTIO_API_VERSION.yaml"
}

# pack TAR ROOT CMD REF...: directory ROOT as a one-layer OCI image, under
# every name REF. CMD is the entrypoint, words split at blanks.
pack() {
	local tar=$1 root=$2 entry=$3 t d c m n=0 layer config manifest
	shift 3
	t=$(mktemp -d)
	mkdir -p "$t/blobs/sha256"
	blob() { d=$(sha256sum <"$1" | cut -d' ' -f1); mv "$1" "$t/blobs/sha256/$d"; }
	tar -C "$root" --sort=name --numeric-owner --owner=0 --group=0 -cf "$t/l" .
	blob "$t/l"; layer=$d
	printf '{"architecture":"%s","os":"linux","config":{"Entrypoint":["%s"],"Env":["PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' \
		"$(arch_name)" "${entry// /\",\"}" "$layer" >"$t/c"
	blob "$t/c"; config=$d
	c=application/vnd.oci.image
	printf '{"schemaVersion":2,"mediaType":"%s.manifest.v1+json","config":{"mediaType":"%s.config.v1+json","digest":"sha256:%s","size":%s},"layers":[{"mediaType":"%s.layer.v1.tar","digest":"sha256:%s","size":%s}]}' \
		"$c" "$c" "$config" "$(stat -c %s "$t/blobs/sha256/$config")" \
		"$c" "$layer" "$(stat -c %s "$t/blobs/sha256/$layer")" >"$t/m"
	blob "$t/m"; manifest=$d
	printf '{"imageLayoutVersion":"1.0.0"}' >"$t/oci-layout"
	{
		printf '{"schemaVersion":2,"manifests":['
		for m; do
			[ $((n++)) = 0 ] || printf ,
			printf '{"mediaType":"%s.manifest.v1+json","digest":"sha256:%s","size":%s,"annotations":{"io.containerd.image.name":"%s"}}' \
				"$c" "$manifest" "$(stat -c %s "$t/blobs/sha256/$manifest")" "$m"
		done
		printf ']}'
	} >"$t/index.json"
	tar -C "$t" -cf "$tar.part" oci-layout index.json blobs
	mv "$tar.part" "$tar"
	rm -rf "$t"
}

arch_name() { case $(uname -m) in x86_64) echo amd64 ;; aarch64) echo arm64 ;; *) uname -m ;; esac; }

# The two images that the cluster itself needs.
build_images() {
	local r
	mkdir -p "$images"
	r=$(mktemp -d)
	if [ ! -f "$images/pause.tar" ]; then
		printf '#include <signal.h>\n#include <unistd.h>\nstatic void end(int s) { (void)s; _exit(0); }\nint main(void) { signal(SIGTERM, end); signal(SIGINT, end); for (;;) pause(); }\n' |
			cc -O2 -static -s -x c -o "$r/pause" -
		pack "$images/pause.tar" "$r" /pause "$pause_image"
		rm -f "$r/pause"
	fi
	if [ ! "$images/kube-dns.tar" -nt "$bin/kube-dns" ]; then
		cp "$bin/kube-dns" "$r/kube-dns"
		pack "$images/kube-dns.tar" "$r" /kube-dns "$dns_image"
	fi
	rm -rf "$r"
}

built() {
	local f
	[ "$(cat "$src/kube/stamp" 2>/dev/null)" = "$KUBERNETES_VERSION" ] || return 1
	for f in etcd kubectl kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kube-dns kube-fake; do
		[ -x "$bin/$f" ] || return 1
	done
	for f in dns fake; do cmp -s "$here/kube-$f.go" "$src/kube/$f/main.go" || return 1; done
	[ -f "$images/pause.tar" ] && [ "$images/kube-dns.tar" -nt "$bin/kube-dns" ] &&
		[ -d "$crds" ] && [ -f "$KUBE_CACHE/crds/istio-$ISTIO_API_VERSION.yaml" ]
}

# One builder at a time. No `||` on these lines: it would switch `set -e` off inside.
build() {
	mkdir -p "$KUBE_CACHE"
	exec 9>"$KUBE_CACHE/lock"
	flock -n 9 || { say "kube: another build runs; waiting for it ..."; flock 9; }
	if ! built; then
		why=$(go_lacks)
		[ -z "$why" ] || die "$why"
		(build_kube)
		(build_crds)
		(build_images)
	fi
	exec 9>&-
}

# Why the modules can't be compiled here; nothing when they can. From 1.21 on, Go
# fetches the newer Go that a module asks for by itself.
go_lacks() {
	local v
	command -v go >/dev/null || { echo "Go is not installed, and Kubernetes has to be compiled"; return; }
	v=$(cd / && go env GOVERSION)
	case $v in
	go1.[0-9] | go1.[0-9].* | go1.1[0-9]* | go1.20*)
		echo "Go is $v; Kubernetes $KUBERNETES_VERSION needs 1.24 (1.21 can fetch that itself)" ;;
	esac
	[ "$(df -Pk "$KUBE_CACHE" 2>/dev/null | awk 'NR == 2 {print $4}')" -gt 7000000 ] 2>/dev/null ||
		echo "less than 7 GB free for $KUBE_CACHE"
}

# --- keys and configuration --------------------------------------------------

# cert NAME SUBJECT [SAN]: a key and a certificate signed by our CA
cert() {
	openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "$2" \
		-keyout "$pki/$1.key" -out "$pki/$1.csr" 2>/dev/null
	openssl x509 -req -in "$pki/$1.csr" -CA "$pki/ca.crt" -CAkey "$pki/ca.key" \
		-CAcreateserial -days 365 -out "$pki/$1.crt" 2>/dev/null \
		-extfile <(printf 'extendedKeyUsage=serverAuth,clientAuth\n%s' "${3:+subjectAltName=$3}")
}

# kubeconfig NAME: for the client certificate of that name
kubeconfig() {
	cat >"$cfg/$1.conf" <<-Y
		apiVersion: v1
		kind: Config
		clusters: [{name: kube-up, cluster: {server: "https://127.0.0.1:6443", certificate-authority: $pki/ca.crt}}]
		users: [{name: $1, user: {client-certificate: $pki/$1.crt, client-key: $pki/$1.key}}]
		contexts: [{name: kube-up, context: {cluster: kube-up, user: $1}}]
		current-context: kube-up
	Y
}

make_pki() {
	local n
	mkdir -p "$pki"
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 365 \
		-subj /CN=kube-up-ca -keyout "$pki/ca.key" -out "$pki/ca.crt" 2>/dev/null
	openssl genrsa -out "$pki/sa.key" 2048 2>/dev/null
	openssl rsa -in "$pki/sa.key" -pubout -out "$pki/sa.pub" 2>/dev/null
	cert apiserver /CN=kube-apiserver "DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.$CLUSTER_DOMAIN,IP:127.0.0.1,IP:$api_ip,IP:$NODE_IP"
	cert admin /O=system:masters/CN=admin
	cert apiserver-kubelet /O=system:masters/CN=apiserver-kubelet
	cert front-proxy /CN=front-proxy
	cert kubelet "/O=system:nodes/CN=system:node:$NODE_NAME"
	for n in kube-controller-manager kube-scheduler kube-proxy; do cert "$n" "/CN=system:$n"; done
	for n in admin kubelet kube-controller-manager kube-scheduler kube-proxy; do kubeconfig "$n"; done
}

make_config() {
	cat >"$cfg/containerd.toml" <<-T
		version = 2
		root = "$KUBE_STATE/containerd"
		state = "/run/containerd"
		oom_score = 0
		disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs"]
		[grpc]
		  address = "/run/containerd/containerd.sock"
		[plugins."io.containerd.grpc.v1.cri"]
		  sandbox_image = "$pause_image"
		  # lowering oom_score_adj needs CAP_SYS_RESOURCE, which root may lack
		  restrict_oom_score_adj = true
		  [plugins."io.containerd.grpc.v1.cri".cni]
		    bin_dir = "$CNI_BIN"
		    conf_dir = "$KUBE_STATE/cni"
		  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
		    runtime_type = "io.containerd.runc.v2"
		    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
		      SystemdCgroup = false
	T
	mkdir -p "$KUBE_STATE/cni"
	cat >"$KUBE_STATE/cni/10-kube-up.conflist" <<-J
		{"cniVersion": "0.4.0", "name": "kube-up", "plugins": [
		  {"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": true, "hairpinMode": true,
		   "ipam": {"type": "host-local", "dataDir": "$KUBE_STATE/ipam",
		            "ranges": [[{"subnet": "$POD_CIDR"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
		  {"type": "portmap", "capabilities": {"portMappings": true}}]}
	J
	: >"$cfg/resolv.conf"
	cat >"$cfg/kubelet.yaml" <<-Y
		apiVersion: kubelet.config.k8s.io/v1beta1
		kind: KubeletConfiguration
		authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $pki/ca.crt}}
		authorization: {mode: Webhook}
		containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
		cgroupDriver: cgroupfs
		cgroupRoot: /$cgroup
		failCgroupV1: false
		failSwapOn: false
		oomScoreAdj: 0
		maxOpenFiles: $(ulimit -Hn)
		clusterDNS: [$dns_ip]
		clusterDomain: $CLUSTER_DOMAIN
		resolvConf: $cfg/resolv.conf
		podLogsDir: $KUBE_STATE/pods
		volumePluginDir: $KUBE_STATE/volumeplugins
		maxPods: $MAX_PODS
		registryPullQPS: 0
		serializeImagePulls: false
		imageGCHighThresholdPercent: 100
		evictionHard: {memory.available: "100Mi", nodefs.available: "1%", imagefs.available: "1%"}
		syncFrequency: 10s
	Y
	cat >"$cfg/kube-proxy.yaml" <<-Y
		apiVersion: kubeproxy.config.k8s.io/v1alpha1
		kind: KubeProxyConfiguration
		clientConnection: {kubeconfig: $cfg/kube-proxy.conf}
		clusterCIDR: $POD_CIDR
		mode: $PROXY_MODE
		hostnameOverride: $NODE_NAME
		oomScoreAdj: 0
		# the conntrack limits belong to the whole machine: leave them
		conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
	Y
	cat >"$cfg/dns.yaml" <<-Y
		apiVersion: v1
		kind: ServiceAccount
		metadata: {name: kube-dns, namespace: kube-system}
		---
		apiVersion: rbac.authorization.k8s.io/v1
		kind: ClusterRole
		metadata: {name: kube-up:dns}
		rules:
		- {apiGroups: [""], resources: [services], verbs: [list, watch]}
		- {apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [list, watch]}
		---
		apiVersion: rbac.authorization.k8s.io/v1
		kind: ClusterRoleBinding
		metadata: {name: kube-up:dns}
		roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: kube-up:dns}
		subjects: [{kind: ServiceAccount, name: kube-dns, namespace: kube-system}]
		---
		apiVersion: apps/v1
		kind: Deployment
		metadata: {name: kube-dns, namespace: kube-system, labels: {k8s-app: kube-dns}}
		spec:
		  replicas: 1
		  selector: {matchLabels: {k8s-app: kube-dns}}
		  template:
		    metadata: {labels: {k8s-app: kube-dns}}
		    spec:
		      serviceAccountName: kube-dns
		      dnsPolicy: Default
		      containers:
		      - name: dns
		        image: $dns_image
		        imagePullPolicy: Never
		        args: [--domain, $CLUSTER_DOMAIN]
		        ports: [{containerPort: 53, protocol: UDP, name: dns}, {containerPort: 53, protocol: TCP, name: dns-tcp}]
		        readinessProbe: {httpGet: {path: /, port: 8181}, periodSeconds: 1}
		---
		apiVersion: v1
		kind: Service
		metadata: {name: kube-dns, namespace: kube-system, labels: {k8s-app: kube-dns}}
		spec:
		  clusterIP: $dns_ip
		  selector: {k8s-app: kube-dns}
		  ports: [{name: dns, port: 53, protocol: UDP}, {name: dns-tcp, port: 53, protocol: TCP}]
	Y
}

# --- inside: the init process -------------------------------------------------

# run NAME CMD ...: start a component, output to its log
run() {
	local name=$1
	shift
	"$@" >"$log/$name.log" 2>&1 </dev/null &
	echo $! >"$KUBE_STATE/pid/$name"
}

# until_ok SECONDS CMD ...: poll
until_ok() {
	local end=$((SECONDS + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.1
	done
}

# A kubelet writes machine-wide sysctls (panic on oops, overcommit). Let it
# write to files of ours instead.
mask_sysctls() {
	local f
	for f in vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1 \
		kernel/keys/root_maxkeys=1000000 kernel/keys/root_maxbytes=25000000; do
		mkdir -p "$KUBE_STATE/sysctl/$(dirname "${f%=*}")"
		echo "${f#*=}" >"$KUBE_STATE/sysctl/${f%=*}"
		mount --bind "$KUBE_STATE/sysctl/${f%=*}" "/proc/sys/${f%=*}"
	done
}

make_network() {
	hostname "$NODE_NAME"
	ip link set lo up
	# a bridge without ports is the node's interface and its way "out": an
	# address that no rule rewrites ends there
	ip link add node0 type bridge
	ip addr add "$NODE_IP/16" dev node0
	ip link set node0 up
	ip route add default dev node0
	echo 1 >/proc/sys/net/ipv4/ip_forward
	[ ! -e /proc/sys/net/bridge/bridge-nf-call-iptables ] ||
		echo 1 >/proc/sys/net/bridge/bridge-nf-call-iptables
}

# Address each Service of type LoadBalancer. kube-proxy then serves the address
# from every place on the node.
balance() {
	local type ns name ip n=0
	while :; do
		kubectl get services -A --watch -o \
			'jsonpath={.spec.type}/{.metadata.namespace}/{.metadata.name}/{.status.loadBalancer.ingress[0].ip}{"\n"}' ||
			sleep 1
	done | while IFS=/ read -r type ns name ip; do
		[ "$type/$ip" = LoadBalancer/ ] || continue
		n=$((n % 254 + 1))
		kubectl -n "$ns" patch service "$name" --subresource=status --type=merge \
			-p "{\"status\":{\"loadBalancer\":{\"ingress\":[{\"ip\":\"$LB_PREFIX.$n\",\"ipMode\":\"VIP\"}]}}}" || :
	done
}

load() { ctr -a /run/containerd/containerd.sock -n k8s.io images import "$@" >/dev/null; }

# The defaults (20 and 50 requests a second) make 1000 pods a matter of a minute.
pace="--kube-api-qps=500 --kube-api-burst=1000"
gates=${FEATURE_GATES:+--feature-gates=$FEATURE_GATES}

# start_PART: also what `start PART` does after `stop PART`
start_etcd() { run etcd etcd --data-dir="$KUBE_STATE/etcd" --unsafe-no-fsync --log-level=warn; }
start_containerd() { run containerd containerd --config "$cfg/containerd.toml"; }
# shellcheck disable=SC2086
start_kube_apiserver() {
	run kube-apiserver kube-apiserver \
		--etcd-servers=http://127.0.0.1:2379 --bind-address=0.0.0.0 --secure-port=6443 \
		--advertise-address="$NODE_IP" --service-cluster-ip-range="$SERVICE_CIDR" \
		--tls-cert-file="$pki/apiserver.crt" --tls-private-key-file="$pki/apiserver.key" \
		--client-ca-file="$pki/ca.crt" --authorization-mode=Node,RBAC \
		--enable-admission-plugins=NodeRestriction --allow-privileged=true \
		--service-account-issuer="https://kubernetes.default.svc.$CLUSTER_DOMAIN" \
		--service-account-key-file="$pki/sa.pub" --service-account-signing-key-file="$pki/sa.key" \
		--kubelet-client-certificate="$pki/apiserver-kubelet.crt" \
		--kubelet-client-key="$pki/apiserver-kubelet.key" \
		--kubelet-preferred-address-types=InternalIP \
		--requestheader-client-ca-file="$pki/ca.crt" --requestheader-allowed-names=front-proxy \
		--requestheader-username-headers=X-Remote-User --requestheader-group-headers=X-Remote-Group \
		--requestheader-extra-headers-prefix=X-Remote-Extra- --enable-aggregator-routing=true \
		--proxy-client-cert-file="$pki/front-proxy.crt" --proxy-client-key-file="$pki/front-proxy.key" \
		$gates
}
	# when the API server was away for a minute, the one node would count as lost and all of its pods as not ready
# shellcheck disable=SC2086
start_kube_controller_manager() {
	run kube-controller-manager kube-controller-manager --kubeconfig="$cfg/kube-controller-manager.conf" \
		--service-account-private-key-file="$pki/sa.key" --root-ca-file="$pki/ca.crt" \
		--cluster-signing-cert-file="$pki/ca.crt" --cluster-signing-key-file="$pki/ca.key" \
		--use-service-account-credentials=true --leader-elect=false --node-monitor-grace-period=10m $pace $gates
}
# shellcheck disable=SC2086
start_kube_scheduler() {
	run kube-scheduler kube-scheduler --kubeconfig="$cfg/kube-scheduler.conf" \
		--leader-elect=false $pace $gates
}
# shellcheck disable=SC2086
start_kubelet() {
	run kubelet kubelet --config="$cfg/kubelet.yaml" --kubeconfig="$cfg/kubelet.conf" \
		--hostname-override="$NODE_NAME" --node-ip="$NODE_IP" \
		--root-dir="$KUBE_STATE/kubelet" --cert-dir="$pki/kubelet" $gates
}
start_kube_proxy() { run kube-proxy kube-proxy --config="$cfg/kube-proxy.yaml"; }

# stop PART: SIGKILL, and wait until it is gone
stop_part() {
	local p
	p=$(cat "$KUBE_STATE/pid/$1") || die "no part $1: $(cd "$KUBE_STATE/pid" && echo *)"
	kill -9 "$p" 2>/dev/null || :
	until_ok 10 gone "$p" || die "$1 does not end"
}
gone() { ! kill -0 "$1"; }

start_part() {
	local p
	p=$(cat "$KUBE_STATE/pid/$1") || die "no part $1: $(cd "$KUBE_STATE/pid" && echo *)"
	if gone "$p" 2>/dev/null; then "start_${1//-/_}"; fi
}

init() {
	local i
	mount --make-rshared /
	mount --bind "$KUBE_STATE/run" /run
	mask_sysctls
	make_network
	start_etcd
	start_kube_apiserver
	if [ "$KUBE_PARTS" = all ]; then
		start_containerd
		until_ok 60 ctr -a /run/containerd/containerd.sock version || die "containerd: see $log/containerd.log"
		for i in pause kube-dns; do load "$images/$i.tar"; done
	fi
	until_ok 120 kubectl get --raw /readyz || die "kube-apiserver: see $log/kube-apiserver.log"
	[ "$KUBE_PARTS" = api ] || start_kube_controller_manager
	if [ "$KUBE_PARTS" = all ]; then
		start_kube_scheduler
		start_kubelet
		start_kube_proxy
		run balance balance
		kubectl apply -f "$cfg/dns.yaml"
	fi
	if [ "$KUBE_CRDS" = yes ]; then
		kubectl apply --server-side -f "$crds/$GATEWAY_API_CHANNEL" \
			-f "$KUBE_CACHE/crds/istio-$ISTIO_API_VERSION.yaml"
	fi
	echo started >"$KUBE_STATE/started"
	# the parent of every orphan in this PID namespace: bash reaps them
	[ -z "$KUBE_OWNER_FD" ] || { cat <&"$KUBE_OWNER_FD" >/dev/null & wait $! || :; exit; }
	while :; do sleep 1000 & wait $! || :; done
}

# --- outside -----------------------------------------------------------------

# the init's PID as seen here, if it runs
init_pid() {
	local p
	p=$(cat "$KUBE_STATE/unshare.pid" 2>/dev/null) && p=$(pgrep -P "$p" -f "__init $KUBE_STATE\$") && echo "$p"
}

inside() {
	local p
	p=$(init_pid) || die "no cluster is up"
	nsenter -t "$p" --net --mount --pid --uts --wd="$PWD" -- "$@"
}

cgroup_dirs() { find /sys/fs/cgroup -maxdepth 2 -type d -name "$cgroup"; }

make_cgroups() {
	local c d
	if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
		mkdir -p "/sys/fs/cgroup/$cgroup"
		read -ra c </sys/fs/cgroup/cgroup.controllers
		for d in "${c[@]}"; do
			echo "+$d" >/sys/fs/cgroup/cgroup.subtree_control || :
			echo "+$d" >"/sys/fs/cgroup/$cgroup/cgroup.subtree_control" || :
		done
	else
		for d in /sys/fs/cgroup/*/; do mkdir -p "$d$cgroup" 2>/dev/null || :; done
		# cpuset v1: a new group may use no CPU until it is told which
		d=/sys/fs/cgroup/cpuset
		[ ! -d "$d/$cgroup" ] || for c in cpus mems; do
			cat "$d/cpuset.$c" >"$d/$cgroup/cpuset.$c"
		done
	fi
}

# The keeper: starts the init, and when that has ended, whatever the reason, removes what it used.
keep() {
	local d
	# shellcheck disable=SC2093
	setpriv --pdeathsig KILL unshare --net --mount --pid --uts --fork --kill-child --mount-proc --propagation private \
		"$self" __init "$KUBE_STATE" >"$log/init.log" 2>&1 </dev/null &
	echo $! >"$KUBE_STATE/unshare.pid"
	[ -z "$KUBE_OWNER_FD" ] || exec {KUBE_OWNER_FD}<&-
	wait $! || :
	for d in $(cgroup_dirs); do
		until_ok 10 rm_cgroup "$d" || say "left: $d"
	done
	# a start that failed leaves its logs
	[ ! -e "$KUBE_STATE/started" ] || rm -rf --one-file-system "$KUBE_STATE"
}

settled() { [ -e "$KUBE_STATE/started" ] || ! init_pid; }

# Why a cluster can't be had on this machine; nothing when it can.
lacks() {
	local c missing=
	[ "$(id -u)" = 0 ] || { echo "needs root"; return; }
	for c in containerd ctr runc iptables conntrack ip openssl unshare nsenter setpriv flock pgrep cc; do
		command -v "$c" >/dev/null || missing+=" $c"
	done
	[ -x "$CNI_BIN/bridge" ] || missing+=" $CNI_BIN/bridge"
	if [ -n "$missing" ]; then
		echo "missing:$missing (apt-get install containerd runc containernetworking-plugins iptables conntrack iproute2 openssl procps gcc)"
		return
	fi
	c=$(unshare --net --mount --pid --uts --fork --mount-proc sh -c '
		ip link add weft0 type bridge && ip link add weft1 type veth peer name weft2 &&
		iptables -t nat -A PREROUTING -p tcp -j REDIRECT --to-ports 1 && iptables -A INPUT -m conntrack --ctstate NEW -j ACCEPT' 2>&1) ||
		{ echo "the kernel does not let us have namespaces, bridges and iptables: $(tail -n 1 <<<"$c")"; return; }
	[ -n "$(find /sys/fs/cgroup -maxdepth 1 -writable -name '*' -print -quit)" ] || { echo "no cgroups that we may write"; return; }
	[ -n "${1:-}" ] || built || go_lacks
}

check() {
	local why
	why=$(lacks)
	[ -z "$why" ] || { say "kube: $why"; exit 77; }
}

up() {
	local why from=$SECONDS
	why=$(lacks runtime)
	[ -z "$why" ] || die "$why"
	if init_pid >/dev/null; then say "already up"; return; fi
	build
	down
	from=$SECONDS
	mkdir -p "$KUBE_STATE"/{pki,config,log,pid,run,cni,pods,kubelet,etcd,volumeplugins}
	: >"$KUBE_STATE/.kube-up"
	chmod 700 "$KUBE_STATE/etcd" "$pki"
	make_pki
	make_config
	[ "$KUBE_PARTS" != all ] || make_cgroups
	setsid "$self" __keep >"$log/keep.log" 2>&1 </dev/null &
	until_ok 5 init_pid || die "did not start: see $log/init.log"
	until_ok 180 settled || die "not up after 180 s: see $log/init.log"
	[ -e "$KUBE_STATE/started" ] || die "did not start: see $log/init.log"
	if [ "$KUBE_PARTS" = all ]; then
		until_ok 60 inside kubectl get "node/$NODE_NAME" || die "no node: see $log/kubelet.log"
		inside kubectl wait --for=condition=Ready "node/$NODE_NAME" --timeout=60s
		inside kubectl -n kube-system rollout status deployment/kube-dns --timeout=60s
	fi
	say "kube: $KUBE_NAME is up after $((SECONDS - from)) s"
}

down() {
	local p d
	if p=$(init_pid); then
		kill -9 "$p"                     # every process in its PID namespace follows
		until_ok 30 test ! -e "/proc/$p" || die "process $p does not end"
		until_ok 30 test ! -e "$KUBE_STATE" || :    # the keeper's work
	fi
	for d in $(cgroup_dirs); do
		until_ok 10 rm_cgroup "$d" || say "left: $d"
	done
	[ ! -e "$KUBE_STATE/.kube-up" ] || rm -rf --one-file-system "$KUBE_STATE"
}

rm_cgroup() { find "$1" -depth -type d -exec rmdir {} +; }

status() {
	init_pid >/dev/null || { echo "down"; return 1; }
	local f
	for f in "$KUBE_STATE"/pid/*; do
		printf '%-26s %s\n' "$(basename "$f")" \
			"$(inside sh -c "kill -0 $(cat "$f") 2>/dev/null && echo running || echo DEAD")"
	done
	inside kubectl get nodes -o wide
}

# fake N: N nodes that only pretend; a pod gets there with
#   tolerations: [{key: fake, operator: Exists}] and nodeSelector: {type: fake}
fake() {
	inside "$self" __fake "${1:-1}"
	until_ok 60 inside kubectl get node "fake-$((${1:-1} - 1))" || die "see $log/kube-fake.log"
}

main() {
	local verb=${1:-help} f
	[ $# = 0 ] || shift
	case $verb in
	check | build | up | down | status | fake) "$verb" "$@" ;;
	exec) inside "$@" ;;
	shell) inside "${SHELL:-bash}" ;;
	env) printf 'KUBE_PID=%s\nKUBECONFIG=%s\nKUBE_BIN=%s\n' "$(init_pid)" "$KUBECONFIG" "$bin" ;;
	load) for f; do inside "$self" __load "$(readlink -f "$f")"; done ;;
	stop | start) inside "$self" "__$verb" "$1" ;;
	__keep) keep ;;
	__init) init ;;
	__load) load "$@" ;;
	__stop) stop_part "$1" ;;
	__start) start_part "$1" ;;
	__fake) run kube-fake kube-fake --kubeconfig="$cfg/admin.conf" --nodes="$1" ;;
	*) sed -n '3,/^set /{/^set /d;s/^# \{0,1\}//p}' "$self"; [ "$verb" = help ] ;;
	esac
}

main "$@"
exit
