// Package metrics counts what the engine and the front doors do, for Prometheus.
// No series is labelled with the name or the ID of anything that users make.
package metrics

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/engine"
)

// Metrics is a set of series. It implements [engine.Observer].
type Metrics struct {
	registry *prometheus.Registry

	accepted, finished, attempts, requests *prometheus.CounterVec
	runSeconds, requestSeconds             *prometheus.HistogramVec
	commitSeconds, commitChanges           prometheus.Histogram
}

var _ engine.Observer = (*Metrics)(nil)

// New returns the series, all zero; version is this program's.
func New(version string) *Metrics {
	seconds := prometheus.ExponentialBuckets(0.0005, 2.5, 12) // to 12 s
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		accepted: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "heddle_runs_accepted_total", Help: "Runs that were accepted."}, []string{"kind"}),
		finished: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "heddle_runs_finished_total", Help: "Runs that have ended."}, []string{"kind", "outcome"}),
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "heddle_step_attempts_total", Help: "Attempts of steps that have ended."}, []string{"status"}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "heddle_http_requests_total", Help: "Requests that were answered."}, []string{"route", "method", "code"}),
		runSeconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "heddle_run_duration_seconds", Help: "From the acceptance of a run to its end.",
			Buckets: prometheus.ExponentialBuckets(0.01, 4, 10)}, []string{"kind", "outcome"}),
		requestSeconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "heddle_http_request_duration_seconds", Help: "From the head of a request to the end of its answer.",
			Buckets: seconds}, []string{"route"}),
		commitSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "heddle_store_commit_seconds", Help: "How long the store took to commit a group of changes.", Buckets: seconds}),
		commitChanges: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "heddle_store_commit_changes", Help: "How many changes shared a commit.", Buckets: prometheus.ExponentialBuckets(1, 2, 10)}),
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{Name: "heddle_build_info", Help: "Always 1; the version is in the label.", ConstLabels: prometheus.Labels{"version": version}})
	build.Set(1)
	m.registry.MustRegister(m.accepted, m.finished, m.attempts, m.requests, m.runSeconds, m.requestSeconds, m.commitSeconds, m.commitChanges,
		build, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Handler answers with the series.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// Committed implements [engine.Observer].
func (m *Metrics) Committed(c *heddle.Change) {
	if c.Flow != nil {
		m.accepted.WithLabelValues(string(c.Run.Kind)).Inc()
	}
	for i := range c.Attempts {
		if s := c.Attempts[i].Status; s.Ended() {
			m.attempts.WithLabelValues(s.String()).Inc()
		}
	}
	if c.Run.State == heddle.RunEnded {
		kind, outcome := string(c.Run.Kind), string(c.Run.Outcome)
		m.finished.WithLabelValues(kind, outcome).Inc()
		m.runSeconds.WithLabelValues(kind, outcome).Observe(c.Run.Ended.Sub(c.Run.Created).Seconds())
	}
}

// Flushed implements [engine.Observer].
func (m *Metrics) Flushed(changes int, took time.Duration) {
	m.commitSeconds.Observe(took.Seconds())
	m.commitChanges.Observe(float64(changes))
}

// Answered counts a request. route is the pattern that matched, never the path.
func (m *Metrics) Answered(route, method string, code int, took time.Duration) {
	m.requests.WithLabelValues(route, method, strconv.Itoa(code)).Inc()
	m.requestSeconds.WithLabelValues(route).Observe(took.Seconds())
}

// Watch adds the series of an engine's state, asked for whenever they are read.
func (m *Metrics) Watch(stats func() engine.Stats) {
	m.registry.MustRegister(&stateOf{
		stats:     stats,
		active:    prometheus.NewDesc("heddle_runs_active", "Runs that this server has in hand.", []string{"state"}, nil),
		causeless: prometheus.NewDesc("heddle_runs_stalled", "Runs in hand that nothing will wake: must be 0.", nil, nil),
		waiting:   prometheus.NewDesc("heddle_runs_queued", "Runs in hand that wait for a place.", nil, nil),
	})
}

// stateOf is the collector of an engine's state.
type stateOf struct {
	stats                      func() engine.Stats
	active, causeless, waiting *prometheus.Desc
}

// Describe implements [prometheus.Collector].
func (s *stateOf) Describe(to chan<- *prometheus.Desc) {
	to <- s.active
	to <- s.causeless
	to <- s.waiting
}

// Collect implements [prometheus.Collector].
func (s *stateOf) Collect(to chan<- prometheus.Metric) {
	stats := s.stats()
	for _, state := range []heddle.RunState{heddle.RunPending, heddle.RunRunning, heddle.RunStopping, heddle.RunFinally} {
		to <- prometheus.MustNewConstMetric(s.active, prometheus.GaugeValue, float64(stats.Runs[state]), string(state))
	}
	to <- prometheus.MustNewConstMetric(s.causeless, prometheus.GaugeValue, float64(stats.Causeless))
	to <- prometheus.MustNewConstMetric(s.waiting, prometheus.GaugeValue, float64(stats.Waiting))
}
