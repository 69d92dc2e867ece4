package machine

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"testing"

	"github.com/heddle/heddle"
)

// driver does the least that a run needs, so that what is measured is the machine.
type driver struct {
	state *State
	open  []heddle.AttemptID
	ended int
	exit  func(n int) heddle.Exit // of the n-th end, from 0
}

func drive(t testing.TB, flow *heddle.Flow) *driver {
	t.Helper()
	g, err := Compile(flow)
	if err != nil {
		t.Fatal(err)
	}
	d := &driver{state: New(g, newRun(flow), nil), exit: func(int) heddle.Exit { return heddle.Exit{Reason: heddle.Exited} }}
	d.do(t, Begin{})
	return d
}

func (d *driver) do(t testing.TB, e Event) {
	t.Helper()
	if err := d.state.Advance(e, epoch()); err != nil {
		t.Fatal(err)
	}
	_, effects, _ := d.state.Take()
	for _, effect := range effects {
		if start, ok := effect.(Start); ok {
			d.open = append(d.open, start.Attempt.ID)
		}
	}
}

// ends lets n attempts end, first in first out, and those that follow start.
func (d *driver) ends(t testing.TB, n int) {
	t.Helper()
	for range n {
		for d.state.Ready() {
			d.do(t, Place{At: "here"})
		}
		if len(d.open) == 0 {
			t.Fatalf("nothing runs after %d ends; the run is %s", d.ended, d.state.Run().State)
		}
		id := d.open[0]
		d.open = d.open[1:]
		d.do(t, Ended{Attempt: id, Exit: d.exit(d.ended)})
		d.ended++
	}
}

// chain is a state machine of n steps.
func chain(n int) *heddle.Flow {
	flow := &heddle.Flow{Name: "chain", Start: []string{"s0"}}
	for i := range n {
		flow.Steps = append(flow.Steps, state(fmt.Sprint("s", i)))
		if i > 0 {
			flow.Edges = append(flow.Edges, edge1(fmt.Sprint("s", i-1), fmt.Sprint("s", i)))
		}
	}
	return flow
}

// fan is a step, n after it, and one after those.
func fan(n int) *heddle.Flow {
	flow := flowOf([]heddle.Step{node("first"), node("last")}, nil, "first")
	for i := range n {
		name := fmt.Sprint("s", i)
		flow.Steps = append(flow.Steps, node(name))
		flow.Edges = append(flow.Edges, edge1("first", name), edge1(name, "last"))
	}
	return flow
}

// selfLoop is a step that is repeated as long as it fails.
func selfLoop(int) *heddle.Flow {
	return flowOf([]heddle.Step{state("a")}, []heddle.Edge{edge1("a", "a", heddle.Failure)}, "a")
}

// allocated returns the bytes and allocations per call of do, which makes n calls' worth.
func allocated(n int, do func()) (bytes, count float64) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return float64(after.TotalAlloc-before.TotalAlloc) / float64(n), float64(after.Mallocs-before.Mallocs) / float64(n)
}

// TestCostDoesNotGrow counts what is allocated per step early and late in runs,
// and in short and long ones. It must run alone, as others' allocations count.
func TestCostDoesNotGrow(t *testing.T) {
	const window = 400
	tests := map[string]struct {
		flow    func(n int) *heddle.Flow
		context string
		late    int // steps before the late window
	}{
		"a chain":                  {flow: chain, late: 10_000},
		"a chain with a context":   {flow: chain, context: `{"a":1}`, late: 1_500},
		"a self loop":              {flow: selfLoop, late: 10_000},
		"a self loop with context": {flow: selfLoop, context: `{"a":1}`, late: 1_500},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			measure := func(steps, before int) (bytes, count float64) {
				flow := tc.flow(steps)
				if tc.context != "" {
					flow.Context = []byte(tc.context)
				}
				d := drive(t, flow)
				if len(flow.Steps) == 1 {
					d.exit = func(int) heddle.Exit { return heddle.Exit{Reason: heddle.Exited, Code: 1} }
				}
				d.ends(t, before)
				return allocated(window, func() { d.ends(t, window) })
			}
			// The first 200 steps fill the history of results, which holds 100.
			wantBytes, wantCount := measure(1_000, 200)
			bytes, count := measure(100_000, tc.late)
			// Longer names and numbers are longer in the context, too.
			if bytes > 1.25*wantBytes || count > 1.1*wantCount {
				t.Errorf("after %d of 100,000 steps one allocates %.0f bytes in %.1f pieces; after 200 of 1,000 %.0f in %.1f",
					tc.late, bytes, count, wantBytes, wantCount)
			}
		})
	}
}

