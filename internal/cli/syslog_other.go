//go:build windows || plan9

package cli

import "github.com/heddle/heddle"

func openLocalSyslog() (syslogSink, error) {
	return nil, heddle.Errorf(heddle.CodeInvalid, "this system has no syslog of its own: give --remote-logger-addr host:port")
}
