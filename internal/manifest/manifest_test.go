package manifest

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/heddle/heddle"
)

func TestParseFindsTheKind(t *testing.T) {
	t.Parallel()
	r, err := Parse("job.yaml", []byte("name: j\ncorrelation_id: c\nparams: {p: {}}\nworkflows: {run: {start: {action: a}}}\nactions: {a: {image: i}}\n"),
		Options{Params: map[string]string{"p": "1"}})
	if err != nil {
		t.Fatal(err)
	}
	if r.Flow.Kind != heddle.KindJob || r.CorrelationID != "c" || len(r.Params) != 1 || len(r.Warnings) != 0 {
		t.Errorf("got %+v", r)
	}
	for text, want := range map[string]string{
		"kind: Pipeline\n":    "f:1:1: a pipeline needs the key jobs: a map of job names to jobs",
		"kind: pipelin\n":     `f:1:7: kind: the kind "pipelin" is not known; did you mean "Pipeline"?; known are a pipeline (kind: Pipeline), a job file`,
		"jobs: {}\n":          "f:1:1: the document does not say what kind it is: with the key jobs it may be a pipeline, which says kind: Pipeline; known are",
		"name: x\n":           "f:1:1: the kind of this document is not known; known are a pipeline (kind: Pipeline), a job file (no kind, with the keys workflows and actions), a task definition",
		"":                    "reading a document: f:1:1: the document is empty",
		"actions: {a: {}}\n":  "f:1:1: a job needs a name\nf:1:1: a job needs workflows: a map of workflow names to maps of steps",
		"workflows: &x [*x]":  "f:1:1: a job needs a name\nf:1:12: workflows[0]: the anchor &x contains itself",
		"{\"a\":1,\n\"a\":2}": "f:1:1: the kind of this document is not known; known are a pipeline (kind: Pipeline), a job file (no kind, with the keys workflows and actions), a task definition (no kind, with the key image), Tasks and Ignitors (apiVersion: sirocco.cloud/v1alpha1) and a ReactiveJob (apiVersion: batch.cs.sap.com/v1alpha1)\nf:2:1: a: the key stands in line 1 already",
	} {
		_, err := Parse("f", []byte(text), Options{})
		if err == nil || heddle.CodeOf(err) != heddle.CodeInvalid || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", text, err, want)
		}
	}
}

func TestParsePipelines(t *testing.T) {
	t.Parallel()
	const text = "kind: Pipeline\njobs: {a: {image: i, run: x}}\n"
	for file, want := range map[string]string{
		"dir/build.v2.yaml": "build.v2", "https://u:p@example.com/a/ci.json?token=x#y": "ci", "https://example.com": "pipeline",
		"-": "pipeline", "stdin": "pipeline", "": "pipeline", ".yaml": "pipeline",
	} {
		r, err := Parse(file, []byte(text), Options{})
		if err != nil {
			t.Fatal(err)
		}
		if r.Flow.Kind != heddle.KindPipeline || r.Flow.Name != want {
			t.Errorf("%s: got the %s %q, want %q", file, r.Flow.Kind, r.Flow.Name, want)
		}
	}
	r, err := Parse("f", []byte(text+"name: own\nparams: {p: {}}\n"), Options{Params: map[string]string{"p": "1"}})
	if err != nil {
		t.Fatal(err)
	}
	if r.Flow.Name != "own" || len(r.Params) != 1 {
		t.Errorf("got %+v", r)
	}
	want := "f:1:7: kind: a workflow or step to begin with can be chosen in job files only: a pipeline has none"
	for _, o := range []Options{{Workflow: "w"}, {Step: "s"}} {
		if _, err := Parse("f", []byte(text), o); err == nil || err.Error() != want || heddle.CodeOf(err) != heddle.CodeInvalid {
			t.Errorf("%+v: got %v", o, err)
		}
	}
}

