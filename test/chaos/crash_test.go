// Package chaos_test kills Heddle in every way it can think of and looks whether
// every accepted run still ends with the verdict that it would have had.
package chaos_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/heddle/heddle"
)

// scenario is a small flow, with the verdict and the number of times that each
// step runs when nothing goes wrong.
type scenario struct {
	flow    func(effects string) heddle.Flow
	verdict string
	times   map[string]int
}

func scenarios() map[string]scenario {
	return map[string]scenario{
		"a DAG with a fork, a join, a failure handled and a step skipped": {
			verdict: "failure",
			times:   map[string]int{"a": 1, "b": 1, "c": 1, "d": 1, "mend": 1, "last": 1},
			flow: func(effects string) heddle.Flow {
				last := shell(effects, "last", "")
				last.Finally = true
				return heddle.Flow{
					Kind: heddle.KindPipeline, Name: "dag", Start: []string{"a"},
					Steps: []heddle.Step{
						shell(effects, "a", ""), shell(effects, "b", ""), shell(effects, "c", "exit 3"),
						shell(effects, "d", ""), shell(effects, "mend", ""), shell(effects, "never", ""), last,
					},
					Edges: []heddle.Edge{
						{From: "a", To: "b"}, {From: "a", To: "c"},
						{From: "b", To: "d"},
						{From: "c", To: "mend", On: []heddle.Outcome{heddle.Failure}},
						{From: "c", To: "never"}, {From: "d", To: "never"},
					},
				}
			},
		},
		"a loop that goes round until its third visit succeeds": {
			verdict: "success",
			times:   map[string]int{"try": 3, "done": 1},
			flow: func(effects string) heddle.Flow {
				try := shell(effects, "try", `test "$(grep -c '^try ' `+effects+`)" -ge 3`)
				done := shell(effects, "done", "")
				try.Gate, done.Gate = heddle.GateAny, heddle.GateAny
				return heddle.Flow{
					Kind: heddle.KindJob, Name: "loop", Start: []string{"try"}, Context: []byte("{}"),
					Steps: []heddle.Step{try, done},
					Edges: []heddle.Edge{
						{From: "try", To: "try", On: []heddle.Outcome{heddle.Failure}}, {From: "try", To: "done"},
					},
				}
			},
		},
		"a matrix that is stopped when one of it fails": {
			verdict: "failure",
			times:   map[string]int{"m": 2},
			flow: func(effects string) heddle.Flow {
				member := shell(effects, "m", `if [ "$INDEX" = 1 ]; then sleep 60; fi
					until test "$(grep -c '^m ' `+effects+`)" -ge 2; do sleep 0.01; done; exit 1`)
				member.Group = "group"
				return heddle.Flow{
					Kind: heddle.KindPipeline, Name: "stop", Start: []string{"group"},
					Steps: []heddle.Step{
						{Name: "group", Gate: heddle.GateAll, Matrix: &heddle.Matrix{
							FailFast: true, Env: []map[string]string{{"INDEX": "0"}, {"INDEX": "1"}},
						}},
						member, shell(effects, "never", ""),
					},
					Edges: []heddle.Edge{{From: "group", To: "never"}},
				}
			},
		},
		"a run that waits for the key of another, each with a step that needs the pool twice": {
			verdict: "success success",
			times:   map[string]int{"pooled": 4, "after": 2},
			flow: func(effects string) heddle.Flow {
				pooled := shell(effects, "pooled", `test "$(grep -c "^pooled $HEDDLE_RUN-[0-9]" `+effects+`)" -ge 2`)
				pooled.Pool, pooled.Retry = "places", heddle.Retry{Limit: 1}
				return heddle.Flow{
					Kind: heddle.KindPipeline, Name: "key", Start: []string{"pooled"},
					Steps:       []heddle.Step{pooled, shell(effects, "after", "")},
					Edges:       []heddle.Edge{{From: "pooled", To: "after"}},
					Concurrency: &heddle.Concurrency{Key: "key"},
				}
			},
		},
		"a step that fails once and is retried after a back-off": {
			verdict: "success",
			times:   map[string]int{"flaky": 2, "after": 1},
			flow: func(effects string) heddle.Flow {
				flaky := shell(effects, "flaky", `test "$(grep -c '^flaky ' `+effects+`)" -ge 2`)
				flaky.Retry = heddle.Retry{Limit: 2, Delay: 20 * time.Millisecond}
				return heddle.Flow{
					Kind: heddle.KindPipeline, Name: "retry", Start: []string{"flaky"},
					Steps: []heddle.Step{flaky, shell(effects, "after", "")},
					Edges: []heddle.Edge{{From: "flaky", To: "after"}},
				}
			},
		},
	}
}

