package cli

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/heddle/heddle"
)

// logPatience is how long the last lines of output are waited for once a run has ended.
const logPatience = 5 * time.Second

// catchUpPatience bounds how long the end of a step waits for its last lines.
const catchUpPatience = time.Second

// followAll shows runs until each has ended, closes the session and returns the
// results, in the order of ids. The end of ctx cancels the runs; they are waited
// for all the same.
func followAll(ctx context.Context, f *factory, s session, show *show, ids []heddle.RunID) ([]jobResult, error) {
	details := make([]heddle.RunDetail, len(ids))
	errs := make([]error, len(ids))
	var wg sync.WaitGroup
	for i, id := range ids {
		wg.Go(func() { details[i], errs[i] = follow(ctx, s, show, id) })
	}
	wg.Wait()
	show.stopLive()
	done := f.waitingFor("delivering the last notices")
	closeErr := s.Close(context.WithoutCancel(ctx))
	done()
	results := make([]jobResult, 0, len(ids))
	for i, d := range details {
		if errs[i] != nil {
			return nil, errs[i]
		}
		r := jobResult{
			CorrelationID: d.Run.Input.CorrelationID, TaskName: d.Run.Name,
			Status: string(d.Run.Outcome), Message: d.Run.Message,
		}
		r.NotifyStatus, r.NotifyMessage = s.NoticeResult(d.Run.ID)
		results = append(results, r)
		if show.live != nil {
			fmt.Fprint(f.Err, summary(d, show.colour))
		}
	}
	if closeErr != nil {
		show.log.Warn("closing the data directory", "error", closeErr)
	}
	return results, nil
}

// follow shows one run until it has ended.
func follow(ctx context.Context, s session, show *show, id heddle.RunID) (heddle.RunDetail, error) {
	whole := context.WithoutCancel(ctx)
	book, run, err := newStepBook(whole, s.Runs(), id)
	if err != nil {
		return heddle.RunDetail{}, err
	}
	v := &viewer{show: show, book: book, logs: s.Logs(), started: make(map[int]bool), told: make(map[try]int), log: show.log.With(
		"task_name", run.Name, "correlation_id", run.Input.CorrelationID, "run_id", string(id))}
	updates, err := s.Runs().Watch(whole, id)
	if err != nil {
		return heddle.RunDetail{}, err
	}
	reading, stopReading := context.WithCancel(whole)
	defer stopReading()
	read := make(chan struct{})
	go func() {
		defer close(read)
		v.readLines(reading)
	}()

	defer v.tellWhy(whole, s.Runs())()
	interrupted := ctx.Done()
	for open := true; open; {
		select {
		case u, ok := <-updates:
			if open = ok; ok {
				v.update(whole, u)
			}
		case <-interrupted:
			interrupted = nil
			if err := s.Runs().Cancel(whole, id, "interrupted"); err != nil && heddle.CodeOf(err) != heddle.CodeConflict {
				v.log.Error("cancelling the run", "error", err)
			}
			// Only now: who reads this and leaves at once leaves a cancelled run behind.
			v.log.Warn("interrupted: the run is cancelled, its finally steps still run; interrupt again to leave at once")
		}
	}
	select {
	case <-read:
	case <-time.After(logPatience):
		v.log.Warn("the last lines of output did not come in time: see heddle runs logs " + string(id))
	}
	detail, err := s.Runs().Get(whole, id)
	if err != nil {
		return heddle.RunDetail{}, err
	}
	if detail.Run.State != heddle.RunEnded {
		if err := s.Err(); err != nil {
			return heddle.RunDetail{}, fmt.Errorf("run %s is interrupted ('heddle runs resume %s' goes on with it): %w", id, id, err)
		}
		return heddle.RunDetail{}, heddle.Errorf(heddle.CodeConflict, "run %s was taken over by another process: 'heddle runs show %s' tells how it does", id, id)
	}
	v.update(whole, heddle.RunUpdate{Run: detail.Run, Visits: detail.Visits, Attempts: detail.Attempts})
	v.end(detail.Run)
	return detail, nil
}

// tellWhy tells which other runs the run waits for if it does so after a while. The
// caller calls done when it is over.
func (v *viewer) tellWhy(ctx context.Context, runs heddle.Runs) (done func()) {
	timer := time.AfterFunc(patience, func() {
		d, err := runs.Get(ctx, v.book.id)
		if err != nil {
			return
		}
		for _, w := range d.Waiting {
			switch w.Reason {
			case heddle.WaitRuns:
				v.log.Warn("the run waits: " + w.Message)
			case heddle.WaitPool:
				v.log.Warn("step "+w.Step+" waits: "+w.Message, "step_name", w.Step)
			}
		}
	})
	return func() { timer.Stop() }
}

// viewer shows one run.
type viewer struct {
	show *show
	book *stepBook
	logs heddle.Logs
	log  *slog.Logger // with the attributes of the run

	mu      sync.Mutex
	started map[int]bool // visits whose start has been told
	told    map[try]int  // how many lines of each attempt have been shown
}

// try is an attempt of a run.
type try struct{ visit, no int }

