package cli

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/heddle/heddle"
)

// logPatience is how long the last lines of output are waited for once a run has ended.
const logPatience = 5 * time.Second

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
	v := &viewer{show: show, book: book, log: show.log.With(
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
		v.readLines(reading, s.Logs())
	}()

	interrupted := ctx.Done()
	for open := true; open; {
		select {
		case u, ok := <-updates:
			if open = ok; ok {
				v.update(u)
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
	v.update(heddle.RunUpdate{Run: detail.Run, Visits: detail.Visits})
	v.end(detail.Run)
	return detail, nil
}

// viewer shows one run.
type viewer struct {
	show *show
	book *stepBook
	log  *slog.Logger // with the attributes of the run
}

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
func (v *viewer) update(u heddle.RunUpdate) {
	for _, news := range v.book.learn(u.Visits) {
		log, settled := v.stepLog(news.Visit), news.State == heddle.VisitSettled
		switch {
		case settled && news.Outcome == heddle.Skipped:
			log.Info("step skipped", "message", news.Message)
			continue
		case news.first:
			log.Info("step started")
		}
		if settled {
			log.Info("step ended", "result", string(news.Outcome), "rc", news.Code, "message", news.Message)
		}
	}
	if live := v.show.live; live != nil {
		live.update(u, v.book.flow)
	}
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

// readLines logs what the steps print, a record a line.
func (v *viewer) readLines(ctx context.Context, logs heddle.Logs) {
	for line, err := range logs.Lines(ctx, heddle.LogQuery{Run: v.book.id, Follow: true}) {
		if err != nil {
			if ctx.Err() == nil {
				v.log.Error("reading the output of the run", "error", err)
			}
			return
		}
		visit := v.book.visit(ctx, line.Visit)
		v.logLine(ctx, visit, line)
		if live := v.show.live; live != nil {
			live.line(line)
		}
	}
}

// logLine logs a line of output: the line that carries the result at level debug.
func (v *viewer) logLine(ctx context.Context, visit heddle.Visit, line heddle.LogLine) {
	level := slog.LevelInfo
	if line.Stream == "stdout" && len(line.Text) >= 4 && line.Text[:4] == "KOG:" {
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
