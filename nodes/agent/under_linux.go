package agent

import (
	"errors"
	"fmt"
	"os"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Under looks at the processes themselves: one that has the page mapped reads it.
func (h *clockReaders) Under() (seeing, blind []int, err error) {
	// One that executes at this moment is blind for a blink, and traced.
	for try := 0; ; try++ {
		seeing, blind, err = h.look()
		if err != nil || len(blind) == 0 || try == 20 {
			return seeing, blind, err
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// clockReaders are the clocks beside the supervisor that knows who ought to read them.
type clockReaders struct {
	*clocks
	super *supervisor
}

func (h *clockReaders) look() (seeing, blind []int, err error) {
	info, err := os.Stat(h.path)
	if err != nil {
		return nil, nil, fmt.Errorf("look who sees the shadow clock: %w", err)
	}
	inode := info.Sys().(*syscall.Stat_t).Ino
	for _, p := range h.super.shadowed() {
		for _, m := range h.super.relatives(p) {
			maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", m.PID))
			switch {
			case errors.Is(err, os.ErrNotExist), errors.Is(err, syscall.ESRCH), err == nil && len(maps) == 0:
				// It has ended, or is about to.
			case err != nil:
				return nil, nil, fmt.Errorf("look who sees the shadow clock: %w", err)
			case mapsFile(maps, inode, h.path):
				seeing = append(seeing, m.PID)
			default:
				blind = append(blind, m.PID)
			}
		}
	}
	sort.Ints(seeing)
	sort.Ints(blind)
	return seeing, blind, nil
}

// mapsFile reports whether a process has the file mapped. Its number alone is looked at,
// and its name: what a process in a mount namespace of its own sees as the path and the
// device is no longer ours.
func mapsFile(maps []byte, inode uint64, path string) bool {
	name := path[strings.LastIndexByte(path, '/'):]
	for line := range strings.Lines(string(maps)) {
		fields := strings.Fields(line)
		if len(fields) > 5 && fields[4] == strconv.FormatUint(inode, 10) && strings.HasSuffix(fields[5], name) {
			return true
		}
	}
	return false
}
