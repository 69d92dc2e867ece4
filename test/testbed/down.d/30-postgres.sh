#!/usr/bin/env bash
# Stops the PostgreSQL cluster; its data stay, so that it is up again in no time.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../postgres.sh"

[ -e "$pg_data/postmaster.pid" ] || exit 0
as_owner "$(pg_bin)/pg_ctl" status -D "$pg_data" >/dev/null || exit 0
as_owner "$(pg_bin)/pg_ctl" stop -s -m fast -D "$pg_data"
