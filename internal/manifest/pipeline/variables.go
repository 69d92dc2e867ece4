package pipeline

import (
	"maps"
	"regexp"
	"strings"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/manifest/doc"
	"github.com/heddle/heddle/internal/manifest/source"
)

var variable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]*$`)

// readVariables reads a map of variable names to values. Nil when there are none.
func (r *reader) readVariables(o *doc.Object) map[string]string {
	fields := o.Fields()
	if len(fields) == 0 {
		return nil
	}
	env := make(map[string]string, len(fields))
	for _, f := range fields {
		r.checkVariable(f)
		if text, ok := r.readValue(f.Value); ok {
			env[f.Key] = text
		}
	}
	return env
}

// variables are those of a job or of all; a name is in one of the two.
type variables struct {
	env  map[string]string
	from map[string]heddle.Source
}

// readSources reads a map of variables whose values may be maps that say where they
// come from, see [source.Read]. Outputs of jobs are noted in takes; nil: there can
// be none.
func (r *reader) readSources(o *doc.Object, takes *[]outputRef) variables {
	v := variables{}
	for _, f := range o.Fields() {
		r.checkVariable(f)
		if f.Value.Kind != doc.Map {
			if text, ok := r.readValue(f.Value); ok {
				v.set(f.Key, text)
			}
			continue
		}
		s, ok := source.Read(r.d, f.Value, source.Options{Dir: r.dir, Fill: r.fill, Outputs: takes != nil})
		if !ok {
			continue
		}
		v.take(f.Key, s)
		if s.Output != "" {
			at := strings.LastIndexByte(s.Output, '.')
			*takes = append(*takes, outputRef{job: s.Output[:at], node: f.Value.Get("fromOutput")})
		}
	}
	return v
}

// set gives a variable a value, whatever it had.
func (v *variables) set(name, value string) {
	if v.env == nil {
		v.env = map[string]string{}
	}
	v.env[name] = value
	delete(v.from, name)
}

// take gives a variable a source, whatever it had.
func (v *variables) take(name string, s heddle.Source) {
	if v.from == nil {
		v.from = map[string]heddle.Source{}
	}
	v.from[name] = s
	delete(v.env, name)
}

func (r *reader) checkVariable(f doc.Field) {
	if !variable.MatchString(f.Key) {
		r.d.Faults.Errorf(f.Value, "%q cannot be the name of a variable: letters, digits, _, . and - can, a letter or _ first", f.Key)
	}
}

// readValue reads the value of a variable.
func (r *reader) readValue(n *doc.Node) (string, bool) {
	text, ok := r.d.Text(n)
	if !ok {
		return "", false
	}
	return r.fill(n, text), true
}

// fill puts params into a text that a program is to get.
func (r *reader) fill(n *doc.Node, text string) string {
	if strings.Contains(text, "\x00") {
		r.d.Faults.Errorf(n, "the text cannot hold the character 0")
	}
	return r.params.Fill(n, text)
}

// withCommon lays a job's variables over those of all jobs.
func (r *reader) withCommon(n *doc.Node, own variables) variables {
	if len(r.common.env)+len(r.common.from) == 0 || !r.spend(n, r.common.size()) {
		return own
	}
	merged := variables{env: maps.Clone(r.common.env), from: maps.Clone(r.common.from)}
	for name, value := range own.env {
		merged.set(name, value)
	}
	for name, s := range own.from {
		merged.take(name, s)
	}
	return merged
}

func (v *variables) size() int {
	size := sizeOf(v.env)
	for name, s := range v.from {
		size += len(name) + len(s.File) + len(s.Env) + len(s.Secret)
	}
	return size
}

func sizeOf(env map[string]string) int {
	size := 0
	for name, value := range env {
		size += len(name) + len(value)
	}
	return size
}
