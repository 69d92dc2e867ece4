#!/usr/bin/env bash
# Prints how tests find the Kubernetes cluster, when it is up.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../kubernetes.sh"

[ -z "${HEDDLE_TEST_KUBECONFIG:-}" ] && alive kubelet || exit 0
echo "export HEDDLE_TEST_KUBECONFIG='$kubeconfig'"
echo "export HEDDLE_TEST_KUBECTL='$(program kubectl)'"
# With this, there is a node fake-0 for pods that tolerate its taint.
! alive kwok || echo "export HEDDLE_TEST_KWOK='$kwok'"
