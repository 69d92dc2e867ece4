#!/usr/bin/env bash
# A registry on 127.0.0.1 that stands in for Docker Hub, and the images in it, so
# that tests really pull what they run. Its port is in $bed/registry.port.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

what="a registry with images for the container tests"
crane_version=v0.22.1
crane=$bed/bin/crane-$crane_version

if [ -n "${HEDDLE_TEST_DOCKER_HOST:-}" ]; then
	exit # the user's own engine pulls from where it likes
fi
if [ "$(uname -s)" != Linux ] || [ "$(id -u)" -ne 0 ]; then
	left_out "$what" "its users need Linux and root"
	exit
fi
only_one registry
filled=$(cksum <"${BASH_SOURCE[0]}") # with the images that this script makes
if alive registry && [ "$(cat "$bed/registry.filled" 2>/dev/null)" = "$filled" ]; then
	exit
fi

has busybox || apt_install "$what" busybox-static
if ! has busybox; then
	exit
fi
mkdir -p "$bed/bin"
if [ ! -x "$crane" ]; then
	echo "building the registry"
	if ! GOBIN=$bed/bin GOFLAGS= go install "github.com/google/go-containerregistry/cmd/crane@$crane_version"; then
		left_out "$what" "crane could not be built"
		exit
	fi
	mv "$bed/bin/crane" "$crane"
fi

rm -f "$bed/registry.filled"
if ! alive registry; then
	port=$(cat "$bed/registry.port" 2>/dev/null || echo 5000) # that of last time, if it is free
	if answers "$port" && ! port=$(free_port 5000 5050); then
		left_out "$what" "no free port from 5000 to 5050"
		exit
	fi
	echo "$port" >"$bed/registry.port"
	start registry "$crane" registry serve --address "127.0.0.1:$port"
fi
port=$(cat "$bed/registry.port")
if ! within 10 answers "$port"; then
	left_out "$what" "it did not start, see $bed/registry.log"
	exit
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
case $(uname -m) in
x86_64) platform=linux/amd64 ;;
aarch64) platform=linux/arm64 ;;
*) platform=linux/$(uname -m) ;;
esac

# image NAME ROOT [OPTION...]: pushes the folder ROOT as an image, which gets the
# options of `crane mutate`. A name without a folder is one of Docker Hub's library.
image() {
	local name=$1 root=$2
	shift 2
	[[ $name == */* ]] || name=library/$name
	name=127.0.0.1:$port/$name
	tar -C "$root" --owner=0 --group=0 -cf "$work/layer.tar" .
	"$crane" append -f "$work/layer.tar" -t "$name" &>"$work/log" &&
		"$crane" mutate "$name" -t "$name" --set-platform "$platform" \
			--env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@" &>"$work/log" && return
	cat "$work/log"
	return 1
}

# shell ROOT: makes a root file system that has busybox.
shell() {
	local applet
	mkdir -p "$1"/{bin,etc,root,tmp}
	chmod 1777 "$1/tmp"
	echo 'root:x:0:0:root:/root:/bin/sh' >"$1/etc/passwd"
	cp "$(command -v busybox)" "$1/bin/busybox"
	for applet in $(busybox --list); do
		[ "$applet" = busybox ] || ln -sf busybox "$1/bin/$applet"
	done
}

shell "$work/busybox"
for name in busybox:latest busybox:1.36 alpine:latest; do
	image "$name" "$work/busybox" --cmd sh
done

# One program, and no shell. It is busybox, which knows by its name what to do.
mkdir -p "$work/noshell/bin"
cp "$(command -v busybox)" "$work/noshell/bin/sleep"
image noshell:1 "$work/noshell" --cmd sleep,1000000
image pause:1 "$work/noshell" --cmd sleep,1000000 # holds a pod's namespaces

# kog's example image: it prints the result that its variables describe.
shell "$work/result"
cat >"$work/result/bin/auto-result" <<'SCRIPT'
#!/bin/sh
printf 'KOG:{"result":"%s","rc":%d,"message":"%s"}\n' "${RESULT:-success}" "${RESULT_CODE:-0}" "${MESSAGE:-}"
SCRIPT
chmod +x "$work/result/bin/auto-result"
for name in auto-result:1.0.1 f5-pwe/auto-result:1.0.1; do
	image "$name" "$work/result" --env KOG_ENV_CONTEXT=true --cmd auto-result
done

# An image of kog's old kind: it reads its context from standard input.
shell "$work/old"
cat >"$work/old/bin/old-echo" <<'SCRIPT'
#!/bin/sh
read -r context
printf 'KOG:{"result":"success","rc":0,"message":"from standard input","context":{"seen":%s}}\n' "${context:-null}"
SCRIPT
chmod +x "$work/old/bin/old-echo"
image old-echo:1 "$work/old" --cmd old-echo

echo "$filled" >"$bed/registry.filled"
