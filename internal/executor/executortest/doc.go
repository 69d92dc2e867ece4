// Package executortest holds the suite that every executor passes, [Exercise], and
// a scripted fake, [World], for tests of what uses executors. Import it from tests
// only.
package executortest
