package engine_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/engine"
	"github.com/heddle/heddle/internal/executor"
	"github.com/heddle/heddle/internal/secret"
)

// witness notes what an executor is given, and has directories of runs.
type witness struct {
	executor.Executor
	mu       sync.Mutex
	specs    map[string]executor.Spec // by step
	adopted  chan executor.Adoption
	shares   []heddle.RunID
	unshared chan heddle.RunID
}

func newWitness(b *bench) *witness {
	w := &witness{specs: map[string]executor.Spec{}, unshared: make(chan heddle.RunID, 16), adopted: make(chan executor.Adoption, 16)}
	b.wrap = func(x executor.Executor) executor.Executor {
		w.Executor = x
		return w
	}
	return w
}

func (w *witness) Start(ctx context.Context, spec executor.Spec) error {
	w.mu.Lock()
	w.specs[spec.Step] = spec
	w.mu.Unlock()
	return w.Executor.Start(ctx, spec)
}

func (w *witness) Adopt(ctx context.Context, adoptions []executor.Adoption) error {
	for _, adoption := range adoptions {
		w.adopted <- adoption
	}
	return w.Executor.Adopt(ctx, adoptions)
}

func (w *witness) Unshare(_ context.Context, runs []heddle.RunID) error {
	for _, run := range runs {
		w.unshared <- run
	}
	return nil
}

func (w *witness) Shares(context.Context) ([]heddle.RunID, error) { return w.shares, nil }

func (w *witness) spec(step string) executor.Spec {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.specs[step]
}

// secretFlow has a step that runs on, with variables from everywhere.
func secretFlow(file string) *heddle.Flow {
	f := flow([]string{"run", "1h"})
	f.Steps[0].Work.Env = map[string]string{"PLAIN": "plain"}
	f.Steps[0].Work.From = map[string]heddle.Source{
		"FILE": {File: file}, "ENV": {Env: "HERE"}, "SAME": {Env: "HERE"}, "OTHER": {Env: "EMPTY"}, "SECRET": {Secret: "name/key"},
	}
	return f
}

func lookup(name string) (string, bool) {
	value, ok := map[string]string{"HERE": "of the environment", "EMPTY": ""}[name]
	return value, ok
}

