package docker

import (
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A daemon elsewhere does not see our files. This one sees those of its own
// process where we see those of ours.
func TestDaemonThatDoesNotSeeFiles(t *testing.T) {
	t.Parallel()
	host := engine(t)
	dir := t.TempDir()
	fd, err := unix.Open(dir, unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	high, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 900)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Close(fd); err != nil {
			t.Error(err)
		}
		if err := unix.Close(high); err != nil {
			t.Error(err)
		}
	})
	b := newBenchIn(t, host, fmt.Sprintf("/proc/self/fd/%d", high))
	for range 2 {
		spec := b.messenger(`printf well > "$MESSAGE"; echo "$MESSAGE"`, "")
		exit := b.exit(b.start(spec))
		if text := b.logs.text(spec.Attempt); exit.Termination != "well" || !strings.HasSuffix(text, " /heddle/termination-log\n") {
			t.Errorf("got message %q (%s) and log %q", exit.Termination, exit.Message, text)
		}
		if !b.exec.apart.Load() {
			t.Error("it was not found out")
		}
	}
	held, err := b.exec.heldMessages()
	if len(held) > 0 || err != nil {
		t.Errorf("files were left behind: %v, %v", held, err)
	}
}
