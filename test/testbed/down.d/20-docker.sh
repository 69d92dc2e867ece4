#!/usr/bin/env bash
# Stops the Docker Engine, and with it the containers on it.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

stop dockerd
