package executortest

import (
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/executor"
)

// The scripts of more than one case, or that the fake can express as well.
const (
	scriptWell      = "exit 0"
	scriptSeven     = "exit 7"
	scriptOnce      = "echo once; sleep 0.1"
	scriptStubborn  = `trap '' TERM; echo ready; while :; do sleep 0.05; done`
	scriptPolite    = `trap 'echo bye; exit 5' TERM; echo ready; while :; do sleep 0.05; done`
	scriptShort     = "sleep 0.3; echo done; exit 6"
	scriptTwoLines  = "echo a; echo c"
	scriptResult    = `echo 'KOG: {"result":"success"} '`
	scriptOld       = `echo 'KOG:{"long":"line"}'; echo 'KOG:{}'`
	scriptBeyondCap = `echo 123456789012; echo 'KOG:{}'`
)

// Exercise runs the suite. Each case opens an executor of its own and makes its
// own attempts; they run in parallel.
func Exercise(t *testing.T, h Harness) {
	if h.Patience == 0 {
		h.Patience = 30 * time.Second
	}
	if h.Burst == 0 {
		h.Burst = 100
	}
	if len(h.Unknown.Command) == 0 {
		h.Unknown.Command = []string{"heddle-no-such-program"}
	}
	groups := []map[string]func(*kit){
		endCases(), startCases(), stopCases(), outputCases(), inputCases(), descendantCases(), adoptionCases(),
		messageCases(), maskCases(), shareCases(),
	}
	for _, cases := range groups {
		for name, run := range cases {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				run(newKit(t, h))
			})
		}
	}
}

func (k *kit) want(exit heddle.Exit, reason heddle.ExitReason, code int) {
	k.Helper()
	if exit.Reason != reason || exit.Code != code {
		k.Errorf("got %s with code %d (%s), want %s with code %d", exit.Reason, exit.Code, exit.Message, reason, code)
	}
}

func endCases() map[string]func(*kit) {
	return map[string]func(*kit){
		"a program that ends well":         func(k *kit) { k.want(k.run(k.spec(scriptWell)), heddle.Exited, 0) },
		"a program that ends with a code":  func(k *kit) { k.want(k.run(k.spec(scriptSeven)), heddle.Exited, 7) },
		"a program that a signal ends":     endedBySignal,
		"it runs before it ends":           runsBeforeItEnds,
		"time runs out for a polite one":   func(k *kit) { timesOut(k, scriptPolite, 10*time.Second, 5) },
		"time runs out for a stubborn one": func(k *kit) { timesOut(k, scriptStubborn, 200*time.Millisecond, 137) },
		"a limit of time that is not met": func(k *kit) {
			spec := k.spec(scriptSeven)
			spec.Timeout = time.Hour
			k.want(k.run(spec), heddle.Exited, 7)
		},
	}
}

func endedBySignal(k *kit) {
	if !k.h.Signals {
		k.Skip("signals are not seen")
	}
	exit := k.run(k.spec("kill -KILL $$"))
	k.want(exit, heddle.Exited, 137)
	if exit.Signal != "SIGKILL" {
		k.Errorf("got signal %q", exit.Signal)
	}
}

func runsBeforeItEnds(k *kit) {
	id := k.start(k.spec(scriptWell))
	exit := k.exit(k.T, id)
	reports := k.of(id)
	if len(reports) < 2 || reports[0].Exit != nil || reports[0].Started.IsZero() {
		k.Errorf("the first of %d reports is not that it runs: %+v", len(reports), reports[0])
	}
	if exit.Started.IsZero() || exit.Ended.Before(exit.Started) {
		k.Errorf("started %v, ended %v", exit.Started, exit.Ended)
	}
}

func timesOut(k *kit, script string, grace time.Duration, code int) {
	spec := k.spec(script)
	spec.Timeout, spec.Grace = time.Second, grace
	exit := k.run(spec)
	k.want(exit, heddle.TimedOut, code)
	if took := exit.Ended.Sub(exit.Started); took < spec.Timeout {
		k.Errorf("ended after %v of %v", took, spec.Timeout)
	}
}

