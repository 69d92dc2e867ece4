package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/heddle/heddle"
)

// outbox keeps in memory what a store keeps.
type outbox struct {
	mu        sync.Mutex
	notices   []heddle.Notice
	batches   int // calls of Delivered
	postponed int
}

func (o *outbox) Pending(_ context.Context, runs []heddle.RunID) ([]heddle.Notice, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	var out []heddle.Notice
	for _, n := range o.notices {
		if len(runs) == 0 || slices.Contains(runs, n.Run) {
			out = append(out, n)
		}
	}
	return out, nil
}

func (o *outbox) Delivered(_ context.Context, notices []heddle.Notice) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.batches++
	o.notices = slices.DeleteFunc(o.notices, func(n heddle.Notice) bool {
		return slices.ContainsFunc(notices, func(d heddle.Notice) bool { return d.ID == n.ID && d.Run == n.Run })
	})
	return nil
}

func (o *outbox) Postponed(_ context.Context, notices []heddle.Notice) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, p := range notices {
		o.postponed++
		for i, n := range o.notices {
			if n.ID == p.ID && n.Run == p.Run {
				o.notices[i] = p
			}
		}
	}
	return nil
}

func (o *outbox) left() []heddle.Notice {
	left, _ := o.Pending(context.Background(), nil)
	return left
}

func (o *outbox) add(run, target, step string) heddle.Notice {
	o.mu.Lock()
	defer o.mu.Unlock()
	body, _ := json.Marshal(heddle.NoticeBody{
		Task: "the task", Workflow: "run", Step: step, Action: "a", Status: "running",
		CorrelationID: "c1", Context: json.RawMessage(`{"n":1}`),
	})
	n := heddle.Notice{
		ID: fmt.Sprintf("%d-0", len(o.notices)+1), Run: heddle.RunID(run), Target: target,
		Event: heddle.NoticeStepStarted, Body: body,
	}
	o.notices = append(o.notices, n)
	return n
}

func setup(o *outbox, console io.Writer) *Notifier {
	return New(Options{
		Outbox: o, Console: console, Tries: 4,
		Flow: func(context.Context, heddle.RunID) (*heddle.Flow, error) {
			return &heddle.Flow{Name: "the task", Source: json.RawMessage(`{"name":"the task","workflows":{"run":{}},"context":{"old":true}}`)}, nil
		},
		Backoff: func(int) time.Duration { return 2 * time.Millisecond },
	})
}

// receiver is a server that answers with the statuses given, then 200, and keeps the steps told.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	steps  []string
	bodies []string
}

func serve(t *testing.T, statuses ...int) *receiver {
	t.Helper()
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		data, _ := io.ReadAll(req.Body)
		r.mu.Lock()
		defer r.mu.Unlock()
		if req.Method != http.MethodPost || req.Header.Get("Content-Type") != "application/json" {
			t.Errorf("got %s with content type %q", req.Method, req.Header.Get("Content-Type"))
		}
		status := http.StatusOK
		if len(statuses) > 0 {
			status, statuses = statuses[0], statuses[1:]
		}
		if status/100 == 2 {
			var doc struct {
				Step string `json:"current_step"`
			}
			_ = json.Unmarshal(data, &doc)
			r.steps = append(r.steps, doc.Step)
			r.bodies = append(r.bodies, string(data))
		}
		w.WriteHeader(status)
	}))
	t.Cleanup(r.Close)
	return r
}

func TestConsoleLineIsKogs(t *testing.T) {
	t.Parallel()
	o, console := &outbox{}, &strings.Builder{}
	n := setup(o, console)
	n.Tell([]heddle.Notice{o.add("r1", heddle.NoticeConsole, "start")})
	n.Tell([]heddle.Notice{o.add("r1", heddle.NoticeConsole, "a step")})
	if err := n.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := `notify task_name="the task" workflow=run step=start action=a status=running correlation_id=c1 run_id=r1` + "\n" +
		`notify task_name="the task" workflow=run step="a step" action=a status=running correlation_id=c1 run_id=r1` + "\n"
	if diff := cmp.Diff(want, console.String()); diff != "" {
		t.Error(diff)
	}
	if left := o.left(); len(left) != 0 {
		t.Errorf("left in the outbox: %v", left)
	}
	if status, message := n.Result("r1"); status != "success" || message != "" {
		t.Errorf("result %q %q", status, message)
	}
	if status, message := n.Result("r2"); status != "" || message != "" {
		t.Errorf("result of a run without notices: %q %q", status, message)
	}
}

func TestDelivery(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		statuses    []int
		wantSteps   []string
		wantStatus  string
		wantMessage string
		wantPutOff  int
	}{
		"in order and removed": {
			wantSteps: []string{"one", "two", "three"}, wantStatus: "success",
		},
		"a server that fails at first is tried again, and the order stays": {
			statuses:  []int{500, 503, 200},
			wantSteps: []string{"one", "two", "three"}, wantStatus: "success", wantPutOff: 2,
		},
		"given up after the last try, and the next one goes on": {
			statuses:  []int{500, 500, 500, 500},
			wantSteps: []string{"two", "three"}, wantStatus: "failure", wantMessage: "answered 500", wantPutOff: 3,
		},
		"given up at once when the request is at fault": {
			statuses:  []int{404},
			wantSteps: []string{"two", "three"}, wantStatus: "failure", wantMessage: "answered 404",
		},
		"a redirect is not followed, and is no better the next time": {
			statuses:  []int{302},
			wantSteps: []string{"two", "three"}, wantStatus: "failure", wantMessage: "answered 302",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv, o := serve(t, tc.statuses...), &outbox{}
			n := setup(o, nil)
			url := srv.URL + "/secret?token=hidden"
			n.Tell([]heddle.Notice{o.add("r1", url, "one"), o.add("r1", url, "two"), o.add("r1", url, "three")})
			if err := n.Drain(t.Context()); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.wantSteps, srv.steps); diff != "" {
				t.Error(diff)
			}
			status, message := n.Result("r1")
			if status != tc.wantStatus || !strings.Contains(message, tc.wantMessage) || strings.Contains(message, "hidden") {
				t.Errorf("result %q %q", status, message)
			}
			if left := o.left(); len(left) != 0 || o.postponed != tc.wantPutOff {
				t.Errorf("left %d, put off %d times, want %d", len(left), o.postponed, tc.wantPutOff)
			}
		})
	}
}

