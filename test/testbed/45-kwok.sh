#!/usr/bin/env bash
# kwok plays the kubelet of a second node, fake-0, whose pods end well as soon as
# they start: thousands of pods on a machine that could not run them. The node's
# taint keeps pods away that do not ask for it.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/kubernetes.sh"

[ -z "${HEDDLE_TEST_KUBECONFIG:-}" ] && alive kubelet && [ -x "$kwok" ] || exit 0
only_one kwok
alive kwok && exit

what="tests of scale on Kubernetes"
# What kwok does to nodes and pods is in the module's source, not in its program.
if ! source=$(GOFLAGS= GOWORK=off go mod download -json "sigs.k8s.io/kwok@v$kwok_version" | sed -n 's/.*"Dir": "\(.*\)".*/\1/p'); then
	left_out "$what" "the source of kwok could not be fetched"
	exit
fi
for stage in node/fast/node-initialize node/heartbeat-with-lease/node-heartbeat-with-lease \
	pod/fast/pod-ready pod/fast/pod-complete pod/fast/pod-delete; do
	echo ---
	cat "$source/kustomize/stage/$stage.yaml"
done >"$kube/kwok.yaml"
if ! port=$(free_port 17001 17999); then
	left_out "$what" "no free port from 17001 to 17999"
	exit
fi
# Its pods have logs, with nothing in them, so that reading them ends.
if ! go build -C "$testbed/nologs" -o "$bed/bin/nologs" .; then
	left_out "$what" "test/testbed/nologs could not be built"
	exit
fi
stop nologs
start nologs "$bed/bin/nologs" "127.0.0.1:$port" "$kube/pki/server.crt" "$kube/pki/server.key"
if ! k apply --filename - >/dev/null <<YAML; then
apiVersion: v1
kind: Node
metadata:
  name: fake-0
  annotations: {kwok.x-k8s.io/node: fake}
  labels: {kubernetes.io/hostname: fake-0, kubernetes.io/os: linux, type: kwok}
spec:
  taints: [{key: kwok.x-k8s.io/node, value: fake, effect: NoSchedule}]
status:
  addresses: [{type: InternalIP, address: 127.0.0.1}, {type: Hostname, address: localhost}]
  daemonEndpoints: {kubeletEndpoint: {Port: $port}}
  allocatable: &all {cpu: 10k, memory: 100Ti, pods: 100k}
  capacity: *all
YAML
	left_out "$what" "the node fake-0 could not be made"
	exit
fi
start kwok "$kwok" --kubeconfig "$kubeconfig" --config "$kube/kwok.yaml" --manage-all-nodes=false \
	--manage-nodes-with-annotation-selector kwok.x-k8s.io/node=fake --node-lease-duration-seconds 40 \
	--node-ip 127.0.0.1 --node-port 0
fake_ready() {
	[ "$(k get node fake-0 -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status}' 2>/dev/null)" = True ]
}
if ! within 30 fake_ready; then
	left_out "$what" "the node fake-0 did not become ready, see $bed/kwok.log"
	stop kwok
fi
