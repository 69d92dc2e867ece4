// Package source reads where the value of a variable comes from, in documents that
// say so in place of a value. All kinds of document that have env share it.
package source

import (
	"path/filepath"
	"regexp"
	"strings"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/manifest/doc"
)

// Options say what a source may be where it stands.
type Options struct {
	// Dir is the folder that paths are relative to; "" : they must be absolute.
	Dir string
	// Outputs of other steps can be asked for.
	Outputs bool
	// Fill puts params into a text that stands at a node.
	Fill func(n *doc.Node, text string) string
}

var (
	// A name and a key of a Secret, as Kubernetes has them.
	secretForm = regexp.MustCompile(`^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/[-._a-zA-Z0-9]{1,253}$`)
	outputForm = regexp.MustCompile(`^.+\.[A-Za-z_][A-Za-z0-9_-]*$`)
)

// Read reads a map with one key: fromFile, a path; fromEnv, the name of a variable in
// the environment of heddle; fromSecret, NAME/KEY of a Kubernetes Secret; fromOutput,
// where that can be, JOB.NAME. ok is false after a fault.
func Read(d *doc.Document, n *doc.Node, o Options) (source heddle.Source, ok bool) {
	r := reader{d: d, o: o, object: d.Object(n), ok: true}
	source.File = r.text("fromFile", r.path)
	source.Env = r.text("fromEnv", func(n *doc.Node, text string) string {
		if strings.ContainsAny(text, "=\x00") {
			r.fail(n, "cannot be the name of a variable: %q", text)
		}
		return text
	})
	source.Secret = r.text("fromSecret", func(n *doc.Node, text string) string {
		if !secretForm.MatchString(text) {
			r.fail(n, "must be NAME/KEY of a Secret, is %q", text)
		}
		return text
	})
	known := "fromFile, fromEnv and fromSecret"
	if o.Outputs {
		known = "fromFile, fromEnv, fromSecret and fromOutput"
		source.Output = r.text("fromOutput", func(n *doc.Node, text string) string {
			if !outputForm.MatchString(text) {
				r.fail(n, "must be JOB.NAME, is %q", text)
			}
			return text
		})
	}
	r.object.RestStrict()
	switch {
	case len(n.Fields) == 1 && r.found == 0:
		return source, false // told by RestStrict
	case len(n.Fields) != 1:
		r.fail(n, "must have one key, one of %s; has %d", known, len(n.Fields))
	}
	return source, r.ok
}

type reader struct {
	d      *doc.Document
	o      Options
	object *doc.Object
	found  int
	ok     bool
}

func (r *reader) fail(n *doc.Node, format string, args ...any) {
	r.ok = false
	r.d.Faults.Errorf(n, format, args...)
}

// text reads a key, if it is there.
func (r *reader) text(key string, read func(*doc.Node, string) string) string {
	n := r.object.Get(key)
	if n == nil {
		return ""
	}
	r.found++
	if n.Kind != doc.String {
		r.ok = false
		r.object.StringOnly(key) // says so
		return ""
	}
	text := r.o.Fill(n, n.Text)
	if text == "" {
		r.fail(n, "must have a value, is empty")
		return ""
	}
	return read(n, text)
}

// path makes a path absolute: what reads the file need not be where the document is.
func (r *reader) path(n *doc.Node, path string) string {
	switch {
	case strings.Contains(path, "\x00"):
		r.fail(n, "a path cannot hold the character 0")
	case filepath.IsAbs(path):
		return filepath.Clean(path)
	case r.o.Dir == "":
		r.fail(n, "must be an absolute path, is %q: the document is no file of this machine that it could be relative to", path)
	}
	return filepath.Join(r.o.Dir, path)
}
