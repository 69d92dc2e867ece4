package manifest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/heddle/heddle"
)

const (
	maxFetch     = 32 << 20         // bytes
	fetchTimeout = 30 * time.Second // for the whole of a URL's content
)

// Read returns the content of name: "-" is stdin, http:// and https:// are fetched
// (redirects are followed, a status other than 2xx is an error, 30 seconds in
// all), anything else is a path. More than 32 MiB is an error. Errors:
// [heddle.CodeNotFound] for a path that does not exist, [heddle.CodeUnavailable]
// for a server that does not deliver, else [heddle.CodeInvalid].
func Read(ctx context.Context, name string, stdin io.Reader) ([]byte, error) {
	lower := strings.ToLower(name)
	switch {
	case name == "":
		return nil, heddle.Errorf(heddle.CodeInvalid, "the name of the file to read is empty")
	case name == "-":
		return readAll("standard input", stdin)
	case strings.HasPrefix(lower, "http://"), strings.HasPrefix(lower, "https://"):
		return readURL(ctx, name, fetchTimeout)
	}
	return readPath(name)
}

// Dir returns the folder of what [Read] would read, as an absolute path; "" for
// standard input and URLs.
func Dir(name string) string {
	lower := strings.ToLower(name)
	if name == "-" || strings.HasPrefix(lower, "http://") || strings.HasPrefix(lower, "https://") {
		return ""
	}
	path, err := filepath.Abs(name)
	if err != nil {
		return ""
	}
	return filepath.Dir(path)
}

func readAll(name string, r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxFetch+1))
	if err != nil {
		return nil, heddle.Errorf(heddle.CodeInvalid, "reading %s: %w", name, err)
	}
	if len(data) > maxFetch {
		return nil, tooBig(name)
	}
	return data, nil
}

func tooBig(name string) error {
	return heddle.Errorf(heddle.CodeInvalid, "reading %s: it has more than %d MiB", name, maxFetch>>20)
}

func readPath(name string) ([]byte, error) {
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, heddle.Errorf(heddle.CodeNotFound, "reading %s: there is no such file", name)
	}
	if err != nil {
		return nil, heddle.Errorf(heddle.CodeInvalid, "reading a file: %w", err)
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil {
		switch {
		case info.IsDir():
			return nil, heddle.Errorf(heddle.CodeInvalid, "reading %s: it is a directory, a file is wanted", name)
		case info.Size() > maxFetch:
			return nil, tooBig(name)
		}
	}
	return readAll(name, f)
}

func readURL(ctx context.Context, name string, limit time.Duration) ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("it took longer than %s", limit))
	defer cancel()
	u, err := url.Parse(name)
	if err != nil {
		return nil, heddle.Errorf(heddle.CodeInvalid, "reading a URL: %w", err)
	}
	shown := u.Redacted()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, name, nil)
	if err != nil {
		return nil, heddle.Errorf(heddle.CodeInvalid, "reading %s: %w", shown, err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, heddle.Errorf(heddle.CodeUnavailable, "reading %s: %w", shown, plainCause(ctx, err))
	}
	defer resp.Body.Close()
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return nil, heddle.Errorf(heddle.CodeUnavailable, "reading %s: the server answers %s", shown, resp.Status)
	}
	data, err := readAll(shown, resp.Body)
	if err != nil && ctx.Err() != nil {
		return nil, heddle.Errorf(heddle.CodeUnavailable, "reading %s: %w", shown, context.Cause(ctx))
	}
	return data, err
}

// plainCause leaves out what the client's error says twice, the method and URL.
func plainCause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}
