// Package heddle is the vocabulary of Heddle: the words that every other
// package speaks, and nothing else. Start reading here.
//
// A document (a job file, a pipeline, a task definition, a manifest) is parsed
// into a [Flow]: a graph of [Step]s joined by [Edge]s. Submitting a Flow makes
// a [Run]. Each opening of a Step within a Run is a [Visit], each try of a Visit
// an [Attempt]. A Visit settles with an [Outcome]; outcomes fire edges, and when
// nothing is left to do the Run has a verdict, which is an Outcome too.
//
// A [Change] is what the state machine decides in one go and what a store
// commits as one unit. [Runs] and [Logs] are the services that a front door
// (command line, REST, operator) needs.
//
// The package imports the standard library only, reads no clock and does no I/O.
// Its Go API may change until version 1.
package heddle
