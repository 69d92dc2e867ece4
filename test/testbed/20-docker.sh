#!/usr/bin/env bash
# A Docker Engine of the test bed's own: its folders, socket and images are apart
# from those of any other engine here, it listens on a Unix socket only and leaves
# the machine's network alone, so that its containers have none.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

what="tests on a real Docker Engine"
dir=$bed/docker

if [ -n "${HEDDLE_TEST_DOCKER_HOST:-}" ]; then
	exit
fi
if [ "$(uname -s)" != Linux ] || [ "$(id -u)" -ne 0 ]; then
	left_out "$what" "set HEDDLE_TEST_DOCKER_HOST to an engine of yours; to start one needs Linux and root"
	exit
fi
if ! alive registry; then
	left_out "$what" "there is no registry to pull images from"
	exit
fi
only_one dockerd
mirror=http://127.0.0.1:$(cat "$bed/registry.port")
if alive dockerd && [ "$(cat "$dir/mirror" 2>/dev/null)" = "$mirror" ] && [ -S "$dir/docker.sock" ]; then
	exit
fi

has dockerd || apt_install "$what" docker.io
if ! has dockerd; then
	exit
fi
has docker || apt_install "$what" docker-cli # a package of its own since Debian 13
if ! has docker; then
	exit
fi
stop dockerd
mkdir -p "$dir"
rm -f "$dir/pid" "$dir/docker.sock"
echo "$mirror" >"$dir/mirror"
echo '{}' >"$dir/daemon.json" # in place of the one in /etc/docker
echo "starting dockerd"
start dockerd dockerd --config-file "$dir/daemon.json" --host "unix://$dir/docker.sock" --pidfile "$dir/pid" \
	--data-root "$dir/data" --exec-root "$dir/exec" --registry-mirror "$mirror" \
	--bridge none --iptables=false --ip-forward=false --ip-masq=false --userland-proxy=false \
	--shutdown-timeout 5 --log-level warn
docker=(docker --host "unix://$dir/docker.sock")
if ! within 30 "${docker[@]}" version &>/dev/null; then
	left_out "$what" "dockerd did not start, see $bed/dockerd.log"
	stop dockerd
	exit
fi
# kog's example names a registry that has no mirror here.
"${docker[@]}" pull --quiet auto-result:1.0.1 >/dev/null
"${docker[@]}" tag auto-result:1.0.1 quay.io/f5-pwe/auto-result:1.0.1
