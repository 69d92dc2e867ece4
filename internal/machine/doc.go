// Package machine is the pure core: it decides what a run does next. It has no
// clock, does no I/O, starts no goroutine and knows no executor or store.
//
// A [Graph] is a compiled flow. A [State] is a run of it: events go in through
// [State.Advance] with the time at which they happened, and what was decided
// comes out of [State.Take] as a [heddle.Change] to be committed and [Effect]s to
// be done after that. Advance looks only at what the event touches, so that its
// cost does not grow with the run. The same events give the same state; and
// [Restore] makes the state again from the rows of all changes so far.
package machine
