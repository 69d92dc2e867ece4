package doc

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/heddle/heddle"
)

func TestParseGivesTheTreeAsJSON(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ text, want string }{
		"json":                                    {text: ` {"b":1.50,"a":[true,null,"x"]}`, want: `{"b":1.50,"a":[true,null,"x"]}`},
		"json with tabs":                          {text: "{\n\t\"a\":\t1\n}", want: `{"a":1}`},
		"json followed by another document":       {text: "{\"a\":1}\n---\n{\"b\":[\n", want: `{"a":1}`},
		"yaml map in braces":                      {text: "{a: 1, b: [x, y]}", want: `{"a":1,"b":["x","y"]}`},
		"yaml after a mark":                       {text: "---\na: 1\n", want: `{"a":1}`},
		"only the first yaml document":            {text: "a: 1\n---\nb: [\n", want: `{"a":1}`},
		"byte order mark":                         {text: "\uFEFFa: 1\n", want: `{"a":1}`},
		"words of YAML 1.1 are strings":           {text: "yes: no\non: off\ny: n\nt: True\n", want: `{"yes":"no","on":"off","y":"n","t":"True"}`},
		"true and false are booleans":             {text: "a: true\nb: false\nc: 'true'\n", want: `{"a":true,"b":false,"c":"true"}`},
		"numbers keep their source text":          {text: "a: 1.10\nb: 1e3\nc: 12345678901234567890\n", want: `{"a":1.10,"b":1e3,"c":12345678901234567890}`},
		"numbers that JSON writes otherwise":      {text: "a: 0x1F\nb: +5\nc: .5\nd: 007\ne: 5.\nf: 0o17\ng: -0.50\nh: -.5e3\n", want: `{"a":31,"b":5,"c":0.5,"d":7,"e":5,"f":15,"g":-0.50,"h":-0.5e3}`},
		"what looks like other types is a string": {text: "a: 2024-01-02\nb: 1_000\nc: 12:30\nd: .inf\n", want: `{"a":"2024-01-02","b":"1_000","c":"12:30","d":".inf"}`},
		"nulls":   {text: "a:\nb: ~\nc: null\nd: ''\n", want: `{"a":null,"b":null,"c":null,"d":""}`},
		"tags":    {text: "a: !!str 1.10\nb: !!int '5'\nc: !!float 2\n", want: `{"a":"1.10","b":5,"c":2}`},
		"aliases": {text: "a: &x {k: 1}\nb: *x\nc: &y v\nd: [*y, *y]\n", want: `{"a":{"k":1},"b":{"k":1},"c":"v","d":["v","v"]}`},
		"merge keys": {text: "a: &x {k: 1, l: 2}\nb: &y {l: 3, m: 4}\nc: {<<: *x, l: 9}\nd: {<<: [*x, *y]}\n",
			want: `{"a":{"k":1,"l":2},"b":{"l":3,"m":4},"c":{"l":9,"k":1},"d":{"k":1,"l":2,"m":4}}`},
		"angle brackets are not escaped": {text: `{"a":"<&>"}`, want: `{"a":"<&>"}`},
		"keys that are not strings":      {text: "1.10: a\ntrue: b\n", want: `{"1.10":"a","true":"b"}`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, err := Parse("f.yaml", []byte(tc.text))
			if err != nil {
				t.Fatal(err)
			}
			if err := d.Faults.Err(); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, string(d.Root.JSON())); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestParseAll(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		text string
		want []string // the documents, each with its line
		err  string
	}{
		"one":                      {text: "a: 1\n", want: []string{`1 {"a":1}`}},
		"several":                  {text: "# head\n---\na: 1\n---\nb: 2\n...\n---\nc: 3\n", want: []string{`3 {"a":1}`, `5 {"b":2}`, `8 {"c":3}`}},
		"empty ones between":       {text: "---\n---\na: 1\n---\n# nothing\n---\nb: 2\n---\n", want: []string{`3 {"a":1}`, `7 {"b":2}`}},
		"json":                     {text: `{"a":1}`, want: []string{`1 {"a":1}`}},
		"json documents":           {text: "{\"a\":1}\n---\n{\"b\":2}\n", want: []string{`1 {"a":1}`, `3 {"b":2}`}},
		"a list of kubectl":        {text: "kind: List\nitems:\n- a: 1\n- b: 2\n---\nc: 3\n", want: []string{`3 {"a":1}`, `4 {"b":2}`, `6 {"c":3}`}},
		"a list of a kind":         {text: "{kind: TaskList, items: [{a: 1}]}", want: []string{`1 {"a":1}`}},
		"a list with nothing":      {text: "{kind: List, items: []}"},
		"items of something else":  {text: "{kind: Other, items: [1]}", want: []string{`1 {"kind":"Other","items":[1]}`}},
		"nothing":                  {text: "---\n---\n", err: "f:3:1: the document is empty"},
		"a word":                   {text: "a: 1\n---\nword\n", err: `f:3:1: the document must be a map, is the text "word"`},
		"a fault in the second":    {text: "a: 1\n---\nb: [1\nc: 2\n", err: "f:3:1: broken YAML: did not find expected ',' or ']'"},
		"a key twice in the third": {text: "a: 1\n---\nb: 1\n---\nc: 1\nc: 2\n", want: []string{`1 {"a":1}`, `3 {"b":1}`, `5 {"c":1}`}, err: "f:6:1: c: the key stands in line 5 already"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			docs, err := ParseAll("f", []byte(tc.text))
			if err == nil {
				_, err = Join(docs...)
			}
			var got []string
			for _, d := range docs {
				got = append(got, fmt.Sprint(d.Root.Line, " ", string(d.Root.JSON())))
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
			if text := fmt.Sprint(err); tc.err != "" && text != tc.err || tc.err == "" && err != nil {
				t.Errorf("got %v, want %s", err, tc.err)
			}
		})
	}
}

