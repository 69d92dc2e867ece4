package bench

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/engine"
	"github.com/heddle/heddle/internal/executor"
	"github.com/heddle/heddle/internal/executor/docker"
	"github.com/heddle/heddle/internal/executor/executortest"
	kubeexec "github.com/heddle/heddle/internal/executor/kubernetes"
	"github.com/heddle/heddle/internal/executor/process"
	"github.com/heddle/heddle/internal/store"
	"github.com/heddle/heddle/internal/store/logs"
	"github.com/heddle/heddle/internal/store/postgres"
	"github.com/heddle/heddle/internal/store/sqlite"
)

// The variables by which the test binary is told to be something else.
const (
	roleVar = "HEDDLE_BENCH_ROLE" // supervisor, or the name of a scenario
	dirVar  = "HEDDLE_BENCH_DIR"
	sizeVar = "HEDDLE_BENCH_SIZE"
	dbVar   = "HEDDLE_BENCH_DB" // a PostgreSQL URL; empty: SQLite in the directory
)

// figures are what a scenario measured.
type figures struct {
	Seconds float64 // of what is measured, the set-up left out
	PeakMB  float64 // resident, of the engine's process
	SuperMB float64 // resident, of the supervisor
}

// scenarios are what a child process can be told to do.
func scenarios() map[string]func(ctx context.Context, w *world, n int) error {
	return map[string]func(context.Context, *world, int) error{
		"chain": func(ctx context.Context, w *world, n int) error { return w.play(ctx, chain(n), "process") },
		"fan":   func(ctx context.Context, w *world, n int) error { return w.play(ctx, fan(n), "process") },
		"fake":  func(ctx context.Context, w *world, n int) error { return w.play(ctx, chain(n), "fake") },
		"matrix": func(ctx context.Context, w *world, n int) error {
			return w.play(ctx, matrix(n), "process")
		},
		"docker-chain": func(ctx context.Context, w *world, n int) error { return w.play(ctx, contained(chain(n)), "docker") },
		"docker-fan":   func(ctx context.Context, w *world, n int) error { return w.play(ctx, contained(fan(n)), "docker") },
		"singles": func(ctx context.Context, w *world, n int) error {
			return w.playMany(ctx, n, "process")
		},
		"grouped": func(ctx context.Context, w *world, n int) error { return w.playMany(ctx, n, "fake") },
		"ungrouped": func(ctx context.Context, w *world, n int) error {
			w.options.Batch = 1
			return w.playMany(ctx, n, "fake")
		},
		"kube-chain": func(ctx context.Context, w *world, n int) error {
			return w.play(ctx, chain(n), "kubernetes")
		},
		"kube-once": func(ctx context.Context, w *world, n int) error {
			return w.playAtOnce(ctx, n, "kubernetes", real(single()))
		},
		"kube-queued": func(ctx context.Context, w *world, n int) error {
			return w.playAtOnce(ctx, n, "kubernetes", faked(single()))
		},
		"kube-live": live,
		"prepare":   prepare,
		"recover":   recoverRuns,
	}
}

func TestMain(m *testing.M) {
	role, dir := os.Getenv(roleVar), os.Getenv(dirVar)
	switch role {
	case "":
		os.Exit(m.Run())
	case "supervisor":
		err := process.Supervise(context.Background(), process.SuperviseOptions{
			Dir: dir, Logs: logs.Open(filepath.Join(dir, "logs")).Create, Log: slog.New(slog.DiscardHandler), Idle: time.Second,
		})
		exitOn(err)
	default:
		n, err := strconv.Atoi(os.Getenv(sizeVar))
		exitOn(err)
		exitOn(runScenario(role, dir, n))
	}
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func runScenario(name, dir string, n int) error {
	w, err := open(context.Background(), dir)
	if err != nil {
		return err
	}
	if err := scenarios()[name](context.Background(), w, n); err != nil {
		return err
	}
	f := figures{Seconds: w.took.Seconds(), PeakMB: peak("self"), SuperMB: w.supervisorPeak()}
	return json.NewEncoder(os.Stdout).Encode(f)
}

// place is where a scenario keeps its runs.
type place struct{ dir, db string }

// fresh makes a place with nothing in it, in the store of that name.
func fresh(b *testing.B, store string) place {
	b.Helper()
	p := place{dir: b.TempDir()}
	if store != "postgres" {
		return p
	}
	server := os.Getenv("HEDDLE_TEST_POSTGRES_URL")
	if server == "" {
		b.Skip("HEDDLE_TEST_POSTGRES_URL is not set")
	}
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, server)
	if err != nil {
		b.Fatal(err)
	}
	name := "bench_" + strings.ToLower(rand.Text())
	if _, err := conn.Exec(ctx, "CREATE SCHEMA "+name); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if _, err := conn.Exec(ctx, "DROP SCHEMA "+name+" CASCADE"); err != nil {
			b.Error(err)
		}
		_ = conn.Close(ctx)
	})
	p.db = server + "&search_path=" + name
	return p
}

