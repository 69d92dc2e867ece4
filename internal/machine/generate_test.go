package machine

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/heddle/heddle"
)

// roller answers questions by a hash, so that the answers do not depend on the
// order of asking.
func roller(seed uint64) func(string, int) int {
	return func(question string, n int) int {
		h := fnv.New64a()
		fmt.Fprint(h, seed, question)
		return int(h.Sum64() >> 33 % uint64(n))
	}
}

// exits lets attempts end in all ways, as step, index and number have it.
func exits(roll func(string, int) int) func(heddle.Visit, int, string) heddle.Exit {
	return func(v heddle.Visit, n int, told string) heddle.Exit {
		key := fmt.Sprint(v.Step, v.Index, v.Nth, n)
		if told != "" && roll("stop"+key, 4) > 0 {
			return heddle.Exit{Reason: heddle.Stopped, Code: 143}
		}
		line := func(outcome heddle.Outcome, rc int) heddle.Exit {
			text, _ := json.Marshal(map[string]any{
				"result": outcome, "rc": rc, "message": "told " + key,
				"context": map[string]any{"last": v.Step, "seen": map[string]any{v.Step: v.Nth}, "run_id": "forged"},
			})
			return heddle.Exit{Reason: heddle.Exited, Code: rc, Result: text, ResultSize: int64(len(text))}
		}
		switch roll("exit"+key, 16) {
		default:
			return line(heddle.Success, 0)
		case 9, 10:
			return line(heddle.Failure, 3)
		case 11:
			return line(heddle.Abort, 15)
		case 12:
			return heddle.Exit{Reason: heddle.TimedOut, Code: 137}
		case 13:
			return heddle.Exit{Reason: heddle.Lost, Message: "no trace of it"}
		case 14:
			return heddle.Exit{Reason: heddle.Broken, Message: "the node is gone"}
		case 15:
			return heddle.Exit{Reason: heddle.Refused, Message: "no such image"}
		}
	}
}

// drawn makes flows out of random choices.
type drawn struct {
	*rapid.T
	// plain leaves out what makes the verdict depend on the order of events.
	plain bool
}

// number is any from low to high with about the same chance, which rapid's own
// ranges do not give: they like the ends. It shrinks towards low.
func (d drawn) number(low, high int, what string) int {
	x := 0
	for range 8 {
		x *= 2
		if rapid.Bool().Draw(d.T, what) {
			x++
		}
	}
	return low + x*(high-low+1)>>8
}

func (d drawn) often(percent int, what string) bool {
	return d.number(0, 99, what) >= 100-percent
}

func (d drawn) outcomes() []heddle.Outcome {
	var on []heddle.Outcome
	for _, o := range heddle.Outcomes() {
		if d.often(35, "on "+string(o)) {
			on = append(on, o)
		}
	}
	return on
}

// trimmings draws what has to do with how a step runs, not with where it stands.
func (d drawn) trimmings(s *heddle.Step) {
	s.Work = &heddle.Work{Image: "i:1", Env: map[string]string{"STEP": s.Name}}
	s.Tolerate = d.often(15, "tolerate")
	if d.often(40, "line") {
		s.Result = heddle.ResultLine
	}
	if d.often(30, "abort if unstartable") {
		s.Unstartable = heddle.Abort
	}
	s.InfraRetries = d.number(-1, 1, "infra retries")
	if d.often(30, "retry") {
		s.Retry = heddle.Retry{Limit: d.number(0, 2, "limit"), Delay: time.Duration(d.number(0, 3, "delay")) * time.Second}
	}
	switch d.number(0, 19, "fault") {
	case 18:
		s.Broken = "the action is not defined"
	case 19:
		s.NeedsEnv, s.NeedsContext = []string{"NO_SUCH"}, []string{"no.such"}
	}
	if d.often(25, "pool") {
		s.Pool, s.Weight = fmt.Sprint("p", d.number(1, 2, "which pool")), d.number(0, 3, "weight")
	}
	if !d.plain && d.often(25, "key") {
		s.Key = fmt.Sprint("k", d.number(1, 2, "which key"))
		s.Busy = []heddle.Busy{heddle.BusyQueue, "", heddle.BusyDrop, heddle.BusyAllow}[d.number(0, 3, "busy")]
	}
}

// group draws the members of the group s.
func (d drawn) group(f *heddle.Flow, s heddle.Step) {
	s.Gate, s.Tolerate = heddle.GateAll, d.often(15, "tolerated group")
	count := d.number(0, 3, "members")
	if d.often(50, "matrix") {
		count = 1
		s.Matrix = &heddle.Matrix{Limit: d.number(0, 2, "matrix limit"), FailFast: !d.plain && d.often(50, "fail-fast")}
		for i := range d.number(0, 4, "indexes") {
			s.Matrix.Env = append(s.Matrix.Env, map[string]string{"I": fmt.Sprint(i)})
		}
	}
	f.Steps = append(f.Steps, s)
	for i := range count {
		m := heddle.Step{Name: fmt.Sprintf("%s.%d", s.Name, i), Group: s.Name, Gate: heddle.GateAll}
		d.trimmings(&m)
		if s.Matrix != nil && s.Matrix.Limit > 0 && m.Busy != heddle.BusyAllow {
			m.Key = "" // who waits for both a limit and a key may change places in a restart
		}
		if s.Matrix != nil && m.NeedsEnv != nil {
			m.NeedsEnv = []string{"I"}
			if n := len(s.Matrix.Env); n > 0 {
				delete(s.Matrix.Env[d.number(0, n-1, "the one without")], "I")
			}
		}
		f.Steps = append(f.Steps, m)
		d.edgesTo(f, m.Name, s.Name+".", i)
	}
}

