package cli

import (
	"strings"
	"testing"
)

func TestCommandLine(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		args     []string
		env      []string
		wantCode int
		wantOut  string
		wantErr  string
	}{
		"no command prints help":             {wantOut: "heddle run -f job.yaml"},
		"help":                               {args: []string{"help"}, wantOut: "Available Commands"},
		"help on exit codes":                 {args: []string{"help", "exit-codes"}, wantOut: "125   trouble of Heddle itself"},
		"help on the environment":            {args: []string{"help", "environment"}, wantOut: "HEDDLE_DATA_DIR"},
		"version flag":                       {args: []string{"--version"}, wantOut: "heddle 1.2.3\n"},
		"version":                            {args: []string{"version"}, wantOut: "heddle 1.2.3 (go1.26, linux/amd64)\n"},
		"version as json":                    {args: []string{"version", "-o", "json"}, wantOut: `"version": "1.2.3"`},
		"version as yaml by the environment": {args: []string{"version"}, env: []string{"HEDDLE_OUTPUT=yaml"}, wantOut: "version: 1.2.3\n"},
		"completion":                         {args: []string{"completion", "bash"}, wantOut: "__start_heddle"},
		"unknown command":                    {args: []string{"rum"}, wantCode: 125, wantErr: "heddle: unknown command \"rum\" for \"heddle\" (did you mean run or runs?)\nUsage: heddle"},
		"unknown command of a group":         {args: []string{"runs", "burn"}, wantCode: 125, wantErr: `unknown command "burn" for "heddle runs"`},
		"a group alone prints help":          {args: []string{"runs"}, wantOut: "Available Commands"},
		"unknown flag":                       {args: []string{"run", "--frob"}, wantCode: 125, wantErr: "heddle: unknown flag: --frob\nUsage: heddle run -f FILE [flags]\nSee 'heddle run --help'.\n"},
		"positional argument to run":         {args: []string{"run", "job.yaml"}, wantCode: 125, wantErr: `unexpected argument "job.yaml"`},
		"run without a document":             {args: []string{"run"}, wantCode: 125, wantErr: "a document is needed: --file FILE"},
		"every fault of the settings": {
			args: []string{"version", "--log-level", "loud"}, env: []string{"HEDDLE_LOG_FORMATTER=xml"}, wantCode: 125,
			wantErr: "heddle: --log-formatter (or HEDDLE_LOG_FORMATTER): \"xml\" is none of logfmt, json\nheddle: --log-level (or HEDDLE_LOG_LEVEL): \"loud\" is none of",
		},
		"a variable that is no number": {args: []string{"version"}, env: []string{"HEDDLE_PARALLEL=x"}, wantCode: 125, wantErr: "HEDDLE_PARALLEL"},
		"no such run":                  {args: []string{"runs", "show", "zz"}, wantCode: 125, wantErr: `no run is or begins with "zz"`},
		"not the form of a run":        {args: []string{"runs", "show", "a/b"}, wantCode: 125, wantErr: `"a/b" is no run ID`},
		"show without a run":           {args: []string{"runs", "show"}, wantCode: 125, wantErr: "takes one run ID"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newConsole(t, tc.env...)
			if code := c.run(t, tc.args...); code != tc.wantCode {
				t.Errorf("exit code %d, want %d", code, tc.wantCode)
			}
			if !strings.Contains(c.out.String(), tc.wantOut) {
				t.Errorf("standard output %q, want %q in it", c.out.String(), tc.wantOut)
			}
			if !strings.Contains(c.err.String(), tc.wantErr) || tc.wantErr == "" && c.err.Len() > 0 {
				t.Errorf("standard error %q, want %q in it", c.err.String(), tc.wantErr)
			}
		})
	}
}

func TestEveryCommandIsDescribed(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	for _, cmd := range newRoot(c.factory).Commands() {
		for _, cmd := range append(cmd.Commands(), cmd) {
			if cmd.Short == "" && !cmd.Hidden {
				t.Errorf("%s has no short description", cmd.CommandPath())
			}
		}
	}
}
