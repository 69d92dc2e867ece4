package executortest

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/heddle/heddle"
)

// descendantCases are about what a program leaves behind: it ends with it.
func descendantCases() map[string]func(*kit) {
	cases := map[string]func(*kit){}
	for name, prefix := range map[string]string{
		"a child in the background ends with its parent": "",
		"a child in a session of its own ends too":       "setsid ",
		"a grandchild in a session of its own ends too":  "sh -c 'exec setsid \"$@\" & :' sh ",
		"a child that closed its output ends too":        "close ",
	} {
		cases[name] = func(k *kit) { leaves(k, prefix, "exit 3", false) }
	}
	cases["the children of a stopped program end too"] = func(k *kit) { leaves(k, "setsid ", "while :; do sleep 0.05; done", true) }
	return cases
}

// leaves runs a program that starts a stubborn child by way of prefix, and then
// does what ending says.
func leaves(k *kit, prefix, ending string, stop bool) {
	if !k.h.Descendants {
		k.Skip("programs are not processes of this machine")
	}
	redirect := ""
	if prefix == "close " {
		prefix, redirect = "", " >/dev/null 2>&1"
	}
	note := filepath.Join(k.TempDir(), "pid")
	child := `trap "" TERM HUP INT; echo $$ >` + note + `.new; mv ` + note + `.new ` + note + `; while :; do sleep 0.05; done`
	script := prefix + "/bin/sh -c '" + child + "' " + redirect + " &\n" +
		"while [ ! -e " + note + " ]; do sleep 0.01; done; " + ending
	if strings.HasPrefix(prefix, "sh -c") {
		script = strings.Replace(script, "/bin/sh -c '"+child+"'", "/bin/sh "+note+".sh", 1)
		if err := os.WriteFile(note+".sh", []byte(child), 0o600); err != nil {
			k.Fatal(err)
		}
	}
	id := k.start(k.spec(script))
	pid := k.notedPID(note)
	if stop {
		k.stop(id, 50*time.Millisecond)
		k.want(k.exit(k.T, id), heddle.Stopped, 143)
	} else {
		k.want(k.exit(k.T, id), heddle.Exited, 3)
	}
	eventually(k.T, 5*time.Second, "the end of process "+strconv.Itoa(pid), func() bool { return !alive(pid) })
}

// notedPID waits for a process ID in a file.
func (k *kit) notedPID(path string) (pid int) {
	k.Helper()
	eventually(k.T, k.h.Patience, "the child", func() bool {
		data, err := os.ReadFile(path)
		if err != nil {
			return false
		}
		pid, err = strconv.Atoi(strings.TrimSpace(string(data)))
		return err == nil
	})
	return pid
}

func alive(pid int) bool {
	p, err := os.FindProcess(pid)
	return err == nil && p.Signal(syscall.Signal(0)) == nil
}
