// Package doc reads the text of a document, JSON or YAML, into a tree whose every
// node knows its place and its source text, and collects what is wrong with it.
//
// It knows no kind of document: those packages ask an [Object] for what they
// know, and each question that the document answers badly leaves a [Fault], so
// that one look finds all of them.
package doc

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"github.com/heddle/heddle"
)

// The bounds of a document. They hold after aliases are expanded, so that a
// small file cannot grow into a large tree.
const (
	MaxYAML  = 4 << 20  // bytes of a YAML document
	MaxJSON  = 32 << 20 // bytes of a JSON document, and of all text in a tree
	MaxNodes = 500_000  // values and keys
	MaxDepth = 100      // levels of nesting
)

// Document is a document that could be read.
type Document struct {
	File string // as faults name it
	Root *Node  // always a map
	// Strict is for kinds of document in which an unknown key and an empty value
	// (null) are errors; who reads the tree sets it before asking.
	Strict bool
	// Asked, if set, is told of each map that has been read and of the keys that its
	// reader knows, so that a schema can be compared with that.
	Asked func(n *Node, keys []string)
	// Faults holds what was wrong so far (duplicate keys, say). Who reads the tree
	// adds to it, and asks [Faults.Err] at the end.
	Faults Faults

	all  bool    // every document is wanted
	more []*Node // those after the first
}

// Parse reads the first document in data, which must be a map. JSON is tried
// first when the first character is a brace, else the text is YAML. file names
// it in faults. A text that gives no tree is an error of [heddle.CodeInvalid]
// with an [Error] in its chain.
func Parse(file string, data []byte) (*Document, error) {
	d := &Document{File: file, Faults: Faults{file: file}}
	d.Root = d.parse(data)
	if d.Root != nil && d.Root.Kind != Map {
		d.Faults.Errorf(d.Root, "the document must be a map, is %s", d.Root.describe())
		d.Root = nil
	}
	if d.Root == nil {
		return nil, d.Faults.Err()
	}
	return d, nil
}

// ParseAll reads every document in data: those of a YAML stream, or one of JSON. A
// document that is a Kubernetes list (kind: List, or one that ends so) gives its
// items instead; empty ones are left out. Each has faults of its own, see [Join].
// The error is that of [Parse].
func ParseAll(file string, data []byte) ([]*Document, error) {
	d := &Document{File: file, Faults: Faults{file: file}}
	d.all = true
	d.Root = d.parse(data)
	if d.Root == nil {
		return nil, d.Faults.Err()
	}
	var docs []*Document
	for _, root := range append([]*Node{d.Root}, d.more...) {
		switch items := root.Get("items"); {
		case root.Kind != Map:
			d.Faults.Errorf(root, "the document must be a map, is %s", root.describe())
			return nil, d.Faults.Err()
		case items != nil && items.Kind == List && strings.HasSuffix(root.word("kind"), "List"):
			for _, item := range items.Items {
				docs = append(docs, &Document{File: file, Root: item, Faults: Faults{file: file}})
			}
		default:
			docs = append(docs, &Document{File: file, Root: root, Faults: Faults{file: file}})
		}
	}
	if len(docs) > 0 {
		docs[0].Faults = d.Faults
	}
	return docs, nil
}

// Join returns the faults of several documents, in their order, and the error that
// they are if one of them is an error.
func Join(docs ...*Document) ([]Fault, error) {
	var all []Fault
	bad := false
	for _, d := range docs {
		all = append(all, d.Faults.All()...)
		bad = bad || d.Faults.Err() != nil
	}
	if !bad {
		return all, nil
	}
	return all, heddle.Errorf(heddle.CodeInvalid, "%w", Error(all))
}

func (d *Document) parse(data []byte) *Node {
	if bytes.HasPrefix(data, []byte{0xFF, 0xFE}) || bytes.HasPrefix(data, []byte{0xFE, 0xFF}) {
		d.Faults.at(1, 1, "the text is UTF-16: save it as UTF-8")
		return nil
	}
	// Windows editors put the UTF-8 mark there, and it means nothing.
	data = bytes.TrimPrefix(data, []byte("\uFEFF"))
	if !d.checkText(data) {
		return nil
	}
	trimmed := bytes.TrimLeft(data, " \t\r\n")
	if len(trimmed) > 0 && trimmed[0] == '{' {
		if root, ok := d.parseJSON(data); ok {
			return root
		}
		// A YAML map in braces looks the same. If it is not that either, what the
		// JSON reader said is the more exact.
		y := &Document{File: d.File, Faults: Faults{file: d.File}, all: d.all}
		if root := y.parseYAML(data); root != nil {
			d.Faults, d.more = y.Faults, y.more
			return root
		}
		return nil
	}
	return d.parseYAML(data)
}

func (d *Document) checkText(data []byte) bool {
	if len(data) > MaxJSON {
		d.Faults.at(1, 1, "the document has %d bytes, more than %d", len(data), MaxJSON)
		return false
	}
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && size == 1 {
			c := cursor{data: data, line: 1, column: 1}
			line, column := c.at(i)
			d.Faults.at(line, column, "byte 0x%02x is not UTF-8", data[i])
			return false
		}
		i += size
	}
	return true
}

// cursor turns offsets, asked for in growing order, into lines and columns.
type cursor struct {
	data         []byte
	offset       int
	line, column int
}

func (c *cursor) at(offset int) (line, column int) {
	for c.offset < min(offset, len(c.data)) {
		r, size := utf8.DecodeRune(c.data[c.offset:])
		c.offset += size
		c.column++
		if r == '\n' {
			c.line, c.column = c.line+1, 1
		}
	}
	return c.line, c.column
}

// budget is what is left of the bounds while a tree is built.
type budget struct{ nodes, bytes int }

func newBudget() budget { return budget{nodes: MaxNodes, bytes: MaxJSON} }

// spend takes one node with so much text; false when the bounds are passed.
func (b *budget) spend(text int) bool {
	b.nodes--
	b.bytes -= text
	return b.nodes >= 0 && b.bytes >= 0
}
