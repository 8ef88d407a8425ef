// Package forks keeps "text file busy" away from programs that a process writes and then
// has run.
//
// The kernel refuses to execute a file that any process holds open for writing. When one
// thread of ours writes an executable, and another forks meanwhile, the child holds the
// file open too, until its own exec closes it: for a blink, but after we have closed ours
// (golang/go issue 22315). So between the closing and the running lies a Settle.
package forks

import "syscall"

// Settle returns when every child that was being forked when it was called has executed
// its program, or has failed to. A file that was closed before is then held open by no
// child of ours.
//
// Package syscall holds ForkLock for writing from before a fork until the child has left
// its parent's memory, which on Linux it does by exec. Children that are forked later do
// not inherit what was closed before.
func Settle() {
	syscall.ForkLock.RLock()
	//lint:ignore SA2001 to have waited is all that is wanted
	syscall.ForkLock.RUnlock()
}
