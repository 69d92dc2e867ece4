package executor

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/heddle/heddle"
)

// MaxTermination is how much of a termination file counts, in bytes: its end, as
// it is with Kubernetes.
const MaxTermination = 4096

// Termination makes what comes back of a termination file from its last bytes: at
// most [MaxTermination] of them, masked, with what is not UTF-8 replaced. Whoever
// has more of the file gives [TerminationWindow] bytes, so that a text to be masked
// is recognised that the bound cuts.
func Termination(end []byte, mask *Masker) string {
	skip := max(0, len(end)-MaxTermination)
	cut := skip > 0
	if mask != nil && len(end) == MaxTermination { // was perhaps cut by somebody else
		if n := mask.cutHead(end); n > 0 {
			end = append([]byte(stars), end[n:]...)
		}
	}
	text := mask.after(end, skip)
	for n := 0; cut && n < utf8.UTFMax-1 && len(text) > 0 && !utf8.RuneStart(text[0]); n++ {
		text = text[1:] // of a character that is cut
	}
	valid := strings.ToValidUTF8(string(text), "\uFFFD")
	if len(valid) > MaxTermination { // a replacement is longer than one byte
		valid = valid[len(valid)-MaxTermination:]
		for !utf8.RuneStart(valid[0]) {
			valid = valid[1:]
		}
	}
	return valid
}

// SetTermination puts the [Termination] of a file into exit, and whether that may not
// be all of the file.
func SetTermination(exit *heddle.Exit, end []byte, mask *Masker) {
	exit.Termination, exit.TerminationFault = Termination(end, mask), ""
	if len(end) >= MaxTermination {
		exit.TerminationFault = fmt.Sprintf("it has %d bytes or more", MaxTermination)
	}
}

// TerminationWindow is how many bytes at the end of a termination file are needed
// for [Termination].
func TerminationWindow(mask *Masker) int64 {
	if mask == nil {
		return MaxTermination
	}
	return MaxTermination + int64(mask.longest)
}

// ReadTermination puts the [Termination] of the file at path into exit; no more than
// the file's end is read. A file that does not exist is an empty one. What a program
// has put in its place, such as a link, a directory or a pipe, is an error and not
// followed or waited for.
func ReadTermination(exit *heddle.Exit, path string, mask *Masker) error {
	end, err := readEnd(path, TerminationWindow(mask))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		exit.TerminationFault = mask.String(err.Error())
		return fmt.Errorf("reading the termination file: %w", err)
	}
	SetTermination(exit, end, mask)
	return nil
}

func readEnd(path string, window int64) ([]byte, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errIrregular
	}
	f, err := os.OpenFile(path, os.O_RDONLY|openOnlyFile, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err = f.Stat(); err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() { // replaced since
		return nil, errIrregular
	}
	return io.ReadAll(io.NewSectionReader(f, max(0, info.Size()-window), window))
}

var errIrregular = errors.New("it is no longer a regular file")
