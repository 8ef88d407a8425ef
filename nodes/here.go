package nodes

import (
	"errors"
	"os"
	"slices"
	"syscall"
)

// localCalls are the system calls that prepare a connection and ask no other machine.
var localCalls = []string{"socket", "bind", "setsockopt", "getsockopt", "getsockname", "fcntl"}

// localErrors are what connecting fails with before a packet leaves: no descriptor, port,
// memory, permission (a firewall of this machine), or route. A router on the way may say
// the last as well, and a dead machine does not: that is EHOSTUNREACH, or silence.
var localErrors = []syscall.Errno{
	syscall.EMFILE, syscall.ENFILE,
	syscall.EADDRNOTAVAIL, syscall.EADDRINUSE,
	syscall.ENOBUFS, syscall.ENOMEM, syscall.ENOSPC, syscall.EAGAIN,
	syscall.EPERM, syscall.EACCES,
	syscall.ENETUNREACH, syscall.ENETDOWN, syscall.EAFNOSUPPORT, syscall.EPROTONOSUPPORT,
}

// FailedHere reports whether connecting failed on the machine that tried, with no word from
// the one that it was to reach. It is the one place where errors are sorted by side.
func FailedHere(err error) bool {
	var call *os.SyscallError
	if errors.As(err, &call) && slices.Contains(localCalls, call.Syscall) {
		return true
	}
	var errno syscall.Errno
	return errors.As(err, &errno) && slices.Contains(localErrors, errno)
}