func TestBodyIsTheJobDocumentAsItStands(t *testing.T) {
	t.Parallel()
	srv, o := serve(t), &outbox{}
	n := setup(o, nil)
	n.Tell([]heddle.Notice{o.add("r1", srv.URL, "one")})
	if err := n.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := []string{`{"context":{"n":1},"correlation_id":"c1","current_step":"one","current_workflow":"run","name":"the task","status":"running","workflows":{"run":{}}}`}
	if diff := cmp.Diff(want, srv.bodies); diff != "" {
		t.Error(diff)
	}
}

func TestRefusedNoticeStaysInTheOutbox(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	url := "http://" + listener.Addr().String()
	listener.Close()

	o := &outbox{}
	n := setup(o, nil)
	n.opts.Tries = 1 << 30
	n.Tell([]heddle.Notice{o.add("r1", url, "one")})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := n.Drain(ctx); heddle.CodeOf(err) != heddle.CodeUnavailable {
		t.Errorf("drain gave %v", err)
	}
	if status, message := n.Result("r1"); status != "failure" || !strings.Contains(message, "refused") {
		t.Errorf("result %q %q", status, message)
	}
	left := o.left()
	if len(left) != 1 || left[0].Tries == 0 || left[0].Due.IsZero() {
		t.Errorf("left in the outbox: %+v", left)
	}

	// Another process takes it up and delivers it.
	srv := serve(t)
	o.notices[0].Target = srv.URL
	later := setup(o, nil)
	if err := errors.Join(later.Recover(t.Context(), "r1"), later.Recover(t.Context()), later.Drain(t.Context())); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"one"}, srv.steps); diff != "" {
		t.Error(diff)
	}
}

func TestHangingTargetHoldsUpNobodyElse(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	hanging := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer hanging.Close()
	defer close(release)
	srv, o := serve(t), &outbox{}
	n := setup(o, nil)
	n.Tell([]heddle.Notice{o.add("r1", hanging.URL, "one"), o.add("r1", srv.URL, "one"), o.add("r2", srv.URL, "two")})
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := n.Drain(ctx); err == nil {
		t.Error("drained although a target hangs")
	}
	slices.Sort(srv.steps)
	if diff := cmp.Diff([]string{"one", "two"}, srv.steps); diff != "" {
		t.Error(diff)
	}
	if status, message := n.Result("r1"); status != "failure" || message != "not delivered in time" {
		t.Errorf("result of r1: %q %q", status, message)
	}
	if status, _ := n.Result("r2"); status != "success" {
		t.Errorf("result of r2: %q", status)
	}
	n.Tell([]heddle.Notice{o.add("r2", srv.URL, "three")})
	if left := o.left(); len(left) != 2 {
		t.Errorf("left in the outbox: %+v", left)
	}
}

func TestDeliveredNoticesAreRemovedInBatches(t *testing.T) {
	t.Parallel()
	o := &outbox{}
	n := setup(o, io.Discard)
	var notices []heddle.Notice
	for range 500 {
		notices = append(notices, o.add("r1", heddle.NoticeConsole, "s"))
	}
	n.Tell(notices)
	if err := n.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := o.left(); len(left) != 0 || o.batches > 5 {
		t.Errorf("%d left, removed in %d batches", len(left), o.batches)
	}
}

func TestResultsAreBounded(t *testing.T) {
	t.Parallel()
	o := &outbox{}
	n := setup(o, io.Discard)
	for i := range keepResults + 50 {
		n.Tell([]heddle.Notice{o.add(fmt.Sprintf("r%d", i), heddle.NoticeConsole, "s")})
	}
	if err := n.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(n.results) != keepResults || len(n.order) != keepResults {
		t.Errorf("%d results, %d in order", len(n.results), len(n.order))
	}
}

func TestBodyIsKogsJobObject(t *testing.T) {
	t.Parallel()
	source := `{"name":"j","actions":{"a":{"version":1.10,"env":{"N":15,"B":true,"T":"x"},"requirements":{"env":["T"]}}},` +
		`"workflows":{"run":{"start":{"action":"a","duration":90}}}}`
	body, err := document(&heddle.Flow{Kind: heddle.KindJob, Source: json.RawMessage(source)}, heddle.NoticeBody{
		Task: "j", Workflow: "run", Step: "start", Status: "running", CorrelationID: "c", Context: json.RawMessage(`{"n":1.50}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"actions":{"a":{"env":{"B":"true","N":"15","T":"x"},"requirements":{"env":["T"]},"version":"1.10"}},"context":{"n":1.50},` +
		`"correlation_id":"c","current_step":"start","current_workflow":"run","description":"","name":"j","status":"running",` +
		`"stop_on_failure":false,"workflows":{"run":{"start":{"action":"a","duration":"90"}}}}`
	if diff := cmp.Diff(want, string(body)); diff != "" {
		t.Error(diff)
	}
}
