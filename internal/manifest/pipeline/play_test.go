package pipeline

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/machine"
	"github.com/heddle/heddle/internal/manifest/doc"
)

func decode(t *testing.T, text string, o Options) *Result {
	t.Helper()
	d, err := doc.Parse("f", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	r, err := Decode(d, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// played is what became of a run.
type played struct {
	verdict  heddle.Outcome
	outcomes map[string]string // by job, "step[]#0" for those of a matrix: outcome, or "success x2" after two attempts
	order    []string          // in which the programs started
	most     int               // programs at once
}

// play runs a flow on the machine. script says how programs end, by job, and
// "job#0" for those of a matrix: exit codes or reasons, one per attempt, the last
// for all that follow. Those that it does not name succeed. They end in the order
// in which they started, after all that can start has.
func play(t *testing.T, flow *heddle.Flow, script map[string]string, cancel bool) played {
	t.Helper()
	g, err := machine.Compile(flow)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s := machine.New(g, heddle.Run{ID: "run1", Kind: flow.Kind, Name: flow.Name, State: heddle.RunPending}, nil)
	p := played{outcomes: map[string]string{}}
	visits, stopped := map[int]heddle.Visit{}, map[heddle.AttemptID]bool{}
	var open []machine.Start
	do := func(e machine.Event) {
		t.Helper()
		if err := s.Advance(e, now); err != nil {
			t.Fatalf("%T: %v", e, err)
		}
		c, effects, _ := s.Take()
		for _, v := range c.Visits {
			visits[v.No] = v
		}
		for _, e := range effects {
			switch e := e.(type) {
			case machine.Start:
				open = append(open, e)
				p.order = append(p.order, key(e.Visit, "#"))
			case machine.Stop:
				stopped[e.Attempt] = true
			}
		}
	}
	do(machine.Begin{})
	for s.Run().State != heddle.RunEnded {
		for s.Ready() {
			do(machine.Place{At: "here"})
		}
		if cancel {
			cancel = false
			do(machine.Cancel{Count: 1})
		}
		p.most = max(p.most, len(open))
		if len(open) == 0 {
			now = s.NextTick()
			if now.IsZero() {
				t.Fatal("nothing will ever happen to the run again")
			}
			do(machine.Tick{})
			continue
		}
		first := open[0]
		open = open[1:]
		exit := exitOf(script[key(first.Visit, "#")], first.Attempt.No)
		if stopped[first.Attempt.ID] {
			exit = heddle.Exit{Reason: heddle.Stopped}
		}
		do(machine.Ended{Attempt: first.Attempt.ID, Exit: exit})
	}
	for _, v := range visits {
		text := string(v.Outcome)
		if v.Attempts > 1 {
			text += fmt.Sprintf(" x%d", v.Attempts)
		}
		p.outcomes[key(v, "[]#")] = text
	}
	p.verdict = s.Run().Outcome
	return p
}

// key names a visit: the job, and for those of a matrix the index after mark.
func key(v heddle.Visit, mark string) string {
	job, member := strings.CutSuffix(v.Step, "[]")
	if !member {
		return job
	}
	return fmt.Sprint(job, mark, v.Index)
}

func exitOf(script string, attempt int) heddle.Exit {
	ends := strings.Fields(script)
	if len(ends) == 0 {
		return heddle.Exit{Reason: heddle.Exited}
	}
	switch end := ends[min(attempt, len(ends))-1]; end {
	case "ok":
		return heddle.Exit{Reason: heddle.Exited}
	case "fail":
		return heddle.Exit{Reason: heddle.Exited, Code: 1}
	default:
		return heddle.Exit{Reason: heddle.ExitReason(end)}
	}
}

// words is a map of outcomes from words such as "a=success b=skipped".
func words(text string) map[string]string {
	m := map[string]string{}
	for _, word := range strings.Fields(text) {
		k, v, _ := strings.Cut(word, "=")
		m[k] = strings.ReplaceAll(v, "*", " x")
	}
	return m
}

// jobs makes a pipeline of jobs with the same image and program, each with the
// rest of its keys in YAML's form with braces.
func jobs(list ...string) string {
	var text strings.Builder
	text.WriteString("kind: Pipeline\njobs:\n")
	for _, j := range list {
		name, rest, _ := strings.Cut(j, " ")
		if rest != "" {
			rest = ", " + rest
		}
		text.WriteString("  " + name + ": {image: busybox, run: 'true'" + rest + "}\n")
	}
	return text.String()
}

// TestOutcomes plays pipelines. Those of the first group, whose documents chainr
// takes as well, end as with chainr: its FAILED is every bad outcome.
func TestOutcomes(t *testing.T) {
	t.Parallel()
	readme := jobs("first", "second dependsOn: [{job: first}]", "success dependsOn: [{job: second}]",
		"error dependsOn: [{job: second, conditions: {failure: true}}]")
	ofA := func(conditions string) string { return jobs("a", "b dependsOn: [{job: a"+conditions+"}]") }
	const failure = ", conditions: {failure: true}"
	// a succeeds, so that s is skipped.
	ofSkipped := func(conditions string) string {
		return jobs("a", "s dependsOn: [{job: a"+failure+"}]", "b dependsOn: [{job: s"+conditions+"}]")
	}
	both := jobs("a", "b", "c dependsOn: [{job: a}, {job: b, conditions: {failure: true}}]")
	finally := jobs("a", "last finally: true", "b dependsOn: [{job: a}]", "later finally: true, dependsOn: [{job: last, conditions: {always: true}}]")
	tolerated := jobs("a tolerate: true", "b dependsOn: [{job: a}]", "c dependsOn: [{job: a, conditions: {failure: true}}]",
		"d dependsOn: [{job: a, conditions: {success: true}}]")
	matrix := func(more string) string {
		return jobs("m matrix: {values: {X: [1, 2, 3]}"+more, "after dependsOn: [{job: m}]", "handler dependsOn: [{job: m, conditions: {failure: true}}]")
	}
	tests := map[string]struct {
		text, script string
		cancel       bool
		verdict      heddle.Outcome
		want         string
	}{
		"chainr: success met by success":                     {text: ofA(""), verdict: "success", want: "a=success b=success"},
		"chainr: success not met by failure":                 {text: ofA(""), script: "a=fail", verdict: "failure", want: "a=failure b=skipped"},
		"chainr: success not met by skipped":                 {text: ofSkipped(""), verdict: "success", want: "a=success s=skipped b=skipped"},
		"chainr: failure not met by success":                 {text: ofA(failure), verdict: "success", want: "a=success b=skipped"},
		"chainr: failure met by failure, no rescue":          {text: ofA(failure), script: "a=fail", verdict: "failure", want: "a=failure b=success"},
		"chainr: failure not met by skipped":                 {text: ofSkipped(failure), verdict: "success", want: "a=success s=skipped b=skipped"},
		"chainr: failure false is none":                      {text: ofA(", conditions: {failure: false}"), verdict: "success", want: "a=success b=success"},
		"chainr: no conditions in the map":                   {text: ofA(", conditions: {}"), verdict: "success", want: "a=success b=success"},
		"chainr: refused is a failure":                       {text: ofA(failure), script: "a=refused", verdict: "failure", want: "a=failure b=success"},
		"chainr: a good run of its example":                  {text: readme, verdict: "success", want: "first=success second=success success=success error=skipped"},
		"chainr: the second fails":                           {text: readme, script: "second=fail", verdict: "failure", want: "first=success second=failure success=skipped error=success"},
		"chainr: the first fails":                            {text: readme, script: "first=fail", verdict: "failure", want: "first=failure second=skipped success=skipped error=skipped"},
		"chainr: the handler fails":                          {text: readme, script: "second=fail error=fail", verdict: "failure", want: "first=success second=failure success=skipped error=failure"},
		"chainr: all dependencies must be met, none fails":   {text: both, verdict: "success", want: "a=success b=success c=skipped"},
		"chainr: all dependencies must be met, and are":      {text: both, script: "b=fail", verdict: "failure", want: "a=success b=failure c=success"},
		"chainr: all dependencies must be met, both fail":    {text: both, script: "a=fail b=fail", verdict: "failure", want: "a=failure b=failure c=skipped"},
		"chainr: two entries that contradict, after success": {text: jobs("a", "b dependsOn: [{job: a}, {job: a"+failure+"}]"), verdict: "success", want: "a=success b=skipped"},
		"chainr: two entries that contradict, after failure": {text: jobs("a", "b dependsOn: [{job: a}, {job: a"+failure+"}]"), script: "a=fail", verdict: "failure", want: "a=failure b=skipped"},
		"chainr: the same entry twice":                       {text: jobs("a", "b dependsOn: [{job: a}, {job: a}]"), verdict: "success", want: "a=success b=success"},
		"chainr: a failure leaves others alone":              {text: jobs("a", "b", "c dependsOn: [{job: b}]"), script: "a=fail", verdict: "failure", want: "a=failure b=success c=success"},
		"chainr: no jobs":                                    {text: "{\"kind\": \"Pipeline\", \"jobs\": {}}", verdict: "success"},

		"failure is met by a timeout":             {text: ofA(failure), script: "a=timed-out", verdict: "timeout", want: "a=timeout b=success"},
		"failure is met by an abort":              {text: ofA(failure), script: "a=stopped", verdict: "abort", want: "a=abort b=success"},
		"timeout met":                             {text: ofA(", conditions: {timeout: true}"), script: "a=timed-out", verdict: "timeout", want: "a=timeout b=success"},
		"timeout not met by failure":              {text: ofA(", conditions: {timeout: true}"), script: "a=fail", verdict: "failure", want: "a=failure b=skipped"},
		"skipped met":                             {text: ofSkipped(", conditions: {skipped: true}"), verdict: "success", want: "a=success s=skipped b=success"},
		"skipped not met by success":              {text: ofA(", conditions: {skipped: true}"), verdict: "success", want: "a=success b=skipped"},
		"success or skipped, after skipped":       {text: ofSkipped(", conditions: {success: true, skipped: true}"), verdict: "success", want: "a=success s=skipped b=success"},
		"success or skipped, after success":       {text: ofA(", conditions: {success: true, skipped: true}"), verdict: "success", want: "a=success b=success"},
		"always, after success":                   {text: ofA(", conditions: {always: true}"), verdict: "success", want: "a=success b=success"},
		"always, after a timeout":                 {text: ofA(", conditions: {always: true}"), script: "a=timed-out", verdict: "timeout", want: "a=timeout b=success"},
		"always, after skipped":                   {text: ofSkipped(", conditions: {always: true}"), verdict: "success", want: "a=success s=skipped b=success"},
		"retries until success":                   {text: jobs("a retries: 2"), script: "a=fail,fail,ok", verdict: "success", want: "a=success*3"},
		"retries run out":                         {text: jobs("a retries: {limit: 1, delay: 1m}"), script: "a=fail", verdict: "failure", want: "a=failure*2"},
		"tolerated failure":                       {text: tolerated, script: "a=fail", verdict: "success", want: "a=failure b=success c=success d=skipped"},
		"tolerated success":                       {text: tolerated, verdict: "success", want: "a=success b=success c=skipped d=success"},
		"finally after success":                   {text: finally, verdict: "success", want: "a=success b=success last=success later=success"},
		"finally after failure":                   {text: finally, script: "a=fail", verdict: "failure", want: "a=failure b=skipped last=success later=success"},
		"finally after a cancel":                  {text: finally, cancel: true, verdict: "abort", want: "a=abort last=success later=success"},
		"finally that fails":                      {text: finally, script: "last=fail", verdict: "failure", want: "a=success b=success last=failure later=success"},
		"matrix succeeds":                         {text: matrix("}"), verdict: "success", want: "m=success m[]#0=success m[]#1=success m[]#2=success after=success handler=skipped"},
		"matrix with a failure":                   {text: matrix("}"), script: "m#1=fail", verdict: "failure", want: "m=failure m[]#0=success m[]#1=failure m[]#2=success after=skipped handler=success"},
		"matrix with a failure tolerated":         {text: matrix("}, tolerate: true"), script: "m#1=fail", verdict: "success", want: "m=failure m[]#0=success m[]#1=failure m[]#2=success after=success handler=success"},
		"matrix that fails fast":                  {text: matrix(", failFast: true, limit: 1}"), script: "m#0=fail", verdict: "failure", want: "m=failure m[]#0=failure m[]#1=skipped m[]#2=skipped after=skipped handler=success"},
		"matrix that fails fast and is tolerated": {text: matrix(", failFast: true}, tolerate: true"), script: "m#0=fail", verdict: "success", want: "m=failure m[]#0=failure m[]#1=skipped m[]#2=skipped after=success handler=success"},
		"matrix with retries":                     {text: matrix("}, retries: 1"), script: "m#2=fail,ok", verdict: "success", want: "m=success m[]#0=success m[]#1=success m[]#2=success*2 after=success handler=skipped"},
		"matrix as finally":                       {text: jobs("a", "m finally: true, matrix: {values: {X: [1]}}"), script: "a=fail", verdict: "failure", want: "a=failure m=success m[]#0=success"},
		"nothing but finally":                     {text: jobs("a finally: true"), verdict: "success", want: "a=success"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			script := words(tc.script)
			for job, ends := range script {
				script[job] = strings.ReplaceAll(ends, ",", " ")
			}
			got := play(t, decode(t, tc.text, Options{}).Flow, script, tc.cancel)
			if got.verdict != tc.verdict {
				t.Errorf("verdict %s, want %s", got.verdict, tc.verdict)
			}
			if diff := cmp.Diff(words(tc.want), got.outcomes); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestJobsStartInTheOrderOfTheDocumentAndAtOnce(t *testing.T) {
	t.Parallel()
	text := jobs("z", "join dependsOn: [{job: z}, {job: m}]", "m matrix: {values: {X: [1, 2, 3]}, limit: 2}", "a")
	got := play(t, decode(t, text, Options{}).Flow, nil, false)
	if diff := cmp.Diff([]string{"z", "m#0", "m#1", "a", "m#2", "join"}, got.order); diff != "" || got.most != 4 {
		t.Errorf("%d at once; -want +got\n%s", got.most, diff)
	}
	got = play(t, decode(t, text+"maxParallel: 1\n", Options{}).Flow, nil, false)
	if got.most != 1 || got.verdict != heddle.Success || len(got.outcomes) != 7 {
		t.Errorf("%d at once; %v", got.most, got.outcomes)
	}
}

func TestTenThousandJobsPlay(t *testing.T) {
	t.Parallel()
	const n = 10_000
	for name, needs := range map[string]func(int) int{
		"a chain": func(i int) int { return i - 1 },
		"a tree":  func(i int) int { return (i+9)/10 - 1 },
	} {
		t.Run(name, func(t *testing.T) {
			r := decode(t, chain(n, needs), Options{})
			p := play(t, r.Flow, nil, false)
			if p.verdict != heddle.Success || len(p.order) != n {
				t.Errorf("verdict %s, %d jobs run", p.verdict, len(p.order))
			}
		})
	}
}
