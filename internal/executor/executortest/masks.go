package executortest

import (
	"slices"
	"strings"

	"github.com/google/go-cmp/cmp"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/executor"
)

// secret is the value that no executor may show.
const secret = "open-sesame"

// Scripts that give the secret away.
const (
	scriptSecret       = "echo 'the key is open-sesame.'"
	scriptSecretResult = `echo 'KOG:{"key":"open-sesame"}'`
	scriptSecretPolite = `echo open-sesame; trap 'echo open-sesame; exit 5' TERM; echo ready; while :; do sleep 0.05; done`
	scriptSecretLeft   = `printf 'the key is open-sesame' > "$MESSAGE"; exit 7`
)

// maskCases are about the values of secrets, which are not to be seen in what comes
// of an attempt.
func maskCases() map[string]func(*kit) {
	printed := func(script string, want map[string][]string) func(*kit) {
		return func(k *kit) {
			spec := k.keeper(script)
			k.run(spec)
			if k.h.MixedStreams {
				want = map[string][]string{"stdout": append(want["stdout"], want["stderr"]...)}
			}
			if d := cmp.Diff(want, k.lines(spec.Attempt)); d != "" {
				k.Errorf("(-want +got):\n%s", d)
			}
		}
	}
	stdout := func(lines ...string) map[string][]string { return map[string][]string{"stdout": lines} }
	long := strings.Repeat("x", 16380)
	return map[string]func(*kit){
		"a secret in the output":                printed(scriptSecret, stdout("the key is ***.")),
		"a secret on standard error":            printed("echo open-sesame >&2", map[string][]string{"stderr": {"***"}}),
		"a secret in two writes":                printed("printf 'an open-se'; sleep 0.2; echo same door", stdout("an *** door")),
		"a secret across parts of a long line":  printed("printf "+long+"; echo open-sesame-", stdout(long+"***-")),
		"a secret in base64":                    printed("echo b3Blbi1zZXNhbWU=", stdout("***")),
		"a secret of several lines":             printed("echo a; echo first line; echo second line; echo z", stdout("a", "***", "z")),
		"a line of a secret of several lines":   printed("echo second line, first line", stdout("***, ***")),
		"a secret that is too short is let out": printed("echo abc", stdout("abc")),
		"a secret in the result line": func(k *kit) {
			if exit := k.run(k.keeper(scriptSecretResult)); string(exit.Result) != `{"key":"***"}` {
				k.Errorf("got result %q", exit.Result)
			}
		},
		"a secret in the message": func(k *kit) {
			spec := k.keeper(scriptSecretLeft)
			spec.Work.Message = &heddle.MessageFile{Env: "MESSAGE"}
			k.wantMessage(k.run(spec), heddle.Exited, 7, "the key is ***")
		},
		"a secret in a refusal":           secretInRefusal,
		"a secret that the next one sees": secretAfterRestart,
	}
}

// keeper is a spec with secrets.
func (k *kit) keeper(script string) executor.Spec {
	k.Helper()
	spec := k.spec(script)
	spec.Mask = []string{secret, "first line\nsecond line", "abc"}
	return spec
}

func secretInRefusal(k *kit) {
	spec := k.keeper(scriptWell)
	spec.Work = k.h.Unknown
	name := spec.Work.Command[len(spec.Work.Command)-1]
	spec.Mask = []string{name}
	err := k.exec.Start(k.ctx, spec)
	message, refused := executor.Refused(err)
	if !refused {
		if err != nil {
			k.Fatalf("got error %v, want a refusal", err)
		}
		k.Cleanup(func() { k.letGo(spec.Attempt) })
		message = k.exit(k.T, spec.Attempt).Message
	}
	if message == "" || strings.Contains(message, name) {
		k.Errorf("got message %q", message)
	}
}

// secretAfterRestart is about executors that read output again.
func secretAfterRestart(k *kit) {
	id := k.start(k.keeper(scriptSecretPolite))
	k.await(id, "ready")
	next := k.restart(id)
	k.stop(id, k.h.Patience)
	k.want(next.exit(k.T, id), heddle.Stopped, 5)
	got := k.lines(id)["stdout"]
	if d := cmp.Diff([]string{"***", "ready", "***"}, got); d != "" || slices.Contains(got, secret) {
		k.Errorf("(-want +got):\n%s", d)
	}
}
