package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/manifest"
	"github.com/heddle/heddle/internal/manifest/doc"
	"github.com/heddle/heddle/internal/scenario"
)

// testOptions are what heddle test is called with.
type testOptions struct {
	*factory
	Files     []string
	Scenarios string
}

func newTest(f *factory, runF func(context.Context, *testOptions) error) *cobra.Command {
	opts := &testOptions{factory: f}
	cmd := &cobra.Command{
		Use:   "test FILE... [-f SCENARIOS]",
		Short: "Test documents without running anything",
		Long: `Test documents without running anything: scenarios say how the program of each step
ends, and what is to come of it. A FILE is one of scenarios, a document (the scenarios
of job.yaml are in job.test.yaml beside it), or a directory, for all *.test.yaml in it.
Time does not pass: retries, back-off and timeouts are played through at once.

The exit code is 0 when all scenarios come out as expected, 1 when one does not, and
125 when a file is at fault. 'heddle schema test' describes the files.`,
		Example: `  heddle test job.yaml
  heddle test examples/
  heddle test job.yaml -f scenarios/nightly.yaml -o json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.Files = args
			switch {
			case opts.Scenarios != "" && len(args) > 1:
				return usagef(cmd, "with --file one document at most can be tested")
			case opts.Scenarios == "" && len(args) == 0:
				return usagef(cmd, "a document or a file of scenarios is needed: %s FILE", cmd.CommandPath())
			}
			return runF(cmd.Context(), opts)
		},
	}
	cmd.Flags().StringVarP(&opts.Scenarios, "file", "f", "", "the scenarios: a file, a URL, or - for standard input")
	settingFlag(cmd.Flags(), "output", &f.Config.Output)
	return cmd
}

// testReport is what testing came to.
type testReport struct {
	Files  []testedFile `json:"files"`
	Passed int          `json:"passed"`
	Failed int          `json:"failed"`
}

// testedFile is a file of scenarios and what became of them.
type testedFile struct {
	File      string            `json:"file"`
	Document  string            `json:"document"`
	Scenarios []scenario.Result `json:"scenarios"`
}

// testPair is a file of scenarios and what it is tried on.
type testPair struct {
	scenarios string
	file      *manifest.File // the scenarios, if they have been read
	document  string         // "": the scenarios say it
}

func runTest(ctx context.Context, o *testOptions) error {
	report := testReport{Files: []testedFile{}}
	pairs, trouble := o.pairs(ctx)
	for _, pair := range pairs {
		tested, err := o.test(ctx, pair)
		if err != nil {
			o.complain(err)
			trouble = true
			continue
		}
		for _, r := range tested.Scenarios {
			if r.Passed {
				report.Passed++
			} else {
				report.Failed++
			}
		}
		report.Files = append(report.Files, tested)
	}
	if err := writeResult(o.Out, o.Config.Output, report, report.table); err != nil {
		return err
	}
	switch {
	case trouble:
		return exitError(exitTrouble)
	case report.Failed > 0:
		return exitError(exitFailure)
	}
	return nil
}

// pairs finds what is to be tested, each file of scenarios once.
func (o *testOptions) pairs(ctx context.Context) (pairs []testPair, trouble bool) {
	if o.Scenarios != "" {
		return []testPair{{scenarios: o.Scenarios, document: strings.Join(o.Files, "")}}, false
	}
	for _, name := range o.Files {
		found, err := o.find(ctx, name)
		if err != nil {
			o.complain(err)
			trouble = true
		}
		for _, pair := range found {
			if !slices.ContainsFunc(pairs, func(p testPair) bool { return p.scenarios == pair.scenarios }) {
				pairs = append(pairs, pair)
			}
		}
	}
	return pairs, trouble
}

// find finds the scenarios that a name stands for.
func (o *testOptions) find(ctx context.Context, name string) ([]testPair, error) {
	if info, err := os.Stat(name); err == nil && info.IsDir() {
		return inDirectory(name)
	}
	file, err := o.read(ctx, name)
	if err != nil {
		return nil, err
	}
	d, err := doc.Parse(file.Name, file.Data)
	if err != nil {
		return nil, err
	}
	if scenario.Is(d) {
		return []testPair{{scenarios: name, file: &file}}, nil
	}
	if name == "-" {
		return nil, heddle.Errorf(heddle.CodeInvalid, "what standard input holds are no scenarios; for a document --file names them")
	}
	beside := besides(name)
	for _, candidate := range beside {
		if _, err := os.Stat(candidate); err == nil {
			return []testPair{{scenarios: candidate, document: name}}, nil
		}
	}
	return nil, heddle.Errorf(heddle.CodeNotFound, "%s holds no scenarios, and there is no %s beside it; --file names a file of scenarios", shown(name), filepath.Base(beside[0]))
}

func extensions() []string { return []string{".yaml", ".yml", ".json"} }

func inDirectory(dir string) (pairs []testPair, err error) {
	for _, ext := range extensions() {
		files, err := filepath.Glob(filepath.Join(dir, "*.test"+ext))
		if err != nil {
			return nil, heddle.Errorf(heddle.CodeInvalid, "looking for scenarios in %s: %w", dir, err)
		}
		for _, file := range files {
			pairs = append(pairs, testPair{scenarios: file})
		}
	}
	if len(pairs) == 0 {
		return nil, heddle.Errorf(heddle.CodeNotFound, "the directory %s holds no *.test.yaml", dir)
	}
	return pairs, nil
}

// besides are the names that scenarios for a document may have.
func besides(document string) []string {
	ext := filepath.Ext(document)
	stem := strings.TrimSuffix(document, ext) + ".test"
	var names []string
	for _, other := range extensions() {
		names = append(names, stem+other)
	}
	if i := slices.Index(extensions(), ext); i > 0 {
		names[0], names[i] = names[i], names[0]
	}
	return names
}

func (o *testOptions) test(ctx context.Context, pair testPair) (testedFile, error) {
	if pair.scenarios == "-" && pair.document == "-" {
		return testedFile{}, heddle.Errorf(heddle.CodeInvalid, "standard input (-) can be read once only")
	}
	if pair.file == nil {
		file, err := o.read(ctx, pair.scenarios)
		if err != nil {
			return testedFile{}, err
		}
		pair.file = &file
	}
	scenarios, err := scenario.Parse(pair.file.Name, pair.file.Data)
	if err != nil {
		return testedFile{}, err
	}
	name := pair.document
	if name == "" {
		if scenarios.Document == "" {
			return testedFile{}, heddle.Errorf(heddle.CodeInvalid, "%s:1:1: the scenarios do not say which document they are for (key document), and none is named", pair.file.Name)
		}
		name = beside(pair.scenarios, scenarios.Document)
	}
	document, err := o.read(ctx, name)
	if err != nil {
		return testedFile{}, err
	}
	results, err := scenarios.Run(document)
	return testedFile{File: pair.file.Name, Document: document.Name, Scenarios: results}, err
}

// beside is where a file finds the other that it names.
func beside(file, other string) string {
	if strings.Contains(other, "://") || filepath.IsAbs(other) || file == "-" {
		return other
	}
	if at := strings.LastIndexByte(file, '/'); at >= 0 && strings.Contains(file, "://") {
		return file[:at+1] + other
	}
	return filepath.Join(filepath.Dir(file), other)
}

// table writes a line for each scenario, and below it what is not as expected.
func (r *testReport) table(w io.Writer) error {
	for _, file := range r.Files {
		for _, s := range file.Scenarios {
			word := "ok  "
			if !s.Passed {
				word = "FAIL"
			}
			fmt.Fprintf(w, "%s  %s: %s\n", word, file.File, harmless(s.Scenario))
			for _, d := range s.Differences {
				fmt.Fprintf(w, "      %s\n        expected  %s\n        got       %s\n", harmless(d.What), harmless(d.Expected), harmless(d.Got))
			}
		}
	}
	_, err := fmt.Fprintf(w, "%s, %d failed\n", plural(r.Passed, "scenario passed", "scenarios passed"), r.Failed)
	return err
}
