package process

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"

	"github.com/heddle/heddle"
)

// maxSocketPath is the longest path that every system takes for a socket.
const maxSocketPath = 100

// paths knows where things are in a data directory.
type paths struct{ dir string }

func (p paths) lock() string    { return filepath.Join(p.dir, "supervisor.lock") }
func (p paths) journal() string { return filepath.Join(p.dir, "supervisor.journal") }
func (p paths) log() string     { return filepath.Join(p.dir, "supervisor.log") }
func (p paths) addr() string    { return filepath.Join(p.dir, "supervisor.addr") }
func (p paths) files(id heddle.AttemptID) string {
	return filepath.Join(p.attempts(), string(id))
}
func (p paths) shared(store string) string { return filepath.Join(p.dir, "shared", store) }
func (p paths) attempts() string           { return filepath.Join(p.dir, "attempts") }
func (p paths) message(id heddle.AttemptID) string {
	return filepath.Join(p.files(id), messageName)
}

// messageName is the name of a message file.
const messageName = "termination-log"

// socket returns the path of the socket and whether it has to be elsewhere
// because this one is too long.
func (p paths) socket() (path string, tooLong bool) {
	path = filepath.Join(p.dir, "supervisor.sock")
	return path, len(path) > maxSocketPath
}

// dialPath returns where a client finds the socket.
func (p paths) dialPath() (string, error) {
	path, tooLong := p.socket()
	if !tooLong {
		return path, nil
	}
	short, err := os.ReadFile(p.addr())
	return string(short), err
}

// mark is the value of HEDDLE_SUPERVISOR, by which processes are recognised as
// started for this directory.
func (p paths) mark() string {
	sum := sha256.Sum256([]byte(p.dir))
	return hex.EncodeToString(sum[:8])
}

// safeID reports whether an attempt ID may be part of a path.
func safeID(id heddle.AttemptID) bool {
	const chars = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."
	return id != "" && len(id) <= 128 && id[0] != '.' && strings.Trim(string(id), chars) == ""
}

// place is where attempts of this machine, boot and directory run.
func place(dir string) string { return machine() + ":" + bootID() + ":" + dir }

// machine names this machine: by its ID where it has one, since the names of
// laptops change with the network that they are in.
func machine() string {
	if id, err := os.ReadFile("/etc/machine-id"); err == nil && len(id) >= 32 {
		return string(id[:32])
	}
	if host, err := os.Hostname(); err == nil {
		return host
	}
	return "localhost"
}

// samePlace compares places, the boot aside.
func samePlace(a, b string) bool {
	hostA, restA, _ := strings.Cut(a, ":")
	hostB, restB, _ := strings.Cut(b, ":")
	_, dirA, okA := strings.Cut(restA, ":")
	_, dirB, okB := strings.Cut(restB, ":")
	return okA && okB && hostA == hostB && dirA == dirB
}
