package process

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/heddle/heddle"
)

// record is a line of the journal. What is written survives the death of the
// supervisor. Nothing is flushed to the disk: after a restart of the machine
// whatever has no recorded end is lost anyway.
type record struct {
	Op      recordOp         `json:"op"`
	Attempt heddle.AttemptID `json:"attempt"`
	Boot    string           `json:"boot,omitempty"`  // of a start
	At      time.Time        `json:"at,omitzero"`     // of a start
	Files   bool             `json:"files,omitempty"` // of a start: the attempt has files
	Exit    *heddle.Exit     `json:"exit,omitempty"`  // of an end
}

type recordOp string

const (
	recordStart   recordOp = "start"   // about to be started
	recordEnd     recordOp = "end"     // has ended
	recordVoid    recordOp = "void"    // was not started after all
	recordRelease recordOp = "release" // may be forgotten
)

// entry is what the journal knows of an attempt that is not released.
type entry struct {
	start record
	exit  *heddle.Exit // nil: not recorded
}

// journal is the file of records. Its methods may be called concurrently.
type journal struct {
	path string
	log  *slog.Logger

	mu      sync.Mutex
	file    *os.File
	size    int64
	base    int64 // the size after it was last written anew
	entries map[heddle.AttemptID]*entry
}

// journalSlack is how much of the journal may be about released attempts.
const journalSlack = 1 << 20

// openJournal reads the journal at path and writes it anew without what is
// released. Lines that cannot be read are left out: a killed writer leaves a torn
// one, a machine that lost power some of zeros.
func openJournal(path string, log *slog.Logger) (*journal, error) {
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading the journal: %w", err)
	}
	j := &journal{path: path, log: log, entries: map[heddle.AttemptID]*entry{}}
	for line := range bytes.Lines(data) {
		var r record
		if err := json.Unmarshal(line, &r); err != nil {
			log.Warn("left out an unreadable line of the journal", "path", path, "bytes", len(line))
			continue
		}
		j.note(r)
	}
	return j, j.rewrite()
}

func (j *journal) note(r record) {
	switch r.Op {
	case recordStart:
		j.entries[r.Attempt] = &entry{start: r}
	case recordEnd:
		if e := j.entries[r.Attempt]; e != nil {
			e.exit = r.Exit
		}
	case recordVoid, recordRelease:
		delete(j.entries, r.Attempt)
	}
}

// append writes records with one call.
func (j *journal) append(records ...record) error {
	var lines []byte
	for _, r := range records {
		line, err := encode(r)
		if err != nil {
			return err
		}
		lines = append(lines, line...)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if _, err := j.file.Write(lines); err != nil {
		// A torn line in the middle would take the next one with it.
		return fmt.Errorf("writing the journal: %w", errors.Join(err, j.file.Truncate(j.size)))
	}
	j.size += int64(len(lines))
	for _, r := range records {
		j.note(r)
	}
	if j.size > 2*j.base+journalSlack {
		if err := j.rewrite(); err != nil {
			j.log.Error("the journal stays as it is", "error", err)
			j.base = j.size
		}
	}
	return nil
}

// rewrite replaces the file by one that holds the entries only.
func (j *journal) rewrite() error {
	var lines []byte
	for id, e := range j.entries {
		records := []record{e.start}
		if e.exit != nil {
			records = append(records, record{Op: recordEnd, Attempt: id, Exit: e.exit})
		}
		for _, r := range records {
			line, err := encode(r)
			if err != nil {
				return err
			}
			lines = append(lines, line...)
		}
	}
	temp := j.path + ".new"
	file, err := os.OpenFile(temp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("writing the journal anew: %w", err)
	}
	if _, err = file.Write(lines); err == nil {
		err = os.Rename(temp, j.path)
	}
	if err != nil {
		return fmt.Errorf("writing the journal anew: %w", errors.Join(err, file.Close()))
	}
	old := j.file
	j.file, j.size, j.base = file, int64(len(lines)), int64(len(lines))
	if old != nil {
		return old.Close()
	}
	return nil
}

func (j *journal) close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.file.Close()
}
