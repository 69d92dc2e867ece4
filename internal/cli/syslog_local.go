//go:build !windows && !plan9

package cli

import (
	"log/syslog"

	"github.com/heddle/heddle"
)

// localSyslog is this machine's own syslog.
type localSyslog struct{ *syslog.Writer }

func openLocalSyslog() (syslogSink, error) {
	w, err := syslog.New(syslog.LOG_USER|syslog.LOG_INFO, syslogTag)
	if err != nil {
		return nil, heddle.Errorf(heddle.CodeUnavailable, "no syslog on this machine (give --remote-logger-addr host:port): %w", err)
	}
	return localSyslog{w}, nil
}

func (l localSyslog) send(s severity, text string) error {
	text = text[:min(len(text), syslogMax)]
	switch s {
	case severityError:
		return l.Err(text)
	case severityWarning:
		return l.Warning(text)
	case severityDebug:
		return l.Debug(text)
	default:
		return l.Info(text)
	}
}