// TestFanOutCost: each of 10,000 costs what each of 100 costs.
func TestFanOutCost(t *testing.T) {
	perStep := func(n int) (bytes, count float64) {
		d := drive(t, fan(n))
		bytes, count = allocated(n, func() { d.ends(t, n+2) })
		if run := d.state.Run(); run.State != heddle.RunEnded || run.Outcome != heddle.Success || run.Visits != n+2 {
			t.Errorf("the run of %d: %+v", n, run)
		}
		return bytes, count
	}
	smallBytes, smallCount := perStep(100)
	bigBytes, bigCount := perStep(10_000)
	if bigBytes > 1.5*smallBytes || bigCount > 1.5*smallCount {
		t.Errorf("each of 10,000 allocates %.0f bytes in %.1f pieces, each of 100 %.0f in %.1f", bigBytes, bigCount, smallBytes, smallCount)
	}
}

// TestRecordForgetsWideChanges: a change of 10,000 rows must not make all later
// ones costly, as clearing its maps each time would.
func TestRecordForgetsWideChanges(t *testing.T) {
	t.Parallel()
	d := drive(t, fan(10_000))
	before := d.state.out.visits
	d.ends(t, 1)
	if wide, now := len(before), len(d.state.out.visits); wide < 10_000 || now != 0 {
		t.Errorf("the map of the wide change has %d rows, the one in use %d: it was cleared and kept", wide, now)
	}
}

// TestSettledVisitsAreNotRetained: a loop of any length leaves nothing behind.
func TestSettledVisitsAreNotRetained(t *testing.T) {
	d := drive(t, selfLoop(0))
	d.exit = func(int) heddle.Exit {
		return heddle.Exit{Reason: heddle.Exited, Code: 1, Message: "a message of its own"}
	}
	heap := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	d.ends(t, 1_000)
	before := heap()
	d.ends(t, 10_000)
	if grown := heap() - before; grown > 256<<10 {
		t.Errorf("10,000 visits leave %d bytes behind", grown)
	}
	s := d.state
	if n := len(s.live) + len(s.ready) + len(s.timers) + len(s.work.fires) + len(s.work.groups) + cap(s.out.visitRows); n > 4 {
		t.Errorf("%d things are retained", n)
	}
}

// TestSkipCascade: 10,000 skipped steps and 10,000 that cannot run are followed
// without recursion: the stack stays small.
func TestSkipCascade(t *testing.T) {
	const n = 10_000
	defer debug.SetMaxStack(debug.SetMaxStack(256 << 10))
	skipped, broken := chain(n), chain(n)
	for i := range n {
		skipped.Steps[i].Gate = heddle.GateAll
		broken.Steps[i].Broken = "no action"
	}
	for i := range broken.Edges {
		broken.Edges[i].On = []heddle.Outcome{heddle.Abort}
	}
	d := drive(t, skipped)
	d.exit = func(int) heddle.Exit { return heddle.Exit{Reason: heddle.Exited, Code: 1} }
	d.ends(t, 1)
	if run := d.state.Run(); run.State != heddle.RunEnded || run.Outcome != heddle.Failure || run.Visits != n {
		t.Errorf("skipped: %+v", run)
	}
	if run := drive(t, broken).state.Run(); run.State != heddle.RunEnded || run.Outcome != heddle.Abort || run.Visits != n {
		t.Errorf("broken: %+v", run)
	}
}

// BenchmarkStep is the cost of one step: placed, ended, and what that leads to.
func BenchmarkStep(b *testing.B) {
	for name, flow := range map[string]*heddle.Flow{"chain of 1,000": chain(1_000), "chain of 100,000": chain(100_000), "fan of 10,000": fan(10_000)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			var d *driver
			for i := 0; b.Loop(); i++ {
				if d == nil || d.state.Run().State == heddle.RunEnded {
					b.StopTimer()
					d = drive(b, flow)
					b.StartTimer()
				}
				d.ends(b, 1)
			}
		})
	}
	b.Run("self loop", func(b *testing.B) {
		b.ReportAllocs()
		d := drive(b, selfLoop(0))
		d.exit = func(int) heddle.Exit { return heddle.Exit{Reason: heddle.Exited, Code: 1} }
		for b.Loop() {
			d.ends(b, 1)
		}
	})
}
