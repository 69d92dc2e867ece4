#!/usr/bin/env bash
# Stops the Kubernetes cluster, and with it the pods on it.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../kubernetes.sh"

[ -e "$kube" ] || exit 0
only_one kubernetes
kube_stop
