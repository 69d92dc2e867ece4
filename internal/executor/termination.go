package executor

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
)

// MaxTermination is how much of a termination file counts, in bytes; Kubernetes
// has the same bound.
const MaxTermination = 4096

// ReadTermination returns the text of a termination file: at most
// [MaxTermination] bytes of it, with what is not UTF-8 replaced. A file that does
// not exist is an empty one.
func ReadTermination(path string) (string, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("opening termination file: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, MaxTermination))
	if err != nil {
		return "", fmt.Errorf("reading termination file: %w", err)
	}
	return strings.ToValidUTF8(string(text), "\uFFFD"), nil
}
