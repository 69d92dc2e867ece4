#!/usr/bin/env bash
# A Kubernetes cluster of the test bed's own, with one node called localhost: all
# that is Kubernetes' own is real, and its kubelet runs pods on a containerd of its
# own. Everything listens on 127.0.0.1 or a socket. There is no cluster DNS, no
# service network and no way out for pods, but the node reaches them.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/kubernetes.sh"

if [ -n "${HEDDLE_TEST_KUBECONFIG:-}" ]; then
	exit
fi
if ! kube_possible; then
	why="to start one needs Linux and root"
	! other_kubelet || why="a kubelet runs here already"
	left_out "$kube_what" "set HEDDLE_TEST_KUBECONFIG to the file for a cluster of yours; $why"
	exit
fi
if ! alive registry; then
	left_out "$kube_what" "there is no registry to pull images from"
	exit
fi
for program in "$etcd" $(for name in "${kube_programs[@]}"; do program "$name"; done); do
	if [ ! -x "$program" ]; then
		left_out "$kube_what" "there is no $program"
		exit
	fi
done
only_one kubernetes

# containerd reads the mirrors at each pull.
mirrors() {
	local host
	for host in docker.io quay.io; do
		mkdir -p "$kube/mirrors/$host"
		cat >"$kube/mirrors/$host/hosts.toml" <<-TOML
			server = "http://127.0.0.1:$(cat "$bed/registry.port")"
			[host."http://127.0.0.1:$(cat "$bed/registry.port")"]
			  capabilities = ["pull", "resolve"]
		TOML
	done
}

all_alive() {
	local daemon
	for daemon in "${kube_daemons[@]}"; do
		[ "$daemon" = kube-service ] || alive "$daemon" || return 1
	done
}
if all_alive && kube_ready; then
	mirrors
	exit
fi

echo "starting Kubernetes $kube_version"
kube_stop
mkdir -p "$kube"/{pki,cni}
# fail WHY: gives up the whole cluster.
fail() {
	left_out "$kube_what" "$1"
	kube_stop
	exit
}
# await NAME COMMAND...: gives the daemon a minute until the command succeeds.
await() {
	local name=$1
	shift
	ready_or_dead() { "$@" &>/dev/null || ! alive "$name"; }
	within 60 ready_or_dead "$@" && alive "$name" || fail "$name did not start, see $bed/$name.log"
}
port=16000
# next_port sets port to the next free one.
next_port() { port=$(free_port $((port + 1)) 16999) || fail "no free port from 16001 to 16999"; }
next_port; etcd_port=$port
next_port; peer_port=$port
next_port; api_port=$port
next_port; kubelet_port=$port

# The address of the service called kubernetes, by which programs in pods know the
# API server; it is a loopback address too.
service=127.96.0.1

# certificate NAME SUBJECT [OPTION...]: signed by the cluster's own authority.
certificate() {
	local name=$1 subject=$2
	shift 2
	openssl req -x509 -config <(printf '[req]\ndistinguished_name=dn\n[dn]\n') -days 3650 -nodes -subj "$subject" \
		-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -keyout "$kube/pki/$name.key" -out "$kube/pki/$name.crt" \
		"$@" 2>"$bed/openssl.log" || fail "openssl made no certificate, see $bed/openssl.log"
}
signed=(-CA "$kube/pki/ca.crt" -CAkey "$kube/pki/ca.key" -addext basicConstraints=critical,CA:FALSE)
certificate ca /CN=heddle-testbed -addext basicConstraints=critical,CA:TRUE
certificate server /CN=localhost "${signed[@]}" \
	-addext "subjectAltName=IP:127.0.0.1,IP:$service,DNS:localhost,DNS:kubernetes.default.svc"
certificate admin /O=system:masters/CN=admin "${signed[@]}"
certificate node /O=system:nodes/CN=system:node:localhost "${signed[@]}"

for name in admin node; do
	cat >"$kube/$name.kubeconfig" <<-YAML
		apiVersion: v1
		kind: Config
		current-context: heddle-testbed
		contexts: [{name: heddle-testbed, context: {cluster: heddle-testbed, user: $name, namespace: default}}]
		clusters:
		- name: heddle-testbed
		  cluster:
		    server: https://127.0.0.1:$api_port
		    certificate-authority-data: $(base64 -w 0 "$kube/pki/ca.crt")
		users:
		- name: $name
		  user:
		    client-certificate-data: $(base64 -w 0 "$kube/pki/$name.crt")
		    client-key-data: $(base64 -w 0 "$kube/pki/$name.key")
	YAML
done

start etcd "$etcd" --data-dir "$kube/etcd" --unsafe-no-fsync --log-level warn \
	--listen-client-urls "http://127.0.0.1:$etcd_port" --advertise-client-urls "http://127.0.0.1:$etcd_port" \
	--listen-peer-urls "http://127.0.0.1:$peer_port"
