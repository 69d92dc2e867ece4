#!/usr/bin/env bash
# Stops what setup.sh has started, last things first. What was installed, built or
# pulled stays. Each part in down.d stops one thing if it is up.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

parts=(down.d/[0-9][0-9]-*.sh)
for ((i = ${#parts[@]} - 1; i >= 0; i--)); do
	"./${parts[i]}"
done
