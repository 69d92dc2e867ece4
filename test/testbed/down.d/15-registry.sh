#!/usr/bin/env bash
# Stops the registry; its images are gone with it and made anew at the next start.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

stop registry
