package machine

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/heddle/heddle"
)

// Exit codes that kog gives to outcomes which no program chose.
const (
	codeTimeout     = 124
	codeUnstartable = 125
	codeRequirement = 126
	codeStopped     = 130
)

// judgement is what an exit means for the attempt and its visit.
type judgement struct {
	outcome heddle.Outcome
	status  heddle.Status
	code    int
	message string
	output  json.RawMessage // what to merge into the context
	infra   bool            // the infrastructure broke it
	final   bool            // nothing is to follow, whatever the edges say
}

// judge says what an attempt's end means for its step.
func judge(step *heddle.Step, exit *heddle.Exit) judgement {
	switch exit.Reason {
	case heddle.TimedOut:
		return judgement{
			outcome: heddle.Timeout, status: heddle.StatusTimeout, code: codeTimeout,
			message: fmt.Sprintf("step %q ran out of its duration of %s", step.Name, step.Timeout),
		}
	case heddle.Stopped:
		return judgement{
			outcome: heddle.Abort, status: heddle.StatusAborted, code: codeStopped,
			message: orElse(exit.Message, "stopped on request"),
		}
	case heddle.Refused, heddle.Lost, heddle.Broken:
		j := judgement{
			outcome: heddle.Failure, status: heddle.StatusProcError, code: codeUnstartable,
			message: orElse(exit.Message, "the attempt was "+string(exit.Reason)),
			infra:   exit.Reason != heddle.Refused,
		}
		if step.Unstartable != "" {
			j.outcome = step.Unstartable
		}
		return j
	case heddle.Exited:
	}
	if step.Result == heddle.ResultLine {
		return judgeLine(exit)
	}
	if exit.Code == 0 {
		return judgement{outcome: heddle.Success, status: heddle.StatusSuccess}
	}
	return judgement{
		outcome: heddle.Failure, status: heddle.StatusAppError, code: exit.Code,
		message: orElse(exit.Message, exitText(exit)),
	}
}

func exitText(exit *heddle.Exit) string {
	if exit.Signal != "" {
		return "ended by signal " + exit.Signal
	}
	return fmt.Sprintf("exit code %d", exit.Code)
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// actionResult is kog's ActionResult.
type actionResult struct {
	Result  *string         `json:"result"`
	RC      *int            `json:"rc"`
	Message string          `json:"message"`
	Context json.RawMessage `json:"context"`
}

// judgeLine applies kog's rules for the result line.
func judgeLine(exit *heddle.Exit) judgement {
	failed := judgement{outcome: heddle.Failure, status: heddle.StatusAppError, code: max(exit.Code, 1)}
	switch {
	case exit.ResultSize == 0:
		failed.message = fmt.Sprintf("no result line was printed (%s); a plain program's action says `result: exit-code`", exitText(exit))
		return failed
	case exit.ResultSize > heddle.MaxResult:
		failed.message = fmt.Sprintf("malformed result: the line has %d bytes, more than the %d that are allowed", exit.ResultSize, heddle.MaxResult)
		return failed
	}
	result, fault := decodeResult(exit.Result)
	if fault != "" {
		failed.message = fmt.Sprintf("malformed result: %s: %s", fault, clip(exit.Result, 200))
		return failed
	}
	outcome := heddle.Outcome(strings.ToLower(*result.Result))
	j := judgement{outcome: outcome, status: statusOf(outcome), message: result.Message, output: result.Context}
	switch {
	case result.RC != nil:
		j.code = *result.RC
	case outcome != heddle.Success:
		j.code = 1
	}
	return j
}

func decodeResult(line []byte) (r actionResult, fault string) {
	var wrong *json.UnmarshalTypeError
	switch err := json.Unmarshal(line, &r); {
	case errors.As(err, &wrong) && wrong.Field == "":
		return r, "it is not an object but a " + wrong.Value
	case errors.As(err, &wrong):
		return r, fmt.Sprintf("its %s cannot be a %s", wrong.Field, wrong.Value)
	case err != nil:
		return r, err.Error()
	}
	if r.Result == nil {
		return r, "it has no result"
	}
	switch heddle.Outcome(strings.ToLower(*r.Result)) {
	case heddle.Success, heddle.Failure, heddle.Abort, heddle.Timeout:
	default:
		return r, fmt.Sprintf("unknown result %q", *r.Result)
	}
	if c := bytes.TrimSpace(r.Context); len(c) > 0 && c[0] != '{' && string(c) != "null" {
		return r, "its context is not an object"
	} else if string(c) == "null" {
		r.Context = nil
	}
	return r, ""
}

// clip shortens text to at most n bytes of valid UTF-8.
func clip(text []byte, n int) string {
	s := strings.ToValidUTF8(string(text[:min(len(text), n)]), string(utf8.RuneError))
	if len(text) > n {
		s += "..."
	}
	return s
}

func statusOf(o heddle.Outcome) heddle.Status {
	switch o {
	case heddle.Success:
		return heddle.StatusSuccess
	case heddle.Timeout:
		return heddle.StatusTimeout
	case heddle.Abort:
		return heddle.StatusAborted
	case heddle.Skipped:
		return heddle.StatusSkipped
	case heddle.Failure:
		return heddle.StatusAppError
	}
	return heddle.StatusAppError
}
