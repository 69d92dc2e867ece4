package secret

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/heddle/heddle"
)

// Prefix begins the names of the variables that bounded [Places] give.
const Prefix = "HEDDLE_SECRET_"

// Places are where values are looked up.
type Places struct {
	// LookupEnv reads a variable of the environment as [os.LookupEnv] does; nil: none is set.
	LookupEnv func(name string) (string, bool)
	// Bounded: who writes documents may not read all that this process may. Of the
	// environment they get the variables whose names begin with [Prefix], of the files
	// those below Dir; links that lead out of it are not followed.
	Bounded bool
	// Dir is an absolute path; "": no file is given.
	Dir string
}

// Refuse says why no value may come from there; "": one may.
func (p Places) Refuse(source heddle.Source) string {
	switch {
	case !p.Bounded:
	case source.Env != "" && !strings.HasPrefix(source.Env, Prefix):
		return "the variable " + source.Env + " (fromEnv) is not for runs of this server: call it " + Prefix + source.Env +
			", in the document and where the server is started"
	case source.File != "" && p.Dir == "":
		return "the file " + source.File + " (fromFile) is not for runs of this server: start it with --secrets-dir (or HEDDLE_SECRETS_DIR), " +
			"the directory of the files that runs may read"
	case source.File != "":
		if _, ok := p.below(source.File); !ok {
			return "the file " + source.File + " (fromFile) is not for runs of this server: they may read files below " + p.Dir
		}
	}
	return ""
}

// below returns the path of a file relative to Dir, if it lies there.
func (p Places) below(path string) (string, bool) {
	relative, err := filepath.Rel(p.Dir, path)
	return relative, err == nil && relative != "." && filepath.IsLocal(relative)
}

func (p Places) lookupEnv(name string) (string, bool) {
	if p.LookupEnv == nil {
		return "", false
	}
	return p.LookupEnv(name)
}

// open opens a file, unless it is not a regular one: opening a pipe would wait for a
// writer.
func (p Places) open(path string) (*os.File, error) {
	stat, open := os.Stat, os.Open
	if p.Bounded {
		root, err := os.OpenRoot(p.Dir)
		if err != nil {
			return nil, err
		}
		defer root.Close()
		stat, open = root.Stat, root.Open
		path, _ = p.below(path) // or Refuse had said so
	}
	info, err := stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "open", Path: path, Err: errNotRegular}
	}
	return open(path)
}
