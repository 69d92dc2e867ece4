package cli

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rivo/uniseg"

	"github.com/heddle/heddle"
)

// redraw is how often the live view looks whether the screen is to change.
const redraw = 100 * time.Millisecond

// liveView shows the steps of a run on a terminal, redrawn in place. Plain control
// sequences and uniseg for the width of text are all it needs: a toolkit such as
// bubbletea would bring some twenty modules and take the keyboard over.
type liveView struct {
	w    io.Writer
	size func() (width, height int)
	now  func() time.Time

	mu     sync.Mutex
	screen screen
	drawn  []string
	closed bool

	stop, stopped chan struct{}
}

// screen is what the view knows of the run.
type screen struct {
	colour bool
	run    heddle.Run
	flow   *heddle.Flow
	order  []int // of visits, in order of opening
	visits map[int]heddle.Visit
	last   map[int]string // each visit's last line of output
}

func startLive(w io.Writer, size func() (width, height int), now func() time.Time, colour bool) *liveView {
	v := &liveView{
		w: w, size: size, now: now,
		screen: screen{colour: colour, visits: make(map[int]heddle.Visit), last: make(map[int]string)},
		stop:   make(chan struct{}), stopped: make(chan struct{}),
	}
	go v.run()
	return v
}

func (v *liveView) run() {
	defer close(v.stopped)
	ticker := time.NewTicker(redraw)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			v.mu.Lock()
			width, height := v.size()
			v.draw(v.screen.lines(v.now(), width, height), nil)
			v.mu.Unlock()
		case <-v.stop:
			return
		}
	}
}

// draw replaces what stands on the screen, below text that is to stay. The caller
// holds mu.
func (v *liveView) draw(lines []string, text []byte) {
	if len(text) == 0 && slices.Equal(lines, v.drawn) {
		return
	}
	var b bytes.Buffer
	if n := len(v.drawn); n > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", n)
	}
	b.WriteString("\r\x1b[J")
	b.Write(text)
	for _, line := range lines {
		b.WriteString(line + "\n")
	}
	_, _ = v.w.Write(b.Bytes()) // a terminal that is gone is no reason to stop a run
	v.drawn = lines
}

// Write puts log lines above the view.
func (v *liveView) Write(p []byte) (int, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closed {
		return v.w.Write(p)
	}
	v.draw(v.drawn, p)
	return len(p), nil
}

func (v *liveView) update(u heddle.RunUpdate, flow *heddle.Flow) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.screen.run, v.screen.flow = u.Run, flow
	for _, visit := range u.Visits {
		if _, ok := v.screen.visits[visit.No]; !ok {
			v.screen.order = append(v.screen.order, visit.No)
		}
		v.screen.visits[visit.No] = visit
	}
}

func (v *liveView) line(line heddle.LogLine) {
	text := harmless(line.Text)
	if strings.TrimSpace(text) == "" || strings.HasPrefix(text, "KOG:") {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.screen.last[line.Visit] = text
}

// Close removes the view from the screen. It may be called again.
func (v *liveView) Close() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closed {
		return
	}
	v.closed = true
	v.draw(nil, nil)
	close(v.stop)
}

// lines is the picture for a screen of that size: a line for the run and one for
// each step, open ones before those that settled last where not all have room.
func (s *screen) lines(now time.Time, width, height int) []string {
	if s.run.ID == "" || width < 10 || height < 4 {
		return nil
	}
	settled := 0
	for _, no := range s.order {
		if s.visits[no].State == heddle.VisitSettled {
			settled++
		}
	}
	head := fmt.Sprintf("%s  %s  %d of %d steps done  %s", s.run.Name, verdict(s.run), settled, len(s.order), span(s.run.Created, s.run.Ended, now))
	lines := []string{s.paint("1", fit(harmless(head), width))}
	chosen := s.choose(height - 3)
	names := 0
	for _, no := range chosen {
		names = max(names, uniseg.StringWidth(harmless(visitName(s.flow, s.visits[no]))))
	}
	names = min(names, width/2)
	for _, no := range chosen {
		lines = append(lines, s.row(s.visits[no], now, names, width))
	}
	if hidden := len(s.order) - len(chosen); hidden > 0 {
		lines = append(lines, s.paint("2", fit(fmt.Sprintf("  and %d more", hidden), width)))
	}
	return lines
}

// choose returns the visits to be shown, at most n, in order of opening.
func (s *screen) choose(n int) []int {
	if len(s.order) <= n {
		return s.order
	}
	var chosen []int
	for _, no := range s.order {
		if s.visits[no].State != heddle.VisitSettled && len(chosen) < n {
			chosen = append(chosen, no)
		}
	}
	for i := len(s.order) - 1; i >= 0 && len(chosen) < n; i-- {
		if no := s.order[i]; s.visits[no].State == heddle.VisitSettled {
			chosen = append(chosen, no)
		}
	}
	slices.Sort(chosen)
	return chosen
}

// row is the line of one visit.
func (s *screen) row(v heddle.Visit, now time.Time, names, width int) string {
	mark, colour := markOf(v)
	text := s.last[v.No]
	if v.State == heddle.VisitSettled && v.Message != "" {
		text = harmless(v.Message)
	}
	name, cut := clip(harmless(visitName(s.flow, v)), names)
	pad := strings.Repeat(" ", max(0, names-cut))
	rest := fmt.Sprintf(" %s%s  %7s  %s", name, pad, span(v.Opened, v.Settled, now), text)
	return s.paint(colour, mark) + fit(rest, width-1)
}

// markOf is the sign of a visit's state, one column wide, and its colour.
func markOf(v heddle.Visit) (mark, colour string) {
	if v.State != heddle.VisitSettled {
		if v.State == heddle.VisitActive {
			return "●", "36"
		}
		return "○", "2"
	}
	switch v.Outcome {
	case heddle.Success:
		return "✓", "32"
	case heddle.Skipped:
		return "-", "2"
	default:
		return "✗", "31"
	}
}

func (s *screen) paint(colour, text string) string { return paint(s.colour, colour, text) }

func paint(on bool, colour, text string) string {
	if !on || text == "" {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

// fit cuts text to a line of that width, less the last column, which some
// terminals wrap at.
func fit(text string, width int) string {
	text, _ = clip(text, width-1)
	return strings.TrimRight(text, " ")
}

// clip cuts text to at most width columns, with an ellipsis when something is cut,
// and returns how many it has.
func clip(text string, width int) (string, int) {
	if full := uniseg.StringWidth(text); full <= width {
		return text, full
	}
	var b strings.Builder
	used := 0
	for g := uniseg.NewGraphemes(text); g.Next(); {
		if used+g.Width() > width-1 {
			break
		}
		b.WriteString(g.Str())
		used += g.Width()
	}
	return b.String() + "…", used + 1
}
