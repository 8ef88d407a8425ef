// Package forks keeps "text file busy" away from programs that a process writes and then
// has run.
//
// The kernel refuses to execute a file that any process holds open for writing. When one
// thread of ours writes an executable, and another forks meanwhile, the child holds the
// file open too, until its own exec closes it: for a blink, but after we have closed ours
// (golang/go issue 22315). So between the closing and the running lies a Settle:
//
//	os.WriteFile(path, program, 0o755)
//	forks.Settle(path)
//	exec.Command("sh", "-c", path).Run()
package forks

import "syscall"

// Settle returns when the programs at these paths, which were closed before, are held open
// for writing by no child of ours, or after two seconds in which somebody kept one open.
//
// First it waits until every child that was being forked when it was called has begun to
// execute its program, or has failed to: package syscall holds ForkLock for writing until
// then, and children that are forked later do not inherit what was closed. But the kernel
// lets the parent go on before the child's exec has closed its files, and on a busy machine
// the child may be suspended between the two. So each path is then asked for. Without
// paths, or where the file system cannot tell, a program is still busy once in some
// thousand times under load, and whoever runs it should try again.
func Settle(paths ...string) {
	syscall.ForkLock.RLock()
	//lint:ignore SA2001 to have waited is all that is wanted
	syscall.ForkLock.RUnlock()
	for _, path := range paths {
		untilNobodyWrites(path)
	}
}
