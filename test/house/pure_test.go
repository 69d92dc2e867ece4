package house

import (
	"go/ast"
	"go/token"
	"slices"
	"strings"
	"testing"
)

// The vocabulary and the state machine are pure: time, randomness and new names
// arrive as arguments, so the same events make the same state.
const vocabulary, machine = ".", "internal/machine"

// impure are the packages of the standard library that reach outside; what is
// below them is meant too.
var impure = []string{
	"os", "io/fs", "io/ioutil", "path/filepath", "net", "database/sql", "log",
	"math/rand", "crypto/rand", "syscall", "runtime", "unsafe", "plugin",
}

// concurrent are those that have no place in code that one goroutine runs.
var concurrent = []string{"context", "sync"}

func TestPure(t *testing.T) {
	t.Parallel()
	checked := 0
	for _, s := range sources(t) {
		if s.test || s.dir != vocabulary && s.dir != machine {
			continue
		}
		checked++
		banned := impure
		if s.dir == machine {
			banned = slices.Concat(impure, concurrent)
			checkSequential(t, s)
		}
		for imported := range s.imports() {
			for _, prefix := range banned {
				if within(imported, prefix) {
					t.Errorf("%s imports %s", s.path, imported)
				}
			}
			first, _, _ := strings.Cut(imported, "/")
			if strings.Contains(first, ".") && !within(imported, module) {
				t.Errorf("%s imports %s, which is not of the standard library", s.path, imported)
			}
		}
		checkNoClock(t, s)
	}
	if checked == 0 {
		t.Error("found no pure package to check")
	}
}

func checkNoClock(t *testing.T, s source) {
	t.Helper()
	clock := []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"}
	for n := range ast.Preorder(s.file) {
		if name, ok := selected(s, n, "time"); ok && slices.Contains(clock, name) {
			t.Errorf("%s: time.%s", s.at(n), name)
		}
	}
}

func checkSequential(t *testing.T, s source) {
	t.Helper()
	for n := range ast.Preorder(s.file) {
		switch n := n.(type) {
		case *ast.GoStmt:
			t.Errorf("%s: a go statement", s.at(n))
		case *ast.ChanType, *ast.SelectStmt, *ast.SendStmt:
			t.Errorf("%s: a channel", s.at(n))
		case *ast.UnaryExpr:
			if n.Op == token.ARROW {
				t.Errorf("%s: a channel", s.at(n))
			}
		}
	}
}

// selected returns what n takes from the package pkg, if that is what n does.
func selected(s source, n ast.Node, pkg string) (name string, ok bool) {
	sel, ok := n.(*ast.SelectorExpr)
	if !ok {
		return "", false
	}
	x, ok := sel.X.(*ast.Ident)
	local, imported := s.imports()[pkg]
	return sel.Sel.Name, ok && imported && x.Name == local
}