// stages are the combinations of store and executor that have their crash points
// tried: every one on the embedded default; on the others, whose turns take
// seconds, every stride-th, from one that moves on with each day.
// HEDDLE_CHAOS_ALL=1 tries every one everywhere.
func stages(t *testing.T) map[string]stage {
	t.Helper()
	all := map[string]stage{
		"SQLite, process":     {parts{"sqlite", "process"}, 1, ""},
		"PostgreSQL, process": {parts{"postgres", "process"}, 8, "HEDDLE_TEST_POSTGRES_URL"},
		"SQLite, Docker":      {parts{"sqlite", "docker"}, 8, "HEDDLE_TEST_DOCKER_HOST"},
		"SQLite, Kubernetes":  {parts{"sqlite", "kubernetes"}, 40, "HEDDLE_TEST_KUBECONFIG"},
	}
	if os.Getenv("HEDDLE_CHAOS_ALL") != "" {
		for name, s := range all {
			s.stride = 1
			all[name] = s
		}
	}
	return all
}

type stage struct {
	parts
	stride int
	needs  string // a variable
}

func (s stage) skipUnlessThere(t *testing.T) {
	t.Helper()
	if s.needs != "" && os.Getenv(s.needs) == "" {
		t.Skipf("%s is not set", s.needs)
	}
}

// TestCrashPoints makes the engine exit before and after its n-th store write and
// executor call, for every n, and starts it again.
func TestCrashPoints(t *testing.T) {
	t.Parallel()
	for where, st := range stages(t) {
		for name, sc := range scenarios() {
			t.Run(where+": "+name, func(t *testing.T) {
				t.Parallel()
				st.skipUnlessThere(t)
				first := 1 + time.Now().YearDay()%st.stride
				n, tried := first, 0
				for ; crashAt(t, st.parts, sc, n); n += st.stride {
					if tried++; n > 500 {
						t.Fatal("the run does not end")
					}
				}
				if n < 10 {
					t.Errorf("only %d crash points were passed", n)
				}
				t.Logf("%d crash points, each crashed at and recovered from", tried)
			})
		}
	}
}

// crashAt crashes at the n-th point, once more while that is recovered from, and
// resumes; false: there is no n-th point.
func crashAt(t *testing.T, p parts, sc scenario, n int) bool {
	t.Helper()
	w := newWorld(t, p, sc.flow)
	verdict, over := w.play(n)
	again := !over
	if again {
		verdict, over = w.play(1 + n%5)
	}
	if !over {
		if verdict, over = w.play(0); !over {
			t.Fatal("an engine that was not told to crash did")
		}
	}
	times := map[string]int{}
	did := w.did()
	for step, attempts := range did {
		times[step] = len(attempts)
	}
	if all := did["pooled"]; len(all) == 4 && (strings.Contains(all[1], "-next-") || !strings.Contains(all[2], "-next-")) {
		t.Errorf("crash point %d: the runs did not wait for each other: %v", n, all)
	}
	w.left()
	w.nothingLeft()
	if verdict != sc.verdict {
		t.Errorf("crash point %d: verdict %s, want %s", n, verdict, sc.verdict)
	}
	if diff := cmp.Diff(sc.times, times); diff != "" {
		t.Errorf("crash point %d: how often steps ran (-want +got):\n%s\n%s", n, diff, w.history())
	}
	return again && !t.Failed()
}
