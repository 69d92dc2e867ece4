package process

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/heddle/heddle"
)

func TestJournal(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "journal")
	log := slog.New(slog.DiscardHandler)
	j, err := openJournal(path, log)
	if err != nil {
		t.Fatal(err)
	}
	exit := &heddle.Exit{Reason: heddle.Exited, Code: 3}
	for _, r := range []record{
		{Op: recordStart, Attempt: "runs", Boot: "b"},
		{Op: recordStart, Attempt: "ended", Boot: "b", Files: true},
		{Op: recordEnd, Attempt: "ended", Exit: exit},
		{Op: recordStart, Attempt: "void"},
		{Op: recordVoid, Attempt: "void"},
		{Op: recordStart, Attempt: "released"},
		{Op: recordEnd, Attempt: "released", Exit: exit},
		{Op: recordRelease, Attempt: "released"},
	} {
		if err := j.append(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.close(); err != nil {
		t.Fatal(err)
	}
	torn, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := torn.WriteString("\x00\x00\x00\n" + `{"op":"end","attempt":"ru`); err != nil {
		t.Fatal(err)
	}
	if err := torn.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time from the file that the first has written anew
		if j, err = openJournal(path, log); err != nil {
			t.Fatal(err)
		}
		want := map[heddle.AttemptID]*entry{
			"runs":  {start: record{Op: recordStart, Attempt: "runs", Boot: "b"}},
			"ended": {start: record{Op: recordStart, Attempt: "ended", Boot: "b", Files: true}, exit: exit},
		}
		if d := cmp.Diff(want, j.entries, cmp.AllowUnexported(entry{})); d != "" {
			t.Errorf("entries (-want +got):\n%s", d)
		}
		if err := j.close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestJournalDoesNotGrow(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "journal")
	j, err := openJournal(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer j.close()
	exit := &heddle.Exit{Result: []byte(strings.Repeat("x", 1<<10))}
	for i := range 5000 {
		id := heddle.NewAttemptID("a", i+1, 1)
		err := j.append(record{Op: recordStart, Attempt: id}, record{Op: recordEnd, Attempt: id, Exit: exit}, record{Op: recordRelease, Attempt: id})
		if err != nil {
			t.Fatal(err)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Size() > 2*journalSlack {
		t.Errorf("%v, %v: want at most %d bytes", info.Size(), err, 2*journalSlack)
	}
}
