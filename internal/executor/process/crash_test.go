//go:build linux

package process

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/executor"
)

// reports collects what an executor tells.
type reports struct {
	mu   sync.Mutex
	ends map[heddle.AttemptID]heddle.Exit
	runs map[heddle.AttemptID]int
}

func (r *reports) sink(report executor.Report) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ends == nil {
		r.ends, r.runs = map[heddle.AttemptID]heddle.Exit{}, map[heddle.AttemptID]int{}
	}
	if report.Exit != nil {
		r.ends[report.Attempt] = *report.Exit
	} else {
		r.runs[report.Attempt]++
	}
}

func (r *reports) end(t testing.TB, id heddle.AttemptID) heddle.Exit {
	t.Helper()
	var exit heddle.Exit
	poll(t, "the end of "+string(id), func() (ok bool) {
		r.mu.Lock()
		defer r.mu.Unlock()
		exit, ok = r.ends[id]
		return ok
	})
	return exit
}

func shell(e *Executor, id heddle.AttemptID, script string) executor.Spec {
	return executor.Spec{
		Attempt: id, Place: e.Place(), Step: "test", Grace: 5 * time.Second,
		Work: heddle.Work{Command: []string{"sh", "-c", script}},
	}
}

func start(t testing.TB, e *Executor, spec executor.Spec) {
	t.Helper()
	if err := e.Start(t.Context(), spec); err != nil {
		t.Fatalf("starting: %v", err)
	}
}

// marked returns the processes that carry the mark of the directory.
func marked(dir string) (pids []int) {
	for _, pid := range processes() {
		if environ(pid, supervisorVar) == (paths{dir}).mark() {
			pids = append(pids, pid)
		}
	}
	return pids
}

// A supervisor that is killed takes its attempts with it, and the client finds
// that out from the next one by itself.
func TestKilledSupervisor(t *testing.T) {
	t.Parallel()
	dir := testDir(t)
	var r reports
	e := open(t, dir, time.Second, r.sink)
	start(t, e, shell(e, "a-1-1", "exit 4"))
	r.end(t, "a-1-1")
	for _, id := range []heddle.AttemptID{"a-2-1", "a-3-1"} {
		start(t, e, shell(e, id, "setsid sh -c 'trap \"\" TERM HUP; while :; do sleep 0.1; done' & sleep 100"))
	}
	poll(t, "all processes", func() bool { return len(marked(dir)) >= 6 })
	endProcess(t, supervisorPID(t, dir), syscall.SIGKILL)
	for _, id := range []heddle.AttemptID{"a-2-1", "a-3-1"} {
		if exit := r.end(t, id); exit.Reason != heddle.Lost || exit.Message == "" || exit.Started.IsZero() {
			t.Errorf("%s: got %+v, want it lost", id, exit)
		}
	}
	poll(t, "the end of their processes", func() bool { return len(marked(dir)) == 0 })

	start(t, e, shell(e, "a-2-1", "exit 9")) // acknowledged again, not run
	start(t, e, shell(e, "a-4-1", "exit 5"))
	if exit := r.end(t, "a-4-1"); exit.Reason != heddle.Exited || exit.Code != 5 {
		t.Errorf("a new start: got %+v", exit)
	}
	if exit := r.end(t, "a-2-1"); exit.Reason != heddle.Lost {
		t.Errorf("started again: got %+v", exit)
	}
	held, err := e.Held(t.Context())
	slices.Sort(held)
	if d := cmp.Diff([]heddle.AttemptID{"a-1-1", "a-2-1", "a-3-1", "a-4-1"}, held); d != "" || err != nil {
		t.Errorf("held: %v (-want +got):\n%s", err, d)
	}
}

// A supervisor that is told to end ends its attempts, for the infrastructure's sake.
func TestTerminatedSupervisor(t *testing.T) {
	t.Parallel()
	dir := testDir(t)
	var r reports
	e := open(t, dir, time.Second, r.sink)
	start(t, e, shell(e, "a-1-1", "exec sleep 100"))
	endProcess(t, supervisorPID(t, dir), syscall.SIGTERM)
	if exit := r.end(t, "a-1-1"); exit.Reason != heddle.Broken || exit.Signal != "SIGTERM" {
		t.Errorf("got %+v", exit)
	}
}

