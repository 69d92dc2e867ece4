// Package schematest holds a JSON Schema to the parser of the documents that it
// describes: what one knows the other knows, and what the parser accepts the
// schema accepts.
package schematest

import (
	"encoding/json"
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"go/types"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/heddle/heddle/internal/manifest/doc"
)

// Subject is a schema and the parser that it is held to.
type Subject struct {
	Schema string
	// Is reports whether a document is of the kind that the schema describes.
	Is func(*doc.Document) bool
	// Decode reads a document, and returns an error if it is at fault.
	Decode func(*doc.Document) error
	// Full is a document that has every map that the parser knows.
	Full string
	// Frames put a text into a document. The strings of the tests are tried in each:
	// many are parts of documents.
	Frames []func(text string) string
	// Files are patterns of documents; those of the kind must be good.
	Files []string
}

// Check looks at the full document, at the files, and at every string of the
// calling package's tests that is a document which the parser accepts.
func Check(t *testing.T, s Subject) {
	t.Helper()
	c := newChecker(t, s)
	c.check("the full document", []byte(s.Full), true)
	for _, pattern := range s.Files {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Errorf("%s matches no file: %v", pattern, err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			c.check(file, data, true)
		}
	}
	accepted := 0
	for place, text := range literals(t) {
		for _, frame := range append(s.Frames, func(text string) string { return text }) {
			if c.check(place, []byte(frame(text)), false) {
				accepted++
			}
		}
	}
	if accepted == 0 {
		t.Error("no string of the package's tests is a document")
	}
	for id := range c.maps {
		if !c.seen[id] {
			t.Errorf("the schema describes %s, which the parser has not read of any document: the full one lacks it", id)
		}
	}
}

type checker struct {
	t       *testing.T
	subject Subject
	root    map[string]any
	valid   *jsonschema.Schema
	maps    map[string][]string // by place in the schema: the keys that it gives a map
	seen    map[string]bool     // the places that were compared
}

func newChecker(t *testing.T, s Subject) *checker {
	t.Helper()
	parsed, err := jsonschema.UnmarshalJSON(strings.NewReader(s.Schema))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("schema.json", parsed); err != nil {
		t.Fatal(err)
	}
	valid, err := compiler.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	root, ok := parsed.(map[string]any)
	if !ok {
		t.Fatal("the schema is not an object")
	}
	c := &checker{t: t, subject: s, root: root, valid: valid, maps: map[string][]string{}, seen: map[string]bool{}}
	c.collect("#", root)
	return c
}

// collect finds every place of the schema that names the keys of a map.
func (c *checker) collect(id string, at any) {
	switch at := at.(type) {
	case map[string]any:
		if properties, ok := at["properties"].(map[string]any); ok {
			c.maps[id] = slices.Sorted(maps.Keys(properties))
			if at["additionalProperties"] != false {
				c.t.Errorf("the schema lets %s have keys that it does not name", id)
			}
		}
		for key, value := range at {
			c.collect(id+"/"+key, value)
		}
	case []any:
		for i, value := range at {
			c.collect(id+"/"+strconv.Itoa(i), value)
		}
	}
}

// check compares parser and schema on one document, and reports whether the
// parser accepts it. mustPass: it is an error if it does not.
func (c *checker) check(name string, data []byte, mustPass bool) bool {
	c.t.Helper()
	d, err := doc.Parse(name, data)
	if err == nil && !c.subject.Is(d) {
		return false
	}
	if err == nil {
		asked := map[*doc.Node][]string{}
		d.Asked = func(n *doc.Node, keys []string) { asked[n] = keys }
		if err = c.subject.Decode(d); err == nil {
			c.compare(name, d, asked)
			return true
		}
	}
	if mustPass {
		c.t.Errorf("%s: %v", name, err)
	}
	return false
}

func (c *checker) compare(name string, d *doc.Document, asked map[*doc.Node][]string) {
	c.t.Helper()
	known := true
	for n, keys := range asked {
		for _, f := range n.Fields {
			known = known && slices.Contains(keys, f.Key)
		}
	}
	switch err := c.valid.Validate(d.Root.Value()); {
	case known && err != nil:
		c.t.Errorf("%s: the parser accepts it, the schema does not: %v\n%s", name, err, text(d))
	case !known && err == nil:
		c.t.Errorf("%s: the schema accepts a key that the parser does not know\n%s", name, text(d))
	}
	places := map[*doc.Node]string{}
	c.locate(places, d.Root, "#", c.root)
	for n, keys := range asked {
		id, ok := places[n]
		if !ok {
			if n.Line > 0 { // else there is no such map in the document
				c.t.Errorf("%s: the schema does not describe %s", name, n.Path())
			}
			continue
		}
		c.seen[id] = true
		keys = slices.Compact(slices.Sorted(slices.Values(keys)))
		if diff := cmp.Diff(keys, c.maps[id]); diff != "" {
			c.t.Errorf("%s: the keys of %s, -parser +schema (%s)\n%s", name, n.Path(), id, diff)
		}
	}
}

// locate finds where the schema describes the maps of a document.
func (c *checker) locate(places map[*doc.Node]string, n *doc.Node, id string, at map[string]any) {
	if ref, ok := at["$ref"].(string); ok {
		to := c.root
		for _, part := range strings.Split(strings.TrimPrefix(ref, "#/"), "/") {
			to, _ = to[part].(map[string]any)
		}
		c.locate(places, n, ref, to)
		return
	}
	branches, _ := at["anyOf"].([]any)
	for i, branch := range branches {
		if b, ok := branch.(map[string]any); ok {
			c.locate(places, n, id+"/anyOf/"+strconv.Itoa(i), b)
		}
	}
	if _, ok := c.maps[id]; ok && n.Kind == doc.Map {
		places[n] = id
	}
	properties, _ := at["properties"].(map[string]any)
	for _, f := range n.Fields {
		if below, ok := properties[f.Key].(map[string]any); ok {
			c.locate(places, f.Value, id+"/properties/"+f.Key, below)
		} else if below, ok := at["additionalProperties"].(map[string]any); ok {
			c.locate(places, f.Value, id+"/additionalProperties", below)
		}
	}
	if below, ok := at["items"].(map[string]any); ok {
		for _, item := range n.Items {
			c.locate(places, item, id+"/items", below)
		}
	}
}

func text(d *doc.Document) json.RawMessage { return d.Root.JSON() }

// literals returns the constant strings of the tests in the working directory, put
// together as far as they are, by place.
func literals(t *testing.T) map[string]string {
	t.Helper()
	paths, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	fset := token.NewFileSet()
	files := make([]*ast.File, len(paths))
	for i, path := range paths {
		if files[i], err = parser.ParseFile(fset, path, nil, parser.SkipObjectResolution); err != nil {
			t.Fatal(err)
		}
	}
	info := types.Info{Types: map[ast.Expr]types.TypeAndValue{}}
	// What is imported stays unknown, which the constants do not need.
	config := types.Config{Error: func(error) {}}
	_, _ = config.Check("tests", fset, files, &info)
	found := map[string]string{}
	for expr, value := range info.Types {
		if value.Value != nil && value.Value.Kind() == constant.String {
			place := fset.Position(expr.Pos()).String() + "-" + fset.Position(expr.End()).String()
			found[place] = constant.StringVal(value.Value)
		}
	}
	return found
}
