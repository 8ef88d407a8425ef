package forks

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// patience bounds the wait for a writer that is no child of ours on its way to its exec.
const patience = 2 * time.Second

// untilNobodyWrites asks for a read lease on the file, which the kernel grants exactly when
// no process holds the file open for writing (fcntl(2), F_SETLEASE). Where it grants none
// for another reason, such as a file of somebody else's, the answer is not to be had.
func untilNobodyWrites(path string) {
	file, err := os.Open(path)
	if err != nil {
		return // running it will say so
	}
	defer file.Close()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		_, err := unix.FcntlInt(file.Fd(), unix.F_SETLEASE, unix.F_RDLCK)
		if err == nil {
			_, _ = unix.FcntlInt(file.Fd(), unix.F_SETLEASE, unix.F_UNLCK)
			return
		}
		if !errors.Is(err, unix.EAGAIN) {
			return
		}
	}
}
