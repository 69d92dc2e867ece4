package doc

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// yamlReader builds a tree from the nodes of the YAML library: it resolves
// scalars by the rules of YAML 1.2, expands aliases within bounds and applies
// merge keys.
type yamlReader struct {
	d      *Document
	budget budget
	// open holds the anchored nodes that are being read, to find those that
	// contain themselves.
	open map[*yaml.Node]bool
	over bool
}

func (d *Document) parseYAML(data []byte) *Node {
	if len(data) > MaxYAML {
		d.Faults.at(1, 1, "the document has %d bytes, more than the %d that YAML may have here; as JSON it may have %d",
			len(data), MaxYAML, MaxJSON)
		return nil
	}
	roots, err := decodeYAML(data, d.all)
	switch {
	case errors.Is(err, io.EOF):
		d.Faults.at(1, 1, "the document is empty")
		return nil
	case err != nil:
		d.yamlFault(data, err)
		return nil
	}
	r := &yamlReader{d: d, budget: newBudget(), open: map[*yaml.Node]bool{}}
	var tops []*Node
	for i, root := range roots {
		top := r.node(root.Content[0], nil, 1)
		if r.over {
			return nil
		}
		if top.Kind != Null || i == len(roots)-1 && len(tops) == 0 {
			tops = append(tops, top)
		}
	}
	if tops[0].Kind == Null {
		d.Faults.at(tops[0].Line, tops[0].Column, "the document is empty")
		return nil
	}
	d.more = tops[1:]
	return tops[0]
}

// decodeYAML reads the first document, or all: one at least. The library panics on
// what it has not foreseen, and the text is anybody's.
func decodeYAML(data []byte, all bool) (roots []*yaml.Node, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("cannot be read: %v", p)
		}
	}()
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	for all || len(roots) == 0 {
		root := &yaml.Node{}
		if err := decoder.Decode(root); errors.Is(err, io.EOF) && len(roots) > 0 {
			break
		} else if err != nil {
			return nil, fmt.Errorf("reading YAML: %w", err)
		}
		if len(root.Content) > 0 {
			roots = append(roots, root)
		} else if !all {
			return nil, io.EOF
		}
	}
	return roots, nil
}

// fail records a fault at a YAML node and gives a null in its place.
func (r *yamlReader) fail(y *yaml.Node, n *Node, format string, args ...any) *Node {
	n.Kind, n.Text, n.Line, n.Column = Null, "", y.Line, y.Column
	r.d.Faults.Errorf(n, format, args...)
	return n
}

func (r *yamlReader) node(y *yaml.Node, parent *Node, depth int) *Node {
	n := &Node{Line: y.Line, Column: y.Column, parent: parent}
	r.fill(n, y, depth)
	return n
}

func (r *yamlReader) fill(n *Node, y *yaml.Node, depth int) {
	if r.over {
		return
	}
	if y.Kind == yaml.AliasNode {
		y = y.Alias
	}
	if !r.budget.spend(len(y.Value)) {
		r.over = true
		r.fail(y, n, "the document, its aliases expanded, holds more than %d values or %d bytes", MaxNodes, MaxJSON)
		return
	}
	if r.open[y] {
		r.fail(y, n, "the anchor &%s contains itself", short(y.Anchor))
		return
	}
	if y.Anchor != "" {
		r.open[y] = true
		defer delete(r.open, y)
	}
	n.Line, n.Column = y.Line, y.Column
	switch y.Kind {
	case yaml.ScalarNode:
		r.scalar(n, y)
	case yaml.SequenceNode, yaml.MappingNode:
		if depth > MaxDepth {
			r.over = true
			r.fail(y, n, "nested deeper than %d levels", MaxDepth)
			return
		}
		r.collection(n, y, depth)
	}
}

func (r *yamlReader) collection(n *Node, y *yaml.Node, depth int) {
	want := "!!map"
	if y.Kind == yaml.SequenceNode {
		want = "!!seq"
	}
	if y.ShortTag() != want {
		r.fail(y, n, "the tag %s is not known", short(y.Tag))
		return
	}
	if y.Kind == yaml.MappingNode {
		r.mapping(n, y, depth)
		return
	}
	n.Kind = List
	for i, item := range y.Content {
		child := &Node{parent: n, index: i}
		n.Items = append(n.Items, child)
		r.fill(child, item, depth+1)
	}
}

