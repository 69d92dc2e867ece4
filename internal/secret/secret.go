// Package secret looks up values that are kept outside of documents and stores: in
// files and in the environment of this process. Nobody keeps what it returns for
// longer than a program takes to start.
package secret

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/heddle/heddle"
)

// MaxFile is the largest file that is taken for a value, in bytes.
const MaxFile = 1 << 20

var errNotRegular = errors.New("is not a regular file")

// Resolve returns the values of the variables that come from files and from the
// environment. Sources of other kinds are passed over. The error, of [heddle.CodeNotFound], names all that have no value and
// what to do about each; those that have one are returned beside it. It never holds
// a value.
func Resolve(ctx context.Context, sources map[string]heddle.Source, from Places) (map[string]string, error) {
	values := map[string]string{}
	var missing []string
	for _, name := range slices.Sorted(maps.Keys(sources)) {
		value, why := "", ""
		switch source := sources[name]; {
		case ctx.Err() != nil:
			return values, heddle.Errorf(heddle.CodeUnavailable, "looking up secrets: %w", context.Cause(ctx))
		case from.Refuse(source) != "":
			why = from.Refuse(source)
		case source.File != "":
			value, why = read(source.File, from)
		case source.Env != "":
			value, why = variable(source.Env, from)
		default:
			continue
		}
		if why == "" && strings.Contains(value, "\x00") {
			why = "its value holds the character 0, which a variable cannot"
		}
		if why != "" {
			missing = append(missing, "variable "+name+": "+why)
			continue
		}
		values[name] = value
	}
	if len(missing) > 0 {
		return values, heddle.Errorf(heddle.CodeNotFound, "%s", strings.Join(missing, "; "))
	}
	return values, nil
}

func variable(name string, from Places) (value, why string) {
	if value, ok := from.lookupEnv(name); ok {
		return value, ""
	}
	return "", "the variable " + name + " (fromEnv) is not set in the environment of heddle: set it where heddle is started"
}

// read returns the content of a file without the line end that it may end with.
func read(path string, from Places) (value, why string) {
	said := "the file " + path + " (fromFile) "
	f, err := from.open(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", said + "is not there: make it, or name another"
	case errors.Is(err, errNotRegular):
		return "", said + errNotRegular.Error()
	case err != nil:
		return "", said + "cannot be read: " + cause(err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	switch {
	case err != nil:
		return "", said + "cannot be read: " + cause(err)
	case len(data) > MaxFile:
		return "", said + "has more than the " + strconv.Itoa(MaxFile) + " bytes that are allowed"
	}
	text, ended := strings.CutSuffix(string(data), "\n")
	if ended {
		text = strings.TrimSuffix(text, "\r")
	}
	return text, ""
}

// cause leaves out the path, which has been told.
func cause(err error) string {
	var at *fs.PathError
	if errors.As(err, &at) {
		err = at.Err
	}
	return err.Error()
}

// Masks returns the texts to be masked where the values are in use: each once, none
// empty, in a fixed order.
func Masks(values map[string]string) []string {
	masks := slices.Sorted(maps.Values(values))
	return slices.DeleteFunc(slices.Compact(masks), func(text string) bool { return text == "" })
}