// The supervisor leaves when it is not needed, keeps what is not released, and
// comes back.
func TestIdleSupervisor(t *testing.T) {
	t.Parallel()
	dir := testDir(t)
	var r reports
	e := open(t, dir, 10*time.Millisecond, r.sink)
	left := func() bool {
		_, err := os.Stat(filepath.Join(dir, "supervisor.sock"))
		return os.IsNotExist(err)
	}
	for i := range 10 {
		id := heddle.NewAttemptID("a", i+1, 1)
		start(t, e, shell(e, id, "exit 3"))
		r.end(t, id)
		// The next start meets a supervisor that is there, or one that is leaving.
		e.mu.Lock()
		conn := e.conn
		e.mu.Unlock()
		if err := conn.Close(); err != nil {
			t.Fatal(err)
		}
		poll(t, "the end of the connection", func() bool {
			e.mu.Lock()
			defer e.mu.Unlock()
			return e.conn == nil
		})
		if i%2 == 1 {
			poll(t, "the supervisor to leave", left)
		}
	}
	held, err := e.Held(t.Context())
	if len(held) != 10 || err != nil {
		t.Errorf("%d are held, %v; want 10", len(held), err)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	poll(t, "the supervisor to leave", left)
}

// What a program leaves behind without a trace of where it came from is ended
// when nothing else runs. Until then it holds nobody up by its open output.
func TestOrphanThatHides(t *testing.T) {
	t.Parallel()
	dir := testDir(t)
	var r reports
	e := open(t, dir, time.Second, r.sink)
	start(t, e, shell(e, "a-1-1", "exec sleep 100"))
	note := filepath.Join(t.TempDir(), "pid")
	hide := "env -i setsid sh -c 'echo $$ > " + note + "; exec sleep 100' & while [ ! -s " + note + " ]; do sleep 0.01; done; echo done"
	start(t, e, shell(e, "a-2-1", hide))
	exit := r.end(t, "a-2-1")
	if took := exit.Ended.Sub(exit.Started); exit.Reason != heddle.Exited || exit.OutputBytes != 5 || took > 10*time.Second {
		t.Errorf("got %+v", exit)
	}
	data, err := os.ReadFile(note)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		t.Fatal(err)
	}
	if syscall.Kill(pid, 0) != nil {
		t.Error("it could have been the other attempt's, and was ended")
	}
	if err := e.Stop(t.Context(), "a-1-1", "", time.Second); err != nil {
		t.Fatal(err)
	}
	r.end(t, "a-1-1")
	poll(t, "the end of the orphan", func() bool { return syscall.Kill(pid, 0) != nil })
}

// An attempt that was committed before the machine was restarted may have run.
func TestOtherBoot(t *testing.T) {
	t.Parallel()
	dir := testDir(t)
	var r reports
	e := open(t, dir, time.Second, r.sink)
	host, _, _ := strings.Cut(e.Place(), ":")
	spec := shell(e, "a-1-1", "exit 0")
	spec.Place = host + ":another-boot:" + dir
	start(t, e, spec)
	if exit := r.end(t, "a-1-1"); exit.Reason != heddle.Lost {
		t.Errorf("got %+v, want it lost", exit)
	}
	spec.Attempt, spec.Place = "a-2-1", "elsewhere:another-boot:"+dir
	if err := e.Start(t.Context(), spec); heddle.CodeOf(err) != heddle.CodeUnavailable {
		t.Errorf("of another host: got %v", err)
	}
	if e.Sees(spec.Place) {
		t.Error("sees another host")
	}
}

func TestLongDirectory(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(testDir(t), strings.Repeat("long", 30))
	var r reports
	e := open(t, dir, 10*time.Millisecond, r.sink)
	start(t, e, shell(e, "a-1-1", "exit 3"))
	if exit := r.end(t, "a-1-1"); exit.Code != 3 {
		t.Errorf("got %+v", exit)
	}
	path, err := paths{dir}.dialPath()
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	poll(t, "the socket's directory to go", func() bool {
		_, err := os.Stat(filepath.Dir(path))
		return os.IsNotExist(err)
	})
}

