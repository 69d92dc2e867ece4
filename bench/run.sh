#!/usr/bin/env bash
# Runs the benchmarks and prints each figure beside its goal. usage: bench/run.sh [PATTERN]
set -euo pipefail
cd "$(dirname "$0")/.."
out=$(mktemp)
status=0
trap 'rm -f "$out"' EXIT
test/testbed/setup.sh >&2 # for PostgreSQL, Docker and Kubernetes; what cannot be had is left out
eval "$(test/testbed/env.sh)"
echo "running the benchmarks (minutes) ..." >&2
CGO_ENABLED=0 go test ./bench -run '^$' -bench "${1:-.}" -benchtime 1x -timeout 60m | tee "$out" >&2 || status=$?
awk '
function row(name, unit, goal, cmp) { goals[name, unit] = goal; sense[name, unit] = cmp }
BEGIN {
	row("Chain/sqlite", "ratio-to-bare", 2, "<="); row("Chain/sqlite", "flatness", 1.1, "<=")
	row("FanOut/sqlite", "ratio-to-chain", 1.1, "<="); row("FanOut/sqlite", "engine-MB", 100, "<=")
	row("LongRun/sqlite", "ratio-to-1000", 1.1, "<="); row("LongRun/sqlite", "MB", 500, "<=")
	row("OneStepRuns/sqlite", "runs/s", 300, ">="); row("Recovery/sqlite", "s", 2, "<=")
	row("KubernetesChain", "p99-ms", 100, "<="); row("KubernetesAtOnce", "ratio-to-bare", 1.1, "<=")
	row("KubernetesQueued", "ratio-to-bare", 1.1, "<="); row("KubernetesCalls", "calls/run", 4, "<=")
	row("KubernetesLive", "MB", 500, "<=")
	row("Docker", "ratio-to-bare", 1.1, "<="); row("Docker", "ratio-to-bare-at-once", 1, "<=")
	printf "%-22s %-22s %12s   %s\n", "benchmark", "figure", "value", "goal"
}
/^Benchmark/ {
	name = $1; sub(/^Benchmark/, "", name); sub(/-[0-9]+$/, "", name)
	for (i = 3; i < NF; i += 2) {
		unit = $(i + 1)
		if (unit == "ns/op") continue
		goal = "-"
		if ((name, unit) in goals) {
			g = goals[name, unit]; c = sense[name, unit]
			met = (c == "<=") ? ($i + 0 <= g) : ($i + 0 >= g)
			goal = c " " g (met ? "  met" : "  MISSED")
		}
		printf "%-22s %-22s %12.3f   %s\n", name, unit, $i, goal
	}
}' "$out"
exit "$status"
