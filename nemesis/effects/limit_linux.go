package effects

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// monotonic is the machine's monotonic clock in nanoseconds.
func monotonic() int64 {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) // cannot fail for this one
	return now.Nano()
}

// openFiles is how many files a process has open, and its limits of that number.
func openFiles(pid int) (open int, soft, hard uint64, err error) {
	var now unix.Rlimit
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &now); err != nil {
		return 0, 0, 0, fmt.Errorf("read the limit of open files of process %d: %w", pid, err)
	}
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		return 0, 0, 0, fmt.Errorf("count the open files of process %d: %w", pid, err)
	}
	return len(entries), now.Cur, now.Max, nil
}

// limitOpenFiles sets the soft limit alone, which the hard one allows to be set back.
func limitOpenFiles(pid int, soft uint64) error {
	var now unix.Rlimit
	err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &now)
	if err == nil {
		now.Cur = min(soft, now.Max)
		err = unix.Prlimit(pid, unix.RLIMIT_NOFILE, &now, nil)
	}
	if err != nil {
		return fmt.Errorf("limit the open files of process %d: %w", pid, err)
	}
	return nil
}

// memoryFile is a file without a place whose content is memory.
func memoryFile(name string) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make a file in memory: %w", err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// readMemoryFile reads the one of that name of another process of ours.
func readMemoryFile(pid int, name string) ([]byte, error) {
	links, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	for _, link := range links {
		if to, err := os.Readlink(link); err == nil && strings.HasPrefix(to, "/memfd:"+name+" ") {
			return os.ReadFile(link)
		}
	}
	return nil, fmt.Errorf("read what process %d counted: it has not begun, or is gone", pid)
}
