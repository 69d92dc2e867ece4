// Package manifest turns documents into the vocabulary: it fetches them, finds out
// of what kind they are and has them read by the package of that kind. It also
// reads what goes with them: context files and files of variables.
package manifest

import (
	"encoding/json"
	"fmt"
	"net/url"
	"path"
	"path/filepath"
	"strings"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/manifest/doc"
	"github.com/heddle/heddle/internal/manifest/jobfile"
	"github.com/heddle/heddle/internal/manifest/params"
	"github.com/heddle/heddle/internal/manifest/pipeline"
)

// Options choose and fill in what a document leaves open.
type Options struct {
	// Workflow and Step override those that a job file names.
	Workflow, Step string
	// Params are the values of the document's params, by name.
	Params map[string]string
	// Context is what the submission will lay over the flow's context. It only
	// spares warnings of values that it provides.
	Context json.RawMessage
	// Dir is the folder that the document's paths are relative to, see [File]; "":
	// they must be absolute.
	Dir string
}

// Result is what a document says.
type Result struct {
	Flow *heddle.Flow
	// CorrelationID is the document's own, for the run's input; "" for none.
	CorrelationID string
	// Params are those that the document declares.
	Params []params.Param
	// Needs are the context paths that the steps of a job file require.
	Needs    []jobfile.Need
	Warnings []doc.Fault
}

// Parse reads a document of any known kind. name stands for the file in faults, and
// a pipeline without a name is called after it. Errors are of [heddle.CodeInvalid]
// and tell all faults at once.
func Parse(name string, data []byte, o Options) (*Result, error) {
	d, err := doc.Parse(name, data)
	if err != nil {
		return nil, fmt.Errorf("reading a document: %w", err)
	}
	switch {
	case pipeline.Is(d):
		if o.Workflow != "" || o.Step != "" {
			d.Faults.Errorf(d.Root.Get("kind"), "a workflow or step to begin with can be chosen in job files only: a pipeline has none")
		}
		r, err := pipeline.Decode(d, pipeline.Options{Params: o.Params, Name: baseName(name), Dir: o.Dir})
		if err != nil {
			return nil, err
		}
		return &Result{Flow: r.Flow, Params: r.Params, Warnings: r.Warnings}, nil
	case jobfile.Is(d):
		r, err := jobfile.Decode(d, jobfile.Options(o))
		if err != nil {
			return nil, err
		}
		return &Result{Flow: r.Flow, CorrelationID: r.CorrelationID, Params: r.Params, Needs: r.Needs, Warnings: r.Warnings}, nil
	}
	unknownKind(d)
	return nil, d.Faults.Err()
}

// Params returns the params that a document declares, whatever else is wrong with
// it; nil for one that cannot be read.
func Params(name string, data []byte) []params.Param {
	d, err := doc.Parse(name, data)
	if err != nil {
		return nil
	}
	return params.Read(d, d.Object(d.Root), "document", nil).Declared()
}

func unknownKind(d *doc.Document) {
	const known = "known are a pipeline (kind: Pipeline) and a job file (no kind, with the keys workflows and actions)"
	kind := d.Root.Get("kind")
	switch {
	case kind != nil && kind.Kind != doc.Null:
		d.Faults.Errorf(kind, "the kind %q is not known%s; %s", kind.Text, doc.DidYouMean(kind.Text, []string{string(heddle.KindPipeline)}), known)
	case d.Root.Get("jobs") != nil:
		d.Faults.Errorf(d.Root, "the document does not say what kind it is: with the key jobs it may be a pipeline, which says kind: Pipeline; %s", known)
	default:
		d.Faults.Errorf(d.Root, "the kind of this document is not known; %s", known)
	}
}

// baseName is the last part of a path or URL without its extension; "" when there
// is none, or only that of standard input.
func baseName(name string) string {
	if u, err := url.Parse(name); err == nil && u.Host != "" {
		name = u.Path
	}
	base := path.Base(filepath.ToSlash(name))
	base = strings.TrimSuffix(base, path.Ext(base))
	if base == "/" || base == "-" || base == "stdin" {
		return ""
	}
	return base
}

// File is the text of a file and the name by which faults call it. Dir is the folder
// that it is in, if it is a file of this machine; "" if not.
type File struct {
	Name string
	Data []byte
	Dir  string
}

// Contexts merges context files, JSON or YAML, in order: objects key by key,
// everything else replaces, and a null is stored as one. Each file must be an
// object. Without files the result is nil. Numbers keep their source text.
func Contexts(files ...File) (json.RawMessage, error) {
	if len(files) == 0 {
		return nil, nil
	}
	merged := map[string]any{}
	for _, f := range files {
		d, err := doc.Parse(f.Name, f.Data)
		if err == nil {
			err = d.Faults.Err()
		}
		if err != nil {
			return nil, fmt.Errorf("reading a context: %w", err)
		}
		if object, ok := d.Root.Value().(map[string]any); ok {
			merged = heddle.MergeContext(merged, object)
		}
	}
	data, err := json.Marshal(merged)
	if err != nil {
		return nil, heddle.Errorf(heddle.CodeInternal, "encoding a context: %w", err)
	}
	return data, nil
}