func startCases() map[string]func(*kit) {
	return map[string]func(*kit){
		"what cannot be started is refused":       refuses,
		"started many times at once it runs once": startsAtOnce,
		"started again after its end it runs once": func(k *kit) {
			spec := k.spec(scriptOnce)
			k.run(spec)
			if err := k.exec.Start(k.ctx, spec); err != nil {
				k.Errorf("starting again: %v", err)
			}
			ranOnce(k, spec.Attempt)
		},
		"started again by the next engine it runs once, and its end is told": func(k *kit) {
			spec := k.spec(scriptOnce)
			k.run(spec)
			next := newRecorder(k.h.Patience)
			if err := k.open(next).Start(k.ctx, spec); err != nil {
				k.Errorf("starting again: %v", err)
			}
			k.want(next.exit(k.T, spec.Attempt), heddle.Exited, 0)
			ranOnce(k, spec.Attempt)
		},
		"many starts at once": burst,
	}
}

func refuses(k *kit) {
	spec := k.spec(scriptWell)
	well := spec.Work
	spec.Work = k.h.Unknown
	err := k.exec.Start(k.ctx, spec)
	if message, refused := executor.Refused(err); refused {
		if message == "" {
			k.Error("the refusal has no message")
		}
		spec.Attempt, spec.Work = newID(), well
		k.run(spec) // whatever is reported comes before the end of this one
		return
	}
	if err != nil {
		k.Fatalf("got error %v, want a refusal", err)
	}
	k.Cleanup(func() { k.letGo(spec.Attempt) })
	if exit := k.exit(k.T, spec.Attempt); exit.Reason != heddle.Refused || exit.Message == "" {
		k.Errorf("got %+v, want it refused with a message", exit)
	}
}

func startsAtOnce(k *kit) {
	spec := k.spec(scriptOnce)
	k.start(spec)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if err := k.exec.Start(k.ctx, spec); err != nil {
				k.Errorf("starting again: %v", err)
			}
		})
	}
	all.Wait()
	k.want(k.exit(k.T, spec.Attempt), heddle.Exited, 0)
	ranOnce(k, spec.Attempt)
}

func ranOnce(k *kit, id heddle.AttemptID) {
	k.Helper()
	if d := cmp.Diff([]string{"once"}, k.lines(id)["stdout"]); d != "" {
		k.Errorf("output (-want +got):\n%s", d)
	}
}

func burst(k *kit) {
	specs := make([]executor.Spec, k.h.Burst)
	var all sync.WaitGroup
	for i := range specs {
		specs[i] = k.spec(scriptSeven)
		all.Go(func() {
			if err := k.exec.Start(k.ctx, specs[i]); err != nil {
				k.Errorf("starting: %v", err)
			}
		})
	}
	all.Wait()
	var ids []heddle.AttemptID
	for _, spec := range specs {
		k.want(k.exit(k.T, spec.Attempt), heddle.Exited, 7)
		ids = append(ids, spec.Attempt)
	}
	if err := k.exec.Release(k.ctx, ids); err != nil {
		k.Errorf("releasing: %v", err)
	}
}

func stopCases() map[string]func(*kit) {
	return map[string]func(*kit){
		"a polite program has time to end": func(k *kit) {
			id := k.start(k.spec(scriptPolite))
			k.await(id, "ready")
			k.stop(id, k.h.Patience)
			exit := k.exit(k.T, id)
			k.want(exit, heddle.Stopped, 5)
			if lines := k.lines(id)["stdout"]; !slices.Contains(lines, "bye") {
				k.Errorf("it did not say good-bye: %q", lines)
			}
		},
		"a stubborn program ends by force": func(k *kit) {
			id := k.start(k.spec(scriptStubborn))
			k.await(id, "ready")
			k.stop(id, 100*time.Millisecond)
			k.want(k.exit(k.T, id), heddle.Stopped, 137)
		},
		"a second stop brings the force forward": func(k *kit) {
			if k.h.FirstGrace {
				k.Skip("the grace of the first stop stays")
			}
			id := k.start(k.spec(scriptStubborn))
			k.await(id, "ready")
			k.stop(id, time.Hour)
			k.stop(id, 0)
			k.want(k.exit(k.T, id), heddle.Stopped, 137)
		},
		"stopping what nobody knows": func(k *kit) { k.stop(newID(), 0) },
		"stopping what has ended": func(k *kit) {
			spec := k.spec(scriptSeven)
			k.run(spec)
			k.stop(spec.Attempt, 0)
			k.run(k.spec(scriptWell)) // whatever is reported comes before the end of this one
			if ends := k.ends(spec.Attempt); len(ends) != 1 {
				k.Errorf("it ended %d times", len(ends))
			}
		},
		"a stop that races with the end": func(k *kit) {
			for range 10 {
				spec := k.spec(scriptWell)
				id := k.start(spec)
				k.stop(id, k.h.Patience)
				exit := k.exit(k.T, id)
				if exit.Reason != heddle.Stopped && (exit.Reason != heddle.Exited || exit.Code != 0) {
					k.Errorf("got %+v", exit)
				}
			}
		},
	}
}

