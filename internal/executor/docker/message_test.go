package docker

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/moby/client"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/executor"
)

func TestMessagePath(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ path, mounted, copied string }{
		"none":              {"", "/dev/termination-log", "/heddle/termination-log"},
		"below /dev":        {"/dev/../dev/shm/x", "/dev/shm/x", "/heddle/termination-log"},
		"below /proc":       {"/proc/x", "/proc/x", "/heddle/termination-log"},
		"anywhere":          {"/a//b", "/a/b", "/a/b"},
		"with such a name":  {"/device", "/device", "/device"},
		"not absolute":      {"a/b", "", ""},
		"the root":          {"/", "", ""},
		"the root, in tour": {"/a/..", "", ""},
		"a directory":       {"/a/", "", ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for mounted, want := range map[bool]string{true: tc.mounted, false: tc.copied} {
				got, err := messagePath(&heddle.MessageFile{Path: tc.path}, mounted)
				if got != want || (err != nil) != (want == "") {
					t.Errorf("mounted %v: got %q, %v, want %q", mounted, got, err, want)
				}
			}
		})
	}
}

// messenger is a spec with a message file.
func (b *bench) messenger(script, path string) executor.Spec {
	spec := b.spec(script)
	spec.Work.Message = &heddle.MessageFile{Env: "MESSAGE", Path: path}
	return spec
}

// Without a directory that the daemon sees, message files are copied.
func TestCopiedMessages(t *testing.T) {
	t.Parallel()
	host := engine(t)
	const huge = `dd if=/dev/zero of="$MESSAGE" bs=1048576 count=0 seek=3072 2>/dev/null`
	tests := map[string]struct {
		script, path string
		user         string
		where        string // the value of the variable; default path
		want         string
		note         string // in the message of the executor
	}{
		"the usual place":         {script: `printf well > "$MESSAGE"`, where: "/heddle/termination-log", want: "well"},
		"another place":           {script: `printf well > /tmp/message`, path: "/tmp/message", want: "well"},
		"of another user":         {script: `printf well > /m`, path: "/m", user: "4321:4321", want: "well"},
		"a folder that is not":    {script: `printf well > "$MESSAGE"`, path: "/nonesuch/of/them/message", want: "well"},
		"a folder that is a link": {script: `printf well > "$MESSAGE"`, path: "/var/run/message", want: "well"},
		"a long one": {
			script: `head -c 5000 /dev/zero | tr '\0' a > "$MESSAGE"; printf end >> "$MESSAGE"`, path: "/m",
			want: strings.Repeat("a", executor.MaxTermination-3) + "end",
		},
		"nothing written":               {script: `true`, path: "/m"},
		"deleted":                       {script: `rm "$MESSAGE"`, path: "/m"},
		"replaced by a link":            {script: `ln -sf /etc/passwd "$MESSAGE"`, path: "/m", note: "no longer a regular file"},
		"replaced by a directory":       {script: `rm "$MESSAGE"; mkdir "$MESSAGE"`, path: "/m", note: "no longer a regular file"},
		"replaced by a pipe":            {script: `rm "$MESSAGE"; mkfifo "$MESSAGE"`, path: "/m", note: "no longer a regular file"},
		"three gigabytes":               {script: huge, path: "/m", note: "it has 3221225472 bytes"},
		"its folder replaced by a file": {script: `rm -r /x; touch /x`, path: "/x/m", note: "not a directory"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, host)
			spec := b.messenger(`echo "$MESSAGE"; `+tc.script+"; exit 3", tc.path)
			spec.Work.User = tc.user
			exit := b.exit(b.start(spec))
			b.want(exit, heddle.Exited, 3)
			if exit.Termination != tc.want || !strings.Contains(exit.Message, tc.note) || tc.note == "" && exit.Message != "" {
				t.Errorf("got message %q (%s), want %q (%s)", exit.Termination, exit.Message, tc.want, tc.note)
			}
			where := tc.where
			if where == "" {
				where = tc.path
			}
			if text := b.logs.text(spec.Attempt); !strings.HasSuffix(text, " stdout F "+where+"\n") {
				t.Errorf("got log %q, want %s", text, where)
			}
		})
	}
}

