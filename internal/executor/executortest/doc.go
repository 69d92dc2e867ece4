// Package executortest holds the suite that every executor passes, and a scripted
// fake executor for tests of what uses one.
package executortest
