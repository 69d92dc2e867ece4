package docker

import (
	"context"
	"encoding/base64"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/executor"
)

// registryHost is where the test bed's registry is, host and port.
func registryHost(t *testing.T) string {
	t.Helper()
	address := os.Getenv("HEDDLE_TEST_REGISTRY")
	if address == "" {
		t.Skip("HEDDLE_TEST_REGISTRY is not set")
	}
	return strings.TrimPrefix(address, "http://")
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	b := newBench(t, engine(t))
	registry := registryHost(t)
	tests := map[string]struct {
		change func(*executor.Spec)
		want   []string
	}{
		"no image":               {func(s *executor.Spec) { s.Work.Image = "" }, []string{"names no image"}},
		"not a reference":        {func(s *executor.Spec) { s.Work.Image = "Busy Box" }, []string{`"Busy Box"`, "looks like busybox:1.36"}},
		"an image that is not":   {func(s *executor.Spec) { s.Work.Image = registry + "/nonesuch:1" }, []string{registry + "/nonesuch:1 cannot be pulled", "docker login " + registry}},
		"a tag that is not":      {func(s *executor.Spec) { s.Work.Image = registry + "/library/busybox:0" }, []string{"busybox:0 cannot be pulled"}},
		"a registry that is not": {func(s *executor.Spec) { s.Work.Image = "127.0.0.1:1/busybox:1" }, []string{"after 3 tries", "reach the registry 127.0.0.1:1"}},
		"an image without a shell": {func(s *executor.Spec) { s.Work.Image = noShell }, []string{
			"the command sh cannot be run in image " + noShell, "not found",
		}},
		"a file that is no program": {func(s *executor.Spec) { s.Work.Command = []string{"/etc/passwd"} }, []string{"the command /etc/passwd cannot be run", "permission denied"}},
		"a volume with too much":    {func(s *executor.Spec) { s.Volumes = []string{"a:/b:ro:d"} }, []string{"a:/b:ro:d"}},
		"a volume without a root":   {func(s *executor.Spec) { s.Volumes = []string{"a:b"} }, []string{"a:b"}},
		"a network that is not":     {func(s *executor.Spec) { s.Work.Network = "nonesuch" }, []string{"network nonesuch not found"}},
		"a user that is not":        {func(s *executor.Spec) { s.Work.User = "nonesuch" }, []string{"user nonesuch"}},
		"too little memory":         {func(s *executor.Spec) { s.Work.Memory = 1 << 20 }, []string{"6MB"}},
		"a directory that is none":  {func(s *executor.Spec) { s.Work.Dir = "/etc/passwd" }, []string{"/etc/passwd"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b := &bench{T: t, host: b.host, exec: b.exec, logs: b.logs}
			spec := b.spec("true")
			test.change(&spec)
			message := b.refused(spec)
			t.Log(message)
			for _, want := range test.want {
				if !strings.Contains(message, want) {
					t.Errorf("got %q, want %q in it", message, want)
				}
			}
		})
	}
}

