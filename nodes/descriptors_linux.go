package nodes

import "syscall"

// childDescriptors is the limit of open files for what this process starts. More than that
// some programs take minutes to close, one by one.
const childDescriptors = 1 << 16

// RaiseDescriptors raises this process's limit of open files to what is needed, if it may,
// and returns what it is then; 0 where it is not known. What the process starts gets the
// limit too: the Go runtime raises it for the process alone, and a login over SSH gives
// servers 1024.
func RaiseDescriptors(need uint64) uint64 {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return 0
	}
	raised := limit
	raised.Cur = min(max(need, childDescriptors), raised.Max)
	if syscall.Setrlimit(syscall.RLIMIT_NOFILE, &raised) != nil {
		return limit.Cur
	}
	return raised.Cur
}
