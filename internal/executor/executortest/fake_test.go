package executortest

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/executor"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestFake(t *testing.T) {
	world := NewWorld()
	scripts := map[string][]string{
		scriptWell:      {"exit", "0"},
		scriptSeven:     {"exit", "7"},
		scriptOnce:      {"print", "once", "run", "100ms"},
		scriptStubborn:  {"print", "ready", "run", "1h", "ignore-stop"},
		scriptShort:     {"print", "done", "exit", "6", "run", "100ms"},
		scriptTwoLines:  {"print", "a", "print", "c"},
		scriptResult:    {"result", `{"result":"success"} `},
		scriptOld:       {"result", `{"long":"line"}`, "result", "{}"},
		scriptBeyondCap: {"print", "123456789012", "result", "{}"},

		scriptMessage:       {"message", "left behind", "exit", "7"},
		scriptSecret:        {"print", "the key is open-sesame."},
		scriptSecretResult:  {"result", `{"key":"open-sesame"}`},
		scriptSecretLeft:    {"message", "the key is open-sesame", "exit", "7"},
		scriptStubbornFiles: {"exit", "7"},
	}
	Exercise(t, Harness{
		Open: func(_ *testing.T, sink executor.Sink) executor.Executor { return world.Executor(sink) },
		Shell: func(script string) (heddle.Work, bool) {
			words, ok := scripts[script]
			return heddle.Work{Command: words}, ok
		},
		Unknown: heddle.Work{Command: []string{"refuse", "no such program"}},
		Log:     func(_ *testing.T, id heddle.AttemptID) string { return world.Log(id) },
	})
}

func spec(id heddle.AttemptID, words ...string) executor.Spec {
	return executor.Spec{Attempt: id, Work: heddle.Work{Command: words}, Grace: time.Second}
}

func TestFakeInABubble(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		words      []string
		timeout    time.Duration
		stopAfter  time.Duration
		wantReason heddle.ExitReason
		wantCode   int
		wantAfter  time.Duration
	}{
		"an end at once":         {words: []string{"exit", "3"}, wantReason: heddle.Exited, wantCode: 3},
		"a long run":             {words: []string{"run", "10h"}, wantReason: heddle.Exited, wantAfter: 10 * time.Hour},
		"time runs out":          {words: []string{"run", "10h"}, timeout: time.Hour, wantReason: heddle.TimedOut, wantCode: 143, wantAfter: time.Hour},
		"time runs out, ignored": {words: []string{"run", "10h", "ignore-stop"}, timeout: time.Hour, wantReason: heddle.TimedOut, wantCode: 137, wantAfter: time.Hour + time.Second},
		"a stop":                 {words: []string{"run", "10h"}, stopAfter: time.Minute, wantReason: heddle.Stopped, wantCode: 143, wantAfter: time.Minute},
		"a stop that is ignored": {words: []string{"run", "10h", "ignore-stop"}, stopAfter: time.Minute, wantReason: heddle.Stopped, wantCode: 137, wantAfter: time.Minute + time.Second},
		"broken":                 {words: []string{"infra"}, wantReason: heddle.Broken},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRecorder(24 * time.Hour)
				e := NewWorld().Executor(r.sink)
				s := spec("a-1-1", tc.words...)
				s.Timeout = tc.timeout
				begin := time.Now()
				if err := e.Start(t.Context(), s); err != nil {
					t.Fatal(err)
				}
				if tc.stopAfter > 0 {
					time.Sleep(tc.stopAfter)
					if err := e.Stop(t.Context(), s.Attempt, "", s.Grace); err != nil {
						t.Fatal(err)
					}
				}
				exit := r.exit(t, s.Attempt)
				if exit.Reason != tc.wantReason || exit.Code != tc.wantCode || time.Since(begin) != tc.wantAfter {
					t.Errorf("got %s with code %d after %v", exit.Reason, exit.Code, time.Since(begin))
				}
			})
		})
	}
}

func TestFakeVanishes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder(time.Hour)
		world := NewWorld()
		e := world.Executor(r.sink)
		if err := e.Start(t.Context(), spec("a-1-1", "vanish", "run", "1s")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if ends := r.ends("a-1-1"); len(ends) > 0 {
			t.Errorf("it was told: %+v", ends)
		}
		if err := e.Adopt(t.Context(), []executor.Adoption{{Attempt: heddle.Attempt{ID: "a-1-1"}}}); err != nil {
			t.Fatal(err)
		}
		if exit := r.exit(t, "a-1-1"); exit.Reason != heddle.Lost {
			t.Errorf("got %+v", exit)
		}
		if err := e.Start(t.Context(), spec("a-1-1", "exit", "0")); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(map[heddle.AttemptID]int{"a-1-1": 1}, world.Starts()); d != "" {
			t.Errorf("starts (-want +got):\n%s", d)
		}
	})
}

func TestFakeInjectsErrors(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	world := NewWorld()
	r := newRecorder(time.Minute)
	e := world.Executor(r.sink)
	world.FailStart(func(executor.Spec) error { return broken })
	if err := e.Start(t.Context(), spec("a-1-1")); !errors.Is(err, broken) || len(world.Starts()) > 0 {
		t.Errorf("failed start: got %v, %v", err, world.Starts())
	}
	world.FailStart(nil)
	world.LoseStart(func(executor.Spec) error { return broken })
	if err := e.Start(t.Context(), spec("a-1-1")); !errors.Is(err, broken) || world.Starts()["a-1-1"] != 1 {
		t.Errorf("lost start: got %v, %v", err, world.Starts())
	}
	r.exit(t, "a-1-1")
}

func BenchmarkFake(b *testing.B) {
	var all sync.WaitGroup
	e := NewWorld().Executor(func(r executor.Report) {
		if r.Exit != nil {
			all.Done()
		}
	})
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		n++
		all.Add(1)
		s := spec(heddle.NewAttemptID("b", n, 1), "exit", "0")
		if err := e.Start(b.Context(), s); err != nil {
			b.Fatal(err)
		}
		all.Wait()
		if err := e.Release(context.Background(), []heddle.AttemptID{s.Attempt}); err != nil {
			b.Fatal(err)
		}
	}
}
