package params

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/heddle/heddle/internal/manifest/doc"
)

func read(t *testing.T, text string, given map[string]string) (*doc.Document, *Set) {
	t.Helper()
	d, err := doc.Parse("f", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return d, Read(d, d.Object(d.Root), "thing", given)
}

func TestValues(t *testing.T) {
	t.Parallel()
	d, s := read(t, "params:\n  s: {default: 1.10}\n  i: {type: integer, default: 3}\n  n: {type: number, default: 0.50}\n"+
		"  b: {type: boolean, default: false}\n  none: {}\n  given: {type: integer, default: 1, required: true}\n", map[string]string{"given": "-7"})
	if err := d.Faults.Err(); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"s": "1.10", "i": int64(3), "n": json.Number("0.50"), "b": false, "given": int64(-7)}
	if diff := cmp.Diff(want, s.Values()); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	got := s.Fill(d.Root, "${{params.s}} ${{  params.n }}|${{ params.none }}|${{ secrets.s }} ${{ params.given }} $${{ params.b }}")
	if want := "1.10 0.50||${{ secrets.s }} -7 $false"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if len(s.Declared()) != 6 || s.Declared()[5].Name != "given" || !s.Declared()[5].Required {
		t.Errorf("declared: %+v", s.Declared())
	}
}

func TestValuesThatDoNotFit(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ param, given, want string }{
		"a fraction as integer":   {param: "type: integer", given: "1.5", want: `the value given must be a whole number, is "1.5"`},
		"a plus":                  {param: "type: integer", given: "+1", want: `the value given must be a whole number, is "+1"`},
		"too large an integer":    {param: "type: integer", given: "9223372036854775808", want: `the value given must be a whole number, is "9223372036854775808"`},
		"a word as number":        {param: "type: number", given: "true", want: `the value given must be a number, is "true"`},
		"no JSON number":          {param: "type: number", given: "01", want: `the value given must be a number, is "01"`},
		"yes":                     {param: "type: boolean", given: "yes", want: `the value given must be true or false, is "yes"`},
		"nothing as boolean":      {param: "type: boolean", given: "", want: `the value given must be true or false, is ""`},
		"character 0":             {param: "", given: "a\x00", want: "the value given cannot hold the character 0"},
		"not one of the enum":     {param: "enum: [1, 2]", given: "3", want: `the value given must be one of 1, 2, is "3"`},
		"an enum of other values": {param: "enum: [1.0], type: number", given: "1", want: `the value given must be one of 1.0, is "1"`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, _ := read(t, "params: {p: {"+tc.param+"}}", map[string]string{"p": tc.given})
			if got, want := d.Faults.Err(), "f:1:13: params.p: "+tc.want; got == nil || got.Error() != want {
				t.Errorf("got %v, want %s", got, want)
			}
		})
	}
	d, _ := read(t, "name: x", map[string]string{"p": "1"})
	if got, want := d.Faults.Err().Error(), `f:1:1: a value is given for the param "p", but the thing declares no params`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestFillingIsBounded(t *testing.T) {
	t.Parallel()
	d, s := read(t, "params: {p: {}}", map[string]string{"p": strings.Repeat("x", 1<<20)})
	text := s.Fill(d.Root, strings.Repeat("${{ params.p }}", 1000))
	if len(text) > doc.MaxJSON+20_000 {
		t.Errorf("the text has become %d bytes long", len(text))
	}
	if err := d.Faults.Err(); err == nil || !strings.Contains(err.Error(), "with the values of its params put in") {
		t.Errorf("got %v", err)
	}
}