func outputCases() map[string]func(*kit) {
	result := func(script, want string, size int64) func(*kit) {
		return func(k *kit) {
			exit := k.run(k.spec(script))
			if string(exit.Result) != want || exit.ResultSize != size {
				k.Errorf("got result %.100q of size %d, want %q of size %d", exit.Result, exit.ResultSize, want, size)
			}
		}
	}
	return map[string]func(*kit){
		"lines, in their order": func(k *kit) {
			spec := k.spec(scriptTwoLines)
			exit := k.run(spec)
			want := map[string][]string{"stdout": {"a", "c"}}
			if d := cmp.Diff(want, k.lines(spec.Attempt)); d != "" || exit.OutputBytes != 4 {
				k.Errorf("%d bytes of output, want 4; (-want +got):\n%s", exit.OutputBytes, d)
			}
		},
		"lines of both streams": func(k *kit) {
			spec := k.spec("echo a; echo b >&2; echo c; printf d")
			k.run(spec)
			want := map[string][]string{"stdout": {"a", "c", "d"}, "stderr": {"b"}}
			got := k.lines(spec.Attempt)
			if k.h.MixedStreams { // the runtime reads them by turns
				want = map[string][]string{"stdout": {"a", "b", "c", "d"}}
				slices.Sort(got["stdout"])
			}
			if d := cmp.Diff(want, got); d != "" {
				k.Errorf("(-want +got):\n%s", d)
			}
		},
		"nothing printed":                 result(scriptWell, "", 0),
		"a result line":                   result(scriptResult, `{"result":"success"}`, 20),
		"the last of two result lines":    result(scriptOld, "{}", 2),
		"a result line without its end":   result(`printf 'KOG:{"a"'`, `{"a"`, 4),
		"a result line in two writes":     result(`printf KO; sleep 0.1; printf 'G:{'; sleep 0.1; echo '}'`, "{}", 2),
		"a result line that is not UTF-8": result(`printf 'KOG:\377\376\n'`, "\xff\xfe", 2),
		"a result line on standard error": func(k *kit) {
			if k.h.MixedStreams {
				k.Skip("streams are mixed")
			}
			result(`echo 'KOG:{}' >&2`, "", 0)(k)
		},
		"a result line of ten million bytes": func(k *kit) {
			const size = 10_000_000
			spec := k.spec("printf KOG:; head -c " + strconv.Itoa(size) + " /dev/zero | tr '\\0' x; echo")
			exit := k.run(spec)
			if exit.ResultSize != size || len(exit.Result) != heddle.MaxResult {
				k.Errorf("got %d bytes of %d", len(exit.Result), exit.ResultSize)
			}
		},
		"a result line beyond what the log keeps": func(k *kit) {
			spec := k.spec(scriptBeyondCap)
			spec.Log = 10
			exit := k.run(spec)
			if string(exit.Result) != "{}" || exit.OutputBytes != 20 || exit.OutputCut != 10 {
				k.Errorf("got result %q, %d bytes of output, %d cut", exit.Result, exit.OutputBytes, exit.OutputCut)
			}
			want := map[string][]string{"stdout": {"1234567890"}, "heddle": {"output beyond 10 bytes is not kept"}}
			if d := cmp.Diff(want, k.lines(spec.Attempt)); d != "" {
				k.Errorf("(-want +got):\n%s", d)
			}
		},
	}
}

