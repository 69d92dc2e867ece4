// Package manifest turns documents into the vocabulary: it fetches them, finds out
// of what kind they are and has them read by the package of that kind. It also
// reads what goes with them: context files and files of variables.
package manifest

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/manifest/doc"
	"github.com/heddle/heddle/internal/manifest/jobfile"
	"github.com/heddle/heddle/internal/manifest/params"
	"github.com/heddle/heddle/internal/manifest/pipeline"
	"github.com/heddle/heddle/internal/manifest/taskdef"
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
	// Ignite is the Ignitor of a set of Tasks and Ignitors to play, and MaxVisits how
	// often a Task may run, see [chain.Options].
	Ignite    string
	MaxVisits int
	// Look says that the flow is not to be run: an Ignitor need not be chosen.
	Look bool
	// Dir is the folder that the document's paths are relative to; "" is that of its
	// [File], and without one they must be absolute.
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
// a document that may have no name is called after it. Errors are of
// [heddle.CodeInvalid] and tell all faults at once.
func Parse(name string, data []byte, o Options) (*Result, error) {
	return ParseFiles([]File{{Name: name, Data: data}}, o)
}

// ParseFiles is [Parse] for what stands in several files, one at least. Only
// Kubernetes manifests can be several documents, in one file too: a ReactiveJob, or
// Tasks and Ignitors. Manifests of other kinds beside them are ignored with a warning.
func ParseFiles(files []File, o Options) (*Result, error) {
	if docs, err := manifests(files); docs != nil || err != nil {
		if err != nil {
			return nil, err
		}
		return decodeManifests(docs, files[0].Name, o)
	}
	if len(files) > 1 {
		return nil, heddle.Errorf(heddle.CodeInvalid, "only Tasks and Ignitors can be in several files, and there are none in %s", fileNames(files))
	}
	d, err := doc.Parse(files[0].Name, files[0].Data)
	if err != nil {
		return nil, fmt.Errorf("reading a document: %w", err)
	}
	if o.Dir == "" {
		o.Dir = files[0].Dir
	}
	return decode(d, o)
}

func decode(d *doc.Document, o Options) (*Result, error) {
	refuseIgnite(d, o)
	switch {
	case pipeline.Is(d):
		refuseStart(d, d.Root.Get("kind"), "a pipeline", o)
		r, err := pipeline.Decode(d, pipeline.Options{Params: o.Params, Name: baseName(d.File), Dir: o.Dir})
		if err != nil {
			return nil, err
		}
		return &Result{Flow: r.Flow, Params: r.Params, Warnings: r.Warnings}, nil
	case jobfile.Is(d):
		r, err := jobfile.Decode(d, jobfile.Options{Workflow: o.Workflow, Step: o.Step, Params: o.Params, Context: o.Context, Dir: o.Dir})
		if err != nil {
			return nil, err
		}
		return &Result{Flow: r.Flow, CorrelationID: r.CorrelationID, Params: r.Params, Needs: r.Needs, Warnings: r.Warnings}, nil
	case taskdef.Is(d):
		refuseStart(d, d.Root, "a task definition", o)
		refuseParams(d, "a task definition", o)
		r, err := taskdef.Decode(d, taskdef.Options{Name: baseName(d.File)})
		if err != nil {
			return nil, err
		}
		return &Result{Flow: r.Flow, Warnings: r.Warnings}, nil
	}
	unknownKind(d)
	return nil, d.Faults.Err()
}

// refuseStart faults the choice of a step in a document that has nothing to choose.
func refuseStart(d *doc.Document, n *doc.Node, what string, o Options) {
	if o.Workflow != "" || o.Step != "" {
		d.Faults.Errorf(n, "a workflow or step to begin with can be chosen in job files only: %s has none", what)
	}
}

func refuseIgnite(d *doc.Document, o Options) {
	if o.Ignite != "" || o.MaxVisits != 0 {
		d.Faults.Errorf(d.Root, "an Ignitor to begin with and a bound of visits can be given for Tasks and Ignitors only")
	}
}

func refuseParams(d *doc.Document, what string, o Options) {
	for _, name := range slices.Sorted(maps.Keys(o.Params)) {
		d.Faults.Errorf(d.Root, "a value is given for the param %q, but %s declares no params", name, what)
	}
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
	const known = "known are a pipeline (kind: Pipeline), a job file (no kind, with the keys workflows and actions), " +
		"a task definition (no kind, with the key image), Tasks and Ignitors (apiVersion: sirocco.cloud/v1alpha1) " +
		"and a ReactiveJob (apiVersion: batch.cs.sap.com/v1alpha1)"
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
