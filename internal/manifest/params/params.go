// Package params reads the typed params that a document declares, checks the
// values given for them and puts these into the document's texts. All kinds of
// document that Heddle gave params to share it.
package params

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/heddle/heddle/internal/manifest/doc"
)

// Param is a value that a document leaves to who runs it. The document's key
// params maps names to maps of type (string, integer, number or boolean; string
// when absent), default, description, enum (a list of the allowed values) and
// required (true: there must be a value).
//
// ${{ params.NAME }} stands for the value in the texts that the kind of document
// says. A value put into a shell command becomes part of the program: one that is
// not to be trusted belongs into env, where it stays a value.
type Param struct {
	Name        string   `json:"name"`
	Type        string   `json:"type"`
	Description string   `json:"description,omitempty"`
	Default     *string  `json:"default,omitempty"` // as it is written
	Enum        []string `json:"enum,omitempty"`
	Required    bool     `json:"required,omitempty"`
}

// Set holds a document's params and their values in one run.
type Set struct {
	d        *doc.Document
	declared []Param
	names    []string
	texts    map[string]string // by name; "" for those without a value
	values   map[string]any    // of those with a value
	// room is how many bytes values may still add to the document's texts: a small
	// document could otherwise fill the memory.
	room int
}

var (
	paramName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*$`)
	paramRef  = regexp.MustCompile(`\$\{\{\s*params\.([^{}\s]*)\s*\}\}`)
)

// Read reads the key params of top, the map that is the document, and checks the
// values given. kind is what faults call the document, such as "job".
func Read(d *doc.Document, top *doc.Object, kind string, given map[string]string) *Set {
	s := &Set{d: d, texts: map[string]string{}, values: map[string]any{}, room: doc.MaxJSON}
	for _, f := range top.Object("params").Fields() {
		p := readParam(d, f)
		s.declared = append(s.declared, p)
		s.names = append(s.names, p.Name)
		text, isGiven := given[p.Name]
		s.texts[p.Name] = ""
		switch {
		case isGiven:
			if wrong := p.check(text); wrong != "" {
				d.Faults.Errorf(f.Value, "the value given %s", wrong)
				continue
			}
		case p.Default != nil:
			text = *p.Default
		default:
			if p.Required {
				d.Faults.Errorf(f.Value, "the param needs a value")
			}
			continue
		}
		s.texts[p.Name] = text
		s.values[p.Name] = p.value(text)
	}
	s.rejectUnknown(top, kind, given)
	return s
}

func readParam(d *doc.Document, f doc.Field) Param {
	o := d.Object(f.Value)
	p := Param{Name: f.Key, Type: o.String("type", "string"), Description: o.String("description", ""),
		Enum: o.Strings("enum"), Required: o.Bool("required")}
	if !paramName.MatchString(p.Name) {
		d.Faults.Errorf(f.Value, "%q cannot be the name of a param: letters, digits, _ and - can", p.Name)
	}
	if types := []string{"string", "integer", "number", "boolean"}; !slices.Contains(types, p.Type) {
		d.Faults.Errorf(o.Get("type"), "must be one of %s, is %q", strings.Join(types, ", "), p.Type)
	}
	if n := o.Get("default"); n != nil {
		text := o.String("default", "")
		if wrong := p.check(text); wrong != "" {
			d.Faults.Errorf(n, "%s", wrong)
		}
		p.Default = &text
	}
	o.Rest()
	return p
}

// check returns "" for a text that is a value of the param, else what is wrong.
func (p *Param) check(text string) string {
	ok, want := true, ""
	switch p.Type {
	case "integer":
		_, err := strconv.ParseInt(text, 10, 64)
		ok, want = err == nil && !strings.HasPrefix(text, "+"), "a whole number"
	case "number":
		ok, want = json.Valid([]byte(text)) && strings.Trim(text, "+-.0123456789eE") == "", "a number"
	case "boolean":
		ok, want = text == "true" || text == "false", "true or false"
	}
	switch {
	case !ok:
		return "must be " + want + ", is " + strconv.Quote(text)
	case strings.Contains(text, "\x00"):
		return "cannot hold the character 0"
	case len(p.Enum) > 0 && !slices.Contains(p.Enum, text):
		return "must be one of " + strings.Join(p.Enum, ", ") + ", is " + strconv.Quote(text)
	}
	return ""
}

// value returns a checked text in the form that JSON has for the param's type.
func (p *Param) value(text string) any {
	switch p.Type {
	case "integer":
		i, _ := strconv.ParseInt(text, 10, 64)
		return i
	case "number":
		return json.Number(text)
	case "boolean":
		return text == "true"
	}
	return text
}

// rejectUnknown faults values for params that the document does not declare.
func (s *Set) rejectUnknown(top *doc.Object, kind string, given map[string]string) {
	at := top.Node().Get("params")
	if at == nil {
		at = top.Node()
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		_, known := s.texts[name]
		switch {
		case known:
		case len(s.declared) == 0:
			s.d.Faults.Errorf(at, "a value is given for the param %q, but the %s declares no params", name, kind)
		default:
			s.d.Faults.Errorf(at, "a value is given for the param %q, which the %s does not declare%s", name, kind, doc.DidYouMean(name, s.names))
		}
	}
}

// Declared returns the document's params in its order.
func (s *Set) Declared() []Param { return s.declared }

// Values returns the params that have a value, in JSON's form for their types.
func (s *Set) Values() map[string]any { return s.values }

// Fill replaces the references to params in a text that stands at n. In a document
// without params they are text like any other.
func (s *Set) Fill(n *doc.Node, text string) string {
	if len(s.declared) == 0 || !strings.Contains(text, "${{") {
		return text
	}
	return paramRef.ReplaceAllStringFunc(text, func(ref string) string {
		name := paramRef.FindStringSubmatch(ref)[1]
		value, ok := s.texts[name]
		if !ok {
			s.d.Faults.Errorf(n, "the param %q is not declared%s", name, doc.DidYouMean(name, s.names))
			return ref
		}
		if len(value) > s.room {
			s.d.Faults.Errorf(n, "with the values of its params put in, the document has more than %d bytes", doc.MaxJSON)
			return ref
		}
		s.room -= len(value)
		return value
	})
}