func TestSupervisorThatFails(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		command []string
		want    string
	}{
		"it cannot be started": {command: []string{"/no/such/program"}, want: "no such file"},
		"it ends at once":      {command: []string{"/bin/sh", "-c", "echo out of luck; exit 3"}, want: "code 3: out of luck"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, err := Open(t.Context(), Options{Dir: t.TempDir(), Sink: func(executor.Report) {}, Supervisor: tc.command})
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close()
			err = e.Start(t.Context(), shell(e, "a-1-1", "exit 0"))
			if heddle.CodeOf(err) != heddle.CodeUnavailable || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	dir := testDir(t)
	var r reports
	e := open(t, dir, time.Second, r.sink)
	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(dir, "script")
	if err := os.WriteFile(script, []byte("#!/no/such/interpreter\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	many := map[string]string{}
	for i := range 40 {
		many["V"+strconv.Itoa(i)] = strings.Repeat("x", 100<<10)
	}
	tests := map[string]struct {
		work  heddle.Work
		files []executor.File
		want  string
	}{
		"no command":             {want: `step "test" names no command; the process executor runs entrypoint and command`},
		"no such program":        {work: heddle.Work{Command: []string{"no-such"}}, want: `program "no-such" was not found in PATH=`},
		"no such file":           {work: heddle.Work{Command: []string{"./no-such"}}, want: "no-such: no such file"},
		"not executable":         {work: heddle.Work{Command: []string{plain}}, want: "plain is not executable"},
		"a directory":            {work: heddle.Work{Command: []string{dir}}, want: "is not a program"},
		"no interpreter":         {work: heddle.Work{Command: []string{script}}, want: "interpreter that does not exist"},
		"no working directory":   {work: heddle.Work{Command: []string{"true"}, Dir: "/no/such"}, want: "working directory"},
		"a file to work in":      {work: heddle.Work{Command: []string{"true"}, Dir: plain}, want: "is not a directory"},
		"a variable without end": {work: heddle.Work{Command: []string{"true"}, Env: map[string]string{"BIG": strings.Repeat("x", 128<<10)}}, want: "variable BIG has 131072 bytes"},
		"too many variables":     {work: heddle.Work{Command: []string{"true"}, Env: many}, want: "more bytes than the system allows"},
		"a variable's bad name":  {work: heddle.Work{Command: []string{"true"}, Env: map[string]string{"A=B": ""}}, want: "cannot be the name of a variable"},
		"a NUL":                  {work: heddle.Work{Command: []string{"true", "\x00"}}, want: "NUL"},
		"a file's bad name":      {work: heddle.Work{Command: []string{"true"}}, files: []executor.File{{Name: "../x"}}, want: "not the name of a file"},
	}
	n := 0
	for name, tc := range tests {
		n++
		spec := executor.Spec{Attempt: heddle.NewAttemptID("a", n, 1), Step: "test", Work: tc.work, Files: tc.files}
		err := e.Start(t.Context(), spec)
		if message, refused := executor.Refused(err); !refused || !strings.Contains(message, tc.want) {
			t.Errorf("%s: got %v, want a refusal with %q", name, err, tc.want)
		}
	}
	if held, err := e.Held(t.Context()); len(held) > 0 || err != nil {
		t.Errorf("held: %v, %v; want nothing", held, err)
	}
}

// The files of an attempt go with its release, and so does the journal's memory.
func TestRelease(t *testing.T) {
	t.Parallel()
	dir := testDir(t)
	var r reports
	e := open(t, dir, time.Second, r.sink)
	spec := shell(e, "a-1-1", `cat "$F"`)
	spec.Files = []executor.File{{Env: "F", Name: "f", Data: []byte("x")}}
	start(t, e, spec)
	r.end(t, "a-1-1")
	path := filepath.Join(dir, "attempts", "a-1-1", "f")
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v, %v", info, err)
	}
	if err := e.Release(t.Context(), []heddle.AttemptID{"a-1-1"}); err != nil {
		t.Fatal(err)
	}
	poll(t, "the file to go", func() bool { _, err := os.Stat(path); return os.IsNotExist(err) })
	r.mu.Lock()
	delete(r.ends, "a-1-1")
	r.mu.Unlock()
	start(t, e, spec)
	if exit := r.end(t, "a-1-1"); exit.Reason != heddle.Lost {
		t.Errorf("started after its release: got %+v, want it lost", exit)
	}
}

func TestWrongProtocol(t *testing.T) {
	t.Parallel()
	dir := testDir(t)
	var r reports
	e := open(t, dir, time.Second, r.sink)
	start(t, e, shell(e, "a-1-1", "exit 0"))
	path, err := paths{dir}.dialPath()
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := (&connection{Conn: conn}).send(&request{ID: 1, Hello: &hello{Protocol: 99}}); err != nil {
		t.Fatal(err)
	}
	var answer reply
	if err := readMessage(newReader(conn), maxReply, &answer); err != nil {
		t.Fatal(err)
	}
	if answer.Fault == nil || !strings.Contains(answer.Fault.Message, "another version of heddle") {
		t.Errorf("got %+v", answer)
	}
}
