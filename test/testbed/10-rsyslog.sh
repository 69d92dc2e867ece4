#!/usr/bin/env bash
# rsyslogd receives what --remote-logger syslog sends.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

has rsyslogd || apt_install "remote logging against a real syslog daemon" rsyslog