func TestEnds(t *testing.T) {
	t.Parallel()
	b := newBench(t, engine(t))
	cli := b.cli()
	name := func(id heddle.AttemptID) string { return "heddle-" + string(id) }

	t.Run("a signal", func(t *testing.T) {
		id := b.start(b.spec("echo up; sleep 1000"))
		b.says(id, "up")
		if _, err := cli.ContainerKill(t.Context(), name(id), client.ContainerKillOptions{Signal: "KILL"}); err != nil {
			t.Fatal(err)
		}
		exit := b.exit(id)
		b.want(exit, heddle.Exited, 137)
		if exit.Signal != "SIGKILL" {
			t.Errorf("got signal %q", exit.Signal)
		}
	})
	t.Run("a signal that the next engine finds", func(t *testing.T) {
		id := b.start(b.spec("echo up; sleep 1000"))
		b.says(id, "up")
		b.exec.Close()
		if _, err := cli.ContainerKill(t.Context(), name(id), client.ContainerKillOptions{Signal: "KILL"}); err != nil {
			t.Fatal(err)
		}
		b.reopen()
		b.adopt(heddle.Attempt{ID: id, Place: b.exec.Place()})
		b.want(b.exit(id), heddle.Exited, 137)
	})
	t.Run("no memory left", func(t *testing.T) {
		spec := b.spec(`x=$(head -c 100000000 /dev/zero | tr '\0' x); echo ${#x}`)
		spec.Work.Memory = 16 << 20
		exit := b.exit(b.start(spec))
		b.want(exit, heddle.Exited, 137)
		if want := "out of memory: the limit is 16 MiB"; exit.Message != want {
			t.Errorf("got message %q, want %q", exit.Message, want)
		}
	})
	t.Run("removed by somebody else", func(t *testing.T) {
		id := b.start(b.spec("sleep 1000"))
		if _, err := cli.ContainerRemove(t.Context(), name(id), client.ContainerRemoveOptions{Force: true}); err != nil {
			t.Fatal(err)
		}
		b.want(b.exit(id), heddle.Lost, 0)
	})
	t.Run("out of time while no engine was there", func(t *testing.T) {
		spec := b.spec("echo up; sleep 0.6; exit 3")
		spec.Timeout = 500 * time.Millisecond
		id := spec.Attempt
		if b.start(spec); b.exec.Close() != nil {
			t.Fatal("closing failed")
		}
		if _, err := b.wait(cli, name(id)); err != nil {
			t.Fatal(err)
		}
		b.reopen()
		b.adopt(heddle.Attempt{ID: id, Place: b.exec.Place()})
		b.want(b.exit(id), heddle.TimedOut, 3)
	})
	t.Run("out of time with the next engine", func(t *testing.T) {
		spec := b.spec("trap '' TERM; echo up; while :; do sleep 0.1; done")
		spec.Timeout, spec.Grace = 2*time.Second, time.Second
		id := b.start(spec)
		b.says(id, "up")
		b.reopen()
		b.adopt(heddle.Attempt{ID: id, Place: b.exec.Place()})
		exit := b.exit(id)
		b.want(exit, heddle.TimedOut, 137)
		if exit.Message != "ran out of its time, 2s" {
			t.Errorf("got message %q", exit.Message)
		}
	})
}

// wait waits until a container has ended.
func (b *bench) wait(cli *client.Client, name string) (int64, error) {
	result := cli.ContainerWait(b.Context(), name, client.ContainerWaitOptions{})
	select {
	case status := <-result.Result:
		return status.StatusCode, nil
	case err := <-result.Error:
		return 0, err
	}
}

func TestWhatIsNotOurs(t *testing.T) {
	t.Parallel()
	b := newBench(t, engine(t))
	cli := b.cli()
	spec := b.spec("true")
	b.exit(b.start(b.spec("true"))) // the image is there
	creation, err := b.exec.creation(b.exec.attempt(spec.Attempt), spec, false, "")
	if err != nil {
		t.Fatal(err)
	}
	creation.Config.Labels[labelStore] = "another"
	made, err := cli.ContainerCreate(t.Context(), creation)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := cli.ContainerRemove(context.Background(), made.ID, client.ContainerRemoveOptions{}); err != nil {
			t.Errorf("it was touched: %v", err)
		}
	})
	if message := b.refused(spec); !strings.Contains(message, "docker rm heddle-"+string(spec.Attempt)) {
		t.Errorf("got message %q", message)
	}
	if err := b.exec.Release(t.Context(), []heddle.AttemptID{spec.Attempt}); err != nil {
		t.Error(err)
	}
	b.adopt(heddle.Attempt{ID: spec.Attempt, Place: b.exec.Place()})
	b.want(b.exit(spec.Attempt), heddle.Lost, 0)
}

func TestAnotherPlace(t *testing.T) {
	t.Parallel()
	b := newBench(t, engine(t))
	spec := b.spec("true")
	err := b.exec.Adopt(t.Context(), []executor.Adoption{{Attempt: heddle.Attempt{ID: spec.Attempt, Place: "docker:other"}}})
	if heddle.CodeOf(err) != heddle.CodeUnavailable || !strings.Contains(err.Error(), "docker:other") {
		t.Errorf("adopting: got %v", err)
	}
	spec.Place = "docker:other"
	if err := b.exec.Start(t.Context(), spec); heddle.CodeOf(err) != heddle.CodeUnavailable {
		t.Errorf("starting: got %v", err)
	}
}

