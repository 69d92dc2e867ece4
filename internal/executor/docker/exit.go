package docker

import (
	"github.com/dustin/go-humanize"
	"github.com/moby/moby/api/types/container"

	"github.com/heddle/heddle"
)

// exitOf reads the end of a container that ran.
func exitOf(c container.InspectResponse, end ending) heddle.Exit {
	exit := heddle.Exit{
		Reason: heddle.Exited, Code: c.State.ExitCode, Signal: signalOf(c.State.ExitCode),
		Started: containerTime(c.State.StartedAt), Ended: containerTime(c.State.FinishedAt),
	}
	if exit.Ended.Before(exit.Started) {
		exit.Ended = exit.Started // the daemon notes the start of a short program after its end
	}
	t := termsOf(c.Config.Labels)
	switch {
	case end.reason != "" && (!end.assumed || exit.Code != 0):
		exit.Reason, exit.Message = end.reason, end.message
	case t.timeout > 0 && exit.Ended.Sub(exit.Started) >= t.timeout:
		// Nobody was there to end it in time.
		exit.Reason, exit.Message = heddle.TimedOut, timeoutMessage(t)
	case c.State.OOMKilled && exit.Code != 0:
		exit.Message = "out of memory"
		if c.HostConfig != nil && c.HostConfig.Memory > 0 {
			exit.Message += ": the limit is " + humanize.IBytes(uint64(c.HostConfig.Memory))
		}
	}
	return exit
}

// unexplained reports whether the program may have ended because the daemon did,
// which leaves no other trace: it kills containers when it stops and when it finds
// some at its start, and gives 255 to those that it finds dead.
func unexplained(exit heddle.Exit, state *container.State) bool {
	killed := exit.Code == 137 || exit.Code == 143 || exit.Code == 255
	return exit.Reason == heddle.Exited && killed && !state.OOMKilled
}

// signalOf returns the name of the signal that an exit code of 128 and more tells of.
func signalOf(code int) string {
	names := [...]string{
		1: "SIGHUP", 2: "SIGINT", 3: "SIGQUIT", 4: "SIGILL", 5: "SIGTRAP", 6: "SIGABRT", 7: "SIGBUS", 8: "SIGFPE",
		9: "SIGKILL", 10: "SIGUSR1", 11: "SIGSEGV", 12: "SIGUSR2", 13: "SIGPIPE", 14: "SIGALRM", 15: "SIGTERM",
	}
	if n := code - 128; n > 0 && n < len(names) {
		return names[n]
	}
	return ""
}
