//go:build unix

package executor

import "syscall"

// openOnlyFile makes opening a path neither follow a link at its end nor wait for
// the other end of a pipe.
const openOnlyFile = syscall.O_NOFOLLOW | syscall.O_NONBLOCK
