package cli

import (
	"fmt"
	"io"
	"log/slog"
	"runtime"

	"golang.org/x/term"

	"github.com/heddle/heddle"
)

// show is how runs are shown: a log on the console, or a live view of the steps
// there; and the same log at a remote receiver, if one was asked for.
type show struct {
	log    *slog.Logger
	live   *liveView // nil: none
	remote *remoteLog
	colour bool
}

// newShow starts showing. The caller closes it.
func newShow(f *factory, o logOptions) (*show, error) {
	live, err := wantsLive(f, o.Plain)
	if err != nil {
		return nil, err
	}
	level := levelOf(f.Config.LogLevel)
	s := &show{}
	var console io.Writer = f.Err
	var remote slog.Handler
	if o.Remote != "" {
		s.remote, err = openRemoteLog(o.RemoteAddr, f.Now, func(err error) {
			fmt.Fprintf(console, "heddle: the remote log misses messages, the run goes on: %v\n", err)
		})
		if err != nil {
			return nil, err
		}
		remote = newRemoteHandler(s.remote, f.Config.LogFormat, level)
	}
	if live {
		noColour, _ := f.lookup("NO_COLOR")
		s.colour = noColour == ""
		s.live = startLive(f.Err, terminalSize(f.Err), f.Now, s.colour)
		// What steps do is in the view; only trouble is told above it.
		console, level = s.live, max(level, slog.LevelWarn)
	}
	s.log = slog.New(newHandler(console, f.Config.LogFormat, level))
	if remote != nil {
		s.log = slog.New(slog.NewMultiHandler(s.log.Handler(), remote))
	}
	return s, nil
}

// wantsLive says whether the run is shown live: on a terminal that can, unless log
// lines were asked for.
func wantsLive(f *factory, plain bool) (bool, error) {
	file := terminalOf(f.Err)
	terminal := file != nil && term.IsTerminal(int(file.Fd()))
	switch f.Config.Progress {
	case "plain":
		return false, nil
	case "live":
		if !terminal {
			return false, heddle.Errorf(heddle.CodeInvalid, "--progress live: standard error is not a terminal")
		}
		return true, nil
	}
	kind, _ := f.lookup("TERM")
	plain = plain || f.Config.LogFormat != "logfmt"
	return terminal && !plain && kind != "dumb" && f.Config.LogLevel != "debug" && runtime.GOOS != "windows", nil
}

// terminalSize returns a function that asks the terminal behind w for its width
// and height.
func terminalSize(w io.Writer) func() (width, height int) {
	file := terminalOf(w)
	return func() (int, int) {
		width, height, err := term.GetSize(int(file.Fd()))
		if err != nil || width <= 0 || height <= 0 {
			return 80, 24
		}
		return width, height
	}
}

// stopLive removes the live view from the screen.
func (s *show) stopLive() {
	if s.live != nil {
		s.live.Close()
	}
}

// Close ends the view and sends what is left to the remote receiver.
func (s *show) Close() {
	s.stopLive()
	if s.remote != nil {
		_ = s.remote.Close() // what could not be sent has been told
	}
}
