package cli

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"strings"
	"time"
)

// levelOf returns the level of a name that [config.Config.Validate] accepts.
func levelOf(name string) slog.Level {
	var level slog.Level
	if level.UnmarshalText([]byte(name)) != nil {
		return slog.LevelInfo
	}
	return level
}

// newHandler writes records as logfmt or JSON, one a line, each in one write:
// time (RFC 3339), level, msg, then the attributes.
func newHandler(w io.Writer, format string, level slog.Level) slog.Handler {
	o := &slog.HandlerOptions{Level: level, ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) > 0 {
			return a
		}
		switch a.Key {
		case slog.TimeKey:
			return slog.String(a.Key, a.Value.Time().Format(time.RFC3339))
		case slog.LevelKey:
			return slog.String(a.Key, strings.ToLower(a.Value.String()))
		}
		return a
	}}
	if format == "json" {
		return slog.NewJSONHandler(w, o)
	}
	return slog.NewTextHandler(w, o)
}

// remoteHandler writes records to a [remoteLog], each with the severity of its level.
type remoteHandler struct{ bySeverity map[severity]slog.Handler }

func newRemoteHandler(remote *remoteLog, format string, level slog.Level) slog.Handler {
	h := remoteHandler{bySeverity: make(map[severity]slog.Handler)}
	for _, s := range []severity{severityError, severityWarning, severityInfo, severityDebug} {
		h.bySeverity[s] = newHandler(severityWriter{remote, s}, format, level)
	}
	return h
}

func (h remoteHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.bySeverity[severityOf(level)].Enabled(ctx, level)
}

func (h remoteHandler) Handle(ctx context.Context, r slog.Record) error {
	return h.bySeverity[severityOf(r.Level)].Handle(ctx, r)
}

func (h remoteHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return h.with(func(s slog.Handler) slog.Handler { return s.WithAttrs(attrs) })
}

func (h remoteHandler) WithGroup(name string) slog.Handler {
	return h.with(func(s slog.Handler) slog.Handler { return s.WithGroup(name) })
}

func (h remoteHandler) with(change func(slog.Handler) slog.Handler) slog.Handler {
	changed := remoteHandler{bySeverity: make(map[severity]slog.Handler)}
	for s, handler := range h.bySeverity {
		changed.bySeverity[s] = change(handler)
	}
	return changed
}

// severityWriter sends what is written to it with one severity.
type severityWriter struct {
	remote   *remoteLog
	severity severity
}

func (w severityWriter) Write(p []byte) (int, error) {
	w.remote.send(w.severity, string(bytes.TrimRight(p, "\n")))
	return len(p), nil
}
