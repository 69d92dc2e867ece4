# What the parts of the Kubernetes cluster have in common; sourced by those that
# build it, start it, name it and stop it.

. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

testbed=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
kube_what="tests on a real Kubernetes cluster"
kube=$bed/kubernetes
kubeconfig=$kube/admin.kubeconfig

# required FOLDER MODULE: the version that the module in that folder requires.
required() { awk -v module="$2" '$1 == module { print substr($2, 2); exit }' "$testbed/$1/go.mod"; }

kube_version=$(required kubernetes k8s.io/kubernetes)
etcd=$bed/bin/etcd-$(required etcd go.etcd.io/etcd/server/v3)
kwok_version=0.8.0
kwok=$bed/bin/kwok-$kwok_version

# program NAME: the file of one of Kubernetes' own programs.
program() { echo "$bed/bin/$1-$kube_version"; }
kube_programs=(kube-apiserver kube-controller-manager kube-scheduler kubelet kubectl)

# The cluster's daemons, in the order of their end: etcd waits for its clients.
kube_daemons=(kubelet containerd kube-scheduler kube-controller-manager kube-service kube-apiserver etcd)

# The name of the cgroup and of the network; as an interface it may have 15 letters.
kube_name=heddle-testbed

# kube_possible: is a cluster wanted, and can there be one? Two kubelets would take
# a folder from each other that cannot be moved.
kube_possible() {
	[ -z "${HEDDLE_TEST_KUBECONFIG:-}" ] && [ "$(uname -s)" = Linux ] && [ "$(id -u)" -eq 0 ] && ! other_kubelet
}
other_kubelet() { ! alive kubelet && grep -q ' /var/lib/kubelet/device-plugins/kubelet.sock$' /proc/net/unix; }

k() { "$(program kubectl)" --kubeconfig "$kubeconfig" --request-timeout 10s "$@"; }

# kube_ready: does the cluster run pods? A namespace without its default service
# account refuses them.
kube_ready() {
	[ "$(k get node localhost -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status}' 2>/dev/null)" = True ] &&
		k get serviceaccount default --namespace default &>/dev/null
}

# kube_stop ends the daemons and removes what they leave behind: containers, mounts,
# the network, and the cluster's data, which are made anew at each start.
kube_stop() {
	local daemon pid mount id
	stop kwok
	stop nologs
	stop kubelet # it would start the containers again
	find /sys/fs/cgroup -path "*/$kube_name/*" -name cgroup.procs -exec cat {} + 2>/dev/null |
		sort -u | xargs -r kill -9 || true
	# Each is told now, and once more by stop: a second time means at once.
	for daemon in "${kube_daemons[@]}"; do
		! alive "$daemon" || kill "$(cat "$bed/$daemon.pid")" || true
	done
	for daemon in "${kube_daemons[@]}"; do
		stop "$daemon"
	done
	# The parents of containers outlive containerd.
	for pid in $(grep -lsF "$kube/containerd.sock" /proc/[0-9]*/cmdline | cut -d / -f 3); do
		[[ $(readlink "/proc/$pid/exe") != */containerd-shim-runc-v2 ]] || kill -9 "$pid" || true
	done
	for mount in $(awk -v dir="$kube/" 'index($5, dir) == 1 { print $5 }' /proc/self/mountinfo | sort -r); do
		umount --lazy "$mount" || true
	done
	! has ip || ip link delete "$kube_name" 2>/dev/null || true
	find /sys/fs/cgroup -depth -type d -path "*/$kube_name*" -exec rmdir {} + 2>/dev/null || true
	find /var/log/containers -lname "$kube/*" -delete 2>/dev/null || true
	for id in $(find /var/lib/cni/results -name "$kube_name-*-eth0" 2>/dev/null | sed "s/.*$kube_name-//; s/-eth0$//"); do
		rm -f /var/lib/cni/results/*-"$id"-*
	done
	# A volume that is still mounted is somebody's folder.
	if grep -qF " $kube/" /proc/self/mountinfo; then
		echo "still mounted in $kube: see /proc/self/mountinfo" >&2
		return
	fi
	rm -rf "$kube"
}
