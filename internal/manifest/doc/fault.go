package doc

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/heddle/heddle"
)

// Severity says whether a fault keeps a document from being used.
type Severity string

// The severities.
const (
	SeverityError   Severity = "error"
	SeverityWarning Severity = "warning"
)

// Fault is one thing that is wrong with a document.
type Fault struct {
	File     string   `json:"file"`
	Line     int      `json:"line"` // from 1
	Column   int      `json:"column"`
	Path     string   `json:"path,omitempty"` // such as actions.build.env; "" for the document
	Message  string   `json:"message"`
	Severity Severity `json:"severity"`
}

// String prints the fault as file:line:column: path: message.
func (f Fault) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:%d:%d: ", f.File, f.Line, f.Column)
	if f.Severity == SeverityWarning {
		b.WriteString("warning: ")
	}
	if f.Path != "" {
		b.WriteString(f.Path + ": ")
	}
	return b.String() + f.Message
}

// Error is all faults of a document, sorted by position, one of which at least is
// an error. It prints one a line.
type Error []Fault

// Error prints the faults.
func (e Error) Error() string {
	lines := make([]string, len(e))
	for i, f := range e {
		lines[i] = f.String()
	}
	return strings.Join(lines, "\n")
}

// maxFaults bounds how many faults of each severity are kept: a text of one
// mistake repeated a million times is no use to anybody.
const maxFaults = 100

// Faults collects what is wrong with a document.
type Faults struct {
	file             string
	errors, warnings []Fault
}

// Errorf records an error at a node.
func (f *Faults) Errorf(n *Node, format string, args ...any) {
	f.add(&f.errors, SeverityError, n.Line, n.Column, n.Path(), format, args)
}

// Warnf records a warning at a node.
func (f *Faults) Warnf(n *Node, format string, args ...any) {
	f.add(&f.warnings, SeverityWarning, n.Line, n.Column, n.Path(), format, args)
}

// at records an error at a place for which there is no node.
func (f *Faults) at(line, column int, format string, args ...any) {
	f.add(&f.errors, SeverityError, line, column, "", format, args)
}

func (f *Faults) keyErrorf(parent *Node, field Field, format string, args ...any) {
	f.add(&f.errors, SeverityError, field.Line, field.Column, keyPath(parent, field.Key), format, args)
}

func (f *Faults) keyWarnf(parent *Node, field Field, format string, args ...any) {
	f.add(&f.warnings, SeverityWarning, field.Line, field.Column, keyPath(parent, field.Key), format, args)
}

func keyPath(parent *Node, key string) string {
	return (&Node{parent: parent, key: key}).Path()
}

func (f *Faults) add(to *[]Fault, s Severity, line, column int, path, format string, args []any) {
	if len(*to) > maxFaults {
		return
	}
	message := fmt.Sprintf(format, args...)
	if len(*to) == maxFaults {
		path, message = "", "there are more faults than these"
	}
	*to = append(*to, Fault{File: f.file, Line: max(1, line), Column: max(1, column), Path: path, Message: message, Severity: s})
}

// All returns every fault, sorted by position.
func (f *Faults) All() []Fault {
	all := slices.Concat(f.errors, f.warnings)
	slices.SortStableFunc(all, func(a, b Fault) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return all
}

// Err returns nil when there are no errors, else all faults as an error of
// [heddle.CodeInvalid] with an [Error] in its chain: a warning beside an error
// often says where it comes from.
func (f *Faults) Err() error {
	if len(f.errors) == 0 {
		return nil
	}
	return heddle.Errorf(heddle.CodeInvalid, "%w", Error(f.All()))
}