func TestContainerThatACrashLeftUnstarted(t *testing.T) {
	t.Parallel()
	b := newBench(t, engine(t))
	b.exit(b.start(b.spec("true"))) // the image is there
	spec := b.spec(`cat "$FILE"`)
	spec.Files = []executor.File{{Env: "FILE", Name: "f", Data: []byte("hello\n")}}
	creation, err := b.exec.creation(b.exec.attempt(spec.Attempt), spec, false, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.cli().ContainerCreate(t.Context(), creation); err != nil {
		t.Fatal(err)
	}
	b.want(b.exit(b.start(spec)), heddle.Exited, 0)
	if text := b.logs.text(spec.Attempt); !strings.HasSuffix(text, " stdout F hello\n") {
		t.Errorf("got log %q", text)
	}
}

func TestContext(t *testing.T) {
	t.Parallel()
	b := newBench(t, engine(t))
	small := `{"a":"b c"}`
	large := `{"a":"` + strings.Repeat("x", 300<<10) + `"}`
	tests := map[string]struct {
		image, context string
		env            map[string]string
		command        []string
		want           string // the result
	}{
		"an image of the old kind": {image: oldEcho, context: small, want: `{"result":"success","rc":0,"message":"from standard input","context":{"seen":` + small + `}}`},
		"a large context":          {image: oldEcho, context: large, want: `{"result":"success","rc":0,"message":"from standard input","context":{"seen":` + large + `}}`},
		"no context":               {image: oldEcho, want: `{"result":"success","rc":0,"message":"from standard input","context":{"seen":null}}`},
		"an image that reads the variable": {image: "auto-result:1.0.1", context: small, env: map[string]string{"RESULT": "failure", "RESULT_CODE": "3", "MESSAGE": "m"},
			want: `{"result":"failure","rc":3,"message":"m"}`},
		"a step that wants no input": {image: oldEcho, context: small, env: map[string]string{"KOG_ENV_CONTEXT": "True"},
			want: `{"result":"success","rc":0,"message":"from standard input","context":{"seen":null}}`},
		"a program that does not read its input": {image: busybox, context: large, command: []string{"echo", "KOG:{}"}, want: `{}`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			spec := b.spec("")
			spec.Work.Image, spec.Work.Command, spec.Work.Env = test.image, test.command, map[string]string{}
			for name, value := range test.env {
				spec.Work.Env[name] = value
			}
			switch {
			case len(test.context) > 100<<10:
				spec.Files = []executor.File{{Env: "KOG_CONTEXT_FILE", Name: "context.json", Data: []byte(test.context)}}
			case test.context != "":
				spec.Work.Env["KOG_CONTEXT"] = base64.StdEncoding.EncodeToString([]byte(test.context))
			}
			exit := b.exit(b.start(spec))
			b.want(exit, heddle.Exited, 0)
			if got := string(exit.Result); got != test.want {
				t.Errorf("got result %.200q, want %.200q", got, test.want)
			}
		})
	}
}

func TestManyOutputNeedsNoMemory(t *testing.T) {
	t.Parallel()
	b := newBench(t, engine(t))
	spec := b.spec("head -c 100000000 /dev/zero | tr '\\0' x | fold -w 1000; echo; echo 'KOG:{}'")
	spec.Log = 1 << 20
	exit := b.exit(b.start(spec))
	b.want(exit, heddle.Exited, 0)
	if want := int64(100_000_000 + 100_000 + 7); string(exit.Result) != "{}" || exit.OutputBytes != want || exit.OutputCut != want-1<<20 {
		t.Errorf("got result %q, %d bytes, %d cut; want %d and %d", exit.Result, exit.OutputBytes, exit.OutputCut, want, want-1<<20)
	}
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	if mem.HeapSys > 100<<20 {
		t.Errorf("the heap has grown to %d MiB", mem.HeapSys>>20)
	}
}

