package chaos_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/engine"
	"github.com/heddle/heddle/internal/executor"
	"github.com/heddle/heddle/internal/executor/docker"
	"github.com/heddle/heddle/internal/executor/kubernetes"
	"github.com/heddle/heddle/internal/executor/process"
	"github.com/heddle/heddle/internal/store"
	"github.com/heddle/heddle/internal/store/logs"
	"github.com/heddle/heddle/internal/store/postgres"
	"github.com/heddle/heddle/internal/store/sqlite"
)

// The variables by which the test binary is told to be something else.
const (
	roleVar  = "HEDDLE_CHAOS_ROLE" // engine or supervisor
	dirVar   = "HEDDLE_CHAOS_DIR"
	flowVar  = "HEDDLE_CHAOS_FLOW"  // a file with the flow as JSON
	crashVar = "HEDDLE_CHAOS_CRASH" // exit at the n-th point; 0: never
	dbVar    = "HEDDLE_CHAOS_DB"    // a PostgreSQL URL; empty: SQLite in the directory
	execVar  = "HEDDLE_CHAOS_EXECUTOR"
	runVar   = "HEDDLE_CHAOS_RUN" // the ID of the run
	crashed  = 137

	namespaceVar = "HEDDLE_CHAOS_NAMESPACE" // of Jobs
)