func TestAt(t *testing.T) {
	t.Parallel()
	d, err := Parse("f", []byte("spec: {list: [{a: 1}, {a: {b: 2}}]}\n"))
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"": "", "spec": "spec", "spec.list[1].a.b": "spec.list[1].a.b", "spec.list[1].a.b.c": "spec.list[1].a.b",
		"spec.list[7].a": "spec.list", "spec.list.a": "spec.list", "other": "",
	} {
		if got := d.Root.At(path).Path(); got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
}

func TestParseFaults(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("[", MaxDepth+1) + strings.Repeat("]", MaxDepth+1)
	tests := map[string]struct{ text, want string }{
		"empty":                     {text: "", want: "f:1:1: the document is empty"},
		"only a comment":            {text: "# nothing\n", want: "f:1:1: the document is empty"},
		"only a mark":               {text: "---\n", want: "f:2:1: the document is empty"},
		"a list":                    {text: "- a\n", want: "f:1:1: the document must be a map, is a list"},
		"a word":                    {text: "hello", want: `f:1:1: the document must be a map, is the text "hello"`},
		"utf-16":                    {text: "\xff\xfea\x00", want: "f:1:1: the text is UTF-16: save it as UTF-8"},
		"not utf-8":                 {text: "a: 1\nbé: \xe9\n", want: "f:2:5: byte 0xe9 is not UTF-8"},
		"control character":         {text: "a: 1\nb: \x01\n", want: "f:2:1: broken YAML: control characters are not allowed"},
		"tab for indentation":       {text: "a: 1\nb:\n  c: 1\n\td: 2\n", want: "f:4:1: a tab cannot indent YAML: use spaces"},
		"open bracket":              {text: "a: 1\nb: [1, 2\nc: 3\nd: 4\n", want: "f:2:1: broken YAML: did not find expected ',' or ']'"},
		"map and list mixed":        {text: "a: 1\nb:\n  - 1\n  c: 2\nd: 1\n", want: "f:4:3: broken YAML: did not find expected '-' indicator"},
		"fault far below its map":   {text: "x: [\n 1,\n 2\n]\na:\n" + strings.Repeat("  k: [1]\n", 200) + "  }\nb: 1\n", want: "f:206:3: broken YAML: did not find expected key"},
		"two values on a line":      {text: "a: 1\nb: c: d\n", want: "f:2:1: broken YAML: mapping values are not allowed in this context"},
		"unknown anchor":            {text: "a: 1\nb: *x\n", want: "f:2:1: broken YAML: unknown anchor 'x' referenced"},
		"anchor that holds itself":  {text: "a: &x [1, *x]\n", want: "f:1:4: a[1]: the anchor &x contains itself"},
		"unknown tag":               {text: "a: !foo 1\n", want: "f:1:4: a: the tag !foo is not known"},
		"tag that does not fit":     {text: "a: !!int x\n", want: `f:1:4: a: "x" does not have the form of its tag !!int`},
		"unknown tag on a map":      {text: "a: !foo {}\n", want: "f:1:4: a: the tag !foo is not known"},
		"map as key":                {text: "? {a: 1}\n: 2\n", want: `f:1:3: "": a key must be a plain value`},
		"merge of a word":           {text: "a: {<<: x}\n", want: `f:1:9: a."<<": only maps can be merged, this is the text "x"`},
		"key twice in yaml":         {text: "a:\n  b: 1\n  b: 2\n", want: "f:3:3: a.b: the key stands in line 2 already"},
		"key twice in json":         {text: "{\"a\":\n 1,\n \"a\": 2}", want: "f:3:2: a: the key stands in line 1 already"},
		"broken json":               {text: "{\n  \"a\": 1,\n  \"b\" 2\n}", want: "f:3:7: broken JSON: invalid character '2' after object key"},
		"json that ends":            {text: "{\"a\": [1", want: "f:1:9: broken JSON: the text ends in the middle of the document"},
		"json with a trailing text": {text: "{\"a\": 1}\n}", want: "f:2:1: unexpected text after the end of the document"},
		"deep yaml":                 {text: "a: " + deep, want: "f:1:103: a" + strings.Repeat("[0]", MaxDepth-1) + ": nested deeper than 100 levels"},
		"deep json":                 {text: `{"a": ` + deep + "}", want: "f:1:106: nested deeper than 100 levels"},
		"very deep json":            {text: `{"a": ` + strings.Repeat("[", 1_000_000), want: "f:1:106: nested deeper than 100 levels"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, err := Parse("f", []byte(tc.text))
			if err == nil {
				err = d.Faults.Err()
			}
			if err == nil {
				t.Fatal("no fault")
			}
			if diff := cmp.Diff(tc.want, err.Error()); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
			if got := heddle.CodeOf(err); got != heddle.CodeInvalid {
				t.Errorf("code %q, want invalid", got)
			}
		})
	}
}