func TestSecretsAreGivenToProgramsAndMasked(t *testing.T) {
	t.Parallel()
	b := newBench(t, engine.Options{Secrets: secret.Places{LookupEnv: lookup}})
	b.stop()
	w := newWitness(b)
	b.start()
	file := filepath.Join(b.dir, "secret")
	if err := os.WriteFile(file, []byte("of a file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	run := b.submit(secretFlow(file), heddle.Input{})
	b.until(run.ID, running)
	spec := w.spec("s0")
	want := map[string]string{"PLAIN": "plain", "FILE": "of a file", "ENV": "of the environment", "SAME": "of the environment", "OTHER": ""}
	for name := range spec.Work.Env {
		if strings.HasPrefix(name, "HEDDLE_") {
			delete(spec.Work.Env, name)
		}
	}
	if diff := cmp.Diff(want, spec.Work.Env); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if diff := cmp.Diff(map[string]heddle.Source{"SECRET": {Secret: "name/key"}}, spec.Work.From); diff != "" {
		t.Error(diff)
	}
	masks := []string{"of a file", "of the environment"}
	if diff := cmp.Diff(masks, spec.Mask); diff != "" {
		t.Error(diff)
	}

	b.restart()
	if _, err := b.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(masks, (<-w.adopted).Mask); diff != "" {
		t.Errorf("masks of the adoption: -want +got\n%s", diff)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	b.restart()
	if _, err := b.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(masks[1:], (<-w.adopted).Mask); diff != "" {
		t.Errorf("masks of the adoption without the file: -want +got\n%s", diff)
	}
	if err := b.Cancel(t.Context(), run.ID, "enough"); err != nil {
		t.Fatal(err)
	}
	d := b.until(run.ID, ended)
	b.checkOnce(d)
	if d.Run.Outcome != heddle.Abort {
		t.Errorf("the run ended with %s: %s", d.Run.Outcome, d.Run.Message)
	}
}

func TestAMissingSecretKeepsAnAttemptFromStarting(t *testing.T) {
	t.Parallel()
	b := newBench(t, engine.Options{})
	run := b.submit(secretFlow("/nowhere/secret"), heddle.Input{})
	d := b.until(run.ID, ended)
	a := d.Attempts[0]
	if a.Status != heddle.StatusProcError || len(b.world.Starts()) != 0 {
		t.Errorf("%+v", a)
	}
	for _, want := range []string{"variable ENV: ", "variable FILE: the file /nowhere/secret (fromFile) is not there", "variable OTHER: "} {
		if !strings.Contains(a.Message, want) {
			t.Errorf("%q does not say %q", a.Message, want)
		}
	}
}

func TestASecretThatIsGoneLosesNoProgramThatMayRun(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		started bool // before the crash, which came before that was stored
		want    heddle.Outcome
		status  []heddle.Status
	}{
		"it was started":     {started: true, want: heddle.Abort, status: []heddle.Status{heddle.StatusAborted}},
		"it was not started": {want: heddle.Failure, status: []heddle.Status{heddle.StatusProcError, heddle.StatusProcError}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			set := map[string]string{"HERE": "of the environment", "EMPTY": ""}
			b := newBench(t, engine.Options{Secrets: secret.Places{LookupEnv: func(name string) (string, bool) { v, ok := set[name]; return v, ok }}})
			f := secretFlow("")
			delete(f.Steps[0].Work.From, "FILE")
			asked := make(chan struct{}, 1000)
			unknown := func(executor.Spec) error {
				asked <- struct{}{}
				return errAnswerLost
			}
			if tc.started {
				b.wrap = func(x executor.Executor) executor.Executor { return deaf{x, asked} }
				b.restart()
			} else {
				b.world.FailStart(unknown)
			}
			run := b.submit(f, heddle.Input{})
			<-asked
			b.stop()
			b.wrap = nil
			b.world.FailStart(nil)
			set = nil
			b.start()
			if _, err := b.Resume(t.Context()); err != nil {
				t.Fatal(err)
			}
			if tc.started {
				b.until(run.ID, running)
				if err := b.Cancel(t.Context(), run.ID, "enough"); err != nil {
					t.Fatal(err)
				}
			}
			d := b.until(run.ID, ended)
			var status []heddle.Status
			for _, a := range d.Attempts {
				status = append(status, a.Status)
			}
			if diff := cmp.Diff(tc.status, status); diff != "" || d.Run.Outcome != tc.want {
				t.Errorf("%s: %s; -want +got\n%s", d.Run.Outcome, d.Run.Message, diff)
			}
		})
	}
}

// deaf starts attempts, but does not hear that they were.
type deaf struct {
	executor.Executor
	started chan struct{}
}

func (x deaf) Start(ctx context.Context, spec executor.Spec) error {
	if err := x.Executor.Start(ctx, spec); err != nil {
		return err
	}
	x.started <- struct{}{}
	<-ctx.Done()
	return context.Cause(ctx)
}

func TestAMissingOutputKeepsAnAttemptFromStarting(t *testing.T) {
	t.Parallel()
	b := newBench(t, engine.Options{})
	f := flow([]string{"result", `{"a": 1}`}, nil, nil)
	f.Steps[0].Work.Message = &heddle.MessageFile{Env: "HEDDLE_OUTPUT"}
	f.Steps[1].Work.From = map[string]heddle.Source{"V": {Output: "s0.a"}}
	f.Steps[2].Work.From = map[string]heddle.Source{"V": {Output: "s0.b"}}
	d := b.until(b.submit(f, heddle.Input{}).ID, ended)
	want := map[string]heddle.Outcome{"s0": heddle.Success, "s1": heddle.Success, "s2": heddle.Failure}
	if diff := cmp.Diff(want, outcomes(d)); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if string(d.Visits[0].Output) != `{"a":1}` || !strings.Contains(d.Run.Message, `put out no "b", but a`) || len(b.world.Starts()) != 2 {
		t.Errorf("%s; %s; %v", d.Visits[0].Output, d.Run.Message, b.world.Starts())
	}
}

func TestTheDirectoryOfARunIsGivenAndDeleted(t *testing.T) {
	t.Parallel()
	b := newBench(t, engine.Options{})
	b.stop()
	w := newWitness(b)
	b.start()
	shared := flow(nil, nil)
	shared.Shared = true
	run := b.submit(shared, heddle.Input{})
	b.until(run.ID, ended)
	if got := <-w.unshared; got != run.ID || w.spec("s1").Shared != run.ID {
		t.Errorf("%q is deleted and %q was given, want %q", got, w.spec("s1").Shared, run.ID)
	}
	other := b.submit(flow([]string{"run", "1h"}), heddle.Input{})
	b.until(other.ID, running)
	if s := w.spec("s0"); s.Shared != "" {
		t.Errorf("a run that shares nothing is given %q", s.Shared)
	}

	// A crash between the end and the deletion leaves the directory behind.
	w.shares = []heddle.RunID{"unknown", other.ID, run.ID}
	b.restart()
	if _, err := b.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := <-w.unshared; got != run.ID {
		t.Errorf("%q is deleted", got)
	}
	if err := b.Cancel(t.Context(), other.ID, "enough"); err != nil {
		t.Fatal(err)
	}
	b.until(other.ID, ended)
	b.stop()
	if len(w.unshared) > 0 {
		t.Errorf("%q is deleted too", <-w.unshared)
	}
}

func TestAFlowThatTheExecutorCannotRunIsRefused(t *testing.T) {
	t.Parallel()
	b := newBench(t, engine.Options{Check: func(sub *heddle.Submission) error {
		if slices.ContainsFunc(sub.Flow.Steps, func(s heddle.Step) bool { return len(s.Work.From) > 0 }) {
			return heddle.Errorf(heddle.CodeInvalid, "not with %s", sub.Executor)
		}
		return nil
	}})
	_, err := b.Submit(t.Context(), heddle.Submission{Flow: secretFlow("/f"), Executor: "fake"})
	if heddle.CodeOf(err) != heddle.CodeInvalid {
		t.Errorf("%v", err)
	}
	if page, err := b.List(t.Context(), heddle.RunFilter{}); err != nil || len(page.Runs) > 0 {
		t.Errorf("%d runs, %v", len(page.Runs), err)
	}
}

func TestOutputsSurviveARestartAndAreTakenOver(t *testing.T) {
	t.Parallel()
	b := newBench(t, engine.Options{})
	b.stop()
	w := newWitness(b)
	b.start()
	f := flow([]string{"result", `{"v": "1", "w": [2]}`}, []string{"run", "1h"}, nil)
	f.Edges = f.Edges[:1]
	f.Steps[0].Work.Message = &heddle.MessageFile{Env: "HEDDLE_OUTPUT"}
	f.Steps[1].Work.From = map[string]heddle.Source{"V": {Output: "s0.v"}}
	f.Steps[2].Work.From = map[string]heddle.Source{"W": {Output: "s0.w"}}
	f.Steps[2].Finally = true
	run := b.submit(f, heddle.Input{})
	b.until(run.ID, func(d heddle.RunDetail) bool { return len(d.Attempts) == 2 && running(d) })
	b.restart()
	if _, err := b.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := b.Cancel(t.Context(), run.ID, "enough"); err != nil {
		t.Fatal(err)
	}
	b.until(run.ID, ended)
	if got := w.spec("s1").Work.Env["V"] + w.spec("s2").Work.Env["W"]; got != "1[2]" {
		t.Errorf("before and after a restart: %q", got)
	}

	again, err := b.Submit(t.Context(), heddle.Submission{Retry: &heddle.RunRetry{Run: run.ID, Mode: heddle.RetryFailed}})
	if err != nil {
		t.Fatal(err)
	}
	b.until(again.ID, running)
	if s := w.spec("s1"); s.Work.Env["V"] != "1" || s.Work.Env["HEDDLE_RUN"] != string(again.ID) {
		t.Errorf("in a retry: %v", s.Work.Env)
	}
	if err := b.Cancel(t.Context(), again.ID, "enough"); err != nil {
		t.Fatal(err)
	}
	d := b.until(again.ID, ended)
	if s := w.spec("s2"); s.Work.Env["W"] != "[2]" || len(d.Attempts) != 2 {
		t.Errorf("in a retry: %v, %d attempts", s.Work.Env, len(d.Attempts))
	}
}

func TestVariablesInCommandsAreExpanded(t *testing.T) {
	t.Parallel()
	b := newBench(t, engine.Options{Secrets: secret.Places{LookupEnv: lookup}})
	b.stop()
	w := newWitness(b)
	b.start()
	f := flow([]string{"exit", "$(CODE)"})
	f.Steps[0].Work.Expand = true
	f.Steps[0].Work.Env = map[string]string{"CODE": "0"}
	want := slices.Clone(f.Steps[0].Work.Command)
	run := b.submit(f, heddle.Input{Env: map[string]string{"CODE": "3"}})
	if d := b.until(run.ID, ended); d.Attempts[0].ExitCode != 3 {
		t.Errorf("exit code %d", d.Attempts[0].ExitCode)
	}
	if spec := w.spec("s0"); !slices.Equal(spec.Work.Command, []string{"exit", "3"}) || spec.Work.Entrypoint != nil {
		t.Errorf("started %q %q", spec.Work.Entrypoint, spec.Work.Command)
	}
	if !slices.Equal(f.Steps[0].Work.Command, want) {
		t.Error("the flow has changed")
	}
}
