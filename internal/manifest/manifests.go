package manifest

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/heddle/heddle/internal/manifest/chain"
	"github.com/heddle/heddle/internal/manifest/doc"
	"github.com/heddle/heddle/internal/manifest/reactivejob"
)

// IsPart reports whether a file holds Tasks or Ignitors, which may be but a part of
// a set that stands in several files.
func IsPart(f File) bool {
	docs, err := manifests([]File{f})
	return err == nil && slices.ContainsFunc(docs, chain.Is)
}

// manifests returns the documents of the files if there is a manifest among them that
// is known here, else none. Of other documents only the first of a file counts, and
// what is behind it need not even be readable.
func manifests(files []File) ([]*doc.Document, error) {
	if len(files) == 1 && !bytes.Contains(files[0].Data, []byte("apiVersion")) {
		return nil, nil
	}
	var all []*doc.Document
	for _, f := range files {
		docs, err := doc.ParseAll(f.Name, f.Data)
		if err != nil {
			if d, firstErr := doc.Parse(f.Name, f.Data); len(files) == 1 && firstErr == nil && d.Root.Get("apiVersion") == nil {
				return nil, nil
			}
			return nil, fmt.Errorf("reading manifests: %w", err)
		}
		all = append(all, docs...)
	}
	if !slices.ContainsFunc(all, func(d *doc.Document) bool { return chain.Is(d) || reactivejob.Is(d) }) {
		return nil, nil
	}
	return all, nil
}

// decodeManifests reads Tasks and Ignitors, or a ReactiveJob.
func decodeManifests(docs []*doc.Document, file string, o Options) (*Result, error) {
	is, kind := chain.Is, "a set of Tasks and Ignitors"
	if !slices.ContainsFunc(docs, chain.Is) {
		is, kind = reactivejob.Is, "a ReactiveJob"
	}
	var ours []*doc.Document
	for _, d := range docs {
		switch {
		case is(d):
			ours = append(ours, d)
		case d.Root.Get("apiVersion") == nil:
			d.Faults.Errorf(d.Root, "this cannot stand beside %s", kind)
		default:
			d.Faults.Warnf(d.Root, "this is ignored: it is not part of %s", kind)
		}
	}
	refuseStart(ours[0], ours[0].Root, kind, o)
	refuseParams(ours[0], kind, o)
	if kind == "a ReactiveJob" {
		refuseIgnite(ours[0], o)
	}
	r := &Result{}
	if kind == "a ReactiveJob" {
		for _, d := range ours[1:] {
			d.Faults.Errorf(d.Root, "one ReactiveJob at a time can be run: there is another in line %d of %s", ours[0].Root.Line, ours[0].File)
		}
		decoded, err := reactivejob.Decode(ours[0])
		if err == nil {
			r.Flow = decoded.Flow
		}
	} else {
		decoded, err := chain.Decode(ours, chain.Options{Ignite: o.Ignite, Any: o.Look, MaxVisits: o.MaxVisits, Name: baseName(file)})
		if err == nil {
			r.Flow = decoded.Flow
		}
	}
	faults, err := doc.Join(docs...)
	if err != nil {
		return nil, err
	}
	r.Warnings = faults
	return r, nil
}

func fileNames(files []File) string {
	var names []string
	for _, f := range files {
		names = append(names, f.Name)
	}
	return strings.Join(names, ", ")
}
