#!/usr/bin/env bash
# Prints how tests find the PostgreSQL cluster, when it is up.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../postgres.sh"

[ -z "${HEDDLE_TEST_POSTGRES_URL:-}" ] && pg_up || exit 0
echo "export HEDDLE_TEST_POSTGRES_URL='postgres://heddle@127.0.0.1:$(pg_port)/heddle?sslmode=disable'"
