package house

import (
	"go/ast"
	"go/token"
	"strings"
	"testing"
)

func TestSizes(t *testing.T) {
	t.Parallel()
	const maxFile, maxTestFile, maxFunc = 550, 800, 60
	for _, s := range sources(t) {
		limit := maxFile
		if s.aid() {
			limit = maxTestFile
		}
		if s.lines > limit {
			t.Errorf("%s has %d lines; at most %d are allowed", s.path, s.lines, limit)
		}
		for _, decl := range s.file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok || s.aid() {
				continue
			}
			if n := s.fset.Position(f.End()).Line - s.fset.Position(f.Pos()).Line + 1; n > maxFunc {
				t.Errorf("%s: %s has %d lines; at most %d are allowed", s.at(f), f.Name.Name, n, maxFunc)
			}
		}
	}
}

func TestPackageComments(t *testing.T) {
	t.Parallel()
	comments := map[string]string{} // by folder; "" while there is none
	for _, s := range sources(t) {
		text := s.file.Doc.Text()
		if strings.HasPrefix(text, "Package ") || s.file.Name.Name == "main" && text != "" {
			comments[s.dir] = text
		} else if _, ok := comments[s.dir]; !ok {
			comments[s.dir] = ""
		}
	}
	for dir, text := range comments {
		if text == "" {
			t.Errorf("package %s has no package comment", dir)
		}
	}
}

func TestPortsAreSmall(t *testing.T) {
	t.Parallel()
	const maxMethods = 7
	checked := 0
	for _, s := range sources(t) {
		if s.test || s.dir != "." && s.dir != "internal/store" && s.dir != "internal/executor" {
			continue
		}
		for n := range ast.Preorder(s.file) {
			spec, ok := n.(*ast.TypeSpec)
			if !ok {
				continue
			}
			port, ok := spec.Type.(*ast.InterfaceType)
			if !ok {
				continue
			}
			checked++
			if n := port.Methods.NumFields(); n > maxMethods {
				t.Errorf("%s: %s has %d methods; at most %d are allowed: make an optional interface", s.at(spec), spec.Name.Name, n, maxMethods)
			}
			for _, m := range port.Methods.List {
				if len(m.Names) == 0 {
					t.Errorf("%s: %s embeds another interface, which hides its size", s.at(m), spec.Name.Name)
				}
			}
		}
	}
	if checked == 0 {
		t.Error("found no port to check")
	}
}

func TestNoGlobals(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		for _, decl := range s.file.Decls {
			switch decl := decl.(type) {
			case *ast.FuncDecl:
				if decl.Recv == nil && decl.Name.Name == "init" {
					t.Errorf("%s: an init function", s.at(decl))
				}
			case *ast.GenDecl:
				if decl.Tok == token.VAR {
					checkVars(t, s, decl)
				}
			}
		}
	}
}

// checkVars allows what is never assigned again: sentinel errors, compiled
// expressions, embedded files, and assertions that a type has an interface.
func checkVars(t *testing.T, s source, decl *ast.GenDecl) {
	t.Helper()
	for _, spec := range decl.Specs {
		spec := spec.(*ast.ValueSpec)
		fixed := isEmbedded(decl.Doc) || isEmbedded(spec.Doc) || len(spec.Values) == len(spec.Names)
		for i, value := range spec.Values {
			fixed = fixed && (spec.Names[i].Name == "_" || isConstant(s, value))
		}
		if !fixed {
			t.Errorf("%s: package-level variable %s", s.at(spec), spec.Names[0].Name)
		}
	}
}

func isConstant(s source, value ast.Expr) bool {
	call, ok := value.(*ast.CallExpr)
	if !ok {
		return false
	}
	for pkg, function := range map[string]string{"errors": "New", "fmt": "Errorf", "regexp": "MustCompile", module: "Errorf"} {
		if name, ok := selected(s, call.Fun, pkg); ok && name == function {
			return true
		}
	}
	return false
}

func isEmbedded(doc *ast.CommentGroup) bool {
	if doc == nil {
		return false
	}
	for _, line := range doc.List {
		if strings.HasPrefix(line.Text, "//go:embed ") {
			return true
		}
	}
	return false
}

// TestNoSleepInTests: a test that sleeps is slow or flaky, and mostly both. Time
// passes in synctest bubbles, and in loops that poll until a deadline.
func TestNoSleepInTests(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t) {
		_, bubble := s.imports()["testing/synctest"]
		if !s.aid() || bubble {
			continue
		}
		for _, decl := range s.file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && polls(f.Name.Name) {
				continue
			}
			for n := range ast.Preorder(decl) {
				if name, ok := selected(s, n, "time"); ok && name == "Sleep" {
					t.Errorf("%s: time.Sleep outside a synctest bubble and outside a function called poll…, eventually… or waitFor…", s.at(n))
				}
			}
		}
	}
}

func polls(function string) bool {
	name := strings.ToLower(function)
	return strings.HasPrefix(name, "poll") || strings.HasPrefix(name, "eventually") || strings.HasPrefix(name, "waitfor")
}
