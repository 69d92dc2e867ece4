package machine

import (
	"strconv"
	"strings"
	"testing"
	"time"

	diff "github.com/google/go-cmp/cmp"

	"github.com/heddle/heddle"
)

// TestStopping: cancels by turn (a turn starts or ends one attempt), deadlines,
// and what they leave of a run whose steps a and b are followed by finally steps.
func TestStopping(t *testing.T) {
	t.Parallel()
	final := func(s *heddle.Step) { s.Finally = true }
	chain := func() *heddle.Flow {
		return flowOf([]heddle.Step{node("a"), node("b"), with(node("f1"), final), with(node("f2"), final)},
			[]heddle.Edge{edge1("a", "b"), edge1("f1", "f2", heddle.Success, heddle.Abort)}, "a")
	}
	matrix := func(m heddle.Matrix) *heddle.Flow {
		m.Env = make([]map[string]string, 3)
		return flowOf([]heddle.Step{{Name: "a", Matrix: &m}, with(node("x"), func(s *heddle.Step) { s.Group = "a" }), with(node("f1"), final)}, nil, "a")
	}
	tests := map[string]struct {
		flow         *heddle.Flow
		cancels      []int
		script       map[string]string
		deadline     time.Duration
		retry        bool // steps are tried again after a minute
		slow         bool // attempts end at each third turn only
		stubborn     bool // what is told to stop ends well all the same
		want         heddle.Outcome
		wantMessage  string
		wantOutcomes map[string]string
	}{
		"not at all": {want: heddle.Success, wantOutcomes: map[string]string{"a": "success", "b": "success", "f1": "success", "f2": "success"}},
		"before the beginning nothing runs, finally steps neither": {
			cancels: []int{0}, want: heddle.Abort, wantMessage: "the run was cancelled: enough", wantOutcomes: map[string]string{},
		},
		"twice before the beginning": {
			cancels: []int{0, 0}, want: heddle.Abort, wantMessage: "the run was cancelled: enough", wantOutcomes: map[string]string{},
		},
		"once: finally steps run": {
			cancels: []int{2}, want: heddle.Abort, wantMessage: "the run was cancelled: enough",
			wantOutcomes: map[string]string{"a": "success", "b": "abort", "f1": "success", "f2": "success"},
		},
		"what is told to stop and succeeds leads to nothing": {
			cancels: []int{1}, stubborn: true, want: heddle.Abort, wantMessage: "the run was cancelled: enough",
			wantOutcomes: map[string]string{"a": "abort", "f1": "success", "f2": "success"},
		},
		"twice at once: finally steps do not run": {
			cancels: []int{2, 2}, want: heddle.Abort, wantMessage: "the run was cancelled: enough",
			wantOutcomes: map[string]string{"a": "success", "b": "abort"},
		},
		"twice, the second time while finally steps run: they are stopped": {
			cancels: []int{2, 3}, want: heddle.Abort, wantMessage: "the run was cancelled: enough",
			wantOutcomes: map[string]string{"a": "success", "b": "abort", "f1": "success", "f2": "abort"},
		},
		"for the first time while finally steps run: they are stopped": {
			cancels: []int{3}, want: heddle.Abort, wantMessage: "the run was cancelled: enough",
			wantOutcomes: map[string]string{"a": "success", "b": "success", "f1": "abort"},
		},
		"a verdict that the steps would have had gives way": {
			cancels: []int{3}, script: map[string]string{"a": "timeout"}, want: heddle.Abort, wantMessage: "the run was cancelled: enough",
			wantOutcomes: map[string]string{"a": "timeout", "b": "skipped", "f1": "success", "f2": "abort"},
		},
		"what is told to stop and fails is not tried again": {
			flow: matrix(heddle.Matrix{Limit: 2}), cancels: []int{2}, stubborn: true, retry: true,
			script: map[string]string{"x": "ok fail"}, want: heddle.Abort, wantMessage: "the run was cancelled: enough",
			wantOutcomes: map[string]string{"a": "failure", "x": "success failure abort", "f1": "success"},
		},
		"for the first time while finally steps run, and an edge leads on from the one that is stopped": {
			flow: flowOf([]heddle.Step{node("a"), with(node("f1"), final), with(node("f2"), final)},
				[]heddle.Edge{edge1("f1", "f2", heddle.Abort)}, "a"),
			cancels: []int{5}, slow: true, want: heddle.Abort, wantMessage: "the run was cancelled: enough",
			wantOutcomes: map[string]string{"a": "success", "f1": "abort"},
		},
		"what fail-fast tells to stop and fails is not tried again": {
			flow: matrix(heddle.Matrix{Limit: 2, FailFast: true}), stubborn: true, retry: true,
			script: map[string]string{"x": "refused fail"}, want: heddle.Failure, wantMessage: "the attempt was refused",
			wantOutcomes: map[string]string{"a": "failure", "x": "failure failure skipped", "f1": "success"},
		},
		"a visit in back-off is over at once": {
			cancels: []int{2}, retry: true, script: map[string]string{"a": "fail"}, want: heddle.Abort, wantMessage: "the run was cancelled: enough",
			wantOutcomes: map[string]string{"a": "abort", "f1": "success", "f2": "success"},
		},
		"the deadline": {
			deadline: time.Second, retry: true, script: map[string]string{"a": "fail"},
			want: heddle.Timeout, wantMessage: "the run's deadline of 2026-01-02T03:04:06Z has passed",
			wantOutcomes: map[string]string{"a": "abort", "f1": "success", "f2": "success"},
		},
		"the deadline does not count for finally steps": {
			deadline: 2500 * time.Microsecond, want: heddle.Success,
			wantOutcomes: map[string]string{"a": "success", "b": "success", "f1": "success", "f2": "success"},
		},
		"a cancel after the deadline leaves the timeout": {
			deadline: time.Millisecond, cancels: []int{2}, want: heddle.Timeout, wantMessage: "the run's deadline of 2026-01-02T03:04:05Z has passed",
			wantOutcomes: map[string]string{"a": "abort", "f1": "success", "f2": "success"},
		},
		"a group and all of its members": {
			flow: matrix(heddle.Matrix{Limit: 1}), cancels: []int{2}, want: heddle.Abort, wantMessage: "the run was cancelled: enough",
			wantOutcomes: map[string]string{"a": "abort", "x": "success abort abort", "f1": "success"},
		},
		"a matrix with fail-fast": {
			flow: matrix(heddle.Matrix{Limit: 1, FailFast: true}), cancels: []int{2}, want: heddle.Abort, wantMessage: "the run was cancelled: enough",
			wantOutcomes: map[string]string{"a": "abort", "x": "success abort abort", "f1": "success"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			flow := tc.flow
			if flow == nil {
				flow = chain()
			}
			flow.Deadline = tc.deadline
			if tc.retry {
				for i := range flow.Steps {
					flow.Steps[i].Retry = heddle.Retry{Limit: 1, Delay: time.Minute}
				}
			}
			for _, crashes := range [][]int{nil, {1, 2, 3, 4, 5, 6}} {
				w := script(t, tc.script)
				w.cancels, w.crashes = tc.cancels, crashes
				if tc.slow {
					w.roll = func(question string, n int) int {
						turn, ends := strings.CutPrefix(question, "progress")
						at, _ := strconv.Atoi(turn)
						if ends && at%3 > 0 || strings.HasPrefix(question, "choice") || strings.HasPrefix(question, "clock") {
							return 0
						}
						return n - 1
					}
				}
				plain := w.exit
				w.exit = func(v heddle.Visit, n int, told string) heddle.Exit {
					if told != "" && tc.stubborn {
						told = ""
					}
					return plain(v, n, told)
				}
				play(t, flow, newRun(flow), w).wants(t, tc.want, tc.wantMessage, tc.wantOutcomes)
			}
		})
	}
}

