// Package bench measures Heddle. Its benchmarks run each scenario in a process of
// its own and report what it cost; bench/run.sh runs them all and prints each
// figure as a ratio to a baseline that ran beside it, with the goal for it.
package bench
