package agent

import (
	"bytes"
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
//
// A process counts as a server's when its parents lead to a supervised process, when it
// shares its session, or when it carries its mark in the environment. Each of the three
// is lost by some way of becoming a daemon, all three by none that is usual.
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
	all, err := processTable()
	if err != nil {
		return nil, nil, fmt.Errorf("look who sees the shadow clock: %w", err)
	}
	servers := h.super.shadowed()
	for pid, s := range all {
		if !all.belongs(pid, s, servers) {
			continue
		}
		maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
		switch {
		case errors.Is(err, os.ErrNotExist), errors.Is(err, syscall.ESRCH), err == nil && len(maps) == 0:
			// It has ended, or is about to.
		case err != nil:
			return nil, nil, fmt.Errorf("look who sees the shadow clock: %w", err)
		case mapsFile(maps, inode, h.path):
			seeing = append(seeing, pid)
		default:
			blind = append(blind, pid)
		}
	}
	sort.Ints(seeing)
	sort.Ints(blind)
	return seeing, blind, nil
}

// processes is one look at /proc.
type processes map[int]stat

func processTable() (processes, error) {
	dirs, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	all := processes{}
	for _, d := range dirs {
		pid, err := strconv.Atoi(d.Name())
		if err != nil {
			continue
		}
		if s, err := readStat("/proc/" + d.Name() + "/stat"); err == nil && s.state != 'Z' && s.state != 'X' {
			all[pid] = s
		}
	}
	return all, nil
}

// belongs reports whether a process is one of the servers, or came from one.
func (all processes) belongs(pid int, s stat, servers map[int]string) bool {
	if len(servers) == 0 {
		return false
	}
	if _, ok := servers[s.session]; ok {
		return true
	}
	for up, ok := pid, true; ok && up > 1; up = all[up].parent {
		if _, mine := servers[up]; mine {
			return true
		}
		_, ok = all[up]
	}
	env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	if err != nil {
		return false
	}
	for _, tag := range servers {
		for _, v := range bytes.Split(env, []byte{0}) {
			if string(v) == tag {
				return true
			}
		}
	}
	return false
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