// TestCancelIsCounted: hearing of the same requests again changes nothing.
func TestCancelIsCounted(t *testing.T) {
	t.Parallel()
	flow := flowOf([]heddle.Step{node("a"), with(node("f"), func(s *heddle.Step) { s.Finally = true })}, nil, "a")
	s := New(compile(t, flow), newRun(flow), nil)
	for _, e := range []Event{Begin{}, Place{}, Cancel{Count: 1, Reason: "first"}} {
		if err := s.Advance(e, epoch()); err != nil {
			t.Fatal(err)
		}
	}
	s.Take()
	for _, e := range []Event{Cancel{Count: 1}, Cancel{}, Cancel{Count: 1, Reason: "again"}} {
		if err := s.Advance(e, epoch()); err != nil {
			t.Fatal(err)
		}
		if c, _, ok := s.Take(); ok || s.Urgent() {
			t.Errorf("%+v changes %+v", e, c)
		}
	}
	if s.Run().Message != "the run was cancelled: first" {
		t.Errorf("message %q", s.Run().Message)
	}
}

// TestFailFastWhileOpening: members that are not open yet are skipped as well.
func TestFailFastWhileOpening(t *testing.T) {
	t.Parallel()
	flow := flowOf([]heddle.Step{
		{Name: "g", Matrix: &heddle.Matrix{Env: []map[string]string{{"A": "1"}, {}, {"A": "3"}}, FailFast: true}},
		with(node("x"), func(s *heddle.Step) { s.Group, s.NeedsEnv = "g", []string{"A"} }),
	}, nil, "g")
	p := play(t, flow, newRun(flow), script(t, nil))
	want := map[string]string{"g": "abort", "x": "skipped abort skipped"}
	if d := diff.Diff(want, p.outcomes()); d != "" || len(p.starts) != 0 {
		t.Errorf("%d attempts were started: %s", len(p.starts), d)
	}
}
