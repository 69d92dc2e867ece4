package machine

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"strings"

	"github.com/heddle/heddle"
)

// maxResults is how many of the latest results a context carries.
const maxResults = 100

// maxEnvString is what Linux takes as one environment string, NUL included
// (MAX_ARG_STRLEN).
const maxEnvString = 128 << 10

// resultsKey holds the step history in a context (kog's DecodeStepResults reads it).
const resultsKey = "step_results"

// reservedKeys are set before every step and ignored in what a step returns.
func reservedKeys() []string {
	return []string{"task_name", "step_name", "action_name", "run_id", "correlation_id", resultsKey}
}

// fold is a context as it stands at the end of a path. It is never changed:
// merging copies what differs and shares the rest.
type fold struct {
	data    map[string]any
	results []stepResult
}

// stepResult is an entry of the step history, its keys in the order of the alphabet
// as all of a context's are.
type stepResult struct {
	Action  string         `json:"action_name"`
	Message string         `json:"message"`
	RC      int            `json:"rc"`
	Result  heddle.Outcome `json:"result"`
	Step    string         `json:"step_name"`
}

func decodeObject(text json.RawMessage) (map[string]any, error) {
	if len(bytes.TrimSpace(text)) == 0 {
		return map[string]any{}, nil
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var object map[string]any
	if err := dec.Decode(&object); err != nil {
		return nil, fmt.Errorf("decoding a context: %w", err)
	}
	return object, nil
}

// then is the context after a visit of the step has settled.
func (f *fold) then(step *heddle.Step, v *heddle.Visit) (*fold, error) {
	results := f.results[max(0, len(f.results)-maxResults+1):]
	next := &fold{data: f.data, results: append(results[:len(results):len(results)], stepResult{
		Result: v.Outcome, RC: v.Code, Message: v.Message, Step: step.Name, Action: step.Action,
	})}
	if len(v.Output) == 0 {
		return next, nil
	}
	changed, err := decodeObject(v.Output)
	if err != nil {
		return nil, err
	}
	next.data = heddle.MergeContext(f.data, changed)
	return next, nil
}

// returned drops the reserved keys from what a step returned; nil if nothing is left.
func returned(text json.RawMessage) (json.RawMessage, error) {
	if len(text) == 0 {
		return nil, nil
	}
	object, err := decodeObject(text)
	if err != nil {
		return nil, err
	}
	for _, key := range reservedKeys() {
		delete(object, key)
	}
	if len(object) == 0 {
		return nil, nil
	}
	return encode(object)
}

func encode(v any) (json.RawMessage, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("encoding a context: %w", err)
	}
	return bytes.TrimRight(buf.Bytes(), "\n"), nil
}

// text is the JSON that the step receives: compact, keys sorted.
func (f *fold) text(run *heddle.Run, step *heddle.Step) (json.RawMessage, error) {
	object := maps.Clone(f.data)
	object["task_name"] = run.Name
	object["step_name"] = step.Name
	object["action_name"] = step.Action
	object["run_id"] = string(run.ID)
	object["correlation_id"] = run.Input.CorrelationID
	delete(object, resultsKey)
	if len(f.results) > 0 {
		object[resultsKey] = f.results
	}
	return encode(object)
}

// lookup follows a dotted path; a value that is null counts as missing.
func lookup(object any, path string) bool {
	for _, part := range strings.Split(path, ".") {
		switch at := object.(type) {
		case map[string]any:
			object = at[part]
		case []any:
			i, err := strconv.Atoi(part)
			if err != nil || i < 0 || i >= len(at) {
				return false
			}
			object = at[i]
		default:
			return false
		}
	}
	return object != nil
}

// contextEnv sets KOG_CONTEXT unless the text is too long for one variable.
func contextEnv(env map[string]string, from map[string]heddle.Source, text []byte) {
	const name = "KOG_CONTEXT"
	for _, taken := range []string{name, "KOG_CONTEXT_FILE"} { // a step that has the one has not the other
		delete(env, taken)
		delete(from, taken)
	}
	if len(name)+1+base64.StdEncoding.EncodedLen(len(text))+1 <= maxEnvString {
		env[name] = base64.StdEncoding.EncodeToString(text)
	}
}
