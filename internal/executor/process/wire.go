package process

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/executor"
)

// protocol is the version that client and supervisor must share.
const protocol = 2

// The bounds of one message. Requests carry the files of an attempt, replies a
// result line of up to [heddle.MaxResult] bytes.
const (
	maxRequest = 256 << 20
	maxReply   = 16 << 20
)

// request is a message to the supervisor; one of the fields after ID is set,
// Release aside, which comes along with any of them.
type request struct {
	ID      uint64             `json:"id"`
	Hello   *hello             `json:"hello,omitempty"` // the first one
	Start   *startRequest      `json:"start,omitempty"`
	Stop    *stopRequest       `json:"stop,omitempty"`
	Adopt   []heddle.AttemptID `json:"adopt,omitempty"`
	Release []heddle.AttemptID `json:"release,omitempty"`
	Held    bool               `json:"held,omitempty"`
}

type hello struct {
	Protocol int `json:"protocol"`
	PID      int `json:"pid"`
}

type startRequest struct {
	Attempt heddle.AttemptID `json:"attempt"`
	Step    string           `json:"step"`
	// OtherBoot: the attempt was committed before the machine was restarted.
	OtherBoot bool `json:"otherBoot,omitempty"`
	// Args and Env are packed, so that any bytes survive the encoding.
	Args    []byte          `json:"args"`
	Env     []byte          `json:"env"`
	Dir     string          `json:"dir"`
	Timeout time.Duration   `json:"timeout,omitempty"`
	Grace   time.Duration   `json:"grace,omitempty"`
	Files   []executor.File `json:"files,omitempty"`
	Log     int64           `json:"log,omitempty"`
	Mask    []string        `json:"mask,omitempty"`
	// Message: the program gets a message file.
	Message *heddle.MessageFile `json:"message,omitempty"`
}

type stopRequest struct {
	Attempt heddle.AttemptID `json:"attempt"`
	Reason  string           `json:"reason,omitempty"`
	Grace   time.Duration    `json:"grace"`
}

// reply is a message from the supervisor: the answer to the request with its ID,
// or, with ID 0, a report.
type reply struct {
	ID     uint64             `json:"id,omitempty"`
	Fault  *fault             `json:"fault,omitempty"`
	Hello  *hello             `json:"hello,omitempty"`
	Report *executor.Report   `json:"report,omitempty"` // of a start: how the attempt stands
	Held   []heddle.AttemptID `json:"held,omitempty"`
}

// fault is an error on the wire.
type fault struct {
	Message string `json:"message"`
	Refused bool   `json:"refused,omitempty"`
}

// pack joins words with a NUL after each.
func pack(words []string) ([]byte, error) {
	size := 0
	for i, w := range words {
		if strings.IndexByte(w, 0) >= 0 { // not quoted: it may be a secret
			return nil, fmt.Errorf("number %d, of %d bytes, has a NUL byte in it", i, len(w))
		}
		size += len(w) + 1
	}
	packed := make([]byte, 0, size)
	for _, w := range words {
		packed = append(append(packed, w...), 0)
	}
	return packed, nil
}

func unpack(packed []byte) []string {
	if len(packed) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(packed), "\x00"), "\x00")
}

// readMessage reads one line of at most limit bytes into message.
func readMessage(r *bufio.Reader, limit int, message any) error {
	line, err := r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		long := append([]byte(nil), line...)
		for errors.Is(err, bufio.ErrBufferFull) {
			if len(long) > limit {
				return fmt.Errorf("a message has more than %d bytes", limit)
			}
			line, err = r.ReadSlice('\n')
			long = append(long, line...)
		}
		line = long
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(line, message); err != nil {
		return fmt.Errorf("reading a message: %w", err)
	}
	return nil
}

// encode returns a message as a line.
func encode(message any) ([]byte, error) {
	line, err := json.Marshal(message)
	if err != nil {
		return nil, fmt.Errorf("writing a message: %w", err)
	}
	return append(line, '\n'), nil
}