func (r *yamlReader) scalar(n *Node, y *yaml.Node) {
	n.Text, n.Kind = y.Value, String
	tagged := y.Style&yaml.TaggedStyle != 0
	plain := y.Style&^yaml.TaggedStyle == 0
	if !tagged {
		if plain {
			n.Kind = plainKind(y.Value)
		}
		return
	}
	tags := map[string]Kind{"!!null": Null, "!!bool": Bool, "!!int": Number, "!!float": Number, "!!str": String}
	want, known := tags[y.ShortTag()]
	switch {
	case !known:
		r.fail(y, n, "the tag %s is not known", short(y.Tag))
	case want != String && plainKind(y.Value) != want:
		r.fail(y, n, "%q does not have the form of its tag %s", short(y.Value), short(y.Tag))
	default:
		n.Kind = want
	}
}

func (r *yamlReader) mapping(n *Node, y *yaml.Node, depth int) {
	n.Kind = Map
	seen := map[string]int{}
	var merges []*yaml.Node
	for i := 0; i+1 < len(y.Content) && !r.over; i += 2 {
		k, v := y.Content[i], y.Content[i+1]
		if k.Kind == yaml.AliasNode {
			k = k.Alias
		}
		if k.Kind != yaml.ScalarNode {
			r.d.Faults.keyErrorf(n, Field{Line: k.Line, Column: k.Column}, "a key must be a plain value")
			continue
		}
		if k.Value == "<<" && k.Style == 0 {
			merges = append(merges, v)
			continue
		}
		f := Field{Key: k.Value, Line: k.Line, Column: k.Column, Value: &Node{parent: n, key: k.Value}}
		r.budget.spend(len(k.Value))
		r.fill(f.Value, v, depth+1)
		if first, twice := seen[f.Key]; twice {
			r.d.Faults.keyErrorf(n, f, "the key stands in line %d already", first)
			continue
		}
		seen[f.Key] = f.Line
		n.Fields = append(n.Fields, f)
	}
	for _, m := range merges {
		r.merge(n, m, seen, depth)
	}
}

// merge brings in the fields of a merge key's maps that the map does not have.
func (r *yamlReader) merge(n *Node, y *yaml.Node, seen map[string]int, depth int) {
	from := Node{parent: n, key: "<<"}
	r.fill(&from, y, depth)
	sources := []*Node{&from}
	if from.Kind == List {
		sources = from.Items
	}
	for _, source := range sources {
		if r.over {
			return
		}
		if source.Kind != Map {
			r.d.Faults.keyErrorf(n, Field{Key: "<<", Line: y.Line, Column: y.Column}, "only maps can be merged, this is %s", source.describe())
			continue
		}
		for _, f := range source.Fields {
			if _, has := seen[f.Key]; has {
				continue
			}
			seen[f.Key] = f.Line
			f.Value.parent = n
			n.Fields = append(n.Fields, f)
		}
	}
}

var yamlLine = regexp.MustCompile(`^yaml: (?:line ([0-9]+): )?`)

// yamlFault turns an error of the library into a fault. The library tells a line
// at most, and often that of the map around the fault.
func (d *Document) yamlFault(data []byte, err error) {
	if cause := errors.Unwrap(err); cause != nil {
		err = cause
	}
	message, told := err.Error(), 0
	if match := yamlLine.FindStringSubmatch(message); match != nil {
		message = message[len(match[0]):]
		told, _ = strconv.Atoi(match[1])
	}
	lines := bytes.SplitAfter(data, []byte("\n"))
	line := min(max(told, readable(data, lines, d.all)+1), len(lines))
	text := strings.TrimRight(string(lines[line-1]), "\r\n")
	indent := text[:len(text)-len(strings.TrimLeft(text, " \t"))]
	if i := strings.IndexByte(indent, '\t'); i >= 0 {
		d.Faults.at(line, i+1, "a tab cannot indent YAML: use spaces")
		return
	}
	d.Faults.at(line, len(indent)+1, "broken YAML: %s", message)
}

// readable returns how many lines from the start make a document that can be
// read. A text that ends within a long bracket cannot, though a longer one can, so
// after each search the next lines are tried too. The work is bounded.
func readable(data []byte, lines [][]byte, all bool) int {
	const maxBytes, ahead = 256 << 10, 20
	if len(data) > maxBytes {
		return 0
	}
	ends := make([]int, len(lines)+1)
	for i, line := range lines {
		ends[i+1] = ends[i] + len(line)
	}
	reads := func(n int) bool {
		_, err := decodeYAML(data[:ends[n]], all)
		return err == nil || errors.Is(err, io.EOF)
	}
	good := 0
	for range 10 {
		bad := len(lines)
		for bad-good > 1 {
			if mid := (good + bad) / 2; reads(mid) {
				good = mid
			} else {
				bad = mid
			}
		}
		next := 0
		for n := good + 2; n < min(good+ahead, len(lines)) && next == 0; n++ {
			if reads(n) {
				next = n
			}
		}
		if next == 0 {
			break
		}
		good = next
	}
	return good
}