start kube-apiserver "$(program kube-apiserver)" --etcd-servers "http://127.0.0.1:$etcd_port" \
	--bind-address 127.0.0.1 --secure-port "$api_port" --advertise-address 127.0.0.1 --endpoint-reconciler-type none \
	--tls-cert-file "$kube/pki/server.crt" --tls-private-key-file "$kube/pki/server.key" --client-ca-file "$kube/pki/ca.crt" \
	--kubelet-certificate-authority "$kube/pki/ca.crt" --kubelet-preferred-address-types Hostname \
	--kubelet-client-certificate "$kube/pki/admin.crt" --kubelet-client-key "$kube/pki/admin.key" \
	--service-account-issuer https://kubernetes.default.svc --service-account-key-file "$kube/pki/ca.crt" \
	--service-account-signing-key-file "$kube/pki/ca.key" --service-cluster-ip-range 127.96.0.0/24 \
	--authorization-mode Node,RBAC --allow-privileged --profiling=false

# containerd needs nobody, and starts meanwhile.
mirrors
cat >"$kube/containerd.toml" <<TOML
version = 2
root = "$kube/containerd/root"
state = "$kube/containerd/state"
[grpc]
  address = "$kube/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "$kube/containerd/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "docker.io/library/pause:1"
  # Without the right to lower a process's OOM score, no container would start.
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$kube/cni"
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "$kube/mirrors"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      Root = "$kube/runc"
TOML
# The node has an address on the pods' bridge, so that it can probe them, but is no
# gateway: that would switch on forwarding for the whole machine. The addresses are
# those reserved for benchmarks, which no network has.
ip link add "$kube_name" type bridge &&
	ip address add 198.18.0.1/20 dev "$kube_name" &&
	ip link set "$kube_name" up || fail "no network bridge could be made"
cat >"$kube/cni/10-pods.conflist" <<JSON
{"cniVersion": "0.4.0", "name": "$kube_name", "plugins": [{
  "type": "bridge", "bridge": "$kube_name",
  "ipam": {"type": "host-local", "dataDir": "$kube/addresses",
    "ranges": [[{"subnet": "198.18.0.0/20", "rangeStart": "198.18.0.2"}]]}
}]}
JSON
start containerd containerd --config "$kube/containerd.toml" --log-level warn

await kube-apiserver k get --raw /readyz

if ! has socat; then
	left_out "programs in pods that talk to Kubernetes" "there is no socat"
elif (exec 3<>"/dev/tcp/$service/443") 2>/dev/null; then
	left_out "programs in pods that talk to Kubernetes" "something else listens on $service:443"
else
	start kube-service socat -lf "$bed/kube-service.log" \
		"TCP-LISTEN:443,bind=$service,fork,reuseaddr,backlog=128" "TCP:127.0.0.1:$api_port"
fi
# Their own limits on requests would be what tests of speed measure.
client=(--kubeconfig "$kubeconfig" --kube-api-qps 1000 --kube-api-burst 2000 --leader-elect=false
	--secure-port 0 --profiling=false)
start kube-controller-manager "$(program kube-controller-manager)" "${client[@]}" --use-service-account-credentials \
	--service-account-private-key-file "$kube/pki/ca.key" --root-ca-file "$kube/pki/ca.crt"
start kube-scheduler "$(program kube-scheduler)" "${client[@]}"

await containerd ctr --address "$kube/containerd.sock" version

# The pods have a cgroup of their own: in each hierarchy, where there are many, or
# with all that the kubelet asks for in the one that there is.
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
	for controller in cpu cpuset hugetlb memory pids; do
		echo "+$controller" >/sys/fs/cgroup/cgroup.subtree_control || true
	done 2>/dev/null
	mkdir -p "/sys/fs/cgroup/$kube_name"
else
	for hierarchy in /sys/fs/cgroup/*/; do
		mkdir -p "$hierarchy$kube_name" 2>/dev/null || true
	done
fi
cat >"$kube/kubelet.yaml" <<YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: 127.0.0.1
port: $kubelet_port
healthzPort: 0
tlsCertFile: $kube/pki/server.crt
tlsPrivateKeyFile: $kube/pki/server.key
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $kube/pki/ca.crt}}
authorization: {mode: Webhook}
containerRuntimeEndpoint: unix://$kube/containerd.sock
podLogsDir: $kube/logs
volumePluginDir: $kube/plugins
resolvConf: ""
makeIPTablesUtilChains: false
cgroupDriver: cgroupfs
cgroupRoot: /$kube_name
failCgroupV1: false
failSwapOn: false
oomScoreAdj: 0
maxPods: 1000
# No limits on requests and pulls, and nothing collected or evicted for a full disk.
kubeAPIQPS: 1000
kubeAPIBurst: 2000
registryPullQPS: 0
serializeImagePulls: false
imageGCHighThresholdPercent: 100
localStorageCapacityIsolation: false
evictionHard: {memory.available: 100Mi, nodefs.available: 0%, nodefs.inodesFree: 0%, imagefs.available: 0%, imagefs.inodesFree: 0%}
YAML
start kubelet "$(program kubelet)" --kubeconfig "$kube/node.kubeconfig" --config "$kube/kubelet.yaml" \
	--root-dir "$kube/kubelet" --cert-dir "$kube/pki" --hostname-override localhost
await kubelet kube_ready
