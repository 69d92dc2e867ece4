package house

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

const (
	module = "github.com/heddle/heddle"
	root   = "../.." // of the repository, from the folder in which the tests run
)

// source is a parsed Go file of this module, whatever system it is built for.
type source struct {
	path  string // from the root of the repository, with slashes
	dir   string // of path; "." is the root
	test  bool   // a _test.go file
	lines int
	fset  *token.FileSet
	file  *ast.File
}

// at tells where in the repository a node begins.
func (s source) at(n ast.Node) string {
	return s.path + ":" + strconv.Itoa(s.fset.Position(n.Pos()).Line)
}

// aid reports whether the file is there for tests only.
func (s source) aid() bool { return s.test || isTestPackage(s.dir) }

// isTestPackage reports whether a package is a suite or a fake for the tests of others.
func isTestPackage(dir string) bool { return strings.HasSuffix(dir, "test") }

// imports returns the paths that the file imports, and for each the name by which
// the file calls it.
func (s source) imports() map[string]string {
	names := map[string]string{}
	for _, spec := range s.file.Imports {
		p, _ := strconv.Unquote(spec.Path.Value)
		names[p] = path.Base(p)
		if spec.Name != nil {
			names[p] = spec.Name.Name
		}
	}
	return names
}

// sources returns all Go files of the module that people wrote.
func sources(t *testing.T) []source {
	t.Helper()
	all, err := parseOnce()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

var parseOnce = sync.OnceValues(parse)

func parse() ([]source, error) {
	var all []source
	err := filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return skipDir(file, entry.Name())
		}
		if filepath.Ext(file) != ".go" {
			return nil
		}
		s, err := parseFile(file)
		if err == nil && !ast.IsGenerated(s.file) {
			all = append(all, s)
		}
		return err
	})
	return all, err
}

// skipDir leaves out what the go command does not take for part of the module.
func skipDir(dir, name string) error {
	if dir == root {
		return nil
	}
	if name == "testdata" || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") {
		return fs.SkipDir
	}
	if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
		return fs.SkipDir
	}
	return nil
}

func parseFile(file string) (source, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return source{}, err
	}
	rel, err := filepath.Rel(root, file)
	if err != nil {
		return source{}, err
	}
	s := source{
		path:  filepath.ToSlash(rel),
		test:  strings.HasSuffix(file, "_test.go"),
		lines: bytes.Count(data, []byte("\n")),
		fset:  token.NewFileSet(),
	}
	s.dir = path.Dir(s.path)
	s.file, err = parser.ParseFile(s.fset, s.path, data, parser.ParseComments|parser.SkipObjectResolution)
	return s, err
}
