package house

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/heddle/heddle"
)

// TestNoForbiddenWords: what is left to do belongs in the issue tracker, and no
// file may depend on where somebody has their checkout.
func TestNoForbiddenWords(t *testing.T) {
	t.Parallel()
	words := regexp.MustCompile(`\b(T[O]DO|F[I]XME|X{3})\b`)
	paths := localPaths(t)
	for _, file := range repositoryFiles(t) {
		data, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.IndexByte(data, 0) >= 0 || filepath.Base(file) == "go.sum" {
			continue
		}
		no := 0
		for line := range strings.Lines(string(data)) {
			no++
			if word := words.FindString(line); word != "" {
				t.Errorf("%s:%d: %s", file, no, word)
			}
			for _, p := range paths {
				if strings.Contains(line, p) {
					t.Errorf("%s:%d: the path %s of this machine", file, no, p)
				}
			}
		}
	}
}

// localPaths returns the checkout and the home of who runs the tests, unless they
// are so short (/app, /root) that documents may well name them for other reasons.
func localPaths(t *testing.T) []string {
	t.Helper()
	checkout, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	home, err := os.UserHomeDir()
	if err != nil {
		home = ""
	}
	return slices.DeleteFunc([]string{checkout, home}, func(p string) bool {
		return strings.Count(p, string(filepath.Separator)) < 2
	})
}

// repositoryFiles returns the files that git has or would take; without git, all
// that are not in a hidden folder or in bin.
func repositoryFiles(t *testing.T) []string {
	t.Helper()
	cmd := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	cmd.Dir = root
	if out, err := cmd.Output(); err == nil && len(out) > 0 {
		files := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
		return slices.DeleteFunc(files, func(file string) bool {
			info, err := os.Lstat(filepath.Join(root, file))
			return err != nil || !info.Mode().IsRegular() // deleted, or a link
		})
	}
	var files []string
	err := fs.WalkDir(os.DirFS(root), ".", func(file string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (file == "bin" || file != "." && strings.HasPrefix(entry.Name(), ".")):
			return fs.SkipDir
		case entry.Type().IsRegular():
			files = append(files, file)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestArchitecture: what docs/architecture.md names exists, and each package of
// the table of imports is named there.
func TestArchitecture(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(filepath.Join(root, "docs/architecture.md"))
	if os.IsNotExist(err) {
		t.Skip("docs/architecture.md does not exist yet")
	}
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	for _, quoted := range regexp.MustCompile("`([^`\n]+)`").FindAllStringSubmatch(text, -1) {
		file, ok := repositoryPath(quoted[1])
		if !ok {
			continue
		}
		if matches, _ := filepath.Glob(filepath.Join(root, file)); len(matches) == 0 {
			t.Errorf("docs/architecture.md names %s, which does not exist", file)
		}
	}
	for dir := range allowed {
		if !regexp.MustCompile("`"+regexp.QuoteMeta(dir)+"/?`").MatchString(text) && dir != "." {
			t.Errorf("docs/architecture.md does not name the package `%s`", dir)
		}
	}
}

// repositoryPath returns the file that a word in backticks names, if it looks like
// one: a path from a top folder of the repository, or a Go file. A line number or
// "/..." at its end is left out.
func repositoryPath(word string) (file string, ok bool) {
	parts := regexp.MustCompile(`^([\w.*-]+(?:/[\w.*-]+)*?)(?:/|/\.\.\.|:\d+)?$`).FindStringSubmatch(word)
	if parts == nil {
		return "", false
	}
	file = parts[1]
	first, _, nested := strings.Cut(file, "/")
	tops := []string{"api", "bench", "client", "cmd", "deploy", "docs", "examples", "internal", "test", "tools"}
	return file, nested && slices.Contains(tops, first) || !nested && strings.HasSuffix(file, ".go")
}

// TestExamplesSayHowTheyEnd: each example tells in its first lines, as comments,
// its verdict and its exit code; the end-to-end tests hold it to that.
func TestExamplesSayHowTheyEnd(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(root, "examples", "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Fatal("examples holds no *.yaml")
	}
	for _, file := range files {
		if strings.HasSuffix(file, ".test.yaml") {
			continue // scenarios for another
		}
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		verdict, exit := header(string(data), "verdict"), header(string(data), "exit")
		if !heddle.Outcome(verdict).Valid() {
			t.Errorf("%s: the line \"# verdict: …\" is missing or names no outcome: %q", filepath.Base(file), verdict)
		}
		if code, err := strconv.Atoi(exit); err != nil || code < 0 || code > 255 {
			t.Errorf("%s: the line \"# exit: …\" is missing or holds no exit code: %q", filepath.Base(file), exit)
		}
	}
}

// header returns the value of a "# key: value" line in the comments that text begins with.
func header(text, key string) string {
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "#") {
			break
		}
		if value, ok := strings.CutPrefix(line, "# "+key+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
