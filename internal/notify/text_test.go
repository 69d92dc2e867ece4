package notify

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/heddle/heddle"
)

func ended(t *testing.T, target string) heddle.Notice {
	t.Helper()
	body, err := json.Marshal(heddle.NoticeBody{
		Task: "nightly", Status: "failure", Message: "load: exit code 3", Seconds: 61.5,
	})
	if err != nil {
		t.Fatal(err)
	}
	return heddle.Notice{ID: "end-00", Run: "r1", Target: target, Event: heddle.NoticeRunEnded, Body: body, Due: time.Now()}
}

// chat is a server that speaks ntfy's protocol as far as a message needs it.
type chat struct {
	*httptest.Server
	titles, texts []string
	answer        int
}

func newChat(t *testing.T, answer int) *chat {
	c := &chat{answer: answer}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		c.titles, c.texts = append(c.titles, r.Header.Get("Title")), append(c.texts, string(text))
		w.WriteHeader(c.answer)
		_, _ = io.WriteString(w, "{}")
	}))
	t.Cleanup(c.Close)
	return c
}

func (c *chat) url() string {
	return "ntfy://:s3cretpass@" + strings.TrimPrefix(c.URL, "http://") + "/alerts?scheme=http"
}

func TestPeopleAreToldOfTheEndOfARun(t *testing.T) {
	t.Parallel()
	c := newChat(t, http.StatusOK)
	for name, target := range map[string]string{"by URL": c.url(), "by a variable": "env:CHAT"} {
		n := New(Options{Outbox: &outbox{}, Lookup: func(name string) (string, bool) { return c.url(), name == "CHAT" }})
		n.Tell([]heddle.Notice{ended(t, target)})
		if err := n.Drain(t.Context()); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if status, message := n.Result("r1"); status != "success" {
			t.Errorf("%s: %s (%s)", name, status, message)
		}
	}
	if len(c.texts) != 2 {
		t.Fatalf("the server was told %d times, want 2", len(c.texts))
	}
	for i := range c.texts {
		if got, want := c.titles[i], "nightly: failure"; got != want {
			t.Errorf("title %q, want %q", got, want)
		}
		if got, want := c.texts[i], "nightly ended with failure after 1m1.5s. Run r1: load: exit code 3"; got != want {
			t.Errorf("text %q, want %q", got, want)
		}
	}
}

func TestErrorsOfPeoplesPlacesTellNoTokens(t *testing.T) {
	t.Parallel()
	c := newChat(t, http.StatusTeapot)
	for name, target := range map[string]string{
		"a server that refuses":        c.url(),
		"nobody there":                 "ntfy://:s3cretpass@127.0.0.1:1/alerts?scheme=http",
		"a URL that cannot be used":    "slack://s3cretpass@no",
		"a service that is not known":  "pigeon://s3cretpass@roof",
		"a variable that holds no URL": "env:CHAT",
	} {
		n := New(Options{
			Outbox: &outbox{}, Tries: 1,
			Lookup: func(string) (string, bool) { return "https://s3cretpass.example/", true },
		})
		n.Tell([]heddle.Notice{ended(t, target)})
		_ = n.Drain(t.Context())
		status, message := n.Result("r1")
		if status != "failure" || message == "" {
			t.Errorf("%s: %q %q, want a failure with a message", name, status, message)
		}
		if strings.Contains(message, "s3cretpass") {
			t.Errorf("%s: the message tells the token: %s", name, message)
		}
		t.Log(message)
	}
}

func TestCheckTarget(t *testing.T) {
	t.Parallel()
	lookup := func(name string) (string, bool) {
		v, ok := map[string]string{"CHAT": "ntfy://127.0.0.1/x", "HOOK": "https://127.0.0.1/x", "LOOP": "env:LOOP"}[name]
		return v, ok
	}
	for target, want := range map[string]string{
		"console":              "",
		"http://127.0.0.1/x":   "",
		"ntfy://127.0.0.1/x":   "",
		"generic://127.0.0.1/": "",
		"env:CHAT":             "",
		"https:x":              "names no host",
		"mail":                 "neither console",
		"pigeon://roof":        "neither console",
		"env:NONE":             "is not set",
		"env:HOOK":             "holds no URL of a chat",
		"env:LOOP":             "holds no URL of a chat",
	} {
		err := CheckTarget(target, lookup)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", target, err, want)
		}
	}
}
