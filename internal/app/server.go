package app

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/engine"
	"github.com/heddle/heddle/internal/keys"
	"github.com/heddle/heddle/internal/metrics"
	"github.com/heddle/heddle/internal/secret"
	"github.com/heddle/heddle/internal/store/logs"
)

const (
	// adoptEvery is how often a server looks for runs whose engine is gone.
	adoptEvery = time.Second
	// noticesEvery is how often it looks for notices that such an engine left.
	noticesEvery = 10 * time.Second
	// tidyEvery is how often it deletes what is beyond the retention.
	tidyEvery = time.Minute
)

// Server is an [App] that serves others: it takes up runs whose engine is gone by
// itself, keeps to the retention while it runs, and knows who may ask for what.
type Server struct {
	app     *App
	opts    Options
	runs    *followed
	logs    heddle.Logs
	keys    *keys.Service
	metrics *metrics.Metrics

	stop  context.CancelFunc
	tasks sync.WaitGroup
}

// OpenServer opens the data directory for a server. What the process may read is the
// server's own: runs get nothing of it but what their documents ask for by name, and of
// that only what is meant for runs, see [secret.Places].
func OpenServer(ctx context.Context, o Options, version string) (*Server, error) {
	m := metrics.New(version)
	a, err := open(ctx, o, engine.Options{Observer: m, Secrets: secret.Places{LookupEnv: o.lookupEnv, Bounded: true, Dir: o.SecretsDir}})
	if err != nil {
		return nil, err
	}
	s := &Server{app: a, opts: a.opts, runs: &followed{Engine: a.engine}, keys: keys.New(a.store, time.Now), metrics: m}
	s.logs = logs.NewReader(logs.Open(logDir(a.opts.DataDir)), ended(s.runs))
	m.Watch(a.engine.Stats)
	a.schedule.Start(ctx)
	ctx, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	s.tasks.Go(func() { s.adopt(ctx) })
	s.tasks.Go(func() { s.tidy(ctx) })
	return s, nil
}

// Runs is the service for runs, those of other processes included.
func (s *Server) Runs() heddle.Runs { return s.runs }

// Logs is the service for what steps print.
func (s *Server) Logs() heddle.Logs { return s.logs }

// Definitions is the service for definitions.
func (s *Server) Definitions() heddle.Definitions { return s.app.schedule }

// SecretsDir is the directory below which runs may read files; "": there is none.
func (s *Server) SecretsDir() string { return s.opts.SecretsDir }

// Keys is the service for keys.
func (s *Server) Keys() *keys.Service { return s.keys }

// Metrics answers with series for Prometheus.
func (s *Server) Metrics() http.Handler { return s.metrics.Handler() }

// Answered counts a request; route is the pattern that matched.
func (s *Server) Answered(route, method string, code int, took time.Duration) {
	s.metrics.Answered(route, method, code, took)
}

// Choose is [ChooseExecutor] for what this server can run.
func (s *Server) Choose(ctx context.Context, asked string, flow *heddle.Flow) (name string, notes []string, err error) {
	return ChooseExecutor(ctx, asked, flow, s.opts.lookup)
}

// Ready reports whether the store answers and the engine runs.
func (s *Server) Ready(ctx context.Context) error {
	if err := s.app.Err(); err != nil {
		return err
	}
	_, err := s.app.store.Runs(ctx, heddle.RunFilter{Limit: 1})
	return err
}

// Done is closed when the engine has ended by itself; Err says why.
func (s *Server) Done() <-chan struct{} { return s.app.engine.Done() }

// Err returns why the engine ended by itself; nil if it did not.
func (s *Server) Err() error { return s.app.Err() }

// adopt takes up runs and notices whose engine is gone.
func (s *Server) adopt(ctx context.Context) {
	ticker := time.NewTicker(adoptEvery)
	defer ticker.Stop()
	var looked time.Time
	for {
		taken, err := s.app.engine.Adopt(ctx)
		if err != nil && ctx.Err() == nil {
			s.opts.Log.Warn("taking up runs whose engine is gone", "error", err)
		}
		if len(taken) > 0 {
			s.opts.Log.Info("took up runs whose engine was gone", "runs", len(taken), "first", taken[0])
			s.deliver(ctx, taken)
		}
		if time.Since(looked) >= noticesEvery {
			looked = time.Now()
			if n, err := s.app.store.ClaimNotices(ctx); err == nil && n > 0 {
				s.deliver(ctx, nil)
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// deliver sends the undelivered notices of runs; of all that are owned here for nil.
func (s *Server) deliver(ctx context.Context, of []heddle.RunID) {
	notices, err := s.app.store.Pending(ctx, of)
	if err != nil {
		s.opts.Log.Warn("reading undelivered notices", "error", err)
		return
	}
	s.app.notifier.Tell(notices)
}

// tidy deletes what is beyond the retention, a little at a time.
func (s *Server) tidy(ctx context.Context) {
	ticker := time.NewTicker(tidyEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			s.opts.tidy(ctx, s.app.store)
		case <-ctx.Done():
			return
		}
	}
}

// CancelAll asks all runs in hand to stop and waits until they have ended, their
// finally steps included, or ctx is done.
func (s *Server) CancelAll(ctx context.Context, reason string) error {
	s.stop()
	s.app.schedule.Stop()
	s.tasks.Wait() // else it would take up more
	var errs []error
	for _, id := range s.app.engine.InHand() {
		if err := s.app.engine.Cancel(ctx, id, reason); err != nil && heddle.CodeOf(err) != heddle.CodeConflict {
			errs = append(errs, err)
			continue
		}
		updates, err := s.app.engine.Watch(ctx, id)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for range updates {
		}
	}
	if ctx.Err() != nil {
		errs = append(errs, context.Cause(ctx))
	}
	return errors.Join(errs...)
}

// Close stops the server's own work, then the engine, as [App.Close] does.
func (s *Server) Close(ctx context.Context) error {
	s.stop()
	s.tasks.Wait()
	return s.app.Close(ctx)
}

// Prune deletes runs that have ended, as [Reader.Prune] does.
func (s *Server) Prune(ctx context.Context, ids []heddle.RunID) ([]heddle.RunID, error) {
	return (&Reader{dir: s.opts.DataDir, store: s.app.store}).Prune(ctx, ids)
}
