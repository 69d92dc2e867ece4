package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// tmpfs mounts a file system in memory, which needs root.
func tmpfs(t *testing.T, options string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "hd")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		t.Skipf("left out: mounting a file system of its own: %v (it needs root)", err)
	}
	// Lazily: a supervisor stays for some seconds.
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

func TestReadOnlyDataDirectory(t *testing.T) {
	t.Parallel()
	dir, work := tmpfs(t, "size=1m"), t.TempDir()
	if err := os.WriteFile(filepath.Join(work, "job.yaml"), []byte(oneStep), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"heddle run -f job.yaml --use-job-rc=false", "heddle runs list", "heddle runs resume", "heddle doctor"} {
		stdout, stderr, exit := shell(t, work, filepath.Join(dir, "d"), command)
		if all := string(stdout) + string(stderr); exit != 125 || !strings.Contains(all, "read-only file system") || !strings.Contains(all, dir) {
			t.Errorf("%s: exit code %d\n%s", command, exit, all)
		}
	}
}

// TestFullDisk fills the disk while a step runs: the run waits for room, another is
// refused, and after a kill the run is finished once there is room.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	dir, work := tmpfs(t, "size=1m"), t.TempDir()
	data, in := filepath.Join(dir, "d"), func(name string) string { return filepath.Join(work, name) }
	for name, text := range map[string]string{"job.yaml": oneStep, "long.yaml": `name: long
actions:
  a:
    command: |
      touch started
      until test -e go; do sleep 0.02; done
      echo 'KOG:{"result":"success"}'
  b: {command: "echo 'KOG:{\"result\":\"success\",\"message\":\"all of it\"}'"}
workflows: {run: {start: {action: a, success: next}, next: {action: b}}}
`} {
		if err := os.WriteFile(in(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	log, err := os.Create(in("log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.CommandContext(t.Context(), "heddle", "run", "-f", "long.yaml", "--data-dir", data)
	cmd.Dir, cmd.Stdout, cmd.Stderr = work, log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the step to start", func() bool { _, err := os.Stat(in("started")); return err == nil })
	fill(t, filepath.Join(dir, "fill"))
	if err := os.WriteFile(in("go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the run to say that the disk is full", func() bool {
		text, err := os.ReadFile(in("log"))
		return err == nil && strings.Contains(string(text), "no space is left")
	})
	if _, stderr, exit := shell(t, work, data, "heddle run -f job.yaml"); exit != 125 || !strings.Contains(string(stderr), "no space") {
		t.Errorf("another run: exit code %d\n%s", exit, stderr)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = cmd.Wait() // it was killed
	if err := os.Remove(filepath.Join(dir, "fill")); err != nil {
		t.Fatal(err)
	}
	stdout, stderr, exit := shell(t, work, data, "heddle runs resume")
	if exit != 0 || !strings.Contains(string(stdout), `"status":"success","message":"all of it"`) {
		t.Errorf("resume: exit code %d\n%s%s", exit, stdout, stderr)
	}
}

// fill writes a file until there is no room.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
}

// eventually waits until it is so.
func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !so(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited too long for %s", what)
		}
	}
}
