package executortest

import (
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/executor"
)

// Scripts that leave a message.
const (
	scriptMessage  = `printf 'left behind' > "$MESSAGE"; exit 7`
	scriptWords    = `printf early > "$MESSAGE"; trap 'printf late > "$MESSAGE"; exit 5' TERM; echo ready; while :; do sleep 0.05; done`
	scriptLastWord = `printf early > "$MESSAGE"; trap '' TERM; echo ready; while :; do sleep 0.05; done`
)

// messageCases are about the file in which a program may leave a text.
func messageCases() map[string]func(*kit) {
	message := func(script, want string) func(*kit) {
		return func(k *kit) {
			exit := k.run(k.messenger(script))
			if got := exit.Termination; got != want {
				k.Errorf("got %d bytes of message %.100q, want %d, %.100q", len(got), got, len(want), want)
			}
			if cut := len(want) >= executor.MaxTermination; cut != (exit.TerminationFault != "") {
				k.Errorf("of a message of %d bytes the fault is %q", len(want), exit.TerminationFault)
			}
		}
	}
	long := "head -c 5000 /dev/zero | tr '\\0' a > \"$MESSAGE\"; printf end >> \"$MESSAGE\""
	return map[string]func(*kit){
		"a message of a program that fails": message(scriptMessage, "left behind"),
		"no message":                        message(scriptSeven, ""),
		"a message in pieces":               message("echo one > \"$MESSAGE\"; sleep 0.1; echo two >> \"$MESSAGE\"", "one\ntwo\n"),
		"of a long message the end counts":  message(long, strings.Repeat("a", executor.MaxTermination-3)+"end"),
		"a message that is not UTF-8":       message(`printf 'a\377b' > "$MESSAGE"`, "a\uFFFDb"),
		"a message of three gigabytes":      hugeMessage,
		"a message of another user": func(k *kit) {
			spec := k.messenger(scriptMessage)
			spec.Work.User = "4321:4321"
			k.wantMessage(k.run(spec), heddle.Exited, 7, "left behind")
		},
		"a message of a program that a signal ends": func(k *kit) {
			if !k.h.Signals {
				k.Skip("signals are not seen")
			}
			k.wantMessage(k.run(k.messenger(`printf early > "$MESSAGE"; kill -KILL $$`)), heddle.Exited, 137, "early")
		},
		"a message of a program that runs out of time": func(k *kit) {
			spec := k.messenger(scriptWords)
			spec.Timeout = time.Second
			k.wantMessage(k.run(spec), heddle.TimedOut, 5, "late")
		},
		"a message of a program that is killed": func(k *kit) {
			id := k.start(k.messenger(scriptLastWord))
			k.await(id, "ready")
			k.stop(id, 100*time.Millisecond)
			k.wantMessage(k.exit(k.T, id), heddle.Stopped, 137, "early")
		},
		"a message to the next engine": func(k *kit) {
			id := k.start(k.messenger(scriptWords))
			k.await(id, "ready")
			next := k.restart(id)
			k.stop(id, k.h.Patience)
			k.wantMessage(next.exit(k.T, id), heddle.Stopped, 5, "late")
		},
		"a message is told again": func(k *kit) {
			spec := k.messenger(scriptMessage)
			first := k.run(spec)
			if d := cmp.Diff(first, k.restart(spec.Attempt).exit(k.T, spec.Attempt)); d != "" {
				k.Errorf("(-first +again):\n%s", d)
			}
		},
		"a link in place of the file is not followed":   func(k *kit) { replaced(k, `ln -s /etc/passwd "$MESSAGE"`) },
		"a directory in place of the file does no harm": func(k *kit) { replaced(k, `mkdir "$MESSAGE"`) },
		"a pipe in place of the file does no harm":      func(k *kit) { replaced(k, `mkfifo "$MESSAGE"`) },
		"the usual place of the message file":           func(k *kit) { messageAt(k, "/dev/termination-log", "") },
		"another place of the message file":             func(k *kit) { messageAt(k, "/tmp/message", "/tmp/message") },
		"a folder that does not exist":                  func(k *kit) { messageAt(k, "/nonesuch/of/them/message", "/nonesuch/of/them/message") },
		"held until released, with a message": func(k *kit) {
			heldUntilReleased(k, k.messenger(scriptMessage))
		},
	}
}

// messenger is a spec with a message file.
func (k *kit) messenger(script string) executor.Spec {
	k.Helper()
	spec := k.spec(script)
	spec.Work.Message = &heddle.MessageFile{Env: "MESSAGE"}
	return spec
}

func (k *kit) wantMessage(exit heddle.Exit, reason heddle.ExitReason, code int, message string) {
	k.Helper()
	k.want(exit, reason, code)
	if exit.Termination != message {
		k.Errorf("got message %q, want %q", exit.Termination, message)
	}
}

// hugeMessage leaves a file with a hole: no executor may read all of it.
func hugeMessage(k *kit) {
	exit := k.run(k.messenger(`dd if=/dev/zero of="$MESSAGE" bs=1048576 count=0 seek=3072 2>/dev/null && printf end >> "$MESSAGE"; exit 3`))
	k.want(exit, heddle.Exited, 3)
	if !strings.HasSuffix(exit.Termination, "\x00end") || len(exit.Termination) > executor.MaxTermination || exit.TerminationFault == "" {
		k.Errorf("got a message of %d bytes, with the fault %q", len(exit.Termination), exit.TerminationFault)
	}
}

// replaced runs a program that puts something else in the place of its message
// file, where it is able to.
func replaced(k *kit, script string) {
	exit := k.run(k.messenger(`{ rm -f "$MESSAGE" && ` + script + `; } 2>/dev/null; exit 3`))
	k.want(exit, heddle.Exited, 3)
	if exit.Termination != "" {
		k.Errorf("got message %.100q", exit.Termination)
	}
}

// messageAt runs a program that knows where its message file is without being told.
func messageAt(k *kit, where, path string) {
	if !k.h.MessagePath {
		k.Skip("the place of the message file cannot be chosen")
	}
	spec := k.messenger(`printf well > ` + where + `; echo "$MESSAGE"`)
	spec.Work.Message.Path = path
	if got := k.run(spec).Termination; got != "well" {
		k.Errorf("got message %q", got)
	}
	if d := cmp.Diff([]string{where}, k.lines(spec.Attempt)["stdout"]); d != "" {
		k.Errorf("the variable's value (-want +got):\n%s", d)
	}
}