// A container that was made, and neither furnished nor started, gets its file.
func TestCopiedMessageAfterACrash(t *testing.T) {
	t.Parallel()
	b := newBench(t, engine(t))
	b.exit(b.start(b.spec("true"))) // the image is there
	spec := b.messenger(`printf well > "$MESSAGE"`, "/new/message")
	creation, err := b.exec.creation(b.exec.attempt(spec.Attempt), spec, false, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.cli().ContainerCreate(t.Context(), creation); err != nil {
		t.Fatal(err)
	}
	b.dir = t.TempDir()
	b.reopen()
	if exit := b.exit(b.start(spec)); exit.Termination != "well" {
		t.Errorf("got message %q (%s)", exit.Termination, exit.Message)
	}
}

func TestMessagePathsThatCannotBe(t *testing.T) {
	t.Parallel()
	for place, dir := range map[string]string{"mounted": t.TempDir(), "copied": ""} {
		b := newBenchIn(t, engine(t), dir)
		for _, path := range []string{"message", "/", "/etc", "/etc/passwd/a", "/etc/passwd/a/b"} {
			if message := b.refused(b.messenger("true", path)); !strings.Contains(message, path) {
				t.Errorf("%s at %s: got refusal %q", place, path, message)
			}
		}
	}
}

func TestMessageFilesGo(t *testing.T) {
	t.Parallel()
	b := newBenchIn(t, engine(t), t.TempDir())
	exists := func(id heddle.AttemptID) bool {
		_, err := os.Stat(b.exec.messageSource(id))
		return err == nil
	}
	spec := b.messenger("true", "")
	b.exit(b.start(spec))
	if !exists(spec.Attempt) {
		t.Error("it is gone before the release")
	}
	refused := b.messenger("true", "")
	refused.Work.Network = "nonesuch"
	b.refused(refused)
	if exists(refused.Attempt) {
		t.Error("it is there after a refusal")
	}
	left := b.messenger("true", "").Attempt // as if a crash came before the container
	if b.exec.makeMessage(left, &heddle.MessageFile{}) == "" {
		t.Fatal("no file")
	}
	held, err := b.exec.Held(t.Context())
	if err != nil || !slices.Contains(held, left) || !slices.Contains(held, spec.Attempt) {
		t.Errorf("held: %v, %v", held, err)
	}
	if err := b.exec.Release(t.Context(), []heddle.AttemptID{left, spec.Attempt}); err != nil {
		t.Error(err)
	}
	if exists(left) || exists(spec.Attempt) {
		t.Error("it is there after the release")
	}
}

// An engine that comes later, with other values for the secrets or none, does not
// show those that the container has.
func TestSecretsThatTheNextEngineDoesNotKnow(t *testing.T) {
	t.Parallel()
	b := newBenchIn(t, engine(t), t.TempDir())
	spec := b.messenger(`echo "$KEY, $PLAIN"; printf %s "$KEY" > "$MESSAGE"; echo "KOG:$KEY"; exit 3`, "")
	spec.Work.Env = map[string]string{"KEY": "open-sesame", "PLAIN": "plain text", "EMPTY": ""}
	spec.Mask = []string{"open-sesame", ""}
	b.exit(b.start(spec))
	c, err := b.cli().ContainerInspect(t.Context(), "heddle-"+string(spec.Attempt), client.ContainerInspectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range c.Container.Config.Labels {
		if strings.Contains(value, "sesame") {
			t.Errorf("label %s is %s", name, value)
		}
	}
	b.reopen()
	b.mu.Lock()
	delete(b.reports, spec.Attempt)
	b.mu.Unlock()
	b.adopt(heddle.Attempt{ID: spec.Attempt, Place: b.exec.Place()})
	exit := b.exit(spec.Attempt)
	b.want(exit, heddle.Exited, 3)
	if exit.Termination != "***" || string(exit.Result) != "***" {
		t.Errorf("got message %q and result %q", exit.Termination, exit.Result)
	}
	var got []string
	for line := range strings.Lines(b.logs.text(spec.Attempt)) {
		got = append(got, strings.SplitN(strings.TrimSpace(line), " ", 4)[3])
	}
	if d := cmp.Diff([]string{"***, plain text", "KOG:***"}, got); d != "" {
		t.Errorf("log (-want +got):\n%s", d)
	}
}
