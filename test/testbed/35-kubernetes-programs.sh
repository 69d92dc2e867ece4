#!/usr/bin/env bash
# Builds the programs that a Kubernetes cluster is made of, once, which takes some
# minutes. They come from the Go modules named in kubernetes/ and etcd/, each a
# module of its own: what it replaces and requires is not for its neighbour.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/kubernetes.sh"

kube_possible || exit 0 # the next part says why
only_one kubernetes-programs

if ! { has containerd && has runc && has ip && has openssl && has socat && [ -x /usr/lib/cni/bridge ]; }; then
	apt_install "$kube_what" containerd runc containernetworking-plugins iproute2 openssl socat
	has containerd && [ -x /usr/lib/cni/bridge ] || exit 0 # nothing to build for
fi

# Neither a C compiler nor the caller's settings have a say in what is built.
export CGO_ENABLED=0 GOFLAGS=-buildvcs=false GOWORK=off
mkdir -p "$bed/bin"

# build FILE FOLDER PACKAGE [FLAGS]: builds a package, with the versions of the
# module in the folder, unless the file is there.
build() {
	[ ! -x "$1" ] || return 0
	echo "building $(basename "$1")"
	if ! nice go build -C "$2" -ldflags "-s -w ${4:-}" -o "$1.new" "$3"; then
		left_out "$kube_what" "$(basename "$1") could not be built"
		return
	fi
	mv "$1.new" "$1"
}

build "$etcd" "$testbed/etcd" go.etcd.io/etcd/server/v3
info=k8s.io/component-base/version
for name in "${kube_programs[@]}"; do
	build "$(program "$name")" "$testbed/kubernetes" "k8s.io/kubernetes/cmd/$name" \
		"-X $info.gitVersion=v$kube_version -X $info.gitMajor=${kube_version%%.*} -X $info.gitMinor=$(cut -d . -f 2 <<<"$kube_version")"
done

# kwok has no replacements, so that Go builds it without a module of ours.
if [ ! -x "$kwok" ]; then
	echo "building kwok-$kwok_version"
	if GOBIN=$bed/bin nice go install -ldflags "-s -w" "sigs.k8s.io/kwok/cmd/kwok@v$kwok_version"; then
		mv "$bed/bin/kwok" "$kwok"
	else
		left_out "tests of scale on Kubernetes" "kwok-$kwok_version could not be built"
	fi
fi
