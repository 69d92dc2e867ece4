package docker

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/moby/api/types/container"

	"github.com/heddle/heddle"
)

func TestMounts(t *testing.T) {
	t.Parallel()
	binds, anonymous, err := mounts([]string{
		"/a:/b", "/a:/b:ro,z", "name:/b", "./c:/d", "../c:/d:ro", ".:/d", "/only", `C:\x:/y`,
	}, "/base/dir")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"/a:/b", "/a:/b:ro,z", "name:/b", "/base/dir/c:/d", "/base/c:/d:ro", "/base/dir:/d", `C:\x:/y`}
	if d := cmp.Diff(want, binds); d != "" {
		t.Errorf("binds (-want +got):\n%s", d)
	}
	if d := cmp.Diff(map[string]struct{}{"/only": {}}, anonymous); d != "" {
		t.Errorf("anonymous volumes (-want +got):\n%s", d)
	}
}

func TestExitOf(t *testing.T) {
	t.Parallel()
	const started, ended = "2026-03-01T12:00:00.5Z", "2026-03-01T12:00:10.5Z"
	stop := ending{reason: heddle.Stopped, message: "cancelled"}
	tests := map[string]struct {
		code    int
		oom     bool
		memory  int64
		timeout string
		end     ending
		want    heddle.Exit
	}{
		"well":                                {want: heddle.Exit{Reason: heddle.Exited}},
		"a code":                              {code: 3, want: heddle.Exit{Reason: heddle.Exited, Code: 3}},
		"a signal":                            {code: 143, want: heddle.Exit{Reason: heddle.Exited, Code: 143, Signal: "SIGTERM"}},
		"no signal":                           {code: 255, want: heddle.Exit{Reason: heddle.Exited, Code: 255}},
		"stopped":                             {code: 5, end: stop, want: heddle.Exit{Reason: heddle.Stopped, Code: 5, Message: "cancelled"}},
		"stopped beyond its time":             {code: 5, timeout: "10s", end: stop, want: heddle.Exit{Reason: heddle.Stopped, Code: 5, Message: "cancelled"}},
		"to be stopped, and ended well":       {end: ending{reason: heddle.Stopped, message: "cancelled", assumed: true}, want: heddle.Exit{Reason: heddle.Exited}},
		"to be stopped, and ended":            {code: 143, end: ending{reason: heddle.Stopped, message: "cancelled", assumed: true}, want: heddle.Exit{Reason: heddle.Stopped, Code: 143, Signal: "SIGTERM", Message: "cancelled"}},
		"in time":                             {timeout: "10.001s", want: heddle.Exit{Reason: heddle.Exited}},
		"out of time, and nobody stopped it":  {timeout: "10s", want: heddle.Exit{Reason: heddle.TimedOut, Message: "ran out of its time, 10s"}},
		"out of memory":                       {code: 137, oom: true, memory: 64 << 20, want: heddle.Exit{Reason: heddle.Exited, Code: 137, Signal: "SIGKILL", Message: "out of memory: the limit is 64 MiB"}},
		"out of the machine's memory":         {code: 137, oom: true, want: heddle.Exit{Reason: heddle.Exited, Code: 137, Signal: "SIGKILL", Message: "out of memory"}},
		"a child out of memory, and all well": {oom: true, want: heddle.Exit{Reason: heddle.Exited}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := container.InspectResponse{
				State:      &container.State{ExitCode: test.code, OOMKilled: test.oom, StartedAt: started, FinishedAt: ended},
				Config:     &container.Config{Labels: map[string]string{labelTimeout: test.timeout}},
				HostConfig: &container.HostConfig{Resources: container.Resources{Memory: test.memory}},
			}
			test.want.Started = time.Date(2026, 3, 1, 12, 0, 0, 5e8, time.UTC)
			test.want.Ended = time.Date(2026, 3, 1, 12, 0, 10, 5e8, time.UTC)
			if d := cmp.Diff(test.want, exitOf(c, test.end)); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func TestExitOfAProgramThatEndedBeforeItsStart(t *testing.T) {
	t.Parallel()
	exit := exitOf(container.InspectResponse{
		State:  &container.State{StartedAt: "2026-03-01T12:00:01Z", FinishedAt: "2026-03-01T12:00:00Z"},
		Config: &container.Config{},
	}, ending{})
	if !exit.Ended.Equal(exit.Started) {
		t.Errorf("started %v, ended %v", exit.Started, exit.Ended)
	}
}

func TestSkew(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	tests := map[string]struct {
		daemon string
		want   time.Duration
	}{
		"a clock ahead":       {"2026-03-01T12:01:00Z", time.Minute},
		"a clock behind":      {"2026-03-01T11:59:00Z", -time.Minute},
		"about the same time": {"2026-03-01T12:00:01Z", 0},
		"no time":             {"", 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := skew(test.daemon, now); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}
