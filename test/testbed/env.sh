#!/usr/bin/env bash
# Prints, as shell commands, the variables by which tests find what setup.sh has
# started: eval "$(test/testbed/env.sh)". Each part in env.d prints its own, and
# nothing when its daemon is not up or the caller has set the variable.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

for part in env.d/[0-9][0-9]-*.sh; do
	"./$part"
done
