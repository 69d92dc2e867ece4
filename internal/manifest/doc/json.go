package doc

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// jsonReader builds a tree from JSON tokens: the decoder keeps the offsets that
// decoding into Go values would lose.
type jsonReader struct {
	d      *Document
	dec    *json.Decoder
	pos    cursor
	budget budget
}

// errStop ends reading after a fault that was recorded.
var errStop = errors.New("stop")

// parseJSON reads data as JSON. ok is false when it is not JSON; with a nil root
// it is, and cannot be accepted.
func (d *Document) parseJSON(data []byte) (root *Node, ok bool) {
	r := &jsonReader{d: d, dec: json.NewDecoder(bytes.NewReader(data)),
		pos: cursor{data: data, line: 1, column: 1}, budget: newBudget()}
	r.dec.UseNumber()
	root, err := r.value(nil, 1)
	if errors.Is(err, errStop) {
		return nil, true
	}
	if err != nil {
		r.fault(data, err)
		return nil, false
	}
	rest := bytes.TrimLeft(data[r.dec.InputOffset():], " \t\r\n")
	if len(rest) > 0 && d.all {
		return nil, false // several, which YAML can be
	}
	if len(rest) > 0 && rest[0] != '#' && !bytes.HasPrefix(rest, []byte("---")) && !bytes.HasPrefix(rest, []byte("...")) {
		line, column := r.pos.at(len(data) - len(rest))
		d.Faults.at(line, column, "unexpected text after the end of the document")
		return nil, true
	}
	return root, true
}

func (r *jsonReader) fault(data []byte, err error) {
	offset := int64(len(data))
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		// Between tokens the decoder tells where the wrong character stands, within
		// one it counts that character too.
		offset = syntax.Offset
		if offset > r.dec.InputOffset() {
			offset--
		}
	}
	message := strings.TrimPrefix(err.Error(), "reading JSON: ")
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		message = "the text ends in the middle of the document"
	}
	c := cursor{data: data, line: 1, column: 1}
	line, column := c.at(int(offset))
	r.d.Faults.at(line, column, "broken JSON: %s", message)
}

// token returns the next token and its place.
func (r *jsonReader) token() (json.Token, int, int, error) {
	start := int(r.dec.InputOffset())
	for start < len(r.pos.data) && bytes.IndexByte([]byte(" \t\r\n,:"), r.pos.data[start]) >= 0 {
		start++
	}
	line, column := r.pos.at(start)
	t, err := r.dec.Token()
	if err != nil {
		return nil, line, column, fmt.Errorf("reading JSON: %w", err)
	}
	return t, line, column, nil
}

func (r *jsonReader) stop(line, column int, format string, args ...any) error {
	r.d.Faults.at(line, column, format, args...)
	return errStop
}

func (r *jsonReader) value(parent *Node, depth int) (*Node, error) {
	t, line, column, err := r.token()
	if err != nil {
		return nil, err
	}
	n := &Node{Line: line, Column: column, parent: parent}
	switch v := t.(type) {
	case bool:
		n.Kind, n.Text = Bool, fmt.Sprint(v)
	case json.Number:
		n.Kind, n.Text = Number, v.String()
	case string:
		n.Kind, n.Text = String, v
	case json.Delim:
		if depth > MaxDepth {
			return nil, r.stop(line, column, "nested deeper than %d levels", MaxDepth)
		}
		n.Kind = List
		if v == '{' {
			n.Kind = Map
		}
	}
	if !r.budget.spend(len(n.Text)) {
		return nil, r.stop(line, column, "the document holds more than %d values or %d bytes", MaxNodes, MaxJSON)
	}
	switch n.Kind {
	case List:
		err = r.list(n, depth)
	case Map:
		err = r.object(n, depth)
	}
	return n, err
}

func (r *jsonReader) list(n *Node, depth int) error {
	for r.dec.More() {
		item, err := r.value(n, depth+1)
		if err != nil {
			return err
		}
		item.index = len(n.Items)
		n.Items = append(n.Items, item)
	}
	_, _, _, err := r.token()
	return err
}

func (r *jsonReader) object(n *Node, depth int) error {
	seen := map[string]int{}
	for r.dec.More() {
		t, line, column, err := r.token()
		if err != nil {
			return err
		}
		key, _ := t.(string)
		if !r.budget.spend(len(key)) {
			return r.stop(line, column, "the document holds more than %d values or %d bytes", MaxNodes, MaxJSON)
		}
		value, err := r.value(n, depth+1)
		if err != nil {
			return err
		}
		value.key = key
		if first, twice := seen[key]; twice {
			r.d.Faults.keyErrorf(n, Field{Key: key, Line: line, Column: column}, "the key stands in line %d already", first)
			continue
		}
		seen[key] = line
		n.Fields = append(n.Fields, Field{Key: key, Line: line, Column: column, Value: value})
	}
	_, _, _, err := r.token()
	return err
}
