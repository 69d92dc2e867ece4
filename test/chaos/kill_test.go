package chaos_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/heddle/heddle"
)

// kills is how many random kills the short form makes; HEDDLE_CHAOS_KILLS makes it
// longer.
const kills = 50

const chainLength = 50

// TestRandomKills kills -9 the engine, the supervisor or both at random instants
// while a chain of steps runs, and starts the engine again, until so many kills
// were made.
func TestRandomKills(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("finding and killing the supervisor needs /proc")
	}
	t.Parallel()
	for where, st := range stages(t) {
		t.Run(where, func(t *testing.T) {
			t.Parallel()
			st.skipUnlessThere(t)
			want := max(4, kills/st.stride)
			if n, err := strconv.Atoi(os.Getenv("HEDDLE_CHAOS_KILLS")); err == nil {
				want = n
			}
			var total tally
			for made := 0; made < want; {
				made += killDuring(t, st.parts, want-made, &total)
				if t.Failed() {
					return
				}
			}
			t.Logf("%d runs of %d steps: %d kills of engines, %d of supervisors; %d attempts lost with their supervisor, %d steps run again for that",
				total.runs, chainLength, total.engines, total.supervisors, total.lost, total.again)
		})
	}
}

type tally struct{ runs, engines, supervisors, lost, again int }

// killDuring plays one run of a chain and returns how many kills it made.
func killDuring(t *testing.T, p parts, most int, total *tally) (made int) {
	t.Helper()
	w := newWorld(t, p, chain)
	for {
		cmd, stdout, stderr := w.engine(0)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		after := time.Duration(rand.IntN(400)+20) * time.Millisecond
		if made >= most {
			after = time.Minute
		}
		select {
		case err := <-ended:
			if err != nil {
				t.Fatalf("the engine ended: %v\n%s", err, stderr)
			}
			if got := string(bytes.TrimSpace([]byte(stdout.String()))); got != "success" {
				t.Errorf("verdict %q, want success\n%s", got, stderr)
			}
			total.runs++
			w.checkChain(total)
			w.nothingLeft()
			return made
		case <-time.After(after):
		}
		made++
		who := rand.IntN(3)
		if p.executor != "process" {
			who = 0 // there is no supervisor
		}
		if who != 0 {
			if w.killSupervisor() {
				total.supervisors++
			}
		}
		if who != 1 {
			total.engines++
			if err := cmd.Process.Kill(); err != nil {
				t.Log(err)
			}
		}
		if who != 1 {
			<-ended
			continue
		}
		// The engine lives on and has to cope; it is waited for or killed in the next turn.
		select {
		case err := <-ended:
			ended <- err
		case <-time.After(after):
			_ = cmd.Process.Kill()
			<-ended
			total.engines++
		}
	}
}

func chain(effects string) heddle.Flow {
	flow := heddle.Flow{Kind: heddle.KindPipeline, Name: "chain", Start: []string{"s0"}}
	for i := range chainLength {
		step := shell(effects, fmt.Sprintf("s%d", i), "sleep 0.02")
		step.InfraRetries = 1000 // supervisors are killed more often here than the usual budget has room for
		flow.Steps = append(flow.Steps, step)
		if i > 0 {
			flow.Edges = append(flow.Edges, heddle.Edge{From: fmt.Sprintf("s%d", i-1), To: fmt.Sprintf("s%d", i)})
		}
	}
	return flow
}

// killSupervisor kills the supervisor of this world's data directory, known by
// its environment.
func (w *world) killSupervisor() bool {
	environs, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		w.t.Fatal(err)
	}
	for _, path := range environs {
		env, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(env, []byte(roleVar+"=supervisor\x00")) || !bytes.Contains(env, []byte(dirVar+"="+w.dir+"\x00")) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil {
			continue
		}
		if p, err := os.FindProcess(pid); err == nil && p.Kill() == nil {
			return true
		}
	}
	return false
}

// checkChain looks whether every step ran, once, or once more for each attempt
// that was lost with its supervisor.
func (w *world) checkChain(total *tally) {
	w.t.Helper()
	detail := w.detail()
	lost := map[string]bool{}
	for _, a := range detail.Attempts {
		if a.Infra {
			lost[string(a.ID)] = true
		}
	}
	total.lost += len(lost)
	did := w.did()
	for i := range chainLength {
		step := fmt.Sprintf("s%d", i)
		var whole int
		for _, attempt := range did[step] {
			if !lost[attempt] {
				whole++
			}
		}
		if whole != 1 {
			w.t.Errorf("step %s ran to its end %d times: attempts %v, lost %v", step, whole, did[step], lost)
		}
		total.again += len(did[step]) - whole
	}
}