func TestAliasesAreExpandedWithinBounds(t *testing.T) {
	t.Parallel()
	var bomb strings.Builder
	bomb.WriteString("a0: &a0 [x, x]\n")
	for i := 1; i < 40; i++ {
		n, p := string(rune('a'+i/10))+string(rune('0'+i%10)), string(rune('a'+(i-1)/10))+string(rune('0'+(i-1)%10))
		bomb.WriteString(n + ": &" + n + " [*" + p + ", *" + p + "]\n")
	}
	long := "a: &x " + strings.Repeat("y", 1<<20) + "\nb: [" + strings.Repeat("*x, ", 100) + "*x]\n"
	merges := "a: &x {k: 1}\nb: {<<: [" + strings.Repeat("*x, ", 260_000) + "*x]}\n"
	for name, text := range map[string]string{"many": bomb.String(), "long": long, "merged": merges} {
		_, err := Parse("f", []byte(text))
		if err == nil || !strings.Contains(err.Error(), "its aliases expanded") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestFaultsAreCollectedAndSorted(t *testing.T) {
	t.Parallel()
	d, err := Parse("job.yaml", []byte("nmae: x\nn: [1]\nb: yes\nd: -5s\nm: 1\nl: {}\n\"odd key.\": {a: []}\n"))
	if err != nil {
		t.Fatal(err)
	}
	o := d.Object(d.Root)
	o.Object("m")
	o.Strings("l")
	o.Duration("d")
	o.Bool("b")
	o.String("n", "")
	o.String("name", "")
	o.Object("odd key.").Int("a")
	o.Rest()
	want := strings.Join([]string{
		`job.yaml:1:1: warning: nmae: the key is not known and is ignored; did you mean "name"?`,
		`job.yaml:2:4: n: must be a single value, is a list`,
		`job.yaml:3:4: b: must be true or false, is the text "yes"`,
		`job.yaml:4:4: d: a duration cannot be negative, is the text "-5s"`,
		`job.yaml:5:4: m: must be a map, is 1`,
		`job.yaml:6:4: l: must be a list, is a map`,
		`job.yaml:7:17: "odd key.".a: must be a whole number from 0 to 2147483647, is a list`,
	}, "\n")
	err = d.Faults.Err()
	if err == nil {
		t.Fatal("no error")
	}
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	var all Error
	if !errors.As(err, &all) || len(all) != 7 || all[0].Severity != SeverityWarning || all[3].Path != "d" {
		t.Errorf("faults in the chain: %+v", all)
	}
}

func TestFaultsAreBounded(t *testing.T) {
	t.Parallel()
	d, err := Parse("f", []byte("a: 1\n"))
	if err != nil {
		t.Fatal(err)
	}
	for range 100_000 {
		d.Faults.Warnf(d.Root, "again")
	}
	d.Faults.Errorf(d.Root, "the error")
	all := d.Faults.All()
	if len(all) != 102 || all[0].Message != "the error" || d.Faults.Err() == nil {
		t.Errorf("%d faults, first %v", len(all), all[0])
	}
}

func TestStrictDocuments(t *testing.T) {
	t.Parallel()
	d, err := Parse("f", []byte("a:\nb: 5\nc: [x]\nd: 'yes'\nlst: {}\nmaps: [~, {}]\nflsg: true\n"))
	if err != nil {
		t.Fatal(err)
	}
	d.Strict = true
	o := d.Object(d.Root)
	got := []string{o.StringOnly("a"), o.StringOnly("b"), o.StringOnly("c"), o.StringOnly("d"), o.StringOnly("none")}
	if diff := cmp.Diff([]string{"", "", "", "yes", ""}, got); diff != "" {
		t.Error(diff)
	}
	o.List("lst")
	o.Bool("flag")
	for _, item := range o.List("maps") {
		d.Object(item)
	}
	o.Rest()
	want := strings.Join([]string{
		`f:1:3: a: must have a value, is empty`,
		`f:2:4: b: must be a string, is 5: quotes make it one`,
		`f:3:4: c: must be a string, is a list`,
		`f:5:6: lst: must be a list, is a map`,
		`f:6:8: maps[0]: must be a map, is empty`,
		`f:7:1: flsg: the key is not known; did you mean "flag"?`,
	}, "\n")
	if diff := cmp.Diff(want, d.Faults.Err().Error()); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestObjectAccessors(t *testing.T) {
	t.Parallel()
	d, err := Parse("f", []byte("version: 1.10\nflag: true\ncount: 0x10\nfloat: 1.5\nbare: 1.5\nlong: 1h30m\n"+
		"one: echo hi\nmany: [a, 1, true]\nmap: {z: 1, a: 2}\nnothing:\n"))
	if err != nil {
		t.Fatal(err)
	}
	o := d.Object(d.Root)
	one, single := o.StringOrList("one")
	many, list := o.StringOrList("many")
	got := []any{o.String("version", ""), o.String("none", "x"), o.String("nothing", "y"), o.Bool("flag"), o.Int("count"),
		o.Float("float", 2), o.Float("none", 2), o.Duration("bare"), o.Duration("long"), one, single, many, list,
		string(o.JSON("map")), o.Object("map").Fields()[0].Key, o.Object("nothing").Fields() == nil}
	want := []any{"1.10", "x", "y", true, 16, 1.5, 2.0, 1500 * time.Millisecond, 90 * time.Minute, []string{"echo hi"}, true,
		[]string{"a", "1", "true"}, false, `{"z":1,"a":2}`, "z", true}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	o.Rest()
	if all := d.Faults.All(); len(all) != 0 {
		t.Errorf("faults: %v", all)
	}
}

func TestDidYouMean(t *testing.T) {
	t.Parallel()
	known := []string{"duration", "workflows", "success", "env"}
	for word, want := range map[string]string{
		"duraton": `; did you mean "duration"?`, "workflow": `; did you mean "workflows"?`, "sucess": `; did you mean "success"?`,
		"Env": `; did you mean "env"?`, "vne": "", "image": "", "x": "", "evn": `; did you mean "env"?`,
	} {
		if got := DidYouMean(word, known).String(); got != want {
			t.Errorf("%s: got %q, want %q", word, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"a: 1\nb: [x, {y: z}]\n", `{"a": [1, 2.5e3, "x\u00e9", null]}`, "a: &x {k: *x}\n", "<<: [{a: 1}, {a: 2}]\n",
		"a: |\n  text\n\tb: >-\n  x\n", "? [a]\n: !!int x\n", "{a: 1} }", "\uFEFF---\na: 'b''c'\n...\n", "a: 0x1F\nb: 1_0\nc: +.5e-3\n",
		"a: \x00", "\xff\xfe", "- - - -\n", "%YAML 1.1\n---\n!!map {}", "a: &a [*a, &b [*a, *b]]",
		"a: 1\n---\n---\nb: [1]\n", "{\"a\": 1}\n---\nkind: List\nitems: [{a: 1}, ~, 3]\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		docs, allErr := ParseAll("f", data)
		if allErr != nil && (docs != nil || heddle.CodeOf(allErr) != heddle.CodeInvalid) {
			t.Fatalf("error of the wrong form: %v", allErr)
		}
		for _, d := range docs {
			if d.Root.Kind == Map && !json.Valid(d.Root.JSON()) {
				t.Fatalf("%q becomes %s", data, d.Root.JSON())
			}
		}
		d, err := Parse("f", data)
		if err != nil {
			if d != nil || heddle.CodeOf(err) != heddle.CodeInvalid || !strings.HasPrefix(err.Error(), "f:") {
				t.Fatalf("error of the wrong form: %v", err)
			}
			return
		}
		text := d.Root.JSON()
		if d.Faults.Err() != nil {
			return
		}
		again, err := Parse("f", text)
		if err != nil || again.Faults.Err() != nil {
			t.Fatalf("%q becomes %s, which is refused: %v", data, text, err)
		}
		if diff := cmp.Diff(d.Root.Value(), again.Root.Value()); diff != "" {
			t.Fatalf("%q changes on the way through JSON:\n%s", data, diff)
		}
	})
}
