package doc

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Object reads a map. Every question marks its key as known; what the answer is
// worth is told in the document's faults, and a bad one reads like an absent key.
// An absent key and one with an empty value (null) are the same, but in a strict
// document the latter is an error too.
type Object struct {
	d     *Document
	node  *Node
	asked []string
}

// Object returns a reader for a map; of a nil node it is empty. A node that is
// something else is an error.
func (d *Document) Object(n *Node) *Object {
	switch {
	case n == nil, n.Kind == Null && !d.Strict:
		n = &Node{Kind: Map}
	case n.Kind != Map:
		d.Faults.Errorf(n, "must be a map, is %s", n.describe())
		n = &Node{Kind: Map, Line: n.Line, Column: n.Column, parent: n.parent, key: n.key, index: n.index}
	}
	return &Object{d: d, node: n}
}

// Node returns the map itself.
func (o *Object) Node() *Node { return o.node }

// Get returns the value of a key, or nil.
func (o *Object) Get(key string) *Node {
	o.asked = append(o.asked, key)
	if n := o.node.Get(key); n != nil && n.Kind != Null {
		return n
	}
	return nil
}

// Object returns a reader for the map under a key.
func (o *Object) Object(key string) *Object { return o.d.Object(o.Get(key)) }

// Fields returns all entries in document order, and marks them as known.
func (o *Object) Fields() []Field {
	for _, f := range o.node.Fields {
		o.asked = append(o.asked, f.Key)
	}
	return o.node.Fields
}

// String returns the text of a scalar as it is written, so that an unquoted
// number keeps its form; fallback when there is none.
func (o *Object) String(key, fallback string) string {
	n := o.Get(key)
	if n == nil {
		return fallback
	}
	text, ok := o.d.Text(n)
	if !ok {
		return fallback
	}
	return text
}

// Text returns the text of a scalar as it is written; "" for an empty value. A
// list or a map is an error.
func (d *Document) Text(n *Node) (string, bool) {
	if n.Kind == List || n.Kind == Map {
		d.Faults.Errorf(n, "must be a single value, is %s", n.describe())
		return "", false
	}
	if n.Kind == Null {
		return "", true
	}
	return n.Text, true
}

// StringOnly returns a string, "" when there is none. Numbers and booleans, which
// [Object.String] takes as they are written, are errors.
func (o *Object) StringOnly(key string) string {
	n := o.Get(key)
	switch {
	case n == nil:
		return ""
	case n.Kind == Number || n.Kind == Bool:
		o.d.Faults.Errorf(n, "must be a string, is %s: quotes make it one", n.describe())
		return ""
	case n.Kind != String:
		o.d.Faults.Errorf(n, "must be a string, is %s", n.describe())
		return ""
	}
	return n.Text
}

// Bool returns a boolean: true or false, nothing else.
func (o *Object) Bool(key string) bool {
	n := o.Get(key)
	if n == nil {
		return false
	}
	if n.Kind != Bool {
		o.d.Faults.Errorf(n, "must be true or false, is %s", n.describe())
		return false
	}
	return n.Text == "true"
}

// Int returns a whole number of at least 0 and at most 2147483647.
func (o *Object) Int(key string) int {
	n := o.Get(key)
	if n == nil {
		return 0
	}
	i, err := strconv.ParseInt(jsonNumber(n.Text), 10, 32)
	if n.Kind != Number || err != nil || i < 0 {
		o.d.Faults.Errorf(n, "must be a whole number from 0 to %d, is %s", math.MaxInt32, n.describe())
		return 0
	}
	return int(i)
}

// Float returns a number; fallback when there is none.
func (o *Object) Float(key string, fallback float64) float64 {
	n := o.Get(key)
	if n == nil {
		return fallback
	}
	f, err := strconv.ParseFloat(jsonNumber(n.Text), 64)
	if n.Kind != Number || err != nil {
		o.d.Faults.Errorf(n, "must be a number, is %s", n.describe())
		return fallback
	}
	return f
}

// Duration returns a length of time: Go's form (300ms, 90s, 1h30m) or a bare
// number of seconds. A negative one is an error.
func (o *Object) Duration(key string) time.Duration {
	n := o.Get(key)
	if n == nil {
		return 0
	}
	text, ok := o.d.Text(n)
	if !ok {
		return 0
	}
	d, ok := parseDuration(strings.TrimSpace(text))
	if !ok {
		o.d.Faults.Errorf(n, "must be a duration such as 90s, 1h30m or a number of seconds, is %s", n.describe())
		return 0
	}
	if d < 0 {
		o.d.Faults.Errorf(n, "a duration cannot be negative, is %s", n.describe())
		return 0
	}
	return d
}

