package app

import (
	"context"
	"log/slog"
	"runtime"
	"time"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/executor"
)

// CheckProcess starts or finds the supervisor of the data directory and has it run
// a program that does nothing, by the shell that commands in documents run by.
func CheckProcess(ctx context.Context, o Options) error {
	dir, err := realDir(o.DataDir)
	if err != nil {
		return err
	}
	o.DataDir, o.Log = dir, slog.New(slog.DiscardHandler) // what is wrong is in the error
	exits := make(chan *heddle.Exit, 4)
	x, err := o.openExecutor(ctx, "", Process, func(r executor.Report) {
		if r.Exit != nil {
			select {
			case exits <- r.Exit:
			default: // an end is reported once at least
			}
		}
	})
	if err != nil {
		return err
	}
	defer func() { _ = x.Close() }() // nothing is left to be said
	command := []string{"sh", "-c", ":"}
	if runtime.GOOS == "windows" {
		command = []string{"cmd", "/c", "exit 0"}
	}
	id := heddle.NewAttemptID(heddle.RunID("doctor-"+heddle.NewID(time.Now())), 1, 1)
	if err := x.Start(ctx, executor.Spec{Attempt: id, Place: x.Place(), Step: "doctor", Work: heddle.Work{Command: command}}); err != nil {
		return heddle.Errorf(heddle.CodeUnavailable, "starting a program: %w", err)
	}
	select {
	case exit := <-exits:
		_ = x.Release(ctx, []heddle.AttemptID{id}) // else an entry of the journal stays behind
		if exit.Reason != heddle.Exited || exit.Code != 0 {
			return heddle.Errorf(heddle.CodeUnavailable, "a program that does nothing has ended as %s with code %d: %s", exit.Reason, exit.Code, exit.Message)
		}
		return nil
	case <-ctx.Done():
		return heddle.Errorf(heddle.CodeUnavailable, "waiting for a program to end: %w", context.Cause(ctx))
	}
}