// stepLog has the attributes of a visit's step.
func (v *viewer) stepLog(visit heddle.Visit) *slog.Logger {
	attrs := []any{"step_name", visit.Step, "action_name", v.action(visit.Step)}
	if inMatrix(v.book.flow, visit.Step) {
		attrs = append(attrs, "index", visit.Index)
	}
	return v.log.With(attrs...)
}

func (v *viewer) action(step string) string {
	if s := stepOf(v.book.flow, step); s != nil {
		return s.Action
	}
	return ""
}

// update tells what is new about steps.
func (v *viewer) update(ctx context.Context, u heddle.RunUpdate) {
	for _, visit := range v.book.learn(u.Visits) {
		log, settled := v.stepLog(visit), visit.State == heddle.VisitSettled
		if u.Run.TakenOver(&visit) {
			log.Info("step taken over", "from", string(u.Run.Parent), "result", string(visit.Outcome))
			continue
		}
		switch {
		case settled && visit.Outcome == heddle.Skipped:
			log.Info("step skipped", "message", visit.Message)
			continue
		case visit.State == heddle.VisitQueued, visit.State == heddle.VisitReady:
			continue // it has not started yet
		}
		v.mu.Lock()
		v.start(visit)
		v.mu.Unlock()
		if !settled {
			continue
		}
		v.catchUp(ctx, visit)
		if code := exitDespite(v.book.flow, visit, u.Attempts); code != 0 {
			log.Warn("the step said success, which counts, but its program ended otherwise", "exit_code", code)
		}
		log.Info("step ended", "result", string(visit.Outcome), "rc", visit.Code, "message", visit.Message)
	}
	if live := v.show.live; live != nil {
		live.update(u, v.book.flow)
	}
}

// start tells that a visit has started, once: its first line may be here before the
// news of it. The caller holds mu.
func (v *viewer) start(visit heddle.Visit) {
	if !v.started[visit.No] {
		v.started[visit.No] = true
		v.stepLog(visit).Info("step started")
	}
}

// exitDespite returns the exit code of a visit's last attempt, among those given,
// if its result line said success all the same; else 0.
func exitDespite(flow *heddle.Flow, v heddle.Visit, attempts []heddle.Attempt) int {
	step := stepOf(flow, v.Step)
	if v.Outcome != heddle.Success || step == nil || step.Result != heddle.ResultLine {
		return 0
	}
	code := 0
	for _, a := range attempts {
		if a.Visit == v.No && a.Status.Ended() {
			code = a.ExitCode
		}
	}
	return code
}

// end tells the verdict.
func (v *viewer) end(run heddle.Run) {
	level := slog.LevelInfo
	if !run.Outcome.Good() && v.show.live == nil {
		level = slog.LevelError
	}
	v.log.Log(context.Background(), level, "run ended", "result", string(run.Outcome), "message", run.Message,
		"took", span(run.Started, run.Ended, run.Ended))
}

// readLines shows what the steps print, until the run has ended.
func (v *viewer) readLines(ctx context.Context) {
	read := make(map[try]int)
	for line, err := range v.logs.Lines(ctx, heddle.LogQuery{Run: v.book.id, Follow: true}) {
		if err != nil {
			if ctx.Err() == nil {
				v.log.Error("reading the output of the run", "error", err)
			}
			return
		}
		v.count(ctx, read, line)
	}
}

// catchUp shows what is left of a visit that has settled, so that its end is told
// after its last line. What takes long is left to the one who follows.
func (v *viewer) catchUp(ctx context.Context, visit heddle.Visit) {
	if !v.log.Enabled(ctx, slog.LevelInfo) {
		return // neither lines nor ends are shown
	}
	ctx, cancel := context.WithTimeout(ctx, catchUpPatience)
	defer cancel()
	read := make(map[try]int)
	for no := 1; no <= visit.Attempts; no++ {
		for line, err := range v.logs.Lines(ctx, heddle.LogQuery{Run: v.book.id, Visit: visit.No, Try: no}) {
			if err != nil {
				return
			}
			v.count(ctx, read, line)
		}
	}
}

// count shows a line unless somebody else has: read counts the lines of each
// attempt that the caller has come across, in order.
func (v *viewer) count(ctx context.Context, read map[try]int, line heddle.LogLine) {
	at := try{line.Visit, line.Try}
	read[at]++
	v.mu.Lock()
	defer v.mu.Unlock()
	if read[at] <= v.told[at] {
		return
	}
	v.told[at] = read[at]
	visit := v.book.visit(ctx, line.Visit)
	v.start(visit)
	v.logLine(ctx, visit, line)
	if live := v.show.live; live != nil {
		live.line(line)
	}
}

// logLine logs a line of output: the line that carries the result at level debug.
func (v *viewer) logLine(ctx context.Context, visit heddle.Visit, line heddle.LogLine) {
	level := slog.LevelInfo
	if isResult(line) {
		level = slog.LevelDebug
	}
	log := v.stepLog(visit)
	if !log.Enabled(ctx, level) {
		return
	}
	record := slog.NewRecord(line.Time, level, line.Text, 0)
	record.AddAttrs(slog.String("stream", line.Stream))
	_ = log.Handler().Handle(ctx, record)
}

// isResult reports whether a line tells a result rather than something for people.
func isResult(line heddle.LogLine) bool {
	return line.Stream == "stdout" && strings.HasPrefix(line.Text, "KOG:")
}