func inputCases() map[string]func(*kit) {
	return map[string]func(*kit){
		"the environment is what was asked for": environment,
		"a large variable": func(k *kit) {
			spec := k.spec("echo ${#BIG}")
			spec.Work.Env = map[string]string{"BIG": strings.Repeat("x", 120<<10)}
			k.run(spec)
			if d := cmp.Diff([]string{"122880"}, k.lines(spec.Attempt)["stdout"]); d != "" {
				k.Errorf("(-want +got):\n%s", d)
			}
		},
		"files": func(k *kit) {
			spec := k.spec(`cat "$ONE" "$TWO"; echo; echo "${ONE##*/}"`)
			spec.Files = []executor.File{
				{Env: "ONE", Name: "context.json", Data: []byte(`{"a":1}`)},
				{Env: "TWO", Name: "two", Data: []byte("2")},
			}
			k.run(spec)
			if d := cmp.Diff([]string{`{"a":1}2`, "context.json"}, k.lines(spec.Attempt)["stdout"]); d != "" {
				k.Errorf("(-want +got):\n%s", d)
			}
		},
		"a working directory": func(k *kit) {
			spec := k.spec("pwd")
			spec.Work.Dir = "/"
			k.run(spec)
			if d := cmp.Diff([]string{"/"}, k.lines(spec.Attempt)["stdout"]); d != "" {
				k.Errorf("(-want +got):\n%s", d)
			}
		},
	}
}

func environment(k *kit) {
	spec := k.spec("env")
	spec.Work.Env = map[string]string{"ASKED": "a b=c", "EMPTY": ""}
	k.run(spec)
	known := slices.Concat(k.h.Environment, []string{"PWD", "OLDPWD", "SHLVL", "_"})
	got := map[string]string{}
	for _, line := range k.lines(spec.Attempt)["stdout"] {
		if name, value, _ := strings.Cut(line, "="); !slices.Contains(known, name) {
			got[name] = value
		}
	}
	if d := cmp.Diff(spec.Work.Env, got); d != "" {
		k.Errorf("(-want +got):\n%s", d)
	}
}

func adoptionCases() map[string]func(*kit) {
	return map[string]func(*kit){
		"what runs is adopted": func(k *kit) {
			id := k.start(k.spec(scriptPolite))
			k.await(id, "ready")
			next := k.restart(id)
			k.stop(id, k.h.Patience)
			k.want(next.exit(k.T, id), heddle.Stopped, 5)
			if len(k.ends(id)) > 0 {
				k.Error("the closed executor still reports")
			}
		},
		"what ended meanwhile is adopted": func(k *kit) {
			id := k.start(k.spec(scriptShort))
			if err := k.exec.Close(); err != nil {
				k.Errorf("closing: %v", err)
			}
			k.await(id, "done")
			k.want(k.restart(id).exit(k.T, id), heddle.Exited, 6)
			if len(k.ends(id)) > 0 {
				k.Error("the closed executor still reports")
			}
		},
		"what ended before and was not let go of is told again": func(k *kit) {
			spec := k.spec(scriptResult)
			first := k.run(spec)
			if d := cmp.Diff(first, k.restart(spec.Attempt).exit(k.T, spec.Attempt)); d != "" {
				k.Errorf("(-first +again):\n%s", d)
			}
		},
		"what nobody knows is lost": func(k *kit) {
			id := newID()
			k.want(k.restart(id).exit(k.T, id), heddle.Lost, 0)
		},
		"held until released": func(k *kit) { heldUntilReleased(k, k.spec(scriptSeven)) },
	}
}

// restart closes the executor, opens the next and has it adopt the attempt.
func (k *kit) restart(id heddle.AttemptID) *recorder {
	k.Helper()
	if err := k.exec.Close(); err != nil {
		k.Errorf("closing: %v", err)
	}
	next := newRecorder(k.h.Patience)
	k.exec = k.open(next)
	if err := k.exec.Adopt(k.ctx, k.adoption(id, k.exec.Place())); err != nil {
		k.Fatalf("adopting: %v", err)
	}
	return next
}

func heldUntilReleased(k *kit, spec executor.Spec) {
	lister, ok := k.exec.(executor.Lister)
	if !ok {
		k.Skip("nothing is held")
	}
	held := func(id heddle.AttemptID) bool {
		ids, err := lister.Held(k.ctx)
		if err != nil {
			k.Fatalf("listing: %v", err)
		}
		return slices.Contains(ids, id)
	}
	k.run(spec)
	if !held(spec.Attempt) {
		k.Error("what has ended is not held")
	}
	for range 2 { // the second time it is unknown
		if err := k.exec.Release(k.ctx, []heddle.AttemptID{spec.Attempt}); err != nil {
			k.Errorf("releasing: %v", err)
		}
	}
	if held(spec.Attempt) {
		k.Error("what was released is held")
	}
}