// edgesTo draws edges from those of the first n steps with the prefix to a step.
func (d drawn) edgesTo(f *heddle.Flow, to, prefix string, n int) {
	for i := range n {
		for range 2 {
			if d.often(25, "edge") {
				f.Edges = append(f.Edges, heddle.Edge{From: fmt.Sprint(prefix, i), To: to, On: d.outcomes()})
			}
		}
	}
}

func (d drawn) flow(kind heddle.Kind) *heddle.Flow {
	f := &heddle.Flow{Kind: kind, Name: "drawn", MaxParallel: max(0, d.number(-3, 3, "parallel"))}
	if d.often(50, "context") {
		f.Context = json.RawMessage(`{"given":1}`)
	}
	if d.often(20, "concurrency key") {
		f.Concurrency = &heddle.Concurrency{Key: "c"}
	}
	if !d.plain && d.often(20, "deadline") {
		f.Deadline = time.Duration(d.number(1, 20, "deadline")) * time.Second
	}
	return f
}

func (d drawn) finals(f *heddle.Flow) {
	for i := range max(0, d.number(-2, 3, "finals")) {
		s := heddle.Step{Name: fmt.Sprint("f", i), Finally: true, Gate: heddle.GateAll}
		if d.often(25, "final group") {
			d.group(f, s)
		} else {
			d.trimmings(&s)
			f.Steps = append(f.Steps, s)
		}
		d.edgesTo(f, s.Name, "f", i)
	}
}

// dag draws an acyclic flow. Mixed: some of its steps have gate any.
func (d drawn) dag(mixed bool) *heddle.Flow {
	f := d.flow(heddle.KindPipeline)
	for i := range d.number(1, 7, "steps") {
		s := heddle.Step{Name: fmt.Sprint("s", i), Gate: heddle.GateAll}
		if d.often(25, "group") {
			d.group(f, s)
		} else {
			d.trimmings(&s)
			if mixed && d.often(40, "gate any") {
				s.Gate = heddle.GateAny
			}
			f.Steps = append(f.Steps, s)
		}
		before := len(f.Edges)
		d.edgesTo(f, s.Name, "s", i)
		if len(f.Edges) == before && (i == 0 || d.often(85, "start")) {
			f.Start = append(f.Start, s.Name)
		}
	}
	d.finals(f)
	if !mixed && !d.plain {
		d.outputs(f)
	}
	return f
}

// outputs has steps ask for outputs of those that they wait for, which may have none.
func (d drawn) outputs(f *heddle.Flow) {
	for _, e := range f.Edges {
		to := slices.IndexFunc(f.Steps, func(s heddle.Step) bool { return s.Name == e.To })
		from := slices.IndexFunc(f.Steps, func(s heddle.Step) bool { return s.Name == e.From })
		if f.Context != nil || f.Steps[to].Work == nil || f.Steps[from].Work == nil && f.Steps[from].Matrix == nil || !d.often(30, "output") {
			continue
		}
		if f.Steps[from].Work == nil {
			from++ // the member of a matrix stands behind it
		}
		f.Steps[from].Work.Message = &heddle.MessageFile{Env: "OUT"}
		name := []string{"message", "rc", "context", "none"}[d.number(0, 3, "which")]
		f.Steps[to].Work.From = map[string]heddle.Source{"GIVEN": {Output: e.From + "." + name}}
	}
}

// machine draws a state machine.
func (d drawn) machine() *heddle.Flow {
	f := d.flow(heddle.KindJob)
	n := d.number(1, 5, "states")
	for i := range n {
		s := heddle.Step{Name: fmt.Sprint("s", i), MaxVisits: max(0, d.number(-2, 4, "visits"))}
		d.trimmings(&s)
		f.Steps = append(f.Steps, s)
		for _, o := range heddle.Outcomes()[:4] {
			for range 2 {
				// Two in n+2 lead nowhere: to a step that there is not, or not at all.
				if to := d.number(0, n+1, "to"); to <= n && d.often(60, "leads on") {
					f.Edges = append(f.Edges, heddle.Edge{From: s.Name, To: fmt.Sprint("s", to), On: []heddle.Outcome{o}})
				}
			}
		}
	}
	for i := range min(n, d.number(1, 2, "starts")) {
		f.Start = append(f.Start, fmt.Sprint("s", i))
	}
	d.finals(f)
	return f
}

// world draws what happens to a run.
func (d drawn) world() world {
	roll := roller(rapid.Uint64().Draw(d.T, "world"))
	w := world{roll: roll, exit: exits(roll), enough: 60, lazy: d.often(40, "lazy"), room: d.number(3, 5, "room")}
	if !d.plain && d.often(30, "cancel") {
		at := d.number(0, 20, "cancel at")
		w.cancels = []int{at}
		if d.often(50, "again") {
			w.cancels = append(w.cancels, at+d.number(0, 6, "again at"))
		}
	}
	return w
}
