// Package house holds tests about the code itself: who may import whom, what the
// pure packages must not touch, how long files and functions may get, and that
// the documentation names files that exist. It has no other content.
package house
