#!/usr/bin/env bash
# Sets up what the tests need besides Go; run before them by `make test`, and
# quick when nothing is missing. Each NN-name.sh in this folder is one part: it
# installs or starts one thing unless it is there already and, where it cannot,
# calls left_out and succeeds.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

for part in [0-9][0-9]-*.sh; do
	"./$part"
done
