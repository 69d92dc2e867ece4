package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/app"
	"github.com/heddle/heddle/internal/manifest"
)

// read returns the content of a file, a URL, or standard input.
func (f *factory) read(ctx context.Context, name string) (manifest.File, error) {
	done := f.waitingFor("reading " + shown(name))
	defer done()
	data, err := manifest.Read(ctx, name, f.In)
	label := shown(name)
	if name == "-" {
		label = "stdin"
	}
	return manifest.File{Name: label, Data: data, Dir: manifest.Dir(name)}, err
}

// readDocument reads the files that --file names. As with kog only the last one
// counts, unless it holds Tasks or Ignitors: then all are one set.
func (f *factory) readDocument(ctx context.Context, names []string) ([]manifest.File, error) {
	others, name := names[:len(names)-1], names[len(names)-1]
	last, err := f.read(ctx, name)
	if err != nil {
		return nil, err
	}
	if len(others) == 0 || !manifest.IsPart(last) {
		return []manifest.File{last}, nil
	}
	files := make([]manifest.File, 0, len(names))
	for _, name := range others {
		file, err := f.read(ctx, name)
		if err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	return append(files, last), nil
}

func names(files []manifest.File) string {
	list := make([]string, len(files))
	for i, file := range files {
		list[i] = file.Name
	}
	return strings.Join(list, ", ")
}

// parseOptions are what the flags say to who reads the document.
func (o *runOptions) parseOptions(given json.RawMessage) manifest.Options {
	return manifest.Options{Workflow: o.Workflow, Step: o.Step, Params: o.Params, Context: given, Ignite: o.Ignite, MaxVisits: o.MaxVisits}
}

// submission reads everything that the options name and makes one submission of
// it, with the warnings that reading gave.
func (o *runOptions) submission(ctx context.Context) (sub heddle.Submission, warnings []string, err error) {
	if err := o.oneStdin(); err != nil {
		return sub, nil, err
	}
	files, err := o.readDocument(ctx, o.Files)
	if err != nil {
		return sub, nil, err
	}
	contextJSON, correlation, err := o.context(ctx)
	if err != nil {
		return sub, nil, err
	}
	env, err := o.env(ctx)
	if err != nil {
		return sub, nil, err
	}
	parsed, err := manifest.ParseFiles(files, o.parseOptions(contextJSON))
	if err != nil {
		return sub, nil, err
	}
	if len(o.Contexts) > 0 && parsed.Flow.Context == nil {
		return sub, nil, heddle.Errorf(heddle.CodeInvalid, "--context: a %s hands no context on; its params are given by --param", parsed.Flow.Kind)
	}
	for _, fault := range parsed.Warnings {
		warnings = append(warnings, fault.String())
	}
	executor, notes, err := app.ChooseExecutor(ctx, o.Config.Executor, parsed.Flow, o.variable)
	if err != nil {
		return sub, nil, err
	}
	warnings = append(warnings, notes...)
	if err := app.Fit(executor, parsed.Flow); err != nil {
		return sub, nil, err
	}
	if err := app.CheckMounts(executor, o.Volumes); err != nil {
		return sub, nil, err
	}
	if correlation == "" {
		correlation = parsed.CorrelationID
	}
	if correlation == "" {
		if correlation, err = correlationOf(parsed.Flow.Context); err != nil {
			return sub, nil, err
		}
	}
	sub = heddle.Submission{Flow: parsed.Flow, Executor: executor, Labels: o.Labels, Input: heddle.Input{
		CorrelationID: correlation, Context: contextJSON, Env: env, Notify: o.Notifiers, Volumes: o.Volumes,
	}}
	if o.Import {
		sub.Input.Ambient = &heddle.Ambient{Ignore: o.IgnoreEnv}
	}
	return sub, warnings, nil
}

// oneStdin refuses to read standard input twice.
func (o *runOptions) oneStdin() error {
	times := 0
	for _, name := range slices.Concat(o.Files, o.Contexts, o.EnvFiles) {
		if name == "-" {
			times++
		}
	}
	if times > 1 {
		return heddle.Errorf(heddle.CodeInvalid, "standard input (-) can be read once only: it is named %d times", times)
	}
	return nil
}

// context merges the context files and adds the settings of the log that differ
// from their defaults, as kog hands them to the steps. A correlation_id in a
// context file is the run's.
func (o *runOptions) context(ctx context.Context) (merged json.RawMessage, correlation string, err error) {
	var files []manifest.File
	for _, name := range o.Contexts {
		file, err := o.read(ctx, name)
		if err != nil {
			return nil, "", err
		}
		files = append(files, file)
	}
	given, err := manifest.Contexts(files...)
	if err != nil {
		return nil, "", err
	}
	if correlation, err = correlationOf(given); err != nil {
		return nil, "", err
	}
	settings := make(map[string]string)
	add := func(key, value, usual string) {
		if value != usual {
			settings[key] = value
		}
	}
	add("log_formatter", o.Config.LogFormat, "logfmt")
	add("log_level", o.Config.LogLevel, "info")
	add("remote_logger", o.Log.Remote, "")
	add("remote_logger_addr", o.Log.RemoteAddr, "")
	if len(settings) == 0 {
		return given, correlation, nil
	}
	data, err := json.Marshal(settings)
	if err != nil {
		return nil, "", err
	}
	merged, err = manifest.Contexts(append(files, manifest.File{Name: "log settings", Data: data})...)
	return merged, correlation, err
}

// correlationOf returns the correlation_id of a context, "" for none. A number
// counts as its text.
func correlationOf(given json.RawMessage) (string, error) {
	if given == nil {
		return "", nil
	}
	var head struct {
		CorrelationID any `json:"correlation_id"`
	}
	decoder := json.NewDecoder(bytes.NewReader(given))
	decoder.UseNumber()
	if err := decoder.Decode(&head); err != nil {
		return "", fmt.Errorf("reading the merged context: %w", err)
	}
	switch id := head.CorrelationID.(type) {
	case string:
		return id, nil
	case json.Number:
		return id.String(), nil
	}
	return "", nil
}

// env is the variables for every step: those of the files, in order, and over them
// those of --env. A bare name is copied from here, or left out when unset here.
func (o *runOptions) env(ctx context.Context) (map[string]string, error) {
	env := make(map[string]string)
	for _, name := range o.EnvFiles {
		file, err := o.read(ctx, name)
		if err != nil {
			return nil, err
		}
		vars, err := manifest.Dotenv(file.Name, file.Data)
		if err != nil {
			return nil, err
		}
		maps.Copy(env, vars)
	}
	for _, entry := range o.Env {
		name, value, ok := strings.Cut(entry, "=")
		if name == "" || strings.ContainsRune(entry, 0) {
			return nil, heddle.Errorf(heddle.CodeInvalid, "--env %q is neither NAME=VALUE nor NAME", entry)
		}
		if !ok {
			if value, ok = o.lookup(name); !ok {
				continue
			}
		}
		env[name] = value
	}
	if len(env) == 0 {
		return nil, nil
	}
	return env, nil
}
