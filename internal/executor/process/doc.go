// Package process runs attempts as processes of this machine.
//
// The processes are not children of the server but of a supervisor: one process
// per data directory, in a session of its own, started by the first client that
// needs it and gone some seconds after the last. So attempts outlive the server,
// and a server that starts anew takes them over. [Open] makes a client, an
// executor.Executor; [Supervise] is the supervisor.
//
// In the data directory:
//
//	supervisor.lock    held by the supervisor while it lives; this, and no process ID, is how others know
//	supervisor.sock    its Unix socket: one JSON message per line, see wire.go
//	supervisor.addr    where the socket is instead, if the directory's path is too long for one
//	supervisor.journal one record before each start and after each end, until the attempt is released
//	supervisor.log     what the supervisor has to say
//	attempts/<id>/     the files of an attempt, its message file among them, until it is released
//	shared/<store>/    the directories that the attempts of a run share, one per run
//
// What a crash does: a supervisor that is killed takes its attempts with it; the
// next one kills what is left of them and reports them lost. After a restart of
// the machine everything without a recorded end is lost, and an attempt that was
// committed before it, but not acknowledged, is not run.
//
// A program gets an environment of its own: the client's defaults (PATH, HOME,
// TMPDIR, LANG), what the step asks for, HEDDLE_ATTEMPT and HEDDLE_SUPERVISOR; and
// a session of its own, without a terminal. When its first process has ended, all
// that it left behind is killed.
//
// That is so on Linux. Other Unix systems know no subreaper and no signal on the
// death of a parent: processes that leave their group escape, and those of a
// supervisor that was killed go on. On Windows there is no polite end, only
// taskkill /T, and no notion of which boot this is.
package process