// measure runs a scenario in a process of its own.
func measure(b *testing.B, at place, name string, n int) figures {
	b.Helper()
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), roleVar+"="+name, dirVar+"="+at.dir, dbVar+"="+at.db, sizeVar+"="+strconv.Itoa(n))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		b.Fatalf("scenario %s: %v", name, err)
	}
	var f figures
	if err := json.Unmarshal(out, &f); err != nil {
		b.Fatal(err)
	}
	return f
}

// backend is what a store can do.
type backend interface {
	store.Store
	store.History
	store.Turns
	heddle.Pools
}

func openStore(ctx context.Context, dir string) (backend, error) {
	if url := os.Getenv(dbVar); url != "" {
		return postgres.Open(ctx, postgres.Options{URL: url})
	}
	return sqlite.Open(ctx, sqlite.Options{Dir: dir})
}

// world is an engine on a data directory, with the process and the fake executor.
type world struct {
	dir     string
	store   backend
	options engine.Options
	engine  *engine.Engine
	took    time.Duration
	adopted atomic.Int64
}

func open(ctx context.Context, dir string) (*world, error) {
	st, err := openStore(ctx, dir)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	fake := executortest.NewWorld()
	w := &world{dir: dir, store: st}
	w.options = engine.Options{
		Store: st, History: st, Turns: st, Pools: st, Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
		Open: func(ctx context.Context, name string, sink executor.Sink) (executor.Executor, error) {
			switch name {
			case "fake":
				return fake.Executor(sink), nil
			case "kubernetes":
				o := onKubernetes(dir)
				o.Sink, o.Log = sink, slog.New(slog.DiscardHandler)
				return kubeexec.Open(ctx, o)
			case "docker":
				return docker.Open(ctx, docker.Options{StoreID: dir, Sink: sink, Log: slog.New(slog.DiscardHandler)})
			}
			x, err := process.Open(ctx, process.Options{
				Dir: dir, Sink: sink, Log: slog.New(slog.DiscardHandler), WorkDir: dir,
				Supervisor: []string{"/usr/bin/env", roleVar + "=supervisor", dirVar + "=" + dir, self},
			})
			return counting{x, &w.adopted}, err
		},
	}
	return w, nil
}

// counting counts the attempts that were adopted.
type counting struct {
	executor.Executor
	adopted *atomic.Int64
}

func (c counting) Adopt(ctx context.Context, adoptions []executor.Adoption) error {
	err := c.Executor.Adopt(ctx, adoptions)
	if err == nil {
		c.adopted.Add(int64(len(adoptions)))
	}
	return err
}

// asFake makes the steps of a flow ones that the fake executor understands.
func asFake(flow *heddle.Flow) *heddle.Flow {
	for i := range flow.Steps {
		flow.Steps[i].Work.Command = nil
	}
	return flow
}

// play runs one flow to its end and takes the time of it.
func (w *world) play(ctx context.Context, flow *heddle.Flow, name string) error {
	w.engine = engine.Start(ctx, w.options)
	defer w.engine.Stop()
	first := single()
	switch name {
	case "docker":
		contained(first)
	case "kubernetes":
		faked(first)
		faked(flow)
	}
	if err := w.one(ctx, first, name); err != nil { // opens the executor, outside the time taken
		return err
	}
	begun := time.Now()
	err := w.one(ctx, flow, name)
	w.took = time.Since(begun)
	return err
}

func (w *world) one(ctx context.Context, flow *heddle.Flow, name string) error {
	if name == "fake" {
		flow = asFake(flow)
	}
	run, err := w.engine.Submit(ctx, heddle.Submission{Flow: flow, Executor: name})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	updates, err := w.engine.Watch(ctx, run.ID)
	if err != nil {
		return err
	}
	for u := range updates {
		run = u.Run
	}
	if run.Outcome != heddle.Success {
		return fmt.Errorf("run %s: %s %s: %s", run.ID, run.State, run.Outcome, run.Message)
	}
	return nil
}

// playMany runs n one-step runs, 64 clients at a time.
func (w *world) playMany(ctx context.Context, n int, name string) error {
	const clients = 64
	w.engine = engine.Start(ctx, w.options)
	defer w.engine.Stop()
	if err := w.one(ctx, single(), name); err != nil {
		return err
	}
	begun := time.Now()
	var left atomic.Int64
	left.Store(int64(n))
	faults := make(chan error, clients)
	var done sync.WaitGroup
	for range clients {
		done.Go(func() {
			for left.Add(-1) >= 0 {
				if err := w.one(ctx, single(), name); err != nil {
					faults <- err
					return
				}
			}
		})
	}
	done.Wait()
	w.took = time.Since(begun)
	select {
	case err := <-faults:
		return err
	default:
		return nil
	}
}

