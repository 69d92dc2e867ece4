package doc

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Kind is the kind of a value.
type Kind int

// The kinds.
const (
	Null Kind = iota
	Bool
	Number
	String
	List
	Map
)

// Node is a value of a document.
type Node struct {
	Kind Kind
	// Line and Column, in characters, count from 1. A value that an alias brings
	// stands where its anchor is.
	Line, Column int
	// Text is a scalar's text as it is written, quotes and escapes resolved:
	// 1.10 stays 1.10.
	Text string
	// Items are a list's elements, Fields a map's entries, in document order.
	Items  []*Node
	Fields []Field

	parent *Node
	key    string // in a parent that is a map
	index  int    // in a parent that is a list
}

// Field is an entry of a map.
type Field struct {
	Key          string
	Line, Column int // of the key
	Value        *Node
}

// Get returns the value of a key in a map, or nil.
func (n *Node) Get(key string) *Node {
	if n == nil {
		return nil
	}
	for i := range n.Fields {
		if n.Fields[i].Key == key {
			return n.Fields[i].Value
		}
	}
	return nil
}

// word returns the text of the scalar under a key; "" if there is none.
func (n *Node) word(key string) string {
	if v := n.Get(key); v != nil {
		return v.Text
	}
	return ""
}

// At returns the node at a path below n as [Node.Path] writes it, or the nearest
// one on the way there that exists.
func (n *Node) At(path string) *Node {
	for _, step := range steps.FindAllStringSubmatch(path, -1) {
		var next *Node
		if i, err := strconv.Atoi(step[1]); err == nil && n.Kind == List && i < len(n.Items) {
			next = n.Items[i]
		} else if step[2] != "" {
			next = n.Get(step[2])
		}
		if next == nil {
			break
		}
		n = next
	}
	return n
}

var steps = regexp.MustCompile(`\[([0-9]+)\]|([^.\[\]]+)`)

// Path says where in the document the node is, such as actions.build.env or
// steps[2]; "" for the root.
func (n *Node) Path() string {
	var parts []string
	for ; n != nil && n.parent != nil; n = n.parent {
		if n.parent.Kind == List {
			parts = append(parts, "["+strconv.Itoa(n.index)+"]")
			continue
		}
		parts = append(parts, "."+quoteKey(n.key))
	}
	var b strings.Builder
	for i := len(parts) - 1; i >= 0; i-- {
		b.WriteString(parts[i])
	}
	return strings.TrimPrefix(b.String(), ".")
}

var plainKey = regexp.MustCompile(`^[\pL\pN_/-]+$`)

func quoteKey(key string) string {
	if plainKey.MatchString(key) {
		return key
	}
	return strconv.Quote(short(key))
}

// short cuts what a message quotes of a document.
func short(text string) string {
	const limit = 80
	if len(text) <= limit {
		return text
	}
	cut := limit
	for !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + "..."
}

// describe names a value in a message.
func (n *Node) describe() string {
	switch n.Kind {
	case Null:
		return "empty"
	case Bool, Number:
		return short(n.Text)
	case String:
		return fmt.Sprintf("the text %q", short(n.Text))
	case List:
		return "a list"
	case Map:
		return "a map"
	}
	return "unknown"
}

// Value returns the node as encoding/json would with numbers kept as
// [json.Number]: their source text, where JSON knows that form. An infinity or a
// not-a-number is a string.
func (n *Node) Value() any {
	switch n.Kind {
	case Null:
		return nil
	case Bool:
		return n.Text == "true"
	case Number:
		return json.Number(jsonNumber(n.Text))
	case String:
		return n.Text
	case List:
		list := make([]any, len(n.Items))
		for i, item := range n.Items {
			list[i] = item.Value()
		}
		return list
	case Map:
		object := make(map[string]any, len(n.Fields))
		for _, f := range n.Fields {
			object[f.Key] = f.Value.Value()
		}
		return object
	}
	return nil
}

// JSON returns the node as compact JSON, the keys in the order of the document.
func (n *Node) JSON() json.RawMessage {
	var b bytes.Buffer
	n.write(&b)
	return b.Bytes()
}

func (n *Node) write(b *bytes.Buffer) {
	switch n.Kind {
	case List:
		b.WriteByte('[')
		for i, item := range n.Items {
			if i > 0 {
				b.WriteByte(',')
			}
			item.write(b)
		}
		b.WriteByte(']')
	case Map:
		b.WriteByte('{')
		for i, f := range n.Fields {
			if i > 0 {
				b.WriteByte(',')
			}
			writeScalar(b, f.Key)
			b.WriteByte(':')
			f.Value.write(b)
		}
		b.WriteByte('}')
	case Null, Bool, Number, String:
		writeScalar(b, n.Value())
	}
}

// writeScalar writes what [Node.Value] gives for a scalar, none of which can fail
// to encode.
func writeScalar(b *bytes.Buffer, v any) {
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	if enc.Encode(v) == nil {
		b.Truncate(b.Len() - 1) // the line end
	}
}

// The forms of YAML 1.2's core schema.
var (
	decimal   = regexp.MustCompile(`^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$`)
	otherBase = regexp.MustCompile(`^0(x[0-9a-fA-F]{1,64}|o[0-7]{1,64})$`)
	jsonForm  = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?$`)
)

// plainKind is the kind of an unquoted YAML scalar. Only true and false are
// booleans: yes, no, on and off are strings.
func plainKind(text string) Kind {
	switch text {
	case "", "~", "null", "Null", "NULL":
		return Null
	case "true", "false":
		return Bool
	}
	if decimal.MatchString(text) || otherBase.MatchString(text) {
		return Number
	}
	return String
}

// jsonNumber returns the JSON form of a number that YAML writes in another way.
func jsonNumber(text string) string {
	if jsonForm.MatchString(text) {
		return text
	}
	if otherBase.MatchString(text) {
		var i big.Int
		i.SetString(text, 0)
		return i.String()
	}
	text, negative := strings.CutPrefix(strings.TrimPrefix(text, "+"), "-")
	exponent := ""
	if i := strings.IndexAny(text, "eE"); i >= 0 {
		text, exponent = text[:i], text[i:]
	}
	whole, fraction, _ := strings.Cut(text, ".")
	whole = strings.TrimLeft(whole, "0")
	if whole == "" {
		whole = "0"
	}
	if fraction != "" {
		whole += "." + fraction
	}
	if negative {
		whole = "-" + whole
	}
	return whole + exponent
}
