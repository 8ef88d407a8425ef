package agent

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// lock makes this process the only agent of its directory until it ends, however
// it ends. It waits for as long as an agent may take that has lost its client to undo
// its effects and go. The file says who holds it, for whoever has to wait.
func lock(path, holder string, wait time.Duration) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the agent's directory: %w", err)
	}
	for end := time.Now().Add(wait); ; time.Sleep(20 * time.Millisecond) {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			break
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			f.Close()
			return nil, fmt.Errorf("lock the agent's directory: %w", err)
		}
		if time.Now().After(end) {
			who, _ := io.ReadAll(io.LimitReader(f, 500))
			f.Close()
			return nil, fmt.Errorf("another nemesis uses this node (%s): wait until it is done, or end it", firstLine(string(who)))
		}
	}
	// The words are for people; the lock itself is the kernel's.
	_ = f.Truncate(0)
	_, _ = f.WriteAt([]byte(holder+"\n"), 0)
	return f, nil
}
