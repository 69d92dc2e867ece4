#!/usr/bin/env bash
# Prints how tests find the Docker Engine, when it is up.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

[ -z "${HEDDLE_TEST_DOCKER_HOST:-}" ] && alive dockerd || exit 0
echo "export HEDDLE_TEST_DOCKER_HOST='unix://$bed/docker/docker.sock'"
# With these, tests start engines of their own, to restart them.
echo "export HEDDLE_TEST_DOCKERD='$(command -v dockerd)'"
echo "export HEDDLE_TEST_REGISTRY='http://127.0.0.1:$(cat "$bed/registry.port")'"