func parseDuration(text string) (time.Duration, bool) {
	if d, err := time.ParseDuration(text); err == nil {
		return d, true
	}
	if !decimal.MatchString(text) {
		return 0, false
	}
	seconds, err := strconv.ParseFloat(text, 64)
	ns := seconds * float64(time.Second)
	if err != nil || math.Abs(ns) >= math.MaxInt64 {
		return 0, false
	}
	return time.Duration(ns), true
}

// List returns the elements of a list.
func (o *Object) List(key string) []*Node {
	n := o.Get(key)
	if n == nil {
		return nil
	}
	if n.Kind != List {
		o.d.Faults.Errorf(n, "must be a list, is %s", n.describe())
		return nil
	}
	return n.Items
}

// Strings returns a list of strings.
func (o *Object) Strings(key string) []string {
	items := o.List(key)
	if items == nil {
		return nil
	}
	return o.d.texts(items)
}

// StringOrList returns a list of strings, or a single value as a list of one; one
// tells which it was.
func (o *Object) StringOrList(key string) (list []string, one bool) {
	n := o.Get(key)
	if n == nil {
		return nil, false
	}
	switch n.Kind {
	case List:
		return o.d.texts(n.Items), false
	case Map:
		o.d.Faults.Errorf(n, "must be a list or a single value, is a map")
		return nil, false
	}
	return []string{n.Text}, true
}

func (d *Document) texts(items []*Node) []string {
	list := make([]string, 0, len(items))
	for _, item := range items {
		if text, ok := d.Text(item); ok {
			list = append(list, text)
		}
	}
	return list
}

// JSON returns the map under a key as a JSON object; nil when there is none.
func (o *Object) JSON(key string) json.RawMessage {
	n := o.Get(key)
	if n == nil {
		return nil
	}
	if n.Kind != Map {
		o.d.Faults.Errorf(n, "must be a map, is %s", n.describe())
		return nil
	}
	return n.JSON()
}

// Rest warns of every key that was not asked for, and tells which known one it
// resembles. In a strict document those are errors, and so are empty values.
func (o *Object) Rest() { o.rest(o.d.Strict) }

// RestStrict is [Object.Rest] as in a strict document.
func (o *Object) RestStrict() { o.rest(true) }

func (o *Object) rest(strict bool) {
	if o.d.Asked != nil {
		o.d.Asked(o.node, o.asked)
	}
	for _, f := range o.node.Fields {
		known := slices.Contains(o.asked, f.Key)
		switch {
		case known && strict && f.Value.Kind == Null:
			o.d.Faults.Errorf(f.Value, "must have a value, is empty")
		case known:
		case strict:
			o.d.Faults.keyErrorf(o.node, f, "the key is not known%s", DidYouMean(f.Key, o.asked))
		default:
			o.d.Faults.keyWarnf(o.node, f, "the key is not known and is ignored%s", DidYouMean(f.Key, o.asked))
		}
	}
}

// Hint is the end of a message about a word that is not known. It is worked out
// when it is printed: most faults of a document with thousands never are.
type Hint struct {
	word  string
	known []string
}

// DidYouMean makes a hint to the one of the known words that word resembles.
func DidYouMean(word string, known []string) Hint { return Hint{word: word, known: known} }

// String returns `; did you mean "x"?`, or "" if there is no such word. Of more
// than 200 words none is looked for.
func (h Hint) String() string {
	if len(h.known) > 200 {
		return ""
	}
	best, bestDistance := "", 1+min(2, len(h.word)/3)
	for _, k := range h.known {
		if d := distance(strings.ToLower(h.word), strings.ToLower(k), bestDistance); d < bestDistance {
			best, bestDistance = k, d
		}
	}
	if best == "" {
		return ""
	}
	return "; did you mean " + strconv.Quote(best) + "?"
}

// distance counts the letters to insert, delete, replace or swap with their
// neighbour that lead from a to b; limit when there are at least that many.
func distance(a, b string, limit int) int {
	if max(len(a), len(b))-min(len(a), len(b)) >= limit {
		return limit
	}
	rows := [3][]int{make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)}
	for j := range rows[1] {
		rows[1][j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, last, row := rows[0], rows[1], rows[2]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			same := 1
			if a[i-1] == b[j-1] {
				same = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+same)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		rows = [3][]int{last, row, before}
	}
	return min(limit, rows[1][len(b)])
}