func TestMain(m *testing.M) {
	dir := os.Getenv(dirVar)
	switch os.Getenv(roleVar) {
	case "engine":
		os.Exit(engineMain(dir))
	case "supervisor":
		err := process.Supervise(context.Background(), process.SuperviseOptions{
			Dir: dir, Logs: logs.Open(filepath.Join(dir, "logs")).Create, Idle: time.Second,
			Log: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// points counts the places at which the engine can be made to exit.
type points struct {
	n  atomic.Int64
	at int64
}

func (p *points) pass() {
	if n := p.n.Add(1); p.at > 0 && n == p.at {
		os.Exit(crashed)
	}
}

// backend is what a store can do.
type backend interface {
	store.Store
	store.History
	store.Turns
	heddle.Pools
}

// openStore opens the database at a URL, or the one in a directory.
func openStore(ctx context.Context, dir, url string) (backend, error) {
	if url != "" {
		return postgres.Open(ctx, postgres.Options{URL: url})
	}
	return sqlite.Open(ctx, sqlite.Options{Dir: dir})
}

// fragileStore exits before and after its n-th write.
type fragileStore struct {
	backend
	points *points
}

func (s fragileStore) Apply(ctx context.Context, changes []heddle.Change) ([]store.Answer, error) {
	s.points.pass()
	answers, err := s.backend.Apply(ctx, changes)
	s.points.pass()
	return answers, err
}

func (s fragileStore) Ask(ctx context.Context, run heddle.RunID, epoch int64, asks []store.Ask) ([]store.Reply, error) {
	s.points.pass()
	replies, err := s.backend.Ask(ctx, run, epoch, asks)
	s.points.pass()
	return replies, err
}

// fragileExecutor exits before and after its n-th call.
type fragileExecutor struct {
	executor.Executor
	points *points
}

func (x fragileExecutor) Start(ctx context.Context, spec executor.Spec) error {
	x.points.pass()
	err := x.Executor.Start(ctx, spec)
	x.points.pass()
	return err
}

func (x fragileExecutor) Stop(ctx context.Context, id heddle.AttemptID, reason string, grace time.Duration) error {
	x.points.pass()
	err := x.Executor.Stop(ctx, id, reason, grace)
	x.points.pass()
	return err
}

func (x fragileExecutor) Adopt(ctx context.Context, adoptions []executor.Adoption) error {
	x.points.pass()
	err := x.Executor.Adopt(ctx, adoptions)
	x.points.pass()
	return err
}

func (x fragileExecutor) Release(ctx context.Context, ids []heddle.AttemptID) error {
	x.points.pass()
	err := x.Executor.Release(ctx, ids)
	x.points.pass()
	return err
}

// engineMain submits the flow unless that is done, resumes what is open, waits for
// the run's end and prints its verdict.
func engineMain(dir string) int {
	if err := engineRun(context.Background(), dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func engineRun(ctx context.Context, dir string) error {
	crash, _ := strconv.ParseInt(os.Getenv(crashVar), 10, 64)
	pts := &points{at: crash}
	text, err := os.ReadFile(os.Getenv(flowVar))
	if err != nil {
		return err
	}
	var flow heddle.Flow
	if err := json.Unmarshal(text, &flow); err != nil {
		return err
	}
	st, err := openStore(ctx, dir, os.Getenv(dbVar))
	if err != nil {
		return err
	}
	defer st.Close()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	fragile := fragileStore{st, pts}
	eng := engine.Start(ctx, engine.Options{
		Store: fragile, History: st, Turns: fragile, Pools: st, Log: log, Grace: time.Second,
		Open: func(ctx context.Context, name string, sink executor.Sink) (executor.Executor, error) {
			x, err := openExecutor(ctx, dir, name, log, sink)
			return fragileExecutor{x, pts}, err
		},
	})
	defer eng.Stop()
	for _, step := range flow.Steps {
		if step.Pool != "" {
			if err := st.SetPool(ctx, heddle.DefaultOrganization, step.Pool, 1); err != nil {
				return err
			}
		}
	}
	ids := runsOf(&flow, heddle.RunID(os.Getenv(runVar)))
	if err := takeUp(ctx, eng, &flow, filepath.Dir(dir), ids); err != nil {
		return err
	}
	for _, id := range ids {
		updates, err := eng.Watch(ctx, id)
		if err != nil {
			return err
		}
		var last heddle.Run
		for u := range updates {
			last = u.Run
		}
		if last.State != heddle.RunEnded {
			return fmt.Errorf("the run is %s and nobody watches it: %w", last.State, eng.Err())
		}
		fmt.Print(last.Outcome, " ")
	}
	return nil
}

// runsOf returns the IDs of the runs of a flow: one, and of a flow with a concurrency
// key another, which waits for the first.
func runsOf(flow *heddle.Flow, id heddle.RunID) []heddle.RunID {
	if flow.Concurrency == nil {
		return []heddle.RunID{id}
	}
	return []heddle.RunID{id, id + "-next"}
}

func openExecutor(ctx context.Context, dir, name string, log *slog.Logger, sink executor.Sink) (executor.Executor, error) {
	if name == "docker" {
		return docker.Open(ctx, docker.Options{StoreID: dir, Sink: sink, Log: log})
	}
	if name == "kubernetes" {
		return openKubernetes(ctx, dir, os.Getenv(namespaceVar), os.Getenv("KUBECONFIG"), log, sink)
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return process.Open(ctx, process.Options{
		Dir: dir, Sink: sink, Log: log, WorkDir: dir,
		Supervisor: []string{"/usr/bin/env", roleVar + "=supervisor", dirVar + "=" + dir, self},
	})
}

// keep is what Jobs are kept for where an engine that was stopped may wake up and make
// them anew: longer than any is stopped here.
const keep = 15 * time.Second

func openKubernetes(ctx context.Context, dir, namespace, config string, log *slog.Logger, sink executor.Sink) (executor.Executor, error) {
	env := map[string]string{"KUBECONFIG": config}
	opts := kubernetes.Options{
		StoreID: dir, Namespace: namespace, Sink: sink, Log: log, Env: func(name string) string { return env[name] },
	}
	if os.Getenv(dbVar) != "" {
		opts.Keep = keep
	}
	return kubernetes.Open(ctx, opts)
}

// takeUp resumes the runs as soon as their last owner is known to be gone, and
// submits those that were never accepted.
func takeUp(ctx context.Context, eng *engine.Engine, flow *heddle.Flow, mount string, ids []heddle.RunID) error {
	open, missing := 0, []heddle.RunID(nil)
	for _, id := range ids {
		d, err := eng.Get(ctx, id)
		switch {
		case heddle.CodeOf(err) == heddle.CodeNotFound:
			missing = append(missing, id)
		case err != nil:
			return err
		case d.Run.State != heddle.RunEnded:
			open++
		}
	}
	for deadline := time.Now().Add(10 * time.Second); open > 0; {
		taken, err := eng.Resume(ctx)
		if err != nil {
			return err
		}
		if open -= len(taken); open > 0 && time.Now().After(deadline) {
			return errors.New("the runs' last owner never goes away")
		}
		if open > 0 {
			pollPause()
		}
	}
	for _, id := range missing {
		if _, err := eng.Submit(ctx, heddle.Submission{
			Flow: flow, ID: id, Executor: os.Getenv(execVar), Input: heddle.Input{Volumes: []string{mount + ":" + mount}},
		}); err != nil {
			return err
		}
	}
	return nil
}

func pollPause() { time.Sleep(50 * time.Millisecond) }

// world is a data directory, a flow and the file into which steps write what they did.
type world struct {
	t       *testing.T
	parts   parts
	run     heddle.RunID
	db      string
	dir     string
	flow    string
	effects string

	namespace string // of Jobs
}

// parts are what a world is made of.
type parts struct{ store, executor string }

func newWorld(t *testing.T, p parts, make func(effects string) heddle.Flow) *world {
	t.Helper()
	// Not one of [testing.T.TempDir]: a supervisor stays for a second and may write
	// while that is removed, and the path of its socket would be too long.
	dir, err := os.MkdirTemp("", "hc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	w := &world{
		t: t, parts: p, run: heddle.RunID("chaos-" + strings.ToLower(rand.Text()[:12])), dir: filepath.Join(dir, "data"), flow: filepath.Join(dir, "flow.json"), effects: filepath.Join(dir, "effects"),
	}
	if p.store == "postgres" {
		w.db = newSchema(t)
	}
	if p.executor == "kubernetes" {
		w.namespace = newNamespace(t)
	}
	flow := make(w.effects)
	for _, step := range flow.Steps {
		if p.executor == "kubernetes" && step.Work != nil {
			step.Work.Network = "" // it has no none
		}
	}
	text, err := json.Marshal(flow)
	if err != nil {
		t.Fatal(err)
	}
	for path, data := range map[string][]byte{w.flow: text, w.effects: nil} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// engine returns the command of an engine that crashes at the n-th point.
func (w *world) engine(n int) (cmd *exec.Cmd, stdout, stderr *strings.Builder) {
	self, err := os.Executable()
	if err != nil {
		w.t.Fatal(err)
	}
	cmd = exec.Command(self)
	cmd.Env = append(os.Environ(), roleVar+"=engine", dirVar+"="+w.dir, flowVar+"="+w.flow, crashVar+"="+strconv.Itoa(n),
		runVar+"="+string(w.run), dbVar+"="+w.db, execVar+"="+w.parts.executor, "DOCKER_HOST="+os.Getenv("HEDDLE_TEST_DOCKER_HOST"),
		"KUBECONFIG="+os.Getenv(kubeconfigVar), namespaceVar+"="+w.namespace,
		"GORACE=atexit_sleep_ms=0") // or each engine sleeps for a second when built with the race detector
	stdout, stderr = &strings.Builder{}, &strings.Builder{}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	return cmd, stdout, stderr
}

// play runs an engine to its end: over is false when it crashed as it was told.
func (w *world) play(n int) (verdict string, over bool) {
	w.t.Helper()
	cmd, stdout, stderr := w.engine(n)
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == crashed {
		return "", false
	}
	if err != nil {
		w.t.Fatalf("crash point %d: %v\n%s", n, err, stderr)
	}
	return strings.TrimSpace(stdout.String()), true
}

// did returns what the steps wrote: attempt IDs by step, in order.
func (w *world) did() map[string][]string {
	w.t.Helper()
	text, err := os.ReadFile(w.effects)
	if err != nil {
		w.t.Fatal(err)
	}
	did := map[string][]string{}
	seen := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		step, attempt, _ := strings.Cut(strings.TrimSpace(line), " ")
		if seen[attempt] {
			w.t.Errorf("attempt %s of step %s ran twice", attempt, step)
		}
		seen[attempt] = true
		did[step] = append(did[step], attempt)
	}
	return did
}

// newSchema makes a schema of the test server for one world, and returns its URL.
func newSchema(t *testing.T) string {
	t.Helper()
	ctx := context.Background()
	server := os.Getenv("HEDDLE_TEST_POSTGRES_URL")
	conn, err := pgx.Connect(ctx, server)
	if err != nil {
		t.Fatal(err)
	}
	name := "chaos_" + strings.ToLower(rand.Text())
	exec := func(sql string) {
		if _, err := conn.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	exec("CREATE SCHEMA " + name)
	t.Cleanup(func() {
		exec("DROP SCHEMA " + name + " CASCADE")
		_ = conn.Close(ctx)
	})
	return server + "&search_path=" + name
}

// left fails the test if something of a pool is still taken or waited for.
func (w *world) left() {
	w.t.Helper()
	st, err := openStore(context.Background(), w.dir, w.db)
	if err != nil {
		w.t.Fatal(err)
	}
	defer st.Close()
	pools, err := st.Pools(context.Background(), heddle.DefaultOrganization)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, p := range pools {
		if p.Taken+p.Waiting > 0 {
			w.t.Errorf("of the pool %s %d places are taken, %d wait after all", p.Name, p.Taken, p.Waiting)
		}
	}
}

// history tells what the store knows of the run, for messages.
func (w *world) history() string {
	detail := w.detail()
	var b strings.Builder
	fmt.Fprintf(&b, "run: %s %s %q\n", detail.Run.State, detail.Run.Outcome, detail.Run.Message)
	for _, v := range detail.Visits {
		fmt.Fprintf(&b, "visit %d of %s: %s %s %q\n", v.No, v.Step, v.State, v.Outcome, v.Message)
	}
	for _, a := range detail.Attempts {
		fmt.Fprintf(&b, "attempt %s: %s %q\n", a.ID, a.Status, a.Message)
	}
	return b.String()
}

func (w *world) detail() heddle.RunDetail {
	w.t.Helper()
	st, err := openStore(context.Background(), w.dir, w.db)
	if err != nil {
		w.t.Fatal(err)
	}
	defer st.Close()
	detail, err := st.Run(context.Background(), w.run)
	if err != nil {
		w.t.Fatal(err)
	}
	return detail
}

// shell is a step that notes that it ran and then does what the script says.
func shell(effects, name, script string) heddle.Step {
	return heddle.Step{
		Name: name, Gate: heddle.GateAll,
		Work: &heddle.Work{Image: "busybox:1.36", Network: "none", Command: []string{"sh", "-c", `echo ` + name + ` "$HEDDLE_ATTEMPT" >> ` + effects + "\n" + script}},
	}
}