// The daemon may end the stream before it has read what was written last.
func TestLastLines(t *testing.T) {
	t.Parallel()
	b := newBench(t, engine(t))
	for range 4 {
		id := b.start(b.spec("echo a; sleep 0.1; seq 1 3000; printf end"))
		b.want(b.exit(id), heddle.Exited, 0)
		text := b.logs.text(id)
		if n := strings.Count(text, "\n"); n != 3002 || !strings.HasSuffix(text, " stdout F end\n") {
			t.Errorf("got %d lines that end in %q", n, text[max(0, len(text)-200):])
		}
	}
}

// What the next engine reads of a container is what the last one read.
func TestAdoptedOutputIsTheSame(t *testing.T) {
	t.Parallel()
	b := newBench(t, engine(t))
	id := b.start(b.spec("for i in 1 2 3 4 5; do echo $i; echo e$i >&2; done; echo 'KOG:{\"early\":1}'; sleep 1; echo late"))
	b.says(id, "early")
	b.reopen()
	b.adopt(heddle.Attempt{ID: id, Place: b.exec.Place()})
	exit := b.exit(id)
	first := b.logs.text(id)
	if string(exit.Result) != `{"early":1}` || strings.Count(first, "\n") != 12 {
		t.Errorf("got result %s and log:\n%s", exit.Result, first)
	}
	b.reopen()
	b.mu.Lock()
	delete(b.reports, id)
	b.mu.Unlock()
	b.adopt(heddle.Attempt{ID: id, Place: b.exec.Place()})
	b.exit(id)
	if again := b.logs.text(id); again != first {
		t.Errorf("got another log:\n%s\nafter:\n%s", again, first)
	}
}

func TestVolumes(t *testing.T) {
	t.Parallel()
	host := engine(t)
	b := newBench(t, host)
	if !strings.HasPrefix(host, "unix://") {
		t.Skip("the engine may not see this machine's files")
	}
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/in", []byte("from the host\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	b.exec.opts.WorkDir = dir
	spec := b.spec("cat /data/in; touch /data/out || echo read-only; touch /scratch/x && echo scratch")
	spec.Volumes = []string{"./:/data:ro", "/scratch"}
	id := b.start(spec)
	b.want(b.exit(id), heddle.Exited, 0)
	text := b.logs.text(id)
	for _, want := range []string{"from the host", "read-only", "scratch"} {
		if !strings.Contains(text, want) {
			t.Errorf("got log %q, want %q in it", text, want)
		}
	}
}

func TestNoDaemon(t *testing.T) {
	t.Parallel()
	_, err := Open(t.Context(), Options{StoreID: "s", Sink: func(executor.Report) {}, Env: only("unix://" + t.TempDir() + "/none.sock")})
	if heddle.CodeOf(err) != heddle.CodeUnavailable || !strings.Contains(err.Error(), "DOCKER_HOST") {
		t.Errorf("got %v", err)
	}
}

// counter counts the log's records of one message.
type counter struct {
	slog.Handler
	message string
	n       atomic.Int64
}

func (c *counter) Handle(_ context.Context, r slog.Record) error {
	if r.Message == c.message {
		c.n.Add(1)
	}
	return nil
}

func TestStartsShareOnePull(t *testing.T) {
	t.Parallel()
	b := newBench(t, engine(t))
	pulls := &counter{Handler: slog.Default().Handler(), message: "pulling an image"}
	b.exec.opts.Log = slog.New(pulls)
	// No other test needs this image.
	const image = "alpine:latest"
	if _, err := b.cli().ImageRemove(t.Context(), image, client.ImageRemoveOptions{}); err != nil && !errdefs.IsNotFound(err) {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 5 {
		spec := b.spec("cat /etc/passwd")
		spec.Work.Image = image
		all.Go(func() { b.want(b.exit(b.start(spec)), heddle.Exited, 0) })
	}
	all.Wait()
	if n := pulls.n.Load(); n != 1 {
		t.Errorf("pulled %d times", n)
	}
}
