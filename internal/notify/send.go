package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/heddle/heddle"
)

// rejected is the error of a request that will never be accepted.
type rejected struct{ reason string }

func (r *rejected) Error() string { return r.reason }

// send makes one try.
func (n *Notifier) send(ctx context.Context, notice heddle.Notice) error {
	var body heddle.NoticeBody
	if err := json.Unmarshal(notice.Body, &body); err != nil {
		return fmt.Errorf("notice %s has no readable body: %w", notice.ID, err)
	}
	if notice.Event == heddle.NoticeRunEnded {
		return n.sendText(ctx, notice, body)
	}
	if notice.Target == heddle.NoticeConsole {
		n.console.Lock()
		defer n.console.Unlock()
		_, err := io.WriteString(n.opts.Console, consoleLine(notice.Run, body))
		return err
	}
	flow, err := n.opts.Flow(ctx, notice.Run)
	if err != nil {
		return fmt.Errorf("reading the flow of run %s: %w", notice.Run, err)
	}
	data, err := document(flow, body)
	if err != nil {
		return err
	}
	return n.post(ctx, notice.Target, data)
}

// consoleLine is kog's line for a step that starts.
func consoleLine(run heddle.RunID, b heddle.NoticeBody) string {
	return fmt.Sprintf("notify task_name=%s workflow=%s step=%s action=%s status=%s correlation_id=%s run_id=%s\n",
		strconv.Quote(b.Task), word(b.Workflow), word(b.Step), word(b.Action), word(b.Status), word(b.CorrelationID), word(string(run)))
}

// word quotes a value as logfmt does: only where it would be read wrongly without.
func word(s string) string {
	plain := func(r rune) bool { return r > ' ' && r != '"' && r != '=' && r != '\\' && strconv.IsPrint(r) }
	if strings.TrimFunc(s, plain) == "" {
		return s
	}
	return strconv.Quote(s)
}

// document is the body of a request: the job document as it stands for the step
// that is about to run (kog sends its job object).
func document(flow *heddle.Flow, b heddle.NoticeBody) ([]byte, error) {
	doc := make(map[string]any)
	if len(flow.Source) > 0 {
		decoder := json.NewDecoder(bytes.NewReader(flow.Source))
		decoder.UseNumber()
		if err := decoder.Decode(&doc); err != nil {
			return nil, fmt.Errorf("the document of %q is no JSON object: %w", flow.Name, err)
		}
	}
	if flow.Kind == heddle.KindJob {
		complete(doc)
	}
	doc["name"] = b.Task
	doc["current_workflow"] = b.Workflow
	doc["current_step"] = b.Step
	doc["status"] = b.Status
	doc["correlation_id"] = b.CorrelationID
	if len(b.Context) > 0 {
		doc["context"] = b.Context
	}
	return json.Marshal(doc)
}

// complete gives a job file the form of kog's job object: no key that it may leave
// out is missing, and what is text is text, also where the file has a number
// (version: 1.10).
func complete(job map[string]any) {
	for key, value := range map[string]any{
		"description": "", "stop_on_failure": false, "actions": map[string]any{}, "context": map[string]any{},
	} {
		if job[key] == nil {
			job[key] = value
		}
	}
	textual(job, "description")
	for _, action := range children(job["actions"]) {
		textual(action, "image", "version")
		if env, ok := action["env"].(map[string]any); ok {
			textual(env, slices.Collect(maps.Keys(env))...)
		}
	}
	for _, workflow := range children(job["workflows"]) {
		for _, step := range children(workflow) {
			textual(step, "action", "success", "failure", "abort", "timeout", "duration")
		}
	}
}

// children are the objects in an object.
func children(of any) []map[string]any {
	object, _ := of.(map[string]any)
	var found []map[string]any
	for _, value := range object {
		if child, ok := value.(map[string]any); ok {
			found = append(found, child)
		}
	}
	return found
}

// textual turns the named values into text where they are numbers or booleans.
func textual(object map[string]any, names ...string) {
	for _, name := range names {
		switch value := object[name].(type) {
		case json.Number:
			object[name] = value.String()
		case bool:
			object[name] = strconv.FormatBool(value)
		}
	}
}

// post sends one request. Its errors name the host only: a path or query may be a secret.
func (n *Notifier) post(ctx context.Context, target string, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, postLimit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		return &rejected{"the notifier is not a usable URL"}
	}
	req.Header.Set("Content-Type", "application/json")
	place := req.URL.Scheme + "://" + req.URL.Host
	resp, err := n.opts.HTTP.Do(req)
	if err != nil {
		if wrapped, ok := errors.AsType[*url.Error](err); ok {
			err = wrapped.Err
		}
		return fmt.Errorf("posting to %s: %w", place, err)
	}
	defer resp.Body.Close()
	// Read to the end, within reason, so that the connection can be used again.
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10)
	if resp.StatusCode/100 == 2 {
		return nil
	}
	err = fmt.Errorf("the server answered %s", resp.Status)
	// A redirect would be the same the next time: it is not followed.
	if class := resp.StatusCode / 100; (class == 3 || class == 4) && resp.StatusCode != http.StatusRequestTimeout &&
		resp.StatusCode != http.StatusTooEarly && resp.StatusCode != http.StatusTooManyRequests {
		err = &rejected{err.Error()}
	}
	return fmt.Errorf("posting to %s: %w", place, err)
}