// prepare leaves n open runs behind.
func prepare(ctx context.Context, w *world, n int) error {
	w.options.Parallel = n + 1
	w.engine = engine.Start(ctx, w.options)
	flow := single()
	flow.Steps[0].Work.Command = []string{"sleep", "600"}
	for range n {
		if _, err := w.engine.Submit(ctx, heddle.Submission{Flow: flow, Executor: "process"}); err != nil {
			return err
		}
	}
	return poll(func() (bool, error) { // the latest runs: so do all
		page, err := w.store.Runs(ctx, heddle.RunFilter{States: []heddle.RunState{heddle.RunRunning}, Limit: 1})
		if err != nil {
			return false, err
		}
		d, err := w.store.Run(ctx, page.Runs[0].ID)
		return err == nil && len(d.Attempts) > 0 && d.Attempts[0].Status == heddle.StatusRunning, err
	})
}

// poll asks until the answer is yes or an error.
func poll(ask func() (bool, error)) error { return pollEvery(time.Millisecond, ask) }

func pollEvery(pause time.Duration, ask func() (bool, error)) error {
	for {
		if yes, err := ask(); yes || err != nil {
			return err
		}
		time.Sleep(pause)
	}
}

// recoverRuns takes up the runs that prepare left behind, once their owner is
// known to be gone: at once with SQLite, when its lease has run out with PostgreSQL.
func recoverRuns(ctx context.Context, w *world, n int) error {
	if err := poll(func() (bool, error) {
		orphans, err := w.store.Orphaned(ctx)
		return len(orphans) == n, err
	}); err != nil {
		return err
	}
	begun := time.Now()
	w.options.Parallel = n + 1
	w.engine = engine.Start(ctx, w.options)
	taken, err := w.engine.Resume(ctx)
	if err != nil {
		return err
	}
	if err := poll(func() (bool, error) { return w.adopted.Load() >= int64(len(taken)), nil }); err != nil {
		return err
	}
	w.took = time.Since(begun)
	if len(taken) != n {
		return fmt.Errorf("%d runs were taken up, %d were left behind", len(taken), n)
	}
	return w.killSupervisor()
}

func single() *heddle.Flow { return chain(1) }

// chain is n no-op steps, one after the other.
func chain(n int) *heddle.Flow {
	f := &heddle.Flow{Kind: heddle.KindPipeline, Name: "chain", Start: []string{"s0"}}
	for i := range n {
		f.Steps = append(f.Steps, noop(i))
		if i > 0 {
			f.Edges = append(f.Edges, heddle.Edge{From: f.Steps[i-1].Name, To: f.Steps[i].Name})
		}
	}
	return f
}

// fan is one step, then n at once, then one.
func fan(n int) *heddle.Flow {
	f := &heddle.Flow{Kind: heddle.KindPipeline, Name: "fan", Start: []string{"s0"}, Steps: []heddle.Step{noop(0)}}
	for i := 1; i <= n; i++ {
		f.Steps = append(f.Steps, noop(i))
		f.Edges = append(f.Edges, heddle.Edge{From: "s0", To: f.Steps[i].Name}, heddle.Edge{From: f.Steps[i].Name, To: "end"})
	}
	end := noop(0)
	end.Name = "end"
	f.Steps = append(f.Steps, end)
	return f
}

// matrix is a matrix of n, then one step.
func matrix(n int) *heddle.Flow {
	member, end := noop(0), noop(1)
	member.Name, member.Group = "m[]", "m"
	return &heddle.Flow{
		Kind: heddle.KindPipeline, Name: "matrix", Start: []string{"m"},
		Steps: []heddle.Step{{Name: "m", Gate: heddle.GateAll, Matrix: &heddle.Matrix{Env: make([]map[string]string, n)}}, member, end},
		Edges: []heddle.Edge{{From: "m", To: end.Name}},
	}
}

// contained makes the steps of a flow ones for containers without a network.
func contained(flow *heddle.Flow) *heddle.Flow {
	for i := range flow.Steps {
		flow.Steps[i].Work.Image, flow.Steps[i].Work.Network = "busybox:1.36", "none"
	}
	return flow
}

func noop(i int) heddle.Step {
	return heddle.Step{Name: "s" + strconv.Itoa(i), Gate: heddle.GateAll, Work: &heddle.Work{Command: []string{"true"}}}
}

// peak returns the peak resident memory of a process in MB; 0 where there is no /proc.
func peak(pid string) float64 {
	text, err := os.ReadFile("/proc/" + pid + "/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, err := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")))
			if err != nil {
				return 0
			}
			return float64(kb) / 1024
		}
	}
	return 0
}

// supervisor returns the process ID of this directory's supervisor, known by its
// environment; "" when there is none.
func (w *world) supervisor() string {
	environs, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil || runtime.GOOS != "linux" {
		return ""
	}
	for _, path := range environs {
		env, err := os.ReadFile(path)
		if err == nil && strings.Contains(string(env), roleVar+"=supervisor\x00") && strings.Contains(string(env), dirVar+"="+w.dir+"\x00") {
			return filepath.Base(filepath.Dir(path))
		}
	}
	return ""
}

func (w *world) supervisorPeak() float64 {
	if pid := w.supervisor(); pid != "" {
		return peak(pid)
	}
	return 0
}

func (w *world) killSupervisor() error {
	pid, err := strconv.Atoi(w.supervisor())
	if err != nil {
		return fmt.Errorf("finding the supervisor: %w", err)
	}
	p, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	return p.Kill()
}