func TestContextsMerge(t *testing.T) {
	t.Parallel()
	got, err := Contexts(
		File{Name: "a.yaml", Data: []byte("build: {n: 1.10, list: [1, 2], gone: x}\nkeep: true\nobj: {a: 1}\n")},
		File{Name: "b.json", Data: []byte(`{"build": {"list": [3], "gone": null, "new": 12345678901234567890}, "obj": 5}`)},
		File{Name: "c.yaml", Data: []byte("obj: {b: 2}\n")},
	)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"build":{"gone":null,"list":[3],"n":1.10,"new":12345678901234567890},"keep":true,"obj":{"b":2}}`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if none, err := Contexts(); none != nil || err != nil {
		t.Errorf("no files: %s, %v", none, err)
	}
	for text, want := range map[string]string{
		"- a":           "f:1:1: the document must be a map, is a list",
		"a: 1\na: 2":    "f:2:1: a: the key stands in line 1 already",
		"a: {b: 1":      "f:1:1: broken YAML",
		"\"just text\"": "f:1:1: the document must be a map",
	} {
		_, err := Contexts(File{Name: "f", Data: []byte(text)})
		if err == nil || heddle.CodeOf(err) != heddle.CodeInvalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", text, err, want)
		}
	}
}

func TestReadPathsAndStdin(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "a.yaml")
	if err := os.WriteFile(path, []byte("a: 1"), 0o600); err != nil {
		t.Fatal(err)
	}
	big := filepath.Join(dir, "big")
	if err := os.WriteFile(big, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(big, maxFetch+1); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		name     string
		stdin    io.Reader
		want     string
		wantErr  string
		wantCode heddle.Code
	}{
		"a path":              {name: path, want: "a: 1"},
		"standard input":      {name: "-", stdin: strings.NewReader("b: 2"), want: "b: 2"},
		"no such file":        {name: filepath.Join(dir, "none"), wantErr: "none: there is no such file", wantCode: heddle.CodeNotFound},
		"a directory":         {name: dir, wantErr: "it is a directory", wantCode: heddle.CodeInvalid},
		"too big":             {name: big, wantErr: "more than 32 MiB", wantCode: heddle.CodeInvalid},
		"no name":             {name: "", wantErr: "is empty", wantCode: heddle.CodeInvalid},
		"a stdin that breaks": {name: "-", stdin: brokenReader{}, wantErr: "reading standard input: broken", wantCode: heddle.CodeInvalid},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := Read(t.Context(), tc.name, tc.stdin)
			if tc.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tc.wantErr) || heddle.CodeOf(err) != tc.wantCode {
					t.Errorf("got %v (%s), want %s (%s)", err, heddle.CodeOf(err), tc.wantErr, tc.wantCode)
				}
				return
			}
			if err != nil || string(got) != tc.want {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errors.New("broken") }

func TestReadURLs(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	mux.HandleFunc("/ok", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "a: 1") })
	mux.Handle("/moved", http.RedirectHandler("/ok", http.StatusFound))
	mux.Handle("/round", http.RedirectHandler("/round", http.StatusFound))
	mux.HandleFunc("/hangs", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.HandleFunc("/stalls", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "a:")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	mux.HandleFunc("/big", func(w http.ResponseWriter, _ *http.Request) {
		block := make([]byte, 1<<20)
		for range 33 {
			_, _ = w.Write(block)
		}
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	tests := map[string]struct {
		path, want, wantErr string
		wantCode            heddle.Code
		limit               time.Duration
	}{
		"found":                   {path: "/ok", want: "a: 1"},
		"redirected":              {path: "/moved", want: "a: 1"},
		"redirected for ever":     {path: "/round", wantErr: "stopped after 10 redirects", wantCode: heddle.CodeUnavailable},
		"not found":               {path: "/none", wantErr: "the server answers 404 Not Found", wantCode: heddle.CodeUnavailable},
		"hangs before the answer": {path: "/hangs", limit: 50 * time.Millisecond, wantErr: "/hangs: it took longer than 50ms", wantCode: heddle.CodeUnavailable},
		"stalls in the answer":    {path: "/stalls", limit: 50 * time.Millisecond, wantErr: "/stalls: it took longer than 50ms", wantCode: heddle.CodeUnavailable},
		"too big":                 {path: "/big", wantErr: "more than 32 MiB", wantCode: heddle.CodeInvalid},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			read := func() ([]byte, error) { return Read(t.Context(), server.URL+tc.path, nil) }
			if tc.limit > 0 {
				read = func() ([]byte, error) { return readURL(t.Context(), server.URL+tc.path, tc.limit) }
			}
			got, err := read()
			if tc.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tc.wantErr) || heddle.CodeOf(err) != tc.wantCode {
					t.Errorf("got %v (%s), want %s (%s)", err, heddle.CodeOf(err), tc.wantErr, tc.wantCode)
				}
				return
			}
			if err != nil || string(got) != tc.want {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

func TestReadURLIsGivenUpWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	}))
	t.Cleanup(server.Close)
	if _, err := Read(ctx, server.URL, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestDotenv(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		text string
		want map[string]string
	}{
		"plain":                            {text: "A=1\nB = x=y \n", want: map[string]string{"A": "1", "B": "x=y"}},
		"blank lines and comments":         {text: "\n  \n# A=1\n  # B=2\nC=3\n", want: map[string]string{"C": "3"}},
		"export":                           {text: "export A=1\nexport\tB=2\nexport=3\nexported=4\n", want: map[string]string{"A": "1", "B": "2", "export": "3", "exported": "4"}},
		"single quotes are literal":        {text: `A='a\n${B} # "x" '`, want: map[string]string{"A": `a\n${B} # "x" `}},
		"double quotes know three escapes": {text: `A="a\nb\"c\\n\t # x "`, want: map[string]string{"A": "a\nb\"c\\n\\t # x "}},
		"comments":                         {text: "A=1 # one\nB=a#b\nC=# c\nD= # d\nE='x' # e\nF=\"y\"\t# f\nG=#\n", want: map[string]string{"A": "1", "B": "a#b", "C": "# c", "D": "", "E": "x", "F": "y", "G": "#"}},
		"expansion from earlier lines":     {text: "A=1\nB=${A}-${C}-$A\nC=2\nD=\"${C}\\n${A}\"\nE='${A}'\n", want: map[string]string{"A": "1", "B": "1--$A", "C": "2", "D": "2\n1", "E": "${A}"}},
		"what is expanded is not read again": {text: "A='${B}'\nB=x\nC=${A}\nD=\"${A}\"\nE='a\\nb'\nF=\"${E}\"\nG=\"\\\\${B}\"\n",
			want: map[string]string{"A": "${B}", "B": "x", "C": "${B}", "D": "${B}", "E": `a\nb`, "F": `a\nb`, "G": `\x`}},
		"no values":          {text: "A=\nB=''\nC=\"\"\n", want: map[string]string{"A": "", "B": "", "C": ""}},
		"the last one wins":  {text: "A=1\nA=${A}2\n", want: map[string]string{"A": "12"}},
		"Windows line ends":  {text: "\uFEFFA=1\r\nB='2'\r\n", want: map[string]string{"A": "1", "B": "2"}},
		"quotes in the word": {text: "A=it's\nB=a\"b\"\n", want: map[string]string{"A": "it's", "B": `a"b"`}},
		"nothing":            {text: "", want: map[string]string{}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := Dotenv(".env", []byte(tc.text))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
	for text, want := range map[string]string{
		"A=1\n\nB secret\n": ".env:3: the line has no =",
		"=1":                ".env:1: what stands before the = cannot be the name of a variable",
		"A B=1":             ".env:1: what stands before the = cannot be the name of a variable",
		"A='x":              ".env:1: the quote is not closed in this line",
		`A="x\"`:            ".env:1: the quote is not closed in this line",
		"A='x'y":            ".env:1: there is more after the closing quote",
		"A=x\n" + strings.Repeat("A=${A}${A}\n", 64): ".env:26: expanding ${NAME} has made more than 32 MiB by here",
		"A=\xff": ".env:1: the line is not text in UTF-8",
	} {
		if _, err := Dotenv(".env", []byte(text)); err == nil || err.Error() != want || heddle.CodeOf(err) != heddle.CodeInvalid {
			t.Errorf("%q: got %v, want %s", text, err, want)
		}
	}
}

func FuzzDotenv(f *testing.F) {
	f.Add("A=1\nexport B=\"x\\n${A}\" # c\nC='${A}'\n")
	f.Add("A=\"\\")
	f.Add("A=${A}${A}\nA=${")
	f.Fuzz(func(t *testing.T, text string) {
		env, err := Dotenv("f", []byte(text))
		if (env == nil) == (err == nil) {
			t.Fatalf("env %v and error %v", env, err)
		}
		for name, value := range env {
			if !envName.MatchString(name) || strings.Contains(value, "\x00") {
				t.Fatalf("%q=%q", name, value)
			}
		}
	})
}
