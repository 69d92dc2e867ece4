// Package docker runs attempts as containers of a Docker Engine, which is found as
// the docker command finds it.
//
// The container of an attempt is named heddle-<attempt>, and its labels say which
// attempt of which store it is and what an engine needs to know that takes it over:
//
//	heddle.dev/attempt, /store   whose it is
//	heddle.dev/run, /step        for people
//	heddle.dev/timeout, /grace   the limit of time, as Go durations
//	heddle.dev/log               how many bytes of its output are kept
//	heddle.dev/message           where its message file is
//	heddle.dev/mask              the names of the variables whose values are secrets, as JSON
//
// and whatever labels the attempt has. A container is started only while it is
// "created"; one that ran is read, and never started again. It stays until it is
// released, with its output.
//
// The daemon's events and the end of a container's output say when to look; what
// became of the container is what inspecting it says. When the connection breaks
// or the daemon restarts, everything that is open is looked at again. What ended
// although nothing but the daemon's own end explains it is reported as broken; a
// container that is gone is lost. A limit of time holds while an engine runs; what
// outlived its limit while none did is ended, or judged, by the next.
//
// Output is read from the daemon's log of the container, so what its log driver does
// shows: with json-file, bytes that are not UTF-8 become U+FFFD, and what a rotating
// log has dropped cannot be read again by the next engine.
//
// A message file is a file below messages/<store>/ in the data directory, mounted into
// the container. For a daemon that does not see it, which shows when the container is
// made, it is copied into the container and back.
//
// The directory that the attempts of a run share is a volume, labelled with store and
// run, which stays until it is unshared.
//
// Images of kog's old kind read their context from standard input; they get it
// unless the variable KOG_ENV_CONTEXT, of the step or of the image, is true. A
// context of more than 64 KiB comes to its end only while this process lives.
package docker
